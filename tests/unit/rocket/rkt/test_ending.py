"""Stopping, removing and collecting: what the engine is asked, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.rocket.rkt.conftest import Context, Node, record, uuid

from lading.errors import Conflict, InvalidInput, LadingError, NotFound
from lading.flags import Command, parse
from lading.rocket.rkt import pods, table_pods
from lading.rocket.rkt.ending import gc, rm, stop

TREE = Command("rkt", commands=table_pods.commands())
VERBS = {"stop": stop, "rm": rm, "gc": gc}


def _run(node: Node, verb: str, *words: str) -> int:
    return VERBS[verb](Context(node), parse(TREE, [verb, *words]))  # type: ignore[arg-type]


def test_stop_prints_the_uuid_and_force_kills(capfd: pytest.CaptureFixture[str]) -> None:
    made = record(state="running")
    node = Node(made)
    assert _run(node, "stop", uuid(made)[:8]) == 0
    assert _run(node, "stop", "--force", uuid(made)) == 0
    assert node.asked == [("stop", made.id), ("stop", made.id, ("timeout", 0.0), ("signal", 9))]
    assert capfd.readouterr().out == f'"{uuid(made)}"\n' * 2


def test_what_has_ended_is_stopped_and_what_never_ran_is_not(capfd: pytest.CaptureFixture[str]) -> None:
    ended, never = record(state="exited"), record()
    node = Node(ended, never)
    assert _run(node, "stop", uuid(ended)) == 0
    assert capfd.readouterr().out == f'pod "{uuid(ended)}" is already stopped\n'
    assert _run(node, "stop", uuid(never), uuid(ended), "0") == 254
    printed = capfd.readouterr()
    assert f'pod "{uuid(never)}" is not running' in printed.err
    assert "failed to stop 2 pod(s)" in printed.err and node.asked == []


def test_rm_removes_all_but_what_runs(capfd: pytest.CaptureFixture[str]) -> None:
    ended, never, runs = record(state="exited"), record(), record(state="running")
    node = Node(ended, never, runs)
    assert _run(node, "rm", uuid(ended), uuid(runs), uuid(never)) == 254
    printed = capfd.readouterr()
    assert printed.out == f'"{uuid(ended)}"\n"{uuid(never)}"\n'
    assert f'pod "{uuid(runs)}" is currently running' in printed.err
    assert [asked[1] for asked in node.asked] == [ended.id, never.id]


def test_a_uuid_comes_from_a_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made = record(state="exited")
    (tmp_path / "uuid").write_text(uuid(made) + "\n")
    assert _run(Node(made), "rm", f"--uuid-file={tmp_path}/uuid") == 0
    assert capfd.readouterr().out == f'"{uuid(made)}"\n'


@pytest.mark.parametrize(
    ("content", "error"), [(b"", InvalidInput), (b"x" * 9999, InvalidInput), (None, LadingError)]
)
def test_a_file_without_a_uuid(content: bytes | None, error: type[LadingError], tmp_path: Path) -> None:
    path = tmp_path / "uuid"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(error):
        _run(Node(), "rm", f"--uuid-file={path}")


def test_a_first_pass_marks_and_a_later_one_removes(capfd: pytest.CaptureFixture[str]) -> None:
    made = record(state="exited")
    node = Node(made)
    assert _run(node, "gc") == 0
    printed = capfd.readouterr()
    assert f'moving pod "{uuid(made)}" to garbage' in printed.err and printed.out == ""
    assert "still within grace period (30m0s)" in printed.err
    assert pods.RocketPod(made).state == "exited garbage" and pods.RocketPod(made).garbage_since > 0
    assert _run(node, "gc", "--grace-period=0s") == 0
    assert capfd.readouterr().out == f'Garbage collecting pod "{uuid(made)}"\n'
    assert node.asked == [("remove", made.id, ("volumes", True))]


def test_mark_only_removes_nothing_and_what_is_half_removed_waits() -> None:
    node = Node(record(state="exited"), record(keeper_pid=1, keeper_start=1))
    node.half = [record(state="exited")]
    assert _run(node, "gc", "--mark-only", "--grace-period=0s") == 0
    assert node.asked == []


def test_a_removal_that_was_interrupted_is_finished() -> None:
    node = Node()
    node.half = [record(state="exited")]
    assert _run(node, "gc") == 0
    assert [asked[1] for asked in node.asked] == [node.half[0].id]


@pytest.mark.parametrize(
    ("error", "status"),
    [(NotFound("x"), 0), (Conflict("x", reason="running"), 0), (LadingError("removing its files"), 254)],
)
def test_two_passes_at_once_are_no_failure_and_one_that_fails_hides_no_other(
    error: LadingError, status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    first, second = record(state="exited"), record(state="exited")
    node = Node(first, second)
    node.errors[first.id] = error
    assert _run(node, "gc", "--grace-period=0s") == status
    assert [asked[1] for asked in node.asked] == [first.id, second.id]
    assert (uuid(first) in capfd.readouterr().err.rpartition("to garbage")[2]) == bool(status)


def test_a_pod_that_cannot_be_marked_keeps_none_from_going(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = record(state="exited"), record()
    node = Node(first, second)
    monkeypatch.setattr(node, "amend", lambda *_: (_ for _ in ()).throw(InvalidInput("not admitted")))
    assert _run(node, "gc", "--expire-prepared=0s") == 254
    assert [asked[1] for asked in node.asked] == [second.id]


@pytest.mark.parametrize("words", [["--grace-period=soon"], ["--expire-prepared=-1h"], ["--grace-period=30"]])
def test_times_that_are_none(words: list[str]) -> None:
    with pytest.raises(InvalidInput):
        _run(Node(), "gc", *words)
