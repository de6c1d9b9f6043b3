"""A server's keeper: one front, several hands, and what is left when one of them is killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lading.errors import LadingError
from lading.formats.pod import Pod
from lading.formats.podextras import Companion
from lading.node import Node, sockets, wire
from lading.node.front import hand_sockets
from lading.node.shop import process_start
from lading.roots import Roots

pytestmark = pytest.mark.root
Make = Callable[..., Pod]
HANDS = 3
#: Random kills of fronts and hands; more with LADING_KILLS.
KILLS = int(os.environ.get("LADING_KILLS", "6"))


def _until(check: Callable[[], object], what: str = "it never became true") -> None:
    end = time.monotonic() + 60.0
    while not check():
        assert time.monotonic() < end, what
        time.sleep(0.02)


class Family:
    """A keeper family of the test's own."""

    def __init__(self, roots: Roots) -> None:
        self.env = {
            **os.environ,
            "LADING_ROOT": roots.data,
            "LADING_RUN": roots.run,
            "LADING_CONFIG": roots.config,
        }
        self.path = f"{roots.run}/family.sock"
        os.makedirs(roots.run, exist_ok=True)
        self.fronts: list[subprocess.Popen[bytes]] = []

    def front(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "lading.node.keeper", "--socket", self.path, "--hands", str(HANDS)]
        made = subprocess.Popen(command, env=self.env, stderr=subprocess.PIPE)
        self.fronts.append(made)
        return made

    def up(self) -> subprocess.Popen[bytes]:
        made = self.front()
        _until(lambda: _handles_term(made.pid), "the front did not come up")
        self.full(made, "the hands did not come up")
        return made

    def full(self, front: subprocess.Popen[bytes], what: str) -> None:
        """Wait until there are as many hands as are wanted; fail with what the front has said, should that end."""
        assert front.stderr is not None
        os.set_blocking(front.stderr.fileno(), False)  # its hands have the other end, too
        end = time.monotonic() + 60.0
        while len(self.hands()) != HANDS:
            assert front.poll() is None, f"the front ended: {front.stderr.read()!r}"
            assert time.monotonic() < end, (
                f"{what}; there are {self.hands()}, and {front.stderr.read()!r} was said"
            )
            time.sleep(0.02)

    def hands(self) -> list[int]:
        """The hands that live."""
        return [pid for pid, _ in hand_sockets(self.path) if process_start(pid)]

    def ask(self, **request: object) -> dict[str, object]:
        sock = sockets.connect(self.path)
        try:
            return wire.ask(sock, request)
        finally:
            sock.close()

    def close(self) -> None:
        """End it, whatever state the test left it in."""
        for front in self.fronts:
            if front.poll() is None:
                front.terminate()
                front.wait(60)
            assert front.stderr is not None
            front.stderr.close()
        for pid in self.hands():
            os.kill(pid, signal.SIGTERM)
        _until(lambda: not self.hands(), "a hand did not end")


@pytest.fixture
def family(roots: Roots, node: Node) -> Iterator[Family]:
    made = Family(roots)
    yield made
    made.close()


def _handles_term(pid: int) -> bool:
    """Whether the process has come far enough to end in good order."""
    with open(f"/proc/{pid}/status") as status:
        caught = next(line for line in status if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def _stopped(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "T"


@contextlib.contextmanager
def _held(pids: list[int]) -> Iterator[None]:
    """Stopped, so that they cannot take a caller."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        _until(lambda: all(_stopped(pid) for pid in pids))
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _kill(pid: int) -> None:
    start = process_start(pid)
    if not start:
        return  # its front was killed, it had no pod at that moment, and has ended by itself
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    _until(lambda: process_start(pid) != start)


def _run(family: Family, pod: Pod) -> None:
    family.ask(op="run", pod=pod.encode())


def test_a_hand_keeps_pods_with_users_of_their_own(family: Family, node: Node, one: Make) -> None:
    family.up()
    for name in ("own-1", "own-2"):
        pod = one("sleep", "100", name=name, userns="auto")
        pod.spec.host_users = False
        _run(family, pod)
    users = {name: node.inspect(name).users for name in ("own-1", "own-2")}
    for name, first in users.items():
        with open(f"/proc/{node.inspect(name).container.pid}/uid_map") as rows:
            assert rows.read().split() == ["0", str(first), "65536"]
    assert len(set(users.values())) == 2
    for name in users:
        node.remove(name, force=True)


def test_a_caller_gets_a_hand_that_is_free(family: Family, node: Node, one: Make) -> None:
    family.up()
    busy: list[int] = []
    for name in ("first", "second", "third"):
        with _held(busy):
            _run(family, one("sleep", "100", name=name))
        busy.append(node.inspect(name).keeper_pid)
    assert sorted(busy) == sorted(family.hands())
    answer = family.ask(op="pods")
    assert answer == {"ids": sorted(node.inspect(name).id for name in ("first", "second", "third"))}


def test_a_request_about_a_pod_reaches_its_hand(family: Family, node: Node, one: Make) -> None:
    family.up()
    pod = one("cat", name="echo")
    pod.spec.containers[0].stdin = pod.spec.containers[0].stdin_once = True
    _run(family, pod)
    record = node.inspect("echo")
    owner = record.keeper_pid
    stranger = next(pid for pid in family.hands() if pid != owner)
    sock = sockets.connect(family.path)
    with _held([pid for pid in family.hands() if pid != stranger]):
        wire.send(sock, {"op": "attach", "id": record.id, "stdin": True})
        family.ask(op="pods")  # answered by the same hand, after the request before it
    assert wire.message(*wire.receive(sock)) == {"tty": False}
    sock.send(b"0hello\n")
    assert wire.receive(sock)[0] == b"1hello\n"
    sock.send(b"c")
    assert wire.receive(sock)[0] == b"x0"
    sock.close()


def test_a_companion_that_never_gets_ready_holds_no_other_pod(family: Family, node: Node, one: Make) -> None:
    family.up()
    stuck = one("sleep", "100", name="stuck")
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    stuck.spec.extras.companions = [Companion(name="clerk", command=command, ready=True)]
    sock = sockets.connect(family.path)
    wire.send(sock, {"op": "run", "pod": stuck.encode()})
    _until(lambda: any(record.name == "stuck" for record in node.list(all=True)))
    record = node.inspect("stuck")
    clerk = Path(f"{node.shop.pod_directory(record.id)}/.companions/clerk")
    _until(lambda: clerk.exists() and json.loads(clerk.read_text())["pid"])
    with _held([pid for pid in family.hands() if pid != record.keeper_pid]):
        _run(family, one("sleep", "100", name="other"))
        assert node.inspect("other").keeper_pid == record.keeper_pid
        # It was not the end of the other one's patience that let this one in.
        assert node.inspect("stuck").phase == "Pending" and process_start(
            json.loads(clerk.read_text())["pid"]
        )
        family.ask(op="stop", id=record.id, timeout=0)
    assert "was stopped before it had started" in str(wire.receive(sock)[0])
    sock.close()
    assert node.inspect("stuck").keeper_pid == 0 and not clerk.exists()


def test_hands_outlive_their_front_and_the_next_front_finds_them(
    family: Family, node: Node, one: Make
) -> None:
    front = family.up()
    _run(family, one("sleep", "100", name="before"))
    second = family.front()
    assert second.wait(60) != 0, "two fronts at one socket"
    assert second.stderr is not None and b"listens at" in second.stderr.read()
    front.kill()
    front.wait()
    assert node.inspect("before").state == "running"
    _run(family, one("sleep", "100", name="between"))
    keepers = {node.inspect(name).keeper_pid for name in ("before", "between")}
    third = family.up()
    assert keepers <= set(family.hands())
    family.ask(op="stop", id=node.inspect("between").id, timeout=0)
    third.terminate()
    assert third.wait(60) == 0
    assert node.inspect("before").state == "exited" and node.check() == []
    assert family.hands() == [] and not os.path.exists(family.path)


def test_hands_with_neither_front_nor_pods_end(family: Family) -> None:
    front = family.up()
    front.kill()
    front.wait()
    _until(lambda: not family.hands(), "a hand that nobody needs stayed")


def test_a_killed_hand_is_replaced_and_only_its_own_pods_need_repair(
    family: Family, node: Node, one: Make
) -> None:
    front = family.up()
    _run(family, one("sleep", "100", name="lost"))
    victim = node.inspect("lost").keeper_pid
    with _held([victim]):
        _run(family, one("sleep", "100", name="kept"))
    before = set(family.hands())
    _kill(victim)
    family.full(front, "no new hand took the place of the killed one")
    assert before - {victim} < set(family.hands())
    found = node.check(repair=True)
    assert [f.where for f in found] == ["pod lost"] and found[0].fixed
    assert node.inspect("kept").keeper_pid in before - {victim}
    for name in ("lost", "kept"):
        assert node.stop(name, timeout=0).container.state == "exited"


def _children(parent: int) -> list[int]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == parent and fields[0] not in "ZX":
            found.append(int(name))
    return found


def test_a_hands_nursery_dies_with_it_and_a_hand_does_without(family: Family, node: Node, one: Make) -> None:
    family.up()
    nurseries = {hand: _children(hand) for hand in family.hands()}
    assert all(len(found) == 1 for found in nurseries.values()), nurseries
    _run(family, one("sleep", "100", name="born"))
    record = node.inspect("born")
    assert record.container.pid in _children(record.keeper_pid), "the hand's own child, whoever cloned it"
    victim = next(hand for hand in nurseries if hand != record.keeper_pid)
    _kill(victim)
    _until(lambda: not process_start(nurseries[victim][0]), "it outlived its hand")
    for hand, (nursery,) in nurseries.items():
        if hand != victim:
            _kill(nursery)
    others = [hand for hand in family.hands() if hand != record.keeper_pid]
    with _held(others):
        for name in ("alone", "again"):
            _run(family, one("sleep", "100", name=name))
            assert node.inspect(name).container.pid in _children(record.keeper_pid)
    for name in ("born", "alone", "again"):
        assert node.stop(name, timeout=0).container.state == "exited"
    assert node.check() == []


CONFINEMENT = r"""
grep -vE '^(Pid|PPid|Tgid|NSpid|NStgid|NSpgid|NSsid|Vm|Rss|Threads|SigQ|.*ctxt|Cpus|Mems|Hugetlb)' /proc/self/status
for fd in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/1/fd/$fd ] && readlink /proc/1/fd/$fd | sed 's/[0-9][0-9]*/N/'; done
cat /proc/1/limits /proc/1/oom_score_adj
grep -v /etc/ /proc/self/mountinfo |
    sed -E 's/^[0-9]+ [0-9]+ [0-9]+:[0-9]+//; s/(lower|upper|work)dir=[^ ]*//g; s/ (master|shared):[0-9]+//'
env | grep -v HOSTNAME; umask; pwd; id; ls /sys/class/net; cat /proc/1/setgroups 2>/dev/null
cut -d: -f2 /proc/self/cgroup
"""


def test_what_a_nursery_bears_is_confined_as_what_a_keeper_of_its_own_bears(
    family: Family, node: Node, one: Make
) -> None:
    family.up()
    assert all(_children(hand) for hand in family.hands()), "no nursery: the test would compare nothing"
    _run(family, one("sh", "-c", CONFINEMENT, name="borne"))
    node.run_detached(one("sh", "-c", CONFINEMENT, name="alone"))
    said = {}
    for name in ("borne", "alone"):
        _until(lambda name=name: node.inspect(name).state == "exited")  # type: ignore[misc]
        said[name] = [line.text.decode() for line in node.logs(name)]
    assert said["borne"] == said["alone"]
    assert "Seccomp:\t2" in said["borne"] and len(said["borne"]) > 60


def test_random_kills_in_a_family_leave_nothing_that_repair_cannot_finish(
    family: Family, node: Node, one: Make, roots: Roots
) -> None:
    dice = random.Random(KILLS)
    stop = threading.Event()

    def work(number: int) -> None:
        while not stop.is_set():
            try:
                family.ask(op="run", pod=one("true", remove=bool(number % 2)).encode(), wait=True)
            except LadingError:
                stop.wait(0.01)  # nobody listens at this moment, or whoever did was killed

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    front = family.up()
    for worker in workers:
        worker.start()
    try:
        for round_ in range(KILLS):
            stop.wait(0.1 + dice.random() * 0.3)
            if round_ % 3 == 2:
                front.kill()
                front.wait()
                front = family.up()
            else:
                # None: the killed front's have ended by themselves, and the new one's are not up yet.
                if hands := family.hands():
                    _kill(dice.choice(hands))
                family.full(front, "no new hand came")
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    front.terminate()
    assert front.wait(60) == 0
    node.check(repair=True)
    for record in node.list(all=True):
        node.remove(record.id, force=True, volumes=True)
    left = node.check(repair=True)
    assert node.check() == [], left
    assert node.list(all=True) == [] and os.listdir(roots.pods) == []
