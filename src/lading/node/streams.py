"""One container's standard streams in its keeper: read once, written to the log, to the caller and to who is attached."""

from __future__ import annotations

import os
import time

from lading.node.logwriter import LogWriter
from lading.node.loop import HANGUP, READ, WRITE, Loop
from lading.node.outlet import Outlet
from lading.node.sockets import CHUNK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from lading.node.clients import Client
    from lading.node.labels import Voice
    from lading.node.model import Stdio

#: The most that a pipe can be made to hold without CAP_SYS_RESOURCE (pipe(7), /proc/sys/fs/pipe-max-size), and some more.
_FULL_PIPE = 4 << 20
OUTPUTS = ("stdout", "stderr")


class Streams:
    """Pipes or a terminal, from before a container starts until after it has ended.

    ``stdio`` is the caller's; ``voice`` makes the share of it that the container has where it has not got it for itself.
    What goes to streams in ``discard`` is heard by nobody.
    """

    def __init__(
        self,
        loop: Loop,
        log: LogWriter,
        *,
        tty: bool,
        stdin: bool,
        once: bool,
        stdio: Stdio | None,
        voice: Callable[[Callable[[], None]], Voice] | None = None,
        discard: Collection[str] = (),
    ) -> None:
        self.loop = loop
        self.log = log
        self.tty = tty
        self.wants_stdin = stdin
        self.once = once
        self.stdio = stdio
        self._discard = discard
        self.outlet: Outlet | Voice | None = None
        if stdio is not None:
            own = self.hold_or_release
            self.outlet = Outlet(loop, stdio, own) if voice is None else voice(own)
        self.clients: list[Client] = []
        self.console = -1
        self.stdin = -1
        self._sources: dict[int, str] = {}
        self._theirs: list[int] = []
        self._held = False
        self._input = b""  # what clients have said and the container has not taken yet
        self._waits = False  # for the container's input to take more
        self._ending = False  # its input ends after what waits

    def open(self) -> tuple[int, int, int]:
        """The container's descriptors: stdin, stdout, stderr (-1: null, or a terminal is wanted)."""
        if self.tty:
            return -1, -1, -1
        stdin = -1
        if self.stdio is not None and self.stdio.stdin >= 0:
            stdin = self.stdio.stdin  # nothing to add to it: the container reads the caller's own
        elif self.wants_stdin:
            stdin, self.stdin = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(self.stdin, False)
            self._theirs.append(stdin)
        ends = []
        for name in OUTPUTS:
            if name in self._discard:
                ends.append(-1)
                continue
            mine, write_only = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(mine, False)
            theirs = write_only
            if self.outlet is None or not self.outlet.breakable(name):
                # For reading as well (fifo(7)): so the pipe has a reader as long as the container has it. When its keeper is
                # killed a write waits, in place of failing by SIGPIPE, until the next keeper has found the pipe (find_pipes).
                theirs = os.open(f"/proc/self/fd/{write_only}", os.O_RDWR | os.O_CLOEXEC)
                os.close(write_only)
            self._sources[mine] = name
            self._theirs.append(theirs)
            ends.append(theirs)
        return stdin, ends[0], ends[1]

    def pipes(self) -> list[int]:
        """The inodes of the container's stdout and stderr, by which they are found again; nothing for a terminal.

        0 stands for one that is discarded.
        """
        if self.tty:
            return []
        inodes = {name: os.fstat(fd).st_ino for fd, name in self._sources.items()}
        return [inodes.get(name, 0) for name in OUTPUTS]

    def begin(self, console: int = -1) -> None:
        """The container runs: let go of its ends and listen."""
        for fd in self._theirs:
            os.close(fd)
        self._theirs.clear()
        if console >= 0:
            self.console = console
            os.set_blocking(console, False)
            self._sources[console] = "stdout"
            self.stdin = console
        for fd in self._sources:
            self.loop.watch(fd, self._watcher(fd), self._interest(fd))
        if self.outlet is not None:
            self.hold_or_release()  # others may have filled it

    def _watcher(self, fd: int) -> Callable[[int], None]:
        def call(events: int) -> None:
            if events & WRITE:
                self._give()
            if events & ~WRITE and fd in self._sources:
                self._ready(fd)

        return call

    def _interest(self, fd: int) -> int:
        events = 0 if self._held else READ
        return events | WRITE if self._input and fd == self.stdin else events

    def _ready(self, fd: int) -> bool:
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""  # EIO: the last holder of the terminal has gone
        name = self._sources[fd]
        if not data:
            self._close_source(fd)
            return False
        self.log.write(name, data, time.time_ns())
        if self.outlet is not None:
            self.outlet.write(name, data)
        if self.clients:
            packet = (b"1" if name == "stdout" else b"2") + data
            for client in list(self.clients):
                client.send(packet)
        elif self.outlet is not None and not self.tty and self.outlet.broken(name):
            self._close_source(fd)  # as in `yes | head`: the next write fails, or ends the writer by SIGPIPE
            return False
        return True

    def _close_source(self, fd: int) -> None:
        self.loop.forget(fd)
        del self._sources[fd]
        if fd == self.stdin:
            self.stdin = -1
            self._taken(b"")
        if fd == self.console:
            self.console = -1
        os.close(fd)

    def hold_or_release(self) -> None:
        """Hear the container as long as everybody takes what it says."""
        held = self.outlet is not None and self.outlet.waiting
        held = held or any(client.full for client in self.clients)
        if held != self._held:
            self._held = held
            for fd in self._sources:
                self.loop.change(fd, self._interest(fd))

    # -- input -----------------------------------------------------------------------------------------------------

    @property
    def filled(self) -> bool:
        """Whether the container takes no more input for now: nobody is asked for more until it does."""
        return bool(self._input)

    def feed(self, data: bytes) -> None:
        """Input for the container: what it does not take now it gets later."""
        if self.stdin < 0 or self._ending:
            return
        waited = bool(self._input)
        self._input += data
        if not waited:
            self._give()

    def _give(self) -> None:
        """Write what waits, and wait for room if there is none."""
        data = self._input
        while data and self.stdin >= 0:
            try:
                data = data[os.write(self.stdin, data) :]
            except BlockingIOError:
                break
            except OSError:  # it has closed its input; a terminal without a process may have one again
                data, self._ending = b"", self._ending or self.stdin != self.console
        self._taken(data)
        if self._ending and not data:
            self._end_input()

    def _taken(self, left: bytes) -> None:
        """``left`` is what still waits: let it, and who says more, know."""
        self._input = left
        if bool(left) == self._waits:
            return
        self._waits = bool(left)
        fd = self.stdin
        if fd in self._sources:
            self.loop.change(fd, self._interest(fd))
        elif left:
            self.loop.watch(fd, lambda _events: self._give(), WRITE)
        elif fd >= 0:
            self.loop.forget(fd)
        for client in self.clients:
            client.heed()

    def close_stdin(self) -> None:
        """End of input, after what waits for the container to take it. A terminal's does not end."""
        if self.stdin != self.console:
            self._ending = True
            if not self._input:
                self._end_input()

    def _end_input(self) -> None:
        if self.stdin >= 0 and self.stdin != self.console:
            self._taken(b"")
            os.close(self.stdin)
            self.stdin = -1

    # -- a keeper that sleeps --------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether all there is to do is to write down what the container says."""
        return not self.clients and self.stdio is None and not self._theirs and not self._input

    @property
    def sources(self) -> dict[int, str]:
        """Where the container's output comes from, and which stream of its each is."""
        return dict(self._sources)

    def resume(self, sources: dict[int, str], stdin: int, console: int) -> None:
        """Go on with descriptors that were kept."""
        self._sources, self.stdin, self.console = dict(sources), stdin, console
        self.begin()

    # -- the end ---------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Everything that the ended container wrote, without waiting for more; then close.

        Not more than a pipe may hold: who shares the host's processes may leave some behind that go on writing.
        """
        for fd in list(self._sources):
            for _ in range(_FULL_PIPE // CHUNK):
                if fd not in self._sources or not self._ready(fd):
                    break
        for fd in list(self._sources):
            self._close_source(fd)
        self._end_input()
        for fd in self._theirs:
            os.close(fd)
        self._theirs.clear()
        if self.outlet is not None:
            self.outlet.end()
        self.log.flush(time.time_ns())

    def discard(self) -> None:
        """Close without reading: nothing of the container ran, and a foreign runtime's complaints are told otherwise."""
        for fd in list(self._sources):
            self._close_source(fd)
        self.drain()

    def tell_exit(self, code: int) -> None:
        """Say the exit code to who is attached, and let them go."""
        for client in self.clients:
            client.tell_exit(code)
        self.clients.clear()


__all__ = ["HANGUP", "Streams"]
