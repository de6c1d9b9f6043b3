"""What a pod can ask for beyond Kubernetes, on the real kernel."""

from __future__ import annotations

import io
import json
import os
import socket
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lading.errors import InvalidInput, LadingError
from lading.formats.pod import ListenSocket, Pod, PodExtras
from lading.node import Node, blocklimits
from lading.node.model import ContainerRecord, ExecRequest
from lading.node.shop import process_start
from support.orphans import EXITS_ARE_TOLD, as_init

pytestmark = pytest.mark.root
Extras = dict[str, object]


def _until(check: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not check():
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.02)


def _sh(name: str, script: str, extras: Extras | None = None, **fields: object) -> dict[str, object]:
    made = {"name": name, "image": "busybox", "command": ["sh", "-c", script], **fields}
    return {**made, "x-lading": extras} if extras else made


def _pod(name: str, *containers: dict[str, object], **spec: object) -> Pod:
    return Pod.decode(
        {
            "metadata": {"name": name},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 30,
                "containers": list(containers),
                **spec,
            },
        }
    )


def _run(node: Node, pod: Pod) -> tuple[int, list[str]]:
    """Run a pod to its end: its exit code and what it wrote."""
    name = pod.metadata.name
    node.run_detached(pod)
    code = node.wait(name)
    _until(lambda: node.inspect(name).keeper_pid == 0)
    return code, [line.text.decode() for line in node.logs(name)]


def test_a_path_in_the_place_of_a_user_is_its_owner(node: Node) -> None:
    _run(
        node,
        _pod(
            "owner", _sh("main", "mkdir /srv; touch /srv/f /srv/g; chown 1234:99 /srv/f; chown 7:4321 /srv/g")
        ),
    )
    node.commit("owner/main", "owned")
    for user, said in (("/srv/f:/srv/g", "1234 4321"), ("7:/srv/f", "7 99"), ("/srv/f", "1234 0")):
        own = _sh("main", "echo $(id -u) $(id -g)", {"user": user}, image="owned")
        assert _run(node, _pod(f"as-{len(user)}", own)) == (0, [said])
    with pytest.raises(InvalidInput, match="/srv/none"):
        node.run_detached(_pod("as-nobody", _sh("main", "id", {"user": "/srv/none"}, image="owned")))


def test_a_container_chooses_its_system_calls(node: Node) -> None:
    removed = {"mode": "remove", "names": ["mkdir", "mkdirat"], "errno": "EROFS"}
    pod = _pod("removes", _sh("main", "exec 2>&1; mkdir /d; touch /f; ls -d /d /f", {"systemCalls": removed}))
    code, said = _run(node, pod)
    assert code == 1 and said[0].endswith("Read-only file system") and "/f" in said
    fatal = {"systemCalls": {"mode": "remove", "names": ["mkdir", "mkdirat"]}}
    assert _run(node, _pod("kills", _sh("main", "exec mkdir /d", fatal))) == (128 + 31, [])


@pytest.mark.parametrize("privileges", [True, False])
def test_what_is_not_retained_cannot_be_called(node: Node, privileges: bool) -> None:
    names = "arch_prctl exit_group fork clone vfork geteuid getuid getppid rt_sigsuspend wait4 set_tid_address sigaltstack"
    calls = {"mode": "retain", "names": names.split(), "errno": "EACCES"}
    context = {"allowPrivilegeEscalation": privileges, "runAsUser": 7}
    # One stream: between two, the order of lines is anybody's.
    main = _sh("main", "exec 2>&1; mkdir /tmp/d; echo $?", {"systemCalls": calls}, securityContext=context)
    code, said = _run(node, _pod(f"retains-{privileges}".lower(), main))
    assert code == 0 and said[0].endswith("Permission denied") and said[1] == "1"


def test_sets_of_calls_mean_what_every_container_may_call_and_groups_of_them(node: Node) -> None:
    usual = {"mode": "retain", "names": ["mount"], "sets": ["default"], "errno": "EACCES"}
    main = _sh(
        "main",
        "exec 2>&1; mkdir /d && echo made; (exec unshare -m true); exec swapoff /d",
        {"systemCalls": usual},
    )
    code, said = _run(node, _pod("usual", main))
    assert code == 1 and said[0] == "made"
    assert len(said) == 3 and all(line.endswith("Permission denied") for line in said[1:])
    quiet = {"mode": "remove", "sets": ["network-io"], "errno": "EACCES"}
    main = _sh("main", "exec 2>&1; mkdir /d && echo made; exec nc -l -p 1", {"systemCalls": quiet})
    code, said = _run(node, _pod("quiet", main))
    assert code == 1 and said[0] == "made" and said[1].endswith("Permission denied")


def test_containers_fail_together(node: Node) -> None:
    first = _sh("first", "trap 'exit 5' TERM; while :; do sleep 0.05; done")
    second = _sh("second", "sleep 0.5; exit 3")
    assert _run(node, _pod("together", first, second, **{"x-lading": {"failTogether": True}}))[0] == 3
    record = node.inspect("together")
    assert (record.phase, record.reason) == ("Failed", "ContainerFailed")
    assert [c.exit_code for c in record.containers] == [5, 3]


def test_limits_of_disks_are_those_of_the_group(node: Node) -> None:
    extras = {"blockBandwidth": [{"read": 12345678}], "blockOperations": [{"write": 4321}]}
    record = node.run_detached(_pod("throttled", _sh("main", "exec sleep 1000", extras)))
    group = node.shop.cgroup(record, record.containers[0])
    v1 = Path("/sys/fs/cgroup/blkio")
    names = (
        ("blkio.throttle.read_bps_device", "blkio.throttle.write_iops_device") if v1.exists() else ("io.max",)
    )
    root = v1 if v1.exists() else Path("/sys/fs/cgroup")
    said = "".join((root / group.lstrip("/") / name).read_text() for name in names)
    for major, minor in blocklimits.disks():
        assert f"{major}:{minor} " in said
    assert "12345678" in said and "4321" in said
    node.remove("throttled", force=True)


# -- preStart and postStop -----------------------------------------------------------------------------------------


def _words(script: str) -> list[str]:
    return ["sh", "-c", script]


def _of(node: Node, name: str) -> ContainerRecord:
    return node.inspect(name).container


def test_what_runs_before_and_after_a_command_shares_its_root_and_namespaces(node: Node) -> None:
    network = "readlink /proc/self/ns/net; readlink /proc/self/ns/ipc"
    extras = {
        "preStart": _words(f"echo before $USER_SAID; touch /made; {network}"),
        "postStop": _words(f"echo after; cat /left; {network}"),
    }
    main = _sh(
        "main", f"ls /made; echo words > /left; {network}; exit 4", extras,
        env=[{"name": "USER_SAID", "value": "this"}],
    )  # fmt: skip
    code, said = _run(node, _pod("around", main))
    assert code == 4
    spaces = said[1:3]
    assert said == ["before this", *spaces, "/made", *spaces, "after", "words", *spaces]
    record = node.inspect("around")
    assert (record.phase, record.container.exit_code, record.container.stage) == ("Failed", 4, "")
    actions = [e.action for e in node.events(follow=False) if e.id == record.container.id]
    assert actions == ["start", "die"]


def test_a_pre_start_that_fails_is_a_start_that_failed(node: Node) -> None:
    for name, words, why in (
        ("fails", _words("echo no; exit 3"), "preStart ended with 3"),
        ("missing", ["/no/such"], "no such file"),
    ):
        extras = {"preStart": words, "postStop": _words("echo never")}
        with pytest.raises(LadingError, match=why):
            node.run_detached(_pod(name, _sh("main", "echo never", extras)))
        _until(lambda name=name: node.inspect(name).keeper_pid == 0)  # type: ignore[misc]
        made = _of(node, name)
        assert (made.state, made.reason, made.exit_code) == (
            "exited",
            "StartError",
            125 if name == "fails" else 127,
        )
        assert "never" not in [line.text.decode() for line in node.logs(name)]


def test_a_post_stop_that_fails_changes_nothing_about_the_end(node: Node) -> None:
    for name, words, why in (
        ("exits", _words("exit 3"), "ended with 3"),
        ("absent", ["/no/such"], "no such file"),
    ):
        assert _run(node, _pod(name, _sh("main", "exit 0", {"postStop": words})))[0] == 0
        assert why in _of(node, name).message and node.inspect(name).phase == "Succeeded"


def test_each_run_is_prepared_and_followed_also_of_one_container_alone(
    node: Node, one: Callable[..., Pod]
) -> None:
    words = {"pre_start": _words("echo a >> /log"), "post_stop": _words("echo c >> /log")}
    pod = one("sh", "-c", "echo b >> /log; [ $(wc -l < /log) -gt 4 ]", restart="on-failure:5", **words)
    pod.metadata.name = "thrice"
    node.run_detached(pod)
    assert node.wait("thrice") == 0
    _until(lambda: node.inspect("thrice").keeper_pid == 0)
    node.start("thrice")
    assert node.wait("thrice") == 0
    out = io.BytesIO()
    node.cp_out("thrice", "/log", out)
    out.seek(0)
    with tarfile.open(fileobj=out) as archive:
        found = archive.extractfile("log")
        assert found is not None and found.read().split() == [*b"a b c a b c a b c".split()]


def test_meanwhile_it_is_entered_and_stopped_like_any_container(node: Node) -> None:
    extras = {"preStart": _words("trap 'echo told; exit 9' TERM; touch /ready; while :; do sleep 0.05; done")}
    pod = _pod("entered", _sh("main", "echo never", extras))
    failed: list[str] = []

    def run() -> None:
        try:
            Node(node.roots).run_detached(pod)
        except LadingError as error:
            failed.append(str(error))

    child = os.fork()
    if child == 0:
        run()
        os._exit(len(failed))
    _until(lambda: any(r.name == "entered" and r.container.stage == "before" for r in node.list(all=True)))

    def ready() -> bool:
        session = node.exec("entered", ExecRequest(command=["test", "-e", "/ready"]))
        return session.wait() == 0

    _until(ready)
    assert node.inspect("entered").state == "running"
    node.stop("entered")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert [line.text.decode() for line in node.logs("entered")] == ["told"]
    assert _of(node, "entered").state == "exited" and node.inspect("entered").phase == "Failed"


@pytest.mark.parametrize("stage", ["before", "after"])
def test_a_handler_whose_keeper_was_killed_goes_on(node: Node, stage: str) -> None:
    wait = "while [ ! -e /v/go ]; do sleep 0.05; done"
    extras = {"preStart": _words(f"{wait}; true"), "postStop": ["true"]}
    main = "echo ran; exit 6"
    if stage == "after":
        extras = {"postStop": _words(f"{wait}; echo after")}
    name = f"adopted-{stage}"
    own = _sh("main", main, extras, volumeMounts=[{"name": "v", "mountPath": "/v"}])
    other = _sh("first", "true")
    pod = _pod(name, own, initContainers=[other], volumes=[{"name": "v", "emptyDir": {}}])
    node.run_detached(pod)
    _until(lambda: _of(node, name).stage == stage and _of(node, name).state == "running")
    record = node.inspect(name)
    os.kill(record.keeper_pid, 9)
    _until(lambda: process_start(record.keeper_pid) == 0)
    as_init(_of(node, name).pid)
    assert [f.what for f in node.check(repair=True)] == ["a pod runs and its keeper was killed"]
    Path(f"{node.shop.pod_directory(record.id)}/volumes/v/go").touch()
    told = EXITS_ARE_TOLD or stage == "after"
    assert node.wait(name) == (6 if told else 125)
    _until(lambda: node.inspect(name).keeper_pid == 0)
    made = _of(node, name)
    assert (made.state, made.stage) == ("exited", "")
    said = [line.text.decode() for line in node.logs(name)]
    assert said == (["ran", "after"] if stage == "after" else ["ran"] if told else [])
    node.remove(name)
    assert node.check() == []


def test_a_handler_that_dies_with_its_keeper_leaves_what_is_known(node: Node) -> None:
    own = _sh("main", "exit 6", {"postStop": ["sleep", "1000"]})
    record = node.run_detached(_pod("both-die", own))
    _until(lambda: _of(node, "both-die").stage == "after" and _of(node, "both-die").state == "running")
    made = _of(node, "both-die")
    os.kill(record.keeper_pid, 9)
    os.kill(made.pid, 9)
    _until(lambda: process_start(record.keeper_pid) == 0 and process_start(made.pid) == 0)
    node.check(repair=True)
    made = _of(node, "both-die")
    assert (made.state, made.exit_code, made.stage, made.pid) == ("exited", 6, "", 0)
    node.remove("both-die")
    assert node.check() == []


# -- companions ----------------------------------------------------------------------------------------------------

#: Says, to whoever connects, which process it is and what it was told.
SERVER = """
import os, socket
with socket.socket(fileno=3) as listener:
    while True:
        client, _ = listener.accept()
        with client:
            told = os.environ["LISTEN_FDS"], os.environ["LISTEN_FDNAMES"], os.environ["LISTEN_PID"] == str(os.getpid())
            client.sendall(f"{os.getpid()} {told} {os.readlink('/proc/self/ns/net')}\\n".encode())
"""
ASK = "nc ${SERVED_AT%:*} ${SERVED_AT#*:}"


def _companion(**more: object) -> Extras:
    command = [sys.executable, "-c", SERVER]
    return {"companions": [{"name": "clerk", "command": command, "env": {"SERVED_AT": "{address}"}, **more}]}


def _clerk(node: Node, name: str) -> int:
    record = Path(f"{node.shop.pod_directory(node.inspect(name).id)}/.companions/clerk")
    return int(json.loads(record.read_text())["pid"])


@pytest.mark.parametrize("network", ["bridge", "none", "host"])
def test_a_companion_serves_its_pod_and_ends_with_it(node: Node, network: str) -> None:
    extras = {**_companion(), **({"networkMode": "none"} if network == "none" else {})}
    own = _sh("main", f"{ASK}; echo $SERVED_AT; sleep 1000", {"preStart": _words(ASK)})
    name = f"served-{network}"
    node.run_detached(_pod(name, own, hostNetwork=network == "host", **{"x-lading": extras}))
    _until(lambda: len(list(node.logs(name))) == 3)
    said = [line.text.decode() for line in node.logs(name)]
    pid = _clerk(node, name)
    expected = f"{pid} ('1', 'clerk', True) {os.readlink('/proc/self/ns/net')}"
    assert said[:2] == [expected, expected] and said[2].startswith("127.0.0.1:")
    address, _, port = said[2].partition(":")
    with socket.socket() as client:
        assert (client.connect_ex((address, int(port))) == 0) == (network == "host")
    node.stop(name, timeout=0)
    _until(lambda: node.inspect(name).keeper_pid == 0)
    assert process_start(pid) == 0
    node.remove(name)
    assert node.check() == []


def test_no_container_starts_before_a_companion_that_says_when_it_is_ready(
    node: Node, tmp_path: Path
) -> None:
    slow = (
        f"import os, time; time.sleep(0.5); open({str(tmp_path / 'ready')!r}, 'w'); os.write(4, b'x'); "
        + SERVER
    )
    command = [sys.executable, "-c", slow.replace("\n", "", 1)]
    own = _sh("main", f"ls /seen; {ASK}")
    own["x-lading"] = {"mounts": [{"target": "/seen", "source": str(tmp_path)}]}
    record = node.run_detached(_pod("patient", own, **{"x-lading": _companion(command=command, ready=True)}))
    assert node.wait("patient") == 0
    first, second = [line.text.decode() for line in node.logs("patient")]
    assert first == "ready" and "('1', 'clerk', True)" in second
    node.remove(record.id)
    with pytest.raises(LadingError, match="companion clerk ended before it was ready: no luck") as raised:
        broken = [sys.executable, "-c", "import sys; sys.exit('no luck')"]
        node.run_detached(_pod("broken", own, **{"x-lading": _companion(command=broken, ready=True)}))
    assert raised.value.reason == "companion"
    node.remove("broken")
    assert node.check() == []


def test_a_companion_that_ends_is_started_again_and_asked_meanwhile(
    node: Node, one: Callable[..., Pod]
) -> None:
    pod = one("sh", "-c", f"while {ASK}; do sleep 0.1; done", mode="none")
    pod.metadata.name = "again"
    pod.spec.extras.companions = PodExtras.decode(_companion()).companions
    node.run_detached(pod)

    def servers() -> list[str]:
        return list(dict.fromkeys(line.text.split()[0].decode() for line in node.logs("again")))

    _until(lambda: len(servers()) == 1)
    os.kill(int(servers()[0]), 9)
    _until(lambda: len(servers()) == 2)
    assert node.inspect("again").state == "running"
    node.remove("again", force=True)
    assert node.check() == []


def test_a_companion_whose_keeper_was_killed_is_found(node: Node) -> None:
    own = _sh("main", f"while :; do {ASK}; sleep 0.1; done")
    record = node.run_detached(_pod("found", own, **{"x-lading": _companion()}))
    _until(lambda: len(list(node.logs("found"))) > 0)
    pid = _clerk(node, "found")
    os.kill(record.keeper_pid, 9)
    _until(lambda: process_start(record.keeper_pid) == 0)
    assert process_start(pid) != 0, "it goes on"
    as_init(pid)
    node.check(repair=True)
    assert _clerk(node, "found") == pid
    os.kill(pid, 9)
    _until(lambda: _clerk(node, "found") not in (0, pid))  # the new keeper has its socket
    again = _clerk(node, "found")
    _until(lambda: next(iter(node.logs("found", tail=1))).text.split()[0] == str(again).encode())
    keeper = node.inspect("found").keeper_pid
    made = node.inspect("found").container
    os.kill(keeper, 9)
    os.kill(made.pid, 9)
    _until(lambda: process_start(keeper) == 0 and process_start(made.pid) == 0)
    node.check(repair=True)
    _until(lambda: process_start(again) == 0)
    node.remove("found")
    assert node.check() == []


def test_a_companion_that_cannot_be_is_said_before_anything_starts(node: Node) -> None:
    with pytest.raises(InvalidInput, match="companion clerk: /no/such cannot be executed"):
        node.run_detached(
            _pod("nobody", _sh("main", "true"), **{"x-lading": _companion(command=["/no/such"])})
        )
    assert node.inspect("nobody").container.started == 0.0


# -- sockets that are there before their container -----------------------------------------------------------------


@pytest.mark.parametrize("shared", [True, False])
def test_a_container_is_handed_the_sockets_that_listened_before_it(node: Node, shared: bool) -> None:
    listen = [{"port": 8080, "name": "web"}, {"port": 53, "protocol": "UDP"}, {"port": 81, "address": "::1"}]
    script = """
        echo $LISTEN_FDS $LISTEN_FDNAMES; [ $LISTEN_PID = $$ ] && echo mine
        for n in 3 4 5; do readlink /proc/$$/fd/$n | tr -dc 0-9; echo; done; set -- /proc/$$/fd/*; echo $#
        for f in tcp udp tcp6; do awk '$2 ~ /:(1F90|0035|0051)$/ && $4 ~ /^0[A7]$/ { print $10 }' /proc/net/$f; done
        [ -e /again ] || { touch /again; exit 1; }
    """
    first = """
        nc 127.0.0.1 8080 < /dev/null & until grep -q ':1F90 0[1-9]' /proc/net/tcp; do sleep 0.05; done
        echo waits; echo $LISTEN_FDS
    """
    pod = _pod(
        f"handed-{shared}".lower(),
        _sh("main", script.replace("$", "$$"), {"listen": listen}, restartPolicy="OnFailure"),
        initContainers=[_sh("first", first.replace("$", "$$"))],
        shareProcessNamespace=shared,
        restartPolicy="OnFailure",
    )
    code, said = _run(node, pod)
    assert (code, said[:2]) == (0, ["waits", ""])
    once = said[2:11]
    assert once[:2] == ["3 web:unknown:unknown", "mine"]
    assert once[2:5] == once[6:9], "the very sockets that listen"
    assert said[2:] == once + once, "and the same ones in its next run"


def test_a_port_that_is_taken_is_said_by_the_name_of_the_field(node: Node) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        listen = {"listen": [{"port": busy.getsockname()[1], "address": "127.0.0.1"}]}
        with pytest.raises(LadingError, match=r"x-lading\.listen: listening at"):
            node.run_detached(_pod("taken", _sh("main", "true", listen), hostNetwork=True))


def test_one_container_alone_is_handed_sockets_too(node: Node, one: Callable[..., Pod]) -> None:
    pod = one("sh", "-c", "echo $LISTEN_FDS; readlink /proc/$$/fd/3", listen=[ListenSocket(port=1)])
    pod.metadata.name = "alone"
    assert _run(node, pod)[1][0] == "1"


def test_a_command_that_cannot_be_executed_is_still_said(node: Node) -> None:
    made = _sh("main", "", {"listen": [{"port": port} for port in range(1, 30)]}, command=["/etc/passwd"])
    with pytest.raises(LadingError, match="permission denied"):
        node.run_detached(_pod("unable", made))


def test_a_keeper_that_comes_after_one_that_was_killed_makes_the_sockets_anew(node: Node) -> None:
    own = _sh("main", "echo $LISTEN_FDS; exec sleep 1000", {"listen": [{"port": 8080}]})
    record = node.run_detached(_pod("anew", own, restartPolicy="Always"))
    os.kill(record.keeper_pid, 9)
    _until(lambda: process_start(record.keeper_pid) == 0)
    node.check(repair=True)
    first = _of(node, "anew").pid
    as_init(first)
    os.kill(first, 9)
    _until(lambda: [line.text for line in node.logs("anew")] == [b"1", b"1"])
    node.remove("anew", force=True)
    assert node.check() == []
