"""Stages of a stream: in order, bounded, and no thread or error is lost."""

from __future__ import annotations

import threading

import pytest

from lading.images.stages import Stage


def test_pieces_come_in_their_order_and_the_thread_ends():
    seen: list[bytes] = []
    before = threading.active_count()
    stage = Stage(seen.append)
    for number in range(100):
        stage.put(b"%d" % number)
    stage.finish()
    assert seen == [b"%d" % number for number in range(100)]
    assert threading.active_count() == before


def test_only_a_few_pieces_wait():
    gate = threading.Event()
    taken: list[bytes] = []

    def work(piece: bytes) -> None:
        gate.wait(60)
        taken.append(piece)

    stage = Stage(work)
    for _ in range(4):
        stage.put(b"x")
    blocked = threading.Thread(target=stage.put, args=(b"y",))
    blocked.start()
    blocked.join(0.1)
    assert blocked.is_alive()
    gate.set()
    blocked.join(60)
    stage.finish()
    assert len(taken) == 5


def test_what_goes_wrong_is_raised_and_nobody_waits_for_ever():
    def work(piece: bytes) -> None:
        raise OSError(28, "full")

    stage = Stage(work)
    with pytest.raises(OSError):
        for _ in range(100):
            stage.put(b"x")
    with pytest.raises(OSError):
        stage.finish()
    stage.abort()


def test_giving_up_leaves_what_waits():
    done: list[bytes] = []
    gate = threading.Event()

    def work(piece: bytes) -> None:
        gate.wait(60)
        done.append(piece)

    stage = Stage(work)
    stage.put(b"1")
    stage.put(b"2")
    stage._error = RuntimeError()
    gate.set()
    stage.abort()
    assert len(done) <= 1
