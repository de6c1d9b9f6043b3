"""How companions end: in the loop, which has other pods to serve."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lading.formats.podextras import Companion
from lading.kernel import Kernel
from lading.node import companions
from lading.node.companions import Companions
from lading.node.loop import Loop
from lading.node.shop import process_start

OBEYS = "import time; time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); open({!r}, 'w').close(); time.sleep(600)"
Made = Callable[..., tuple[Companions, Loop]]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    loop = Loop()

    def make(*scripts: str) -> tuple[Companions, Loop]:
        wanted = [
            Companion(name=f"c{number}", command=[sys.executable, "-c", script], listen="127.0.0.1:0")
            for number, script in enumerate(scripts)
        ]
        pod = SimpleNamespace(spec=SimpleNamespace(extras=SimpleNamespace(companions=wanted)))
        shop = SimpleNamespace(kernel=Kernel(), pod_directory=lambda _id: str(tmp_path))
        runner: Any = SimpleNamespace(
            shop=shop,
            loop=loop,
            record=SimpleNamespace(id="x", pod=pod, message=""),
            attachment=SimpleNamespace(mode="host"),
        )
        companions = Companions(runner)
        companions.open()
        loop.run(lambda: all(one.pidfd >= 0 for one in companions._all))
        return companions, loop

    yield make
    loop.close()


def _pids(of: Companions) -> list[int]:
    return [one.pid for one in of._all]


def test_one_that_does_not_end_by_itself_is_killed_and_the_loop_goes_on_meanwhile(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = tmp_path / "deaf"
    clerks, loop = made(STUBBORN.format(str(deaf)), OBEYS)
    while not deaf.exists():
        loop.turn(0.02)
    stubborn, _ = pids = _pids(clerks)
    monkeypatch.setattr(companions, "_GRACE", 0.5)
    done: list[bool] = []
    others: list[bool] = []
    clerks.end(lambda: done.append(all(not process_start(pid) for pid in pids)))
    assert not done and process_start(stubborn), "nobody waits for it here"
    loop.after(0.0, lambda: others.append(not done))
    loop.run(lambda: bool(done))
    assert done == [True] and others == [True]
    assert sorted(os.listdir(tmp_path / ".companions")) == ["c0.log", "c1.log"]
    loop.turn(0.0)
    assert done == [True]


def test_without_any_that_runs_the_end_is_at_once(made: Made) -> None:
    clerks, _ = made()
    done: list[bool] = []
    clerks.end(lambda: done.append(True))
    assert done == [True]


def test_none_is_started_again_at_the_end(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    clerks, loop = made(OBEYS)
    monkeypatch.setattr(companions, "_AGAIN", 0.0)
    done: list[bool] = []
    clerks.end(lambda: done.append(True))
    loop.run(lambda: bool(done))
    for _ in range(3):
        loop.turn(0.0)
    assert _pids(clerks) == [0]
