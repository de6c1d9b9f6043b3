"""The metadata service of one pod: ``python -m lading.rocket.metadata POD``, a companion of the pod.

It answers on descriptor 3, a socket that listens inside the pod's network and nowhere else, so only the pod reaches it. For
whom it answers stands in the record of POD; all of it is in memory before the first request is taken. What is answered is
:class:`lading.formats.appc.metadata.Service`'s business; here is HTTP/1.1 (RFC 9112) for clients that live in a container and may
be hostile: one thread, bounded heads, bodies, connections and time, nothing that one of them does keeps another waiting.

An app may ask as soon as it runs, and waits for this program to start: it imports little (``socket`` would bring ``enum``).
"""

from __future__ import annotations

import _socket
import gc
import os
import select
import sys
import time

from lading.errors import InvalidInput, LadingError
from lading.formats.appc.metadata import LARGEST_BODY, Answer, signature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LISTENING, READY = 3, 4
"""The descriptors of the socket, as sd_listen_fds(3) has it, and of who waits until we are ready, as s6 has it."""
LARGEST_HEAD = 16 << 10
_MOST = 64
"""Connections at a time. Beyond them the one that was silent for longest makes room."""
_PATIENCE = 30.0
"""Seconds that a connection may be silent, and that a request may take to arrive."""
_CHUNK = 64 << 10
_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    411: "Length Required",
    413: "Content Too Large",
    417: "Expectation Failed",
    431: "Request Header Fields Too Large",
    505: "HTTP Version Not Supported",
}
_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


class Malformed(Exception):
    """What arrived is no request that is answered here: ``answer`` says why, and is the connection's last."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.answer = Answer(status, why.encode() + b"\n")


class Request:
    """One request as its head has it. ``length`` is its body's in bytes, ``last`` whether the client wants no further one."""

    __slots__ = ("expects", "last", "length", "method", "target")

    def __init__(self, method: str, target: str, length: int, last: bool, expects: bool) -> None:
        self.method = method
        self.target = target
        self.length = length
        self.last = last
        self.expects = expects


def parse(head: bytes) -> Request:
    """A request's head, without the empty line that ends it. Raises :class:`Malformed`."""
    first, *lines = head.replace(b"\r\n", b"\n").split(b"\n")
    words = first.split(b" ")
    if len(words) != 3 or not words[0] or not set(words[0]) <= _TOKEN or not words[2].startswith(b"HTTP/"):
        raise Malformed(400, "the first line is no request")
    method, target, version = words
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise Malformed(505, "HTTP/1.1 is spoken here")
    fields: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or not set(name) <= _TOKEN:
            raise Malformed(400, "a header line is malformed")
        name = name.lower()
        if name in (b"content-length", b"host") and name in fields and fields[name] != value.strip(b" \t"):
            raise Malformed(400, f"there are two {name.decode()} headers")
        fields[name] = value.strip(b" \t")
    if b"host" not in fields and version == b"HTTP/1.1":
        raise Malformed(400, "a request needs a host header")
    if b"transfer-encoding" in fields:
        raise Malformed(411, "a body needs a content-length")
    size = fields.get(b"content-length", b"0")
    if not size.isdigit():
        raise Malformed(400, "the content-length is no number")
    if len(size) > 18 or int(size) > LARGEST_BODY:
        raise Malformed(413, "the form is too large")
    expects = fields.get(b"expect", b"").lower()
    if expects not in (b"", b"100-continue"):
        raise Malformed(417, "only 100-continue can be expected")
    wishes = {word.strip() for word in fields.get(b"connection", b"").lower().split(b",")}
    last = b"close" in wishes or (version == b"HTTP/1.0" and b"keep-alive" not in wishes)
    return Request(method.decode(), target.decode("utf-8", "replace"), int(size), last, bool(expects))


def spell(answer: Answer, *, body: bool, last: bool) -> bytes:
    """An answer's bytes; without its ``body`` for HEAD."""
    lines = [
        f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
    ]
    if answer.allow:
        lines.append(f"Allow: {answer.allow}")
    if last:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode() + (answer.body if body else b"")


class Connection:
    """One client: bytes in, bytes out, no sockets.

    ``done`` once the last answer is in :attr:`out`: what still comes is not read.
    """

    def __init__(self, answer: Callable[[str, str, bytes], Answer]) -> None:
        self.out = bytearray()
        self.done = False
        self._answer = answer
        self._in = bytearray()
        self._request: Request | None = None

    @property
    def waiting(self) -> bool:
        """Whether part of a request is here and the rest is awaited."""
        return self._request is not None or bool(self._in)

    def feed(self, data: bytes) -> None:
        """Take what arrived, and answer what is whole."""
        self._in += data
        while not self.done:
            try:
                if not self._step():
                    return
            except Malformed as error:
                self._say(error.answer, body=True, last=True)

    def too_late(self) -> None:
        """The rest of the request did not come."""
        self._say(Answer(408, b"the request did not arrive in time\n"), body=True, last=True)

    def _step(self) -> bool:
        """Whether there may be more to do with what is here."""
        if self._request is None:
            while self._in[:2] == b"\r\n":  # RFC 9112, 2.2: left over by old clients
                del self._in[:2]
            end = self._in.find(b"\r\n\r\n")
            if end > LARGEST_HEAD or (end < 0 and len(self._in) > LARGEST_HEAD):
                raise Malformed(431, "the request's head is too large")
            if end < 0:
                return False
            self._request = parse(bytes(self._in[:end]))
            del self._in[: end + 4]
            if self._request.expects and self._request.length > len(self._in):
                self.out += b"HTTP/1.1 100 Continue\r\n\r\n"
        request = self._request
        if len(self._in) < request.length:
            return False
        body = bytes(self._in[: request.length])
        del self._in[: request.length]
        self._request = None
        answer = self._answer(request.method, request.target, body)
        self._say(answer, body=request.method != "HEAD", last=request.last)
        return bool(self._in)

    def _say(self, answer: Answer, *, body: bool, last: bool) -> None:
        self.out += spell(answer, body=body, last=last)
        self.done = last


class Server:
    """Serves connections of one listening socket until that is closed, or for ever. Takes ``listener`` over."""

    def __init__(self, listener: _socket.socket, answer: Callable[[str, str, bytes], Answer]) -> None:
        listener.setblocking(False)
        self.listener = listener
        self._answer = answer
        self._clients: dict[int, tuple[_socket.socket, Connection]] = {}
        self._since: dict[int, float] = {}
        self._poll = select.epoll()
        self._poll.register(listener.fileno(), select.EPOLLIN)

    def turn(self, timeout: float = -1.0) -> None:
        """Wait for something, at most ``timeout`` seconds (below zero: until something happens), and do it."""
        wait = timeout
        if self._since:
            patience = max(0.0, min(self._since.values()) + _PATIENCE - time.monotonic())
            wait = patience if timeout < 0 else min(patience, timeout)
        for fd, events in self._poll.poll(wait):
            if fd == self.listener.fileno():
                self._accept()
            elif fd in self._clients:
                self._serve(fd, events)
        now = time.monotonic()
        for fd in [fd for fd, since in self._since.items() if now - since >= _PATIENCE]:
            client, connection = self._clients[fd]
            if connection.waiting and not connection.done:
                connection.too_late()
                self._write(client, connection)
            self._drop(fd)

    def close(self) -> None:
        """Close everything."""
        for fd in list(self._clients):
            self._drop(fd)
        self._poll.close()
        self.listener.close()

    def _accept(self) -> None:
        try:
            fd, _ = self.listener._accept()  # type: ignore[attr-defined]
        except OSError:
            return  # it went away again, or we are out of descriptors and the next try comes at once
        if len(self._clients) >= _MOST:
            self._drop(min(self._since, key=self._since.__getitem__))
        client = _socket.socket(fileno=fd)
        client.setblocking(False)
        self._clients[client.fileno()] = client, Connection(self._answer)
        self._since[client.fileno()] = time.monotonic()
        self._poll.register(client.fileno(), select.EPOLLIN)

    def _serve(self, fd: int, events: int) -> None:
        client, connection = self._clients[fd]
        if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR) and not connection.done:
            try:
                data = client.recv(_CHUNK)
            except BlockingIOError:
                data = None
            except OSError:
                data = b""
            if data == b"":
                self._drop(fd)
                return
            if data:
                fresh = not connection.waiting
                connection.feed(data)
                if (
                    fresh or not connection.waiting
                ):  # a request that trickles in gets no more time than one that does not
                    self._since[fd] = time.monotonic()
        if not self._write(client, connection) or (connection.done and not connection.out):
            self._drop(fd)
            return
        # Who does not read its answers is not read either: what is kept for it stays small.
        self._poll.modify(fd, select.EPOLLOUT if connection.out else select.EPOLLIN)

    @staticmethod
    def _write(client: _socket.socket, connection: Connection) -> bool:
        """Send what the socket takes. Whether the client is still there."""
        while connection.out:
            try:
                sent = client.send(connection.out)
            except BlockingIOError:
                return True
            except OSError:
                return False
            del connection.out[:sent]
        return True

    def _drop(self, fd: int) -> None:
        client, _ = self._clients.pop(fd)
        del self._since[fd]
        self._poll.unregister(fd)
        client.close()


class _Renewing:
    """The service of the pod called ``name``, which is read again when somebody asks for an app that it does not know.

    Apps may be added to a pod that runs. Who is not of the pod is turned away before.
    """

    def __init__(self, name: str) -> None:
        from lading.rocket.rkt import identity

        self._name = name
        self._service = identity.recorded(name)

    def answer(self, method: str, target: str, body: bytes = b"") -> Answer:
        """See :meth:`lading.formats.appc.metadata.Service.answer`."""
        made = self._service.answer(method, target, body)
        if made.status == 404 and "/apps/" in target:
            from lading.rocket.rkt import identity

            try:
                self._service = identity.recorded(self._name, added=True)
            except (LadingError, OSError):
                return made  # the pod is being removed
            made = self._service.answer(method, target, body)
        return made


def main() -> int:
    """The program. Its end is a signal's; a pod that has no service is one line and 1."""
    try:
        if len(sys.argv) != 2:
            raise InvalidInput(
                "usage: python -m lading.rocket.metadata POD, with a listening socket as descriptor 3 and a pipe as 4"
            )
        service = _Renewing(sys.argv[1])
        server = Server(_socket.socket(fileno=LISTENING), service.answer)
        # Loads OpenSSL. With the first request to sign it used up our share of a busy processor: the next was answered 100 ms
        # later, when the specification's validator had given up.
        signature(b"", b"", b"")
        gc.freeze()  # what is here stays: a collection need not look at it while somebody waits
        os.write(READY, b"\n")
        os.close(READY)
    except (LadingError, OSError, ValueError) as error:
        print(f"metadata service: {error}", file=sys.stderr)
        return 1
    while True:
        server.turn()


if __name__ == "__main__":
    sys.exit(main())


__all__ = ["LISTENING", "Connection", "Malformed", "Request", "Server", "parse", "spell"]
