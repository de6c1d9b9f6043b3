"""One hand of a keeper family: a process that parents the pods that came to it; see :mod:`lading.node.front`.

It accepts callers from the family's socket, one at a time and only when it has nothing else to do, and listens at a socket
of its own, which stands in the records of its pods: commands speak to it directly. A caller who asks the family about a
pod of another hand is passed on with its connection.

It outlives its front. Without one it goes on until its last pod has ended, and then ends.
"""

from __future__ import annotations

import os
import select

from lading.errors import LadingError
from lading.node import sockets
from lading.node.desk import Desk
from lading.node.front import hand_socket
from lading.node.loop import READ, Loop
from lading.node.shop import alive, process_start

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

    from lading.node.runner import PodRunner
    from lading.node.shop import Shop
    from lading.runtime.nursery import Nursery

_SIGTERM = 15
_SIG_UNBLOCK = 1
_CHECKPOINT = 8000


class Hand:
    """A child of ``front``; ``listener`` is the family's at ``family``. SIGTERM is still blocked."""

    def __init__(self, shop: Shop, family: str, listener: _socket.socket, front: int) -> None:
        self.shop = shop
        self.family = family
        self.listener = listener
        self.loop = Loop()
        self.runners: dict[str, PodRunner] = {}
        self.socket = hand_socket(family, os.getpid())
        self.ending = False
        self._front = -1
        start = process_start(front)
        self._nursery = _nursery(shop)  # before there are sockets and records that it would share
        self._own = sockets.listen(self.socket)
        self.desk = Desk(shop, self.loop, self.runners, socket=self.socket, hand=self)
        if start and os.getppid() == front:
            self.follow(front, start)

    def run(self) -> None:
        """Keep pods until told to end, or until nothing is left to keep and nobody to keep it for."""
        import _signal  # type: ignore[import-not-found]

        loop, desk = self.loop, self.desk
        # A start writes some thirty pages: with SQLite's own limit every thirtieth would wait for the disk, twice.
        self.shop.records.database.checkpoint = _CHECKPOINT
        loop.on_signal(_SIGTERM, self._end)
        _signal.pthread_sigmask(_SIG_UNBLOCK, [_SIGTERM])
        # Exclusive: the kernel wakes one hand that waits, not all of them, for a caller. If that one is killed before it
        # has accepted, the hand that takes its place finds the caller: a descriptor is looked at when it is added.
        loop.watch(
            self.listener.fileno(),
            lambda _events: desk.accept_one(self.listener),
            READ | select.EPOLLEXCLUSIVE,
        )
        loop.watch(self._own.fileno(), lambda _events: desk.accept(self._own))
        loop.run(lambda: not self.runners and (self.ending or self._front < 0))
        if self._nursery is not None:
            self._nursery.close()
        try:
            os.unlink(self.socket)
        except FileNotFoundError:
            pass  # a front that came and found us at our end did

    def follow(self, pid: int, start: int) -> None:
        """Belong to the front ``pid`` that started at ``start``."""
        self._forget_front()
        try:
            fd = self.shop.kernel.pidfd_open(pid)
        except LadingError:
            return
        if not alive(pid, start):
            os.close(fd)
            return
        self._front = fd
        self.loop.watch(fd, lambda _events: self._forget_front())

    def _forget_front(self) -> None:
        if self._front >= 0:
            self.loop.forget(self._front)
            os.close(self._front)
            self._front = -1

    def _end(self) -> None:
        if not self.ending:
            self.ending = True
            self.loop.forget(self.listener.fileno())  # no new pods
        for runner in list(self.runners.values()):
            runner.stop()


def _nursery(shop: Shop) -> Nursery | None:
    """Fork, while this process is small, the one that clones its containers.

    An ordinary user's keeper does without: nobody has looked yet at what its namespaces would make of it.
    """
    if shop.roots.uid:
        return None
    from lading.runtime.init import become
    from lading.runtime.nursery import opened

    made = shop.runtime.nursery = opened(shop.kernel, become)
    return made
