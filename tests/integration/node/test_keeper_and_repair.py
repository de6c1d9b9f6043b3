"""Keepers that serve many, keepers that are killed, and what repair makes of it."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lading.errors import LadingError
from lading.formats.pod import Healthcheck, Pod
from lading.node import ExecRequest, Node, sockets, wire
from lading.node.adopting import find_pipes
from lading.node.model import Changes
from lading.node.shop import process_start
from lading.roots import Roots
from support.orphans import EXITS_ARE_TOLD, as_init

pytestmark = pytest.mark.root
Make = Callable[..., Pod]


def _until(check: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.02)


def _env(roots: Roots) -> dict[str, str]:
    return {**os.environ, "LADING_ROOT": roots.data, "LADING_RUN": roots.run, "LADING_CONFIG": roots.config}


def _kill_keeper(node: Node, name: str) -> None:
    record = node.inspect(name)
    os.kill(record.keeper_pid, signal.SIGKILL)
    _until(lambda: process_start(record.keeper_pid) != record.keeper_start)


@pytest.fixture
def keeper(roots: Roots) -> Iterator[str]:
    path = f"{roots.run}/shared.sock"
    process = subprocess.Popen(
        [sys.executable, "-m", "lading.node.keeper", "--socket", path], env=_env(roots)
    )
    _until(lambda: os.path.exists(path))
    yield path
    process.terminate()
    assert process.wait(90) == 0


def test_shared_keeper_runs_many_pods_side_by_side(keeper: str, node: Node, one: Make) -> None:
    codes: list[int] = []

    def work(number: int) -> None:
        sock = sockets.connect(keeper)
        for _ in range(3):
            pod = one("sh", "-c", f"exit {number}", remove=True).encode()
            codes.append(wire.ask(sock, {"op": "run", "pod": pod, "wait": True})["code"])
        sock.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == sorted(list(range(6)) * 3)
    assert node.list(all=True) == []


def test_commands_work_on_a_shared_keepers_pod(keeper: str, node: Node, one: Make) -> None:
    sock = sockets.connect(keeper)
    wire.ask(sock, {"op": "run", "pod": one("sleep", "100", name="kept").encode()})
    assert node.inspect("kept").state == "running"
    node.stop("kept", timeout=0.1)
    assert node.inspect("kept").container.exit_code == 137
    with pytest.raises(Exception, match="busybox-nope"):
        bad = one("true")
        bad.spec.containers[0].image = "busybox-nope"
        bad.spec.containers[0].image_pull_policy = "Never"
        wire.ask(sock, {"op": "run", "pod": bad.encode()})
    sock.close()


def test_container_survives_its_keeper_and_repair_adopts_it(node: Node, one: Make) -> None:
    node.run_detached(one("sleep", "100", name="orphan", mode=""))
    _kill_keeper(node, "orphan")
    assert node.inspect("orphan").state == "running"
    as_init(node.inspect("orphan").container.pid)
    assert [f.what for f in node.check()] != []
    assert all(f.fixed for f in node.check(repair=True))
    assert node.check() == []
    node.kill("orphan", 9)
    _until(lambda: node.inspect("orphan").state == "exited")
    made = node.inspect("orphan").container
    assert (made.exit_code, made.reason) == ((137, "Error") if EXITS_ARE_TOLD else (255, "KeeperLost"))


@pytest.mark.parametrize("asleep", [False, True])
@pytest.mark.parametrize("moved", [False, True])
def test_what_a_container_says_while_nobody_keeps_it_is_in_its_log(
    node: Node, one: Make, asleep: bool, moved: bool
) -> None:
    """More than a pipe holds: it waits, and goes on when it has a keeper again. ``moved``: by a child of its own."""
    work = "echo ready; while ! [ -e /go ]; do sleep 0.02; done; seq 30000; seq 30001 60000 >&2; exit 7"
    script = f"sh -c '{work}' & child=$!; exec >/dev/null 2>&1; wait $child" if moved else work
    awake = None if asleep else Healthcheck(test=["CMD", "true"], interval=3600.0)
    record = node.run_detached(one("sh", "-c", script, name="talker", healthcheck=awake))
    _until(lambda: len(list(node.logs("talker"))) == 1)
    if asleep:
        _until(lambda: _asleep(record.keeper_pid))
    _kill_keeper(node, "talker")
    as_init(record.container.pid)
    assert node.exec("talker", ExecRequest(command=["touch", "/go"])).wait() == 0
    _until(lambda: bool(_waiting_to_write(node)))
    assert all(f.fixed for f in node.check(repair=True))
    assert node.wait("talker") == (7 if EXITS_ARE_TOLD else 255)
    _until(lambda: not node.inspect("talker").keeper_pid)
    lines = list(node.logs("talker"))
    for stream, numbers in (("stdout", range(1, 30001)), ("stderr", range(30001, 60001))):
        said = [line.text for line in lines if line.stream == stream and line.text != b"ready"]
        assert said == [b"%d" % number for number in numbers]


def _asleep(pid: int) -> bool:
    with open(f"/proc/{pid}/cmdline", "rb") as line:
        return b"lading.node.dormant" in line.read()


def _waiting_to_write(node: Node) -> list[int]:
    """The container's processes that wait for space in a pipe (proc(5), wchan).

    One that was listed may have ended since: it waits for nothing.
    """
    found = []
    for row in node.top("talker"):
        with suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{row['PID']}/wchan") as stream:
            if "pipe_write" in stream.read():
                found.append(int(row["PID"]))
    return found


def test_no_other_pipe_of_a_container_is_read(tmp_path: Path) -> None:
    """A container may put what it likes where its output was."""
    ours, theirs = os.pipe()
    other = os.pipe()
    os.mkfifo(tmp_path / "fifo")
    fifo = os.open(tmp_path / "fifo", os.O_RDWR)
    inode, nobody = os.fstat(ours).st_ino, max(os.fstat(fd).st_ino for fd in (ours, other[0], fifo)) + 10**9
    try:
        assert find_pipes([os.getpid()], []) == {}
        assert find_pipes([os.getpid()], [nobody, os.fstat(fifo).st_ino]) == {}
        found = find_pipes([2**22 + 1, os.getpid()], [nobody, inode])
        assert list(found) == [inode]
        os.write(theirs, b"said")
        assert os.read(found[inode], 100) == b"said"
        with pytest.raises(BlockingIOError):
            os.read(found[inode], 100)
        os.close(found[inode])
    finally:
        for fd in (ours, theirs, *other, fifo):
            os.close(fd)


def test_commands_cope_without_the_keeper(node: Node, one: Make) -> None:
    node.run_detached(one("sleep", "100", name="alone", mode=""))
    _kill_keeper(node, "alone")
    node.stop("alone", timeout=0.1)
    assert node.inspect("alone").state == "exited"
    node.start("alone")
    assert node.inspect("alone").state == "running"
    _kill_keeper(node, "alone")
    node.remove("alone", force=True)
    assert node.check() == []


def test_repair_resumes_a_restart_policy(node: Node, one: Make) -> None:
    node.run_detached(one("sleep", "100", name="phoenix", restart="always"))
    record = node.inspect("phoenix")
    _kill_keeper(node, "phoenix")
    os.kill(record.container.pid, signal.SIGKILL)
    _until(lambda: node.inspect("phoenix").state == "exited")
    node.check(repair=True)
    _until(lambda: node.inspect("phoenix").state == "running")


def test_a_claimed_id_without_a_state_goes_with_its_pod(node: Node, roots: Roots, one: Make) -> None:
    node.run_detached(one("sleep", "100", name="claimed"))
    record = node.inspect("claimed")
    _kill_keeper(node, "claimed")
    os.kill(record.container.pid, signal.SIGKILL)
    _until(lambda: node.inspect("claimed").state == "exited")
    place = f"{roots.runtime}/{record.container.id}"
    for name in os.listdir(place):
        os.unlink(f"{place}/{name}")
    node.remove("claimed", force=True)
    assert not os.path.exists(place)
    node.check(repair=True)  # the control group, which a container that is only claimed has not


def _freeze_and_die(node: Node, name: str) -> None:
    """What a commit that is killed leaves: frozen processes, and its file."""
    record = node.inspect(name)
    node.shop.runtime.get(record.container.id).pause()
    with open(f"{node.shop.container_directory(record, record.container)}/freezing", "w"):
        pass


def test_a_container_that_a_killed_commit_froze_runs_on(node: Node, one: Make) -> None:
    node.run_detached(one("sleep", "100", name="frozen"))
    _freeze_and_die(node, "frozen")
    assert [(f.where, f.fixed) for f in node.check(repair=True)] == [("container frozen", True)]
    assert node.check() == []
    assert node.shop.runtime.get(node.inspect("frozen").id).status() == "running"
    node.pause("frozen")
    assert node.check(repair=True) == [], "a pause that a user asked for stays"
    assert node.inspect("frozen").state == "paused"
    node.unpause("frozen")
    node.stop("frozen", timeout=0)
    with open(
        f"{node.shop.container_directory(node.inspect('frozen'), node.inspect('frozen').container)}/freezing",
        "w",
    ):
        pass
    assert len(node.check(repair=True)) == 1, "of one that has ended, too: it may be started again"
    assert node.check() == []


@pytest.mark.parametrize("kept", [True, False])
def test_a_container_that_is_frozen_behind_its_records_back_dies_when_asked(
    node: Node, one: Make, kept: bool
) -> None:
    node.run_detached(one("sleep", "100", name="stiff"))
    if not kept:
        _kill_keeper(node, "stiff")
    _freeze_and_die(node, "stiff")
    node.remove("stiff", force=True)
    assert node.check() == []


def test_things_without_a_record_are_removed(node: Node, roots: Roots) -> None:
    stray = "ab" * 32
    os.makedirs(f"{roots.pods}/{stray}/main/upper")
    os.makedirs(f"{roots.runtime}/{stray}")
    found = {f.where: f for f in node.check(repair=True)}
    assert found[f"{roots.pods}/{stray}"].fixed and found[f"{roots.runtime}/{stray}"].fixed
    assert not os.path.exists(f"{roots.pods}/{stray}") and node.check() == []


def test_keeper_outlives_what_its_commands_garbage_would_close(node: Node, one: Make) -> None:
    """The keeper has the command's heap, with objects that close a number which means something else by now."""

    class Cycle:
        def __init__(self) -> None:
            self.itself = self
            self.file = open("/dev/null")

    gc.collect()
    gc.disable()
    try:
        for _ in range(60):
            Cycle()
        node.run_detached(one("sleep", "100", name="clean"))
    finally:
        gc.enable()
    assert node.stop("clean", timeout=0).container.state == "exited"
    assert node.inspect("clean").container.exit_code == 137


def test_a_pause_survives_the_keeper_and_its_next_one(node: Node, one: Make) -> None:
    check = Healthcheck(test=["CMD", "true"], interval=0.05, timeout=5.0)
    node.run_detached(one("sleep", "1000", name="held", healthcheck=check))
    node.pause("held")
    _kill_keeper(node, "held")
    assert all(f.fixed for f in node.check(repair=True))
    assert node.inspect("held").state == "paused"
    node.unpause("held")
    _until(lambda: node.inspect("held").container.health == "healthy")
    assert node.inspect("held").state == "running"
    node.pause("held")
    node.unpause("held")
    node.remove("held", force=True)


def test_a_command_does_not_wait_for_ever_for_a_keeper_that_is_stopped(
    node: Node, one: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "PATIENCE", 0.2)
    record = node.run_detached(one("sleep", "100", name="stuck"))
    os.kill(record.keeper_pid, signal.SIGSTOP)
    try:
        for call in (
            lambda: node.stop("stuck", timeout=0.1),
            lambda: node.attach("stuck", stdin=False),
            lambda: node.update("stuck", Changes(restart="always")),
        ):
            with pytest.raises(LadingError, match=f"process {record.keeper_pid}"):
                call()
    finally:
        os.kill(record.keeper_pid, signal.SIGCONT)
    monkeypatch.undo()
    node.stop("stuck", timeout=0.1)
    assert node.inspect("stuck").state == "exited"
