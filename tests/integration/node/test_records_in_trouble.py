"""A keeper whose records cannot be written, for want of space or of their lock, loses no exit code and no container.

The keeper is forked from this process, so it has the failures that are planted here.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lading.errors import Exhausted
from lading.formats.pod import Healthcheck, Pod
from lading.node import Node
from lading.node.database import Database
from lading.node.records import Records
from lading.node.shop import alive, process_start

pytestmark = pytest.mark.root
Make = Callable[..., Pod]
#: Keeps a keeper awake: one that has fallen asleep wakes without what was planted in it.
AWAKE = Healthcheck(test=["CMD", "true"], interval=3600.0)
EXITS_7 = "trap 'exit 7' USR1; echo ready; while :; do sleep 0.05; done"


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """While this file exists, no transaction begins."""
    flag = tmp_path / "full"
    real = Database.__enter__

    def enter(self: Database) -> Database:
        if flag.exists() and self._depth == 0:
            raise Exhausted("records: database or disk is full")
        return real(self)

    monkeypatch.setattr(Database, "__enter__", enter)
    return flag


def _until(check: Callable[[], object]) -> None:
    end = time.monotonic() + 60.0
    while not check():
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.02)


def _ready(node: Node, name: str) -> bool:
    """Whether a signal would be met: a first process never gets one that it has no handler for (pid_namespaces(7))."""
    return [line.text for line in node.logs(name)] == [b"ready"]


@pytest.mark.parametrize("remove", [False, True])
def test_an_exit_code_waits_for_the_records(node: Node, one: Make, full: Path, remove: bool) -> None:
    pod = one("sh", "-c", EXITS_7, name="patient", healthcheck=AWAKE, remove=remove)
    record = node.run_detached(pod)
    pid, start = record.container.pid, record.container.pid_start
    _until(lambda: _ready(node, "patient"))
    full.touch()
    os.kill(pid, signal.SIGUSR1)
    _until(lambda: not alive(pid, start))
    time.sleep(0.2)
    assert process_start(record.keeper_pid) == record.keeper_start
    full.unlink()
    condition = "removed" if remove else "not-running"
    assert node.wait(record.id, condition=condition) == 7
    if not remove:
        _until(lambda: not node.inspect("patient").keeper_pid)
        assert node.inspect("patient").container.reason == "Error"
    events = [e.action for e in node.events(since=record.created - 1, follow=False) if e.id == record.id]
    assert events[:3] == ["create", "start", "die"] and events.count("die") == 1


def test_a_restart_policy_goes_on_while_nothing_can_be_written(node: Node, one: Make, full: Path) -> None:
    script = f"[ -e /been ] && exec sleep 1000; touch /been; {EXITS_7}"
    record = node.run_detached(one("sh", "-c", script, name="again", healthcheck=AWAKE, restart="always"))
    pid, start = record.container.pid, record.container.pid_start
    _until(lambda: _ready(node, "again"))
    full.touch()
    os.kill(pid, signal.SIGUSR1)
    _until(lambda: not alive(pid, start))
    time.sleep(0.5)
    full.unlink()
    _until(lambda: node.inspect("again").container.restarts == 1 and node.inspect("again").state == "running")
    again = node.inspect("again").container
    assert alive(again.pid, again.pid_start) and again.pid != pid
    assert node.inspect("again").keeper_pid == record.keeper_pid
    node.remove("again", force=True)


def test_a_container_that_cannot_be_recorded_is_not_begun(
    node: Node, one: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Records.save

    def save(self: Records, record: object, container: object, action: str = "", *rest: object) -> None:
        if action == "start":
            raise Exhausted("records: database or disk is full")
        real(self, record, container, action, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Records, "save", save)
    with pytest.raises(Exhausted):
        node.run_detached(one("sleep", "1000", name="unsaid", mode=""))
    monkeypatch.undo()
    _until(lambda: not node.inspect("unsaid").keeper_pid)
    made = node.inspect("unsaid").container
    assert (made.state, made.reason, made.pid) == ("exited", "StartError", 0)
    assert not os.path.lexists(f"{node.roots.runtime}/{made.id}")
    assert [f for f in node.check() if "unsaid" in f.where] == []
    node.start("unsaid")
    assert node.inspect("unsaid").state == "running"
    node.remove("unsaid", force=True)
