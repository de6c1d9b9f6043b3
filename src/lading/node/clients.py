"""Who is attached to a container's streams: what the container says goes to them, and what they type to the container."""

from __future__ import annotations

from lading.node.loop import READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

    from lading.node.streams import Streams

_BACKLOG = 64


class Client:
    """Somebody attached. Packets that do not fit its socket wait here; too many of them hold the container's output.

    What it says is read as fast as the container takes it.
    """

    __slots__ = ("_events", "queue", "sock", "streams", "with_stdin")

    def __init__(self, streams: Streams, sock: _socket.socket, with_stdin: bool) -> None:
        self.streams = streams
        self.sock = sock
        self.with_stdin = with_stdin
        self.queue: list[bytes] = []
        self._events = READ
        streams.clients.append(self)
        self.heed()

    @property
    def full(self) -> bool:
        """Whether the container has to wait for this one."""
        return len(self.queue) >= _BACKLOG

    def leave(self) -> None:
        """It has gone; with ``stdinOnce`` the container's input ends with it."""
        streams = self.streams
        if self in streams.clients:
            streams.clients.remove(self)
            self.queue.clear()
            streams.hold_or_release()
            if self.with_stdin and streams.once and not streams.tty:
                streams.close_stdin()

    def send(self, packet: bytes) -> None:
        """Pass on what the container said."""
        if self.queue:
            self.queue.append(packet)
        else:
            try:
                self.sock.send(packet)
            except BlockingIOError:
                self.queue.append(packet)
                self.heed()
            except OSError:
                self.leave()
        self.streams.hold_or_release()

    def flush(self) -> None:
        """Its socket takes more."""
        while self.queue:
            try:
                self.sock.send(self.queue[0])
            except BlockingIOError:
                return
            except OSError:
                self.leave()
                return
            self.queue.pop(0)
        self.heed()
        self.streams.hold_or_release()

    def heed(self) -> None:
        """Hear it as long as the container takes what it says, and wait for room where something waits for it."""
        events = 0 if self.with_stdin and self.streams.filled else READ
        if self.queue:
            events |= WRITE
        if events != self._events:
            self._events = events
            self.streams.loop.change(self.sock.fileno(), events)

    def resize(self, rows: int, columns: int) -> None:
        """The terminal's new size."""
        if self.streams.console >= 0 and 0 < rows < 65536 and 0 < columns < 65536:
            import fcntl
            import struct
            import termios

            size = struct.pack("HHHH", rows, columns, 0, 0)
            fcntl.ioctl(self.streams.console, termios.TIOCSWINSZ, size)

    def tell_exit(self, code: int) -> None:
        """Say the exit code, and let it go."""
        self.sock.settimeout(1.0)  # a client that stopped reading must not hold the keeper
        try:
            for waiting in self.queue:
                self.sock.send(waiting)
            self.sock.send(b"x%d" % code)
        except OSError:
            pass
        self.streams.loop.forget(self.sock.fileno())
        self.sock.close()
