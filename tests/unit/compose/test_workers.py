"""Tasks in processes of their own: order, results, failures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lading.compose.workers import Task, run
from lading.errors import Conflict, LadingError


def test_results_come_back_and_what_is_needed_is_done_before(tmp_path: Path) -> None:
    def noting(name: str) -> object:
        with open(tmp_path / "order", "a") as stream:
            stream.write(name)
        return {"name": name, "pid": os.getpid()}

    done: list[object] = []
    tasks = [
        Task("c", lambda: noting("c"), needs=["b"], done=done.append),
        Task("b", lambda: noting("b"), needs=["a", "nobody"]),
        Task("a", lambda: noting("a")),
    ]
    results = run(tasks)
    assert (tmp_path / "order").read_text() == "abc"
    assert sorted(results) == ["a", "b", "c"]
    assert len({r["pid"] for r in results.values() if isinstance(r, dict)} | {os.getpid()}) == 4
    assert done == [results["c"]]


def test_a_failure_is_raised_as_it_was_and_nothing_begins_after_it(tmp_path: Path) -> None:
    def fail() -> object:
        raise Conflict("it is taken", hint="choose another", reason="taken")

    with pytest.raises(Conflict) as raised:
        run([Task("a", fail), Task("b", lambda: (tmp_path / "b").touch(), needs=["a"])])
    assert (raised.value.message, raised.value.hint, raised.value.reason) == (
        "it is taken",
        "choose another",
        "taken",
    )
    assert not (tmp_path / "b").exists()


def test_a_process_that_dies_is_a_failure_that_names_its_task() -> None:
    with pytest.raises(LadingError, match="the task"):
        run([Task("the task", lambda: os._exit(3))])


def test_who_is_not_ready_is_waited_for_and_may_give_up() -> None:
    asked: list[int] = []

    def ready() -> bool:
        asked.append(1)
        return len(asked) > 2

    assert run([Task("a", lambda: 1, ready=ready)]) == {"a": 1}
    assert len(asked) == 3

    def never() -> bool:
        raise Conflict("it never will")

    with pytest.raises(Conflict):
        run([Task("a", lambda: 1, ready=never), Task("b", lambda: 2)])


def test_no_more_run_at_once_than_are_allowed(tmp_path: Path) -> None:
    def work(name: str) -> object:
        (tmp_path / name).touch()
        there = len(list(tmp_path.iterdir()))
        (tmp_path / name).unlink()
        return there

    results = run([Task(str(n), lambda n=n: work(str(n))) for n in range(6)], limit=1)  # type: ignore[misc]
    assert set(results.values()) == {1}
