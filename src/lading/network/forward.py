"""A question that the resolver passes on: over UDP, and once more over TCP where the answer did not fit (RFC 7766, section 5)."""

from __future__ import annotations

import os
import socket as net
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lading.network.dnsmessage import Query

_TIMEOUT = 2.0
_MESSAGE_LIMIT = 65535


class Forward:
    """A question on its way to an upstream. ``reply`` sends an answer to whoever asked.

    ``upstreams``  the name servers that are left to be asked.
    ``whole``      whether he takes an answer of any length.
    ``cut``        an answer that was too long for a datagram; then the same upstream is asked over TCP.
    ``deadline``   when to wait for this upstream no longer, on the monotonic clock.
    """

    __slots__ = (
        "client", "connected", "cut", "data", "deadline", "number", "query", "raw", "reply", "socket", "upstream", "upstreams",
        "whole",
    )  # fmt: skip

    def __init__(
        self,
        query: Query,
        raw: bytes,
        client: str,
        upstreams: Sequence[str],
        reply: Callable[[bytes], None],
        *,
        whole: bool,
    ) -> None:
        self.query = query
        self.raw = raw
        self.client = client
        self.upstreams = list(upstreams)
        self.reply = reply
        self.whole = whole
        self.upstream = ""
        self.socket: net.socket | None = None
        self.number = b""
        self.deadline = 0.0
        self.cut = b""
        self.data = b""
        self.connected = False

    def ask(self, port: int) -> net.socket:
        """Ask the next upstream; the socket that its answer will come to. Raises OSError when it cannot be asked."""
        self.upstream = self.upstreams.pop(0)
        self.number = os.urandom(2)
        made = self._open(net.SOCK_DGRAM)
        try:
            made.connect((self.upstream, port))
            made.send(self.number + self.raw[2:])
        except OSError:
            made.close()
            raise
        return made

    def ask_whole(self, port: int, cut: bytes) -> net.socket:
        """Ask the same upstream over TCP; the socket is writable when it is connected. Raises OSError."""
        self.cut = cut
        made = self._open(net.SOCK_STREAM)
        try:
            made.connect((self.upstream, port))
        except BlockingIOError:
            pass
        except OSError:
            made.close()
            raise
        return made

    def _open(self, kind: int) -> net.socket:
        family = net.AF_INET6 if ":" in self.upstream else net.AF_INET
        self.socket = net.socket(family, kind | net.SOCK_NONBLOCK | net.SOCK_CLOEXEC)
        self.deadline = time.monotonic() + _TIMEOUT
        return self.socket

    def send_whole(self) -> None:
        """Send the question over TCP. Raises OSError when nobody listens."""
        assert self.socket is not None
        problem = self.socket.getsockopt(net.SOL_SOCKET, net.SO_ERROR)
        if problem:
            raise OSError(problem, "connect")
        self.connected = True
        question = self.number + self.raw[2:]
        self.socket.sendall(len(question).to_bytes(2, "big") + question)

    def receive(self) -> bytes:
        """The answer; empty when it is not all there yet, or is none to this question. Raises OSError at the end."""
        assert self.socket is not None
        try:
            block = self.socket.recv(_MESSAGE_LIMIT)
        except BlockingIOError:
            return b""
        message = block
        if self.cut:
            if not block:
                raise ConnectionResetError
            self.data += block
            length = int.from_bytes(self.data[:2], "big")
            message = self.data[2 : 2 + length] if len(self.data) >= 2 + length else b""
        question = self.query.question
        ours = message[:2] == self.number and message[12 : 12 + len(question)].lower() == question.lower()
        return message if ours and len(message) >= 12 else b""
