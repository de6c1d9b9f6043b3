"""What may happen at the moment at which a keeper falls asleep."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest

from lading.node import dozing
from lading.node.loop import Loop


class Executed(Exception):
    """In place of the keeper runs what sleeps."""


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Any:
    def execv(program: str, words: list[str]) -> None:
        raise Executed

    container = SimpleNamespace(name="c")
    record = SimpleNamespace(name="pod", container=container)
    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setattr(dozing, "_state", lambda *_: {"inherited": []})
    before = signal.getsignal(signal.SIGTERM)
    loop = Loop()
    yield SimpleNamespace(
        loop=loop, record=record, running={"c": None}, shop=SimpleNamespace(close=lambda: None)
    )
    signal.signal(signal.SIGTERM, before)
    for event in loop._signals:
        os.close(event)
    loop.close()


def _blocked() -> bool:
    return signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_one_that_is_told_to_end_at_that_moment_does_not_fall_asleep(
    runner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    runner.loop.on_signal(signal.SIGTERM, lambda: told.append("stop"))

    def program() -> str:
        os.kill(
            os.getpid(), signal.SIGTERM
        )  # it has been looked whether it may sleep, and the loop is not asked again
        return "/bin/true"

    monkeypatch.setattr(dozing, "_program", program)
    dozing._sleep(runner, None)  # type: ignore[arg-type]
    assert not told and not _blocked()
    runner.loop.turn(60.0)
    assert told == ["stop"] and not runner.loop.signalled()


def test_told_later_it_is_told_when_it_sleeps(runner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def execv(program: str, words: list[str]) -> None:
        assert _blocked()
        raise Executed

    runner.loop.on_signal(signal.SIGTERM, lambda: None)
    monkeypatch.setattr(os, "execv", execv)
    with pytest.raises(Executed):
        dozing._sleep(runner, None)  # type: ignore[arg-type]
    assert not _blocked()


def test_where_nothing_can_be_executed_it_stays_awake(runner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def execv(program: str, words: list[str]) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(os, "execv", execv)
    before = len(os.listdir("/proc/self/fd"))
    dozing._sleep(runner, None)  # type: ignore[arg-type]
    assert len(os.listdir("/proc/self/fd")) == before and not _blocked()
