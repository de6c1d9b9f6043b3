"""One container from start to end, against the real kernel."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from lading.errors import CommandNotExecutable, CommandNotFound, Conflict, InvalidInput, NotFound
from lading.formats.pod import BindMount, Container, EnvVar, Pod
from lading.node import Changes, ExecRequest, Node, Stdio
from lading.node.model import PodRecord
from lading.node.records import Records
from lading.node.session import pump
from lading.roots import Roots

pytestmark = pytest.mark.root
Make = Callable[..., Pod]


def _output(node: Node, pod: Pod) -> tuple[int, bytes]:
    read, write = os.pipe()
    try:
        code = node.run(pod, Stdio(stdin=-1, stdout=write, stderr=write))
    finally:
        os.close(write)
    data = b""
    while block := os.read(read, 65536):
        data += block
    os.close(read)
    return code, data


def _until(check: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.02)


def test_foreground_run_gives_output_and_exit_code_and_leaves_nothing_with_rm(node: Node, one: Make) -> None:
    code, data = _output(node, one("sh", "-c", "echo out; echo err >&2; exit 7", remove=True))
    assert (code, sorted(data.split())) == (7, [b"err", b"out"])
    assert node.list(all=True) == [] and os.listdir(node.roots.pods) == []


def test_command_that_does_not_exist_is_127_and_recorded(node: Node, one: Make) -> None:
    with pytest.raises(CommandNotFound):
        node.run(one("nosuch", name="missing"), Stdio(stdin=-1, stdout=-1, stderr=-1))
    made = node.inspect("missing").container
    assert (made.state, made.exit_code, made.reason) == ("exited", 127, "StartError")


def test_bridge_gives_an_address_that_its_own_hosts_file_knows(node: Node, one: Make) -> None:
    code, data = _output(node, one("sh", "-c", "hostname -i; ip -o -4 addr show eth0", mode="", remove=True))
    address = data.split()[0].decode()
    assert code == 0 and f"inet {address}/" in data.decode()


def test_environment_user_and_working_directory_are_as_asked(node: Node, one: Make) -> None:
    pod = one("sh", "-c", 'echo "$A $(id -u):$(id -g) $PWD"', remove=True, user="12:34")
    container: Container = pod.spec.containers[0]
    container.env = [EnvVar(name="B", value="x"), EnvVar(name="A", value="$(B)y")]
    container.working_dir = "/new/dir"
    assert _output(node, pod) == (0, b"xy 12:34 /new/dir\n")


def test_detached_container_outlives_its_command_and_is_found_by_others(
    roots: Roots, node: Node, one: Make
) -> None:
    record = node.run_detached(one("sh", "-c", "echo up; sleep 100", name="longlived"))
    other = Node(roots)
    assert other.inspect("longlived").state == "running"
    assert other.inspect(record.id[:8]).id == record.id
    _until(lambda: [line.text for line in other.logs("longlived")] == [b"up"])
    ended = other.stop("longlived", timeout=0.2).container
    assert (ended.state, ended.exit_code) == ("exited", 137)
    _until(lambda: other.inspect("longlived").keeper_pid == 0)
    other.shop.close()


def test_exec_runs_beside_and_gives_its_own_exit_code(node: Node, one: Make) -> None:
    node.run_detached(one("sleep", "100", name="host"))
    session = node.exec(
        "host", ExecRequest(command=["sh", "-c", "cat; id -u; exit 5"], stdin=True, user="77")
    )
    session.write(b"hello\n")
    session.close_stdin()
    got = b""
    while session.filenos():
        got += b"".join(data for _, data in session.read())
    assert (session.wait(), got) == (5, b"hello\n77\n")
    with pytest.raises(CommandNotFound):
        node.exec("host", ExecRequest(command=["nosuch"]))
    for where, why in (("/nosuch", "No such file"), ("/bin/busybox", "Not a directory")):
        with pytest.raises(CommandNotExecutable, match=f"{where}: {why}"):
            node.exec("host", ExecRequest(command=["true"], working_dir=where))
    for passwd in ("mkdir /etc/passwd", "mkfifo /etc/passwd", "ln -s /dev/zero /etc/passwd"):
        assert (
            node.exec("host", ExecRequest(command=["sh", "-c", f"rm -rf /etc/passwd; {passwd}"])).wait() == 0
        )
        assert node.exec("host", ExecRequest(command=["true"], user="77")).wait() == 0
        with pytest.raises(CommandNotExecutable, match="'root' has no entry"):
            node.exec("host", ExecRequest(command=["true"], user="root"))


def test_terminal_session_has_a_size_and_ends_with_the_exit_code(node: Node, one: Make) -> None:
    pod = one("sh", "-c", "stty size; read x; echo got $x; exit 3")
    pod.spec.containers[0].tty = pod.spec.containers[0].stdin = True
    _, session = node.run_session(pod, rows=33, columns=99)
    session.write(b"word\n")
    read, write = os.pipe()
    code = pump(session, -1, write, -1)
    os.close(write)
    text = os.read(read, 4096)
    os.close(read)
    assert code == 3 and b"got word" in text and b"33 99" in text


def test_attach_shows_what_comes_and_detaching_leaves_it_running(node: Node, one: Make) -> None:
    node.run_detached(one("sh", "-c", "while :; do echo tick; sleep 0.05; done", name="ticker"))
    session = node.attach("ticker")
    _until(lambda: any(b"tick" in data for _, data in session.read()))
    session.close()
    assert node.inspect("ticker").state == "running"


def test_restart_policy_counts_and_gives_up(node: Node, one: Make) -> None:
    node.run_detached(one("sh", "-c", "exit 9", name="flappy", restart="on-failure:2"))
    _until(lambda: node.inspect("flappy").state == "exited")
    made = node.inspect("flappy").container
    assert (made.restarts, made.exit_code) == (2, 9)


def test_killing_by_hand_ends_an_always_restarting_container(node: Node, one: Make) -> None:
    node.run_detached(one("sleep", "100", name="stubborn", restart="always"))
    node.kill("stubborn", signal.SIGKILL)
    _until(lambda: node.inspect("stubborn").state == "exited")
    time.sleep(0.3)
    assert node.inspect("stubborn").state == "exited"


def test_rename_and_update_reach_a_running_container(node: Node, one: Make) -> None:
    node.run_detached(one("sleep", "100", name="before"))
    node.rename("before", "after")
    node.update("after", Changes(memory=64 << 20, restart="always"))
    first = node.inspect("after").container.pid
    assert node.stats("after")[0][1].memory.limit == 64 << 20
    os.kill(first, signal.SIGKILL)
    _until(lambda: node.inspect("after").container.pid not in (0, first))
    assert [e.name for e in node.events(since=1, follow=False) if e.action == "die"][-1] == "after"


def test_wait_returns_the_exit_code_also_of_a_container_that_removes_itself(node: Node, one: Make) -> None:
    record = node.run_detached(one("sh", "-c", "sleep 0.3; exit 4", remove=True))
    assert node.wait(record.id) == 4
    _until(lambda: node.list(all=True) == [])


def test_pause_freezes_and_unpause_thaws(node: Node, one: Make) -> None:
    node.run_detached(one("sleep", "100", name="icy"))
    node.pause("icy")
    assert node.inspect("icy").state == "paused"
    with pytest.raises(Conflict):
        node.pause("icy")
    node.unpause("icy")
    assert node.inspect("icy").state == "running"


def test_a_name_is_given_once_however_many_ask(roots: Roots, one: Make) -> None:
    results: list[str] = []

    def create() -> None:
        own = Node(roots)
        try:
            own.create(one("true", name="coveted"))
            results.append("won")
        except Conflict as error:
            results.append(error.reason)
        own.shop.close()

    threads = [threading.Thread(target=create) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["name-taken"] * 11 + ["won"]
    Node(roots).remove("coveted")


def test_removing_a_running_container_needs_force(node: Node, one: Make) -> None:
    node.run_detached(one("sleep", "100", name="busy"))
    with pytest.raises(Conflict) as caught:
        node.remove("busy")
    assert caught.value.reason == "running"
    node.remove("busy", force=True)
    with pytest.raises(NotFound):
        node.inspect("busy")


def test_start_again_keeps_files_and_log(node: Node, one: Make) -> None:
    node.run_detached(one("sh", "-c", "echo run >> /count; cat /count", name="again"))
    node.wait("again")
    node.start("again")
    node.wait("again")
    _until(lambda: [line.text for line in node.logs("again")] == [b"run", b"run", b"run"])


def test_anonymous_volume_is_filled_and_goes_with_its_container(node: Node, one: Make) -> None:
    pod = one("ls", "/bin/sh", remove=True)
    pod.spec.containers[0].extras.mounts = [BindMount(target="/bin")]
    assert _output(node, pod) == (0, b"/bin/sh\n")
    assert node.volumes.list() == []


def test_bind_source_that_is_missing_is_refused(node: Node, one: Make) -> None:
    pod = one("true", name="bound")
    pod.spec.containers[0].extras.mounts = [BindMount(target="/x", source="/nowhere/at/all")]
    with pytest.raises(InvalidInput):
        node.run(pod, Stdio(stdin=-1, stdout=-1, stderr=-1))


def test_copies_in_and_out_cannot_leave_the_container(node: Node, one: Make) -> None:
    import io
    import tarfile

    node.run_detached(one("sh", "-c", "ln -s /etc /escape; sleep 100", name="copied"))
    _until(lambda: node.path_stat("copied", "/escape") is not None)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        info = tarfile.TarInfo("note")
        info.size = 5
        archive.addfile(info, io.BytesIO(b"hello"))
    node.cp_in("copied", "/escape", io.BytesIO(packed.getvalue()))
    assert not os.path.exists("/etc/note")
    out = io.BytesIO()
    node.cp_out("copied", "/etc/note", out)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        extracted = archive.extractfile("note")
        assert extracted is not None and extracted.read() == b"hello"
    evil = io.BytesIO()
    with tarfile.open(fileobj=evil, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../../evil"))
    with pytest.raises(InvalidInput):
        node.cp_in("copied", "/tmp" if node.path_stat("copied", "/tmp") else "/", io.BytesIO(evil.getvalue()))


def test_many_starts_at_once_all_succeed(roots: Roots, node: Node, one: Make) -> None:
    import subprocess
    import sys

    script = (
        "import sys; from lading.node import Node, Stdio; from lading.roots import Roots\n"
        "from lading.formats.pod import Container, Pod, PodExtras, PodSpec\n"
        "p=Pod(spec=PodSpec(containers=[Container(name='main',image='busybox',args=['true'])],restart_policy='Never',"
        "extras=PodExtras(container=True,remove=True,network_mode='none')))\n"
        "sys.exit(Node(Roots.default()).run(p, Stdio(stdin=-1,stdout=-1,stderr=-1)))"
    )
    env = {**os.environ, "LADING_ROOT": roots.data, "LADING_RUN": roots.run, "LADING_CONFIG": roots.config}
    running = [
        subprocess.Popen([sys.executable, "-c", script], env=env, stderr=subprocess.PIPE) for _ in range(40)
    ]
    failures = [p.stderr.read() for p in running if p.wait() and p.stderr is not None]
    for process in running:
        assert process.stderr is not None
        process.stderr.close()
    assert failures == [] and node.list(all=True) == []


def test_an_image_is_removed_or_a_container_made_of_it_and_never_both(
    node: Node, one: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = Records.insert
    empty = io.BytesIO(bytes(10240))  # a tar archive of nothing
    node.images.import_(empty, names=["victim:1"])
    pod = one("true", name="early")
    pod.spec.containers[0].image = "victim:1"

    def before(records: Records, record: PodRecord) -> None:
        insert(records, record)
        with pytest.raises(Conflict):
            node.images.remove("victim:1", in_use=node.images_in_use)

    monkeypatch.setattr(Records, "insert", before)
    made = node.create(pod)
    monkeypatch.setattr(Records, "insert", insert)
    node.remove(made.id)

    def after(records: Records, record: PodRecord) -> None:
        node.images.remove("victim:1", in_use=node.images_in_use)
        insert(records, record)

    monkeypatch.setattr(Records, "insert", after)
    for act in (node.create, lambda late: node.run(late, Stdio(stdin=-1, stdout=-1, stderr=-1))):
        if not any("victim:1" in image.names for image in node.images.list()):
            node.images.import_(io.BytesIO(bytes(10240)), names=["victim:1"])
        late = one("true", name="late")
        late.spec.containers[0].image = "victim:1"
        with pytest.raises(NotFound) as caught:
            act(late)
        assert "removed meanwhile" in str(caught.value)
        assert "late" not in [record.name for record in node.list(all=True)]


def test_a_stop_signal_that_is_not_met_ends_a_first_process_where_that_is_asked_for(
    node: Node, one: Make
) -> None:
    node.run_detached(one("sleep", "1000", name="deaf", default_action=True))
    node.stop("deaf", timeout=1000.0)
    assert node.inspect("deaf").container.exit_code == 143
    node.start("deaf")
    node.kill("deaf", 9)
    assert node.wait("deaf") == 137
