"""A conversation with a process in a container: its streams, its size, its end.

One interface for two carriers: a process that this one started itself (``exec``), and a container whose streams its
keeper holds (``attach``, ``run -t``).
"""

from __future__ import annotations

import os

from lading.node.sockets import CHUNK

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable

    from lading.runtime.execute import Exec

STDOUT, STDERR = 1, 2
_MSG_DONTWAIT = 0x40


class Session:
    """The caller's end. Poll :meth:`filenos` for input, then :meth:`read`.

    ``tty``  whether the streams are one terminal: everything arrives as stdout, and :meth:`resize` works.
    """

    tty = False

    def filenos(self) -> list[int]:
        """Descriptors to poll for readability; empty once everything has ended."""
        raise NotImplementedError

    def read(self) -> list[tuple[int, bytes]]:
        """What has arrived, as (``STDOUT`` or ``STDERR``, bytes), without blocking."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Send ``data`` to the process's stdin, and wait until it is taken. Silently too late when it has closed that.

        Who also has to read what the process says meanwhile uses :meth:`offer`.
        """
        import select

        self.offer(data)
        while self.unsent >= 0:
            select.select([], [self.unsent], [])
            self.flush()

    def offer(self, data: bytes) -> None:
        """As :meth:`write`, without waiting: what does not fit stays here until :meth:`flush`."""
        raise NotImplementedError

    @property
    def unsent(self) -> int:
        """The descriptor that has to take more (poll it for writability) before all that was offered is sent, or -1."""
        raise NotImplementedError

    def flush(self) -> None:
        """Send what was offered, as far as it is taken now."""
        raise NotImplementedError

    def close_stdin(self) -> None:
        """End of input, after what was offered. With a terminal the session goes on without input."""
        raise NotImplementedError

    def resize(self, rows: int, columns: int) -> None:
        """Tell the process its terminal's new size."""
        raise NotImplementedError

    def signal(self, number: int) -> None:
        """Send a signal to the process."""
        raise NotImplementedError

    def wait(self) -> int:
        """The exit code (128+n for a signal) once the process has ended; call after :meth:`filenos` is empty."""
        raise NotImplementedError

    def close(self) -> None:
        """Leave; the process goes on (detach)."""
        raise NotImplementedError


class SocketSession(Session):
    """A container's streams through its keeper (:mod:`lading.node.wire`).

    ``kill`` sends a signal to the process: it must not wait behind input that the process does not read.
    """

    def __init__(self, sock: _socket.socket, tty: bool, kill: Callable[[int], None] | None = None) -> None:
        self.sock = sock
        self.tty = tty
        self.code: int | None = None
        self._kill = kill
        self._open = True
        self._unsent: list[bytes] = []

    def filenos(self) -> list[int]:
        return [self.sock.fileno()] if self._open else []

    def read(self) -> list[tuple[int, bytes]]:
        got: list[tuple[int, bytes]] = []
        while self._open:
            try:
                packet = self.sock.recv(CHUNK + 1024, _MSG_DONTWAIT)
            except BlockingIOError:
                break
            except ConnectionResetError:
                continue  # told once, before what is queued: the keeper closed with input of ours unread (unix(7))
            except OSError:
                packet = b""
            kind = packet[:1]
            if kind == b"1" or kind == b"2":
                got.append((STDOUT if kind == b"1" else STDERR, packet[1:]))
            elif kind == b"x":
                self.code = int(packet[1:])
                self._open = False
            elif not packet:
                self._open = False
        return got

    def _send(self, packet: bytes) -> None:
        self._unsent.append(packet)
        if len(self._unsent) == 1:
            self.flush()

    @property
    def unsent(self) -> int:
        return self.sock.fileno() if self._unsent and self._open else -1

    def flush(self) -> None:
        while self._unsent:
            try:
                self.sock.send(self._unsent[0], _MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                self._unsent.clear()
                return
            self._unsent.pop(0)

    def offer(self, data: bytes) -> None:
        for start in range(0, len(data), CHUNK):
            self._send(b"0" + data[start : start + CHUNK])

    def close_stdin(self) -> None:
        self._send(b"c")

    def resize(self, rows: int, columns: int) -> None:
        self._send(b"r" + rows.to_bytes(2, "big") + columns.to_bytes(2, "big"))

    def signal(self, number: int) -> None:
        if self._kill is not None:
            self._kill(number)
        else:
            self._send(b"s%d" % number)

    def wait(self) -> int:
        import select

        while self._open:
            select.select(self.filenos(), [], [])
            self.read()
        self.sock.close()
        # The keeper was killed: nobody knows what became of the process.
        return 255 if self.code is None else self.code

    def close(self) -> None:
        self._open = False
        self.sock.close()


class ExecSession(Session):
    """A process that this one is the parent of. ``ends``: descriptors of its stdin, stdout and stderr (-1: none)."""

    def __init__(self, process: Exec, ends: tuple[int, int, int]) -> None:
        self.process = process
        self.tty = process.console >= 0
        self._stdin, stdout, stderr = ends
        self._sources = {}
        if self.tty:
            self._stdin = process.console
            self._sources[process.console] = STDOUT
        if stdout >= 0:
            self._sources[stdout] = STDOUT
        if stderr >= 0:
            self._sources[stderr] = STDERR
        for fd in {*self._sources, self._stdin} - {-1}:
            os.set_blocking(fd, False)
        self._unsent = b""
        self._ending = False

    @property
    def pid(self) -> int:
        """The process as the host sees it."""
        return self.process.pid

    def filenos(self) -> list[int]:
        return list(self._sources)

    def read(self) -> list[tuple[int, bytes]]:
        got: list[tuple[int, bytes]] = []
        for fd, stream in list(self._sources.items()):
            try:
                data = os.read(fd, CHUNK)
            except BlockingIOError:
                continue
            except OSError:
                data = b""  # EIO: the terminal's other side has gone
            if data:
                got.append((stream, data))
            else:
                del self._sources[fd]
                if fd == self._stdin:
                    self._stdin = -1
                os.close(fd)
        return got

    @property
    def unsent(self) -> int:
        return self._stdin if self._unsent else -1

    def offer(self, data: bytes) -> None:
        self._unsent += data
        self.flush()

    def flush(self) -> None:
        while self._unsent and self._stdin >= 0:
            try:
                self._unsent = self._unsent[os.write(self._stdin, self._unsent) :]
            except BlockingIOError:
                return
            except OSError:
                self._unsent, self._ending = b"", True  # it has closed its stdin
        self._unsent = b""
        if self._ending:
            self._end_of_input()

    def close_stdin(self) -> None:
        self._ending = True
        self.flush()

    def _end_of_input(self) -> None:
        if self._stdin >= 0 and not self.tty:
            os.close(self._stdin)
            self._stdin = -1

    def resize(self, rows: int, columns: int) -> None:
        if self._stdin >= 0 and self.tty:
            import fcntl
            import struct
            import termios

            fcntl.ioctl(self._stdin, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def signal(self, number: int) -> None:
        try:
            os.kill(self.process.pid, number)  # our child: its number is not given away before we wait
        except ProcessLookupError:
            pass

    def wait(self) -> int:
        self._end_of_input()
        return self.process.wait()

    def close(self) -> None:
        for fd in self._sources:
            os.close(fd)
        self._sources.clear()


def pump(
    session: Session,
    stdin: int,
    stdout: int,
    stderr: int,
    *,
    keys: Callable[[bytes], tuple[bytes, bool]] | None = None,
    wake: int = -1,
    on_wake: Callable[[], None] | None = None,
    lasting: bool = False,
) -> int | None:
    """Copy between ``session`` and the caller's descriptors (-1: none) until it ends: its exit code.

    ``keys`` sees what the user types and returns what to pass on and whether to detach; then the result is None.
    ``wake`` is one more descriptor to poll (a signal's wake-up pipe); ``on_wake`` is called when it is readable.
    ``lasting``: the end of the caller's input is not the end of the process's, to which others may write later.
    """
    import select

    while True:
        sources = session.filenos()
        if not sources:
            return session.wait()
        unsent = session.unsent  # as long as there is something, nothing more is read from the user
        watched = sources + [fd for fd in (stdin if unsent < 0 else -1, wake) if fd >= 0]
        ready, takes, _ = select.select(watched, [unsent] if unsent >= 0 else [], [])
        if takes:
            session.flush()
        if wake >= 0 and wake in ready and on_wake is not None:
            on_wake()
        if stdin >= 0 and stdin in ready:
            typed = os.read(stdin, CHUNK)
            leave = False
            if not typed:
                stdin = -1
                if not lasting:
                    session.close_stdin()
            elif keys is not None:
                typed, leave = keys(typed)
            if typed:
                session.offer(typed)
            if leave:
                session.close()
                return None
        if any(fd in ready for fd in sources):
            for stream, data in session.read():
                _write_all(stdout if stream == STDOUT else stderr, data)


def _write_all(fd: int, data: bytes) -> None:
    while data and fd >= 0:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            import select

            select.select([], [fd], [])
