"""The event loop's timers: in the order of their times, and of their making where times are equal."""

from __future__ import annotations

import random
import time

from lading.node.loop import Loop


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
