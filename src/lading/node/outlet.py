"""A foreground container's output on its way to the command's own stdout and stderr.

Who reads those may stop for a while (``lading run … | less``). That holds the container's output, as it would without us in
between, and must hold nothing else: the keeper goes on hearing signals and ``lading stop``. Who goes away
(``lading run … | head``) ends the container's stream, as a pipe without us in between would.
"""

from __future__ import annotations

import os
import select

from lading.node.loop import WRITE, Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.node.model import Stdio

#: A pipe that poll(2) calls writable takes this much without waiting (pipe(7), PIPE_BUF).
_PIECE = 4096
_TYPE, _REGULAR = 0o170000, 0o100000
_BREAKABLE = (0o010000, 0o140000)  # pipes and sockets


class Outlet:
    """``changed`` is called when :attr:`waiting` has become true or false. The descriptors are the caller's, and may block.

    ``lost`` says where output was cut, and why, when that was not its reader's doing.
    """

    def __init__(self, loop: Loop, stdio: Stdio, changed: Callable[[], None]) -> None:
        self.loop = loop
        self.stdio = stdio
        self.changed = changed
        self._waiting: list[tuple[str, bytes]] = []
        self._broken: list[str] = []
        self.lost = ""
        self._watched = -1

    @property
    def waiting(self) -> bool:
        """Whether something has not been taken yet."""
        return bool(self._waiting)

    def breakable(self, stream: str) -> bool:
        """Whether there is a reader who may go away, or has gone: it is a pipe or a socket, not a file or a terminal."""
        target = self._target(stream)
        return self.broken(stream) or (target >= 0 and os.fstat(target).st_mode & _TYPE in _BREAKABLE)

    def broken(self, stream: str) -> bool:
        """Whether that reader went away."""
        return stream in self._broken

    def write(self, stream: str, data: bytes) -> None:
        """Pass on what ``stream`` said; the rest waits when its reader does not read."""
        rest = data if self._waiting else self._put(stream, data)
        if rest:
            self._waiting.append((stream, rest))
            if self._watched < 0:
                self._wait()
                self.changed()

    def end(self) -> None:
        """The container says no more, or begins anew: nothing of what it said has been kept."""

    def _target(self, stream: str) -> int:
        return self.stdio.stdout if stream == "stdout" else self.stdio.stderr

    def _gone(self, stream: str, error: OSError) -> None:
        """Nothing more can be written there. Only a reader who left ends the stream: a full disk must not end a container."""
        if isinstance(error, (BrokenPipeError, ConnectionResetError)):
            self._broken.append(stream)
        else:
            self.lost = f"standard {'output' if stream == 'stdout' else 'error'}: {error.strerror}"
        if stream == "stdout":
            self.stdio.stdout = -1
        else:
            self.stdio.stderr = -1

    def _put(self, stream: str, data: bytes) -> bytes:
        """Write without waiting; what is left."""
        target = self._target(stream)
        if target < 0:
            return b""
        try:
            if os.fstat(target).st_mode & _TYPE == _REGULAR:
                while data:
                    data = data[os.write(target, data) :]
                return b""
            poll = select.poll()
            poll.register(target, select.POLLOUT)
            while data and poll.poll(0):
                data = data[os.write(target, data[:_PIECE]) :]
        except BlockingIOError:
            return data
        except OSError as error:
            self._gone(stream, error)
            return b""
        return data

    def _wait(self) -> None:
        # A duplicate: another container of the pod may wait for the same one.
        self._watched = os.dup(self._target(self._waiting[0][0]))
        self.loop.watch(self._watched, lambda _events: self._again(), WRITE)

    def _again(self) -> None:
        self.stop()
        while self._waiting:
            stream, data = self._waiting[0]
            rest = self._put(stream, data)
            if rest:
                self._waiting[0] = (stream, rest)
                self._wait()
                return
            self._waiting.pop(0)
        self.changed()

    def stop(self) -> None:
        """Wait no longer; what is left is for :meth:`finish`."""
        if self._watched >= 0:
            self.loop.forget(self._watched)
            os.close(self._watched)
            self._watched = -1

    def finish(self) -> None:
        """Write what is left, however long its reader takes: nothing else remains to be done."""
        self.stop()
        for stream, data in self._waiting:
            target = self._target(stream)
            while data and target >= 0:
                try:
                    data = data[os.write(target, data) :]
                except BlockingIOError:
                    select.select([], [target], [])
                except OSError as error:
                    self._gone(stream, error)
                    break
        self._waiting.clear()
