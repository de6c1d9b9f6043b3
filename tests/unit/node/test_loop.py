"""The event loop's timers: in the order of their times, and of their making where times are equal."""

from __future__ import annotations

import os
import random
import sys
import time

from lading.node.loop import Loop, Share


def test_timers_are_called_in_order_and_cancelled_ones_never() -> None:
    loop, called, past = Loop(), [], time.monotonic() - 100
    times = [random.Random(7).randrange(20) for _ in range(60)]
    for number, when in enumerate(times):
        timer = loop.at(past + when, lambda when=when, number=number: called.append((when, number)))  # type: ignore[misc]
        if number % 5 == 0:
            timer.cancel()
    loop.turn()
    assert called == sorted((when, number) for number, when in enumerate(times) if number % 5)
    loop.close()


def test_a_timer_may_set_another_one_that_is_already_due() -> None:
    loop, called, past = Loop(), [], time.monotonic() - 100
    loop.at(past, lambda: (called.append("first"), loop.at(past, lambda: called.append("second"))))  # type: ignore[func-returns-value]
    loop.run(lambda: len(called) == 2)
    assert called == ["first", "second"]
    loop.close()


def test_an_event_is_for_who_watched_the_descriptor_when_it_happened() -> None:
    loop, called = Loop(), []
    first, second = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
    silent = os.pipe2(os.O_CLOEXEC)

    def swap(mine: int, other: int) -> None:
        called.append("whoever comes first")
        for fd in (mine, other):
            loop.forget(fd)
        os.dup2(
            silent[0], other, inheritable=False
        )  # closed, and its number is another's, who has nothing to read
        loop.watch(other, lambda _events: called.append("somebody else's event"))

    loop.watch(first[0], lambda _events: swap(first[0], second[0]))
    loop.watch(second[0], lambda _events: swap(second[0], first[0]))
    for pipe in (first, second):
        os.write(pipe[1], b"x")
    loop.turn()
    loop.turn(0.0)
    assert called == ["whoever comes first"]
    loop.close()
    for fd in (*first, *second, *silent):
        os.close(fd)


def test_cancelled_timers_are_not_kept_until_their_time_comes() -> None:
    loop = Loop()
    called: list[int] = []
    for number in range(100):
        loop.after(-1.0, lambda number=number: called.append(number))  # type: ignore[misc]
    for _ in range(10_000):
        loop.after(3600.0, lambda: None).cancel()
    assert len(loop._timers) < 1000
    loop.turn()
    assert called == list(range(100))
    loop.close()


def test_an_error_of_one_user_is_no_others() -> None:
    loop = Loop()
    said: list[str] = []
    share, other = Share(loop), Share(loop)
    share.failed = lambda: said.append(f"failed: {sys.exc_info()[1]}")
    ours, theirs = os.pipe(), os.pipe()

    def mistake(_events: int) -> None:
        raise ZeroDivisionError("the mistake")

    share.watch(ours[0], mistake)
    share.after(0.0, lambda: said.append("too late"))
    other.watch(theirs[0], lambda _events: said.append(os.read(theirs[0], 9).decode()))
    os.write(ours[1], b"x")
    os.write(theirs[1], b"other")
    loop.turn(1.0)
    assert sorted(said) == ["failed: the mistake", "other"]
    os.write(theirs[1], b"again")
    other.after(0.0, lambda: said.append("in time"))
    share.call(lambda: said.append("never"))
    loop.turn(1.0)
    assert sorted(said[2:]) == ["again", "in time"]
    assert share.over
    assert not other.over
    for fd in (*ours, *theirs):
        os.close(fd)
    loop.close()


def test_a_mistake_in_a_timer_and_at_once() -> None:
    loop = Loop()
    said: list[str] = []
    for begin in (lambda share: share.after(0.0, lambda: 1 / 0), lambda share: share.call(lambda: 1 / 0)):
        share = Share(loop)
        share.failed = lambda: said.append("failed")
        begin(share)
        loop.turn(0.0)
    assert said == ["failed", "failed"]
    loop.close()


def test_what_one_user_forgets_another_may_watch() -> None:
    loop = Loop()
    said: list[str] = []
    share, other = Share(loop), Share(loop)
    read, write = os.pipe()
    share.watch(read, lambda _events: said.append("first"))
    share.forget(read)
    other.watch(read, lambda _events: said.append("second"))
    share.leave()
    os.write(write, b"x")
    loop.turn(1.0)
    assert said == ["second"]
    os.close(read)
    os.close(write)
    loop.close()
