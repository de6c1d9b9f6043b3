"""An event loop: descriptors, timers, nothing else. ``asyncio`` takes longer to import than a container to run."""

from __future__ import annotations

import os
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: Timers that are kept without a look at how many of them were cancelled.
_FEW = 32
READ, WRITE, HANGUP = select.EPOLLIN, select.EPOLLOUT, select.EPOLLHUP | select.EPOLLERR


class Timer:
    """Something to be called at a moment; :meth:`cancel` takes it back."""

    __slots__ = ("call", "when")

    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self.when = when
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Never call it."""
        self.call = None


class Loop:
    """Calls back when descriptors are ready and times have come. Times are of :func:`time.monotonic`."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._calls: dict[int, Callable[[int], None]] = {}
        self._timers: list[Timer] = []
        self._sweep_at = _FEW
        self._signals: set[int] = set()

    def watch(self, fd: int, call: Callable[[int], None], events: int = READ) -> None:
        """Call ``call(events)`` whenever ``fd`` is ready."""
        self._calls[fd] = call
        self._epoll.register(fd, events)

    def change(self, fd: int, events: int) -> None:
        """Wait for other events on a watched descriptor; 0 pauses it."""
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Stop watching; before the descriptor is closed."""
        if self._calls.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def at(self, when: float, call: Callable[[], None]) -> Timer:
        """Call at ``when``."""
        timer = Timer(when, call)
        if len(self._timers) >= self._sweep_at:
            # A cancelled one goes by itself when it comes to the front: with one that is due in a day, much later.
            self._timers[:] = [known for known in self._timers if known.call is not None]
            self._sweep_at = 2 * len(self._timers) + _FEW
        # Sorted by hand: there are few, the new one is mostly the last, and heapq is one more library to load.
        place = len(self._timers)
        while place and when < self._timers[place - 1].when:
            place -= 1
        self._timers.insert(place, timer)
        return timer

    def after(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call ``seconds`` from now."""
        return self.at(time.monotonic() + seconds, call)

    def on_signal(self, number: int, call: Callable[[], None]) -> None:
        """Call from the loop, between two other calls, after signal ``number`` has arrived.

        A handler alone is not enough: epoll goes on waiting after one (PEP 475), so the signal has to be an event.
        """
        import _signal  # type: ignore[import-not-found]

        event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

        def arrived(_events: int) -> None:
            os.eventfd_read(event)
            call()

        self._signals.add(event)
        self.watch(event, arrived)
        _signal.signal(number, lambda _number, _frame: os.eventfd_write(event, 1))

    def waits_for(self, fds: set[int]) -> bool:
        """Whether there is nothing to wait for but these descriptors and signals."""
        return self._calls.keys() - self._signals == fds and all(timer.call is None for timer in self._timers)

    def signalled(self) -> bool:
        """Whether a signal has arrived that has not been dealt with yet."""
        poll = select.poll()
        for event in self._signals:
            poll.register(event, select.POLLIN)
        return bool(poll.poll(0))

    def turn(self, longest: float = -1.0) -> None:
        """Wait for something (at most ``longest`` seconds) and deal with it."""
        timers = self._timers
        while timers and timers[0].call is None:
            timers.pop(0)
        wait = longest
        if timers:
            due = max(0.0, timers[0].when - time.monotonic())
            wait = due if wait < 0 else min(due, wait)
        calls = self._calls
        ready = self._epoll.poll(wait if wait >= 0 else None)
        # Whose events these are is settled now: a call may close a descriptor, and another open its number again, while
        # the first one's event still waits its turn here.
        for events, fd, call in [(events, fd, calls.get(fd)) for fd, events in ready]:
            if call is not None and calls.get(fd) is call:
                call(events)
        if timers:
            now = time.monotonic()
            while timers and timers[0].when <= now:
                timer = timers.pop(0)
                if timer.call is not None:
                    timer.call()

    def run(self, until: Callable[[], bool]) -> None:
        """Turn until ``until()``."""
        while not until():
            self.turn()

    def close(self) -> None:
        """Give the epoll descriptor back."""
        self._epoll.close()


class Share(Loop):
    """A loop as one of its users has it: an error in what is called for this one is no other's.

    After an error, or a call of :meth:`leave`, nothing more is called for it; ``failed`` is called once, while the error is
    being handled.
    """

    def __init__(self, loop: Loop) -> None:
        self._epoll = loop._epoll
        self._calls = loop._calls
        self._timers = loop._timers
        self._sweep_at = _FEW
        self._signals = loop._signals
        self._mine: set[int] = set()
        self.over = False
        self.failed: Callable[[], None] = self.leave

    def call(self, call: Callable[[], None]) -> None:
        """Call now, with what happens to an error as later."""
        if self.over:
            return
        try:
            call()
        except Exception:
            self.leave()
            self.failed()

    def leave(self) -> None:
        """Call nothing more. The descriptors stay open: who opened them may be asked about them yet."""
        self.over = True
        for fd in list(self._mine):
            self.forget(fd)

    def watch(self, fd: int, call: Callable[[int], None], events: int = READ) -> None:
        def called(ready: int) -> None:
            self.call(lambda: call(ready))

        self._mine.add(fd)
        super().watch(fd, called, events)

    def forget(self, fd: int) -> None:
        self._mine.discard(fd)
        super().forget(fd)

    def at(self, when: float, call: Callable[[], None]) -> Timer:
        return super().at(when, lambda: self.call(call))
