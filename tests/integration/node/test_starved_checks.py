"""Checks inside containers that get next to no processor time: their keeper waits for none of them."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from lading.formats.pod import Healthcheck, Pod
from lading.node import Node, sockets, wire
from lading.node.model import Changes
from lading.node.shop import process_start

pytestmark = pytest.mark.root
Make = Callable[..., Pod]


def _until(check: Callable[[], object], what: str = "it never became true") -> None:
    end = time.monotonic() + 120.0
    while not check():
        assert time.monotonic() < end, what
        time.sleep(0.005)


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as stream:
        return [int(word) for word in stream.read().split()]


def test_a_keeper_answers_while_a_check_sets_itself_up(node: Node, one: Make) -> None:
    check = Healthcheck(test=["CMD", "true"], interval=0.05, timeout=100.0, start_period=0.0, retries=100)
    spin = one("sh", "-c", "while :; do :; done", name="starved", healthcheck=check)
    record = node.run_detached(spin)
    node.update("starved", Changes(nano_cpus=10_000_000))
    pid = record.container.pid

    def checks() -> set[int]:
        return set(_children(record.keeper_pid)) - {pid}

    answered = 0
    while answered < 3:
        _until(lambda: len(checks()) == 1, "no check came to be")
        begun = checks()
        sock = sockets.connect(node.inspect("starved").keeper_socket)
        try:
            wire.ask(sock, {"op": "policy", "id": record.id, "policy": "no"})
        finally:
            sock.close()
        if begun == checks():  # the same check is still at it, and the keeper has answered
            answered += 1
            _until(lambda begun=begun: begun != checks())  # type: ignore[misc]
    node.stop("starved", timeout=0)
    assert node.inspect("starved").state == "exited"
    _until(lambda: not node.inspect("starved").keeper_pid)
    _until(lambda: not process_start(record.keeper_pid), "the keeper stayed")
    assert node.check() == []


def test_a_check_that_is_late_ends_with_all_it_started(node: Node, one: Make) -> None:
    script = "sleep 1000 & sleep 1000"
    check = Healthcheck(test=["CMD-SHELL", script], interval=0.05, timeout=0.2, start_period=0.0, retries=1)
    record = node.run_detached(one("sleep", "1000", name="late", healthcheck=check))
    _until(lambda: node.inspect("late").container.health == "unhealthy")
    log = node.inspect("late").container.health_log
    assert "timed out" in str(log[0])
    node.stop("late", timeout=0)
    _until(lambda: not node.inspect("late").keeper_pid)
    _until(lambda: not process_start(record.keeper_pid), "the keeper stayed")
    assert node.check() == []


def test_checks_leave_no_processes_behind(node: Node, one: Make) -> None:
    check = Healthcheck(
        test=["CMD-SHELL", "sleep 500 & exec sleep 600"],
        interval=0.05,
        timeout=0.1,
        start_period=0.0,
        retries=3,
    )
    node.run_detached(one("sleep", "1000", name="tidy", healthcheck=check))
    _until(lambda: len(node.inspect("tidy").container.health_log) >= 4)
    # One check may be under way: its child's shell, and what that has started.
    assert len(node.top("tidy")) <= 3
    node.remove("tidy", force=True)
    assert node.check() == []
