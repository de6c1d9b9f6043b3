"""Compressing layers that an image will want while the steps behind them are still at work.

A child stores the blobs of the target's own layers as they come; whoever stores the image finds them made. Nothing depends on
it: what a child could not store is stored again, and says then what is wrong.
"""

from __future__ import annotations

import os

from lading.build.progress import Progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from lading.build.cache import LayerMade
    from lading.build.image import Storer
    from lading.build.outputs import Form


def _stop(*_: object) -> None:
    raise SystemExit


class Ahead:
    """``vertices``: whose layers are wanted; ``form``: as what. ``fd`` is readable when a child has ended, -1 without one."""

    def __init__(self, storer: Storer, form: Form, vertices: Collection[int]) -> None:
        self._storer = storer
        self._form = form
        self._vertices = frozenset(vertices)
        self._waiting: list[LayerMade] = []
        self._pid = 0
        self.fd = -1

    def add(self, vertex: int, layer: LayerMade) -> None:
        """A layer was made."""
        if vertex in self._vertices:
            self._waiting.append(layer)

    def begin(self) -> bool:
        """Let a child store what is waiting, unless one is at work. Whether one began."""
        if self.fd >= 0 or not self._waiting:
            return False
        layers, self._waiting = self._waiting, []
        read, write = os.pipe2(os.O_CLOEXEC)
        self._pid = os.fork()
        if self._pid == 0:
            self._store(layers)
        os.close(write)
        self.fd = read
        return True

    def _store(self, layers: list[LayerMade]) -> None:
        import signal

        from lading.kernel import Kernel
        from lading.kernel.process import PR_SET_PDEATHSIG

        try:
            os.setpgid(0, 0)
            # Asked to stop, and when its parent dies, it takes along what it has begun.
            signal.signal(signal.SIGTERM, _stop)
            Kernel().prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            quiet = self._storer.quietly(Progress())
            for layer in layers:
                quiet.own_layer(layer, self._form)
        finally:
            os._exit(0)

    def ended(self) -> None:
        """Take leave of the child; wait for it if it is at work."""
        while os.read(self.fd, 4096):
            pass
        os.close(self.fd)
        self.fd = -1
        os.waitpid(self._pid, 0)

    def finish(self, *, wanted: bool) -> None:
        """Return when everything is stored, or without ``wanted`` when the child is gone."""
        if not wanted:
            self._waiting.clear()
            if self.fd >= 0:
                os.kill(self._pid, 15)
        while self.fd >= 0 or self._waiting:
            if self.fd < 0:
                self.begin()
            self.ended()
