"""HTTP connections to registries: kept alive, bounded in time, verified.

The standard library's ``http.client`` parses; this module owns everything around it: one pool of connections for each
origin, TLS, proxies, a limit on silence (:attr:`Wire.stall`) and on the time a header may take (a server that sends
one byte a second must not hold a pull for ever), and closing every socket at once when the user gives up.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import threading
import time
from urllib.parse import urlsplit

from lading.errors import InvalidInput, LadingError, RemoteError, TimedOut, Unsupported
from lading.images.remote_proxy import proxy_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

STALL_SECONDS = 30.0
HEADER_SECONDS = 60.0
_AROUND_PIECE = 256 << 10  # bytes: what a buffer reads ahead, and the framing of a chunk
CONNECT_SECONDS = 15.0
_UNKNOWN_ISSUER = (
    "put the registry's CA certificate into certs.d/HOST:PORT/ca.crt, or mark the registry insecure"
)
_CERTIFICATE_HINTS = {
    9: "look whether this machine's clock is right",
    10: "the registry needs a new one, or this machine's clock is wrong",
    62: "use the name that the certificate is for",
    64: "use the name that the certificate is for",
}
"""By OpenSSL's numbers (x509_vfy.h): not yet valid, expired, another host name, another address."""
_IDLE_SECONDS = 20.0  # a connection unused for longer is not trusted to be alive


class BrokenConnection(RemoteError):
    """The connection failed or ended early: trying again may help. ``sent`` is False when the server saw nothing."""

    reason = "connection"

    def __init__(self, message: str, *, hint: str = "", sent: bool = True, tls: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.sent = sent
        self.tls = tls


class Cancelled(LadingError):
    """The user gave up (Ctrl-C), or another part of the same transfer failed."""

    reason = "cancelled"


class Cancel:
    """One switch for a whole transfer: pulled once, it closes every socket and ends every wait."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()

    @property
    def set(self) -> bool:
        """Whether it was pulled."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise :class:`Cancelled` once it was pulled."""
        if self._event.is_set():
            raise Cancelled("the transfer was cancelled")

    def sleep(self, seconds: float) -> None:
        """Wait, or raise :class:`Cancelled` as soon as it is pulled."""
        if self._event.wait(seconds):
            raise Cancelled("the transfer was cancelled")

    def pull(self) -> None:
        """Give up: wake whoever reads or writes a socket."""
        self._event.set()
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def watch(self, sock: socket.socket) -> None:
        """Close ``sock`` too when the switch is pulled."""
        with self._lock:
            self._sockets.add(sock)
        self.check()

    def forget(self, sock: socket.socket) -> None:
        """The socket is no longer ours."""
        with self._lock:
            self._sockets.discard(sock)


class Wire:
    """What ``http.client`` takes for a socket: every read and write bounded by the stall limit and a deadline."""

    def __init__(self, sock: socket.socket, stall: float) -> None:
        self._sock = sock
        self.stall = stall
        self.deadline = 0.0  # monotonic; 0: none
        self.left = -1  # bytes that may still be received; -1: any number

    def limit(self) -> None:
        """Give the next system call the time that is left."""
        seconds = self.stall
        if self.deadline:
            seconds = min(seconds, self.deadline - time.monotonic())
            if seconds <= 0:
                raise TimeoutError("the header took too long")
        self._sock.settimeout(seconds)

    def makefile(self, mode: str, *_: object, **__: object) -> io.BufferedReader:
        """What ``http.client`` reads answers from."""
        return io.BufferedReader(_Reader(self), 65536)

    def sendall(self, data: bytes | memoryview) -> None:
        """Send all of ``data``; a peer that takes nothing for too long is a stall."""
        view = memoryview(data)
        while view:
            self.limit()
            view = view[self._sock.send(view[: 1 << 20]) :]

    def recv_into(self, buffer: memoryview) -> int:
        """Receive what is there."""
        self.limit()
        if self.left < 0:
            return self._sock.recv_into(buffer)
        if not self.left:
            raise http.client.HTTPException("too much that is no body")
        got = self._sock.recv_into(buffer[: self.left])
        self.left -= got
        return got

    def close(self) -> None:
        """Let go of the connection; the owner closes the socket."""


class _Reader(io.RawIOBase):
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        return self._wire.recv_into(buffer)  # type: ignore[arg-type]


class Response:
    """An answer whose body is still on the wire. A context manager: leaving it unread closes the connection."""

    def __init__(
        self, pool: HttpPool, connection: _Connection, answer: http.client.HTTPResponse, url: str
    ) -> None:
        self._pool = pool
        self._connection: _Connection | None = connection
        self._answer = answer
        self.url = url
        self.status = answer.status

    def header(self, name: str) -> str:
        """The value of a header, empty when there is none; several are joined by commas."""
        values = self._answer.headers.get_all(name) or []
        return ", ".join(values)

    @property
    def length(self) -> int:
        """Announced size of the body in bytes, -1 when unknown."""
        return -1 if self._answer.length is None else self._answer.length

    def pieces(self, size: int = 1 << 18) -> Iterator[bytes]:
        """The body as it arrives, at most ``size`` bytes a piece. Raises :class:`BrokenConnection` when it ends early."""
        expected = self.length
        got = 0
        wire = self._connection.wire if self._connection is not None else None
        whole = wire.deadline if wire is not None else 0.0
        try:
            while True:
                if wire is not None:
                    # What is no body (sizes and extensions of chunks, trailers) comes out as no piece, so it could go on
                    # for ever, fast or slowly, without a stall between two bytes.
                    wire.left = size + _AROUND_PIECE
                    wire.deadline = whole or time.monotonic() + max(HEADER_SECONDS, wire.stall) + wire.stall
                piece = self._answer.read1(size)
                if not piece:
                    break
                got += len(piece)
                yield piece
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise self._pool.broken(error, self.url) from None
        if expected >= 0 and got < expected:
            self.close()
            raise BrokenConnection(f"{self.url}: the connection ended after {got} of {expected} bytes")
        self._finish()

    def read(self, limit: int) -> bytes:
        """The whole body when it is at most ``limit`` bytes. Raises :class:`RemoteError` (reason ``too-large``) else."""
        if self.length > limit:
            size = self.length
            self.close()
            raise RemoteError(f"{self.url}: announces {size} bytes, more than {limit}", reason="too-large")
        parts: list[bytes] = []
        total = 0
        # A body that trickles is bounded like a header: it is small, so it has no excuse to be slow.
        if self._connection is not None:
            self._connection.wire.deadline = time.monotonic() + HEADER_SECONDS
        for piece in self.pieces(1 << 16):
            parts.append(piece)
            total += len(piece)
            if total > limit:
                self.close()
                raise RemoteError(f"{self.url}: sends more than {limit} bytes", reason="too-large")
        return b"".join(parts)

    def drain(self) -> None:
        """Read a body nobody needs, so that the connection can serve again; a long one is cut off."""
        try:
            self.read(1 << 16)
        except LadingError:
            self.close()

    def _finish(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            reusable = not self._answer.will_close
            self._answer.close()
            self._pool.give_back(connection, reusable)

    def close(self) -> None:
        """Done with it; the connection is kept only if the body was read to its end."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._answer.close()
            self._pool.give_back(connection, False)

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None and self._answer.isclosed():
            self._finish()
        self.close()


class _Connection:
    def __init__(self, key: tuple[str, str, int], wire: Wire, sock: socket.socket, absolute: str) -> None:
        self.key = key
        self.wire = wire
        self.sock = sock
        self.absolute = absolute  # scheme://host of a plain request through a proxy
        self.proxy_headers: dict[str, str] = {}
        self.since = time.monotonic()
        self.used = False


class HttpPool:
    """Requests over kept-alive connections; safe for many threads.

    ``context``  gives the TLS context for a ``host:port``.
    """

    def __init__(
        self,
        context: Callable[[str], ssl.SSLContext],
        *,
        cancel: Cancel | None = None,
        stall: float = STALL_SECONDS,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._context = context
        self.cancel = cancel or Cancel()
        self._stall = stall
        self._environ = environ
        self._idle: dict[tuple[str, str, int], list[_Connection]] = {}
        self._lock = threading.Lock()

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None = None,
        *,
        length: int = -1,
    ) -> Response:
        """Send one request and return its answer, whatever the status; nothing is followed or repeated here.

        ``body`` in pieces needs its ``length`` in bytes; it is sent once. Raises :class:`BrokenConnection`,
        :class:`TimedOut`, :class:`InvalidInput` (not a URL we speak).
        """
        key, target = split_url(url)
        while True:
            self.cancel.check()
            connection = self._take(key)
            fresh = connection is None
            if connection is None:
                connection = self._connect(key)
            try:
                return self._exchange(connection, method, url, target, headers, body, length)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.give_back(connection, False)
                self.cancel.check()
                # A kept connection may have been closed by the server while it was idle: that is no failure.
                stale = isinstance(error, ConnectionError)
                if not fresh and stale and (body is None or isinstance(body, bytes)):
                    continue
                raise self.broken(error, url) from None
            except BaseException:
                self.give_back(connection, False)
                raise

    def _exchange(
        self,
        connection: _Connection,
        method: str,
        url: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None,
        length: int,
    ) -> Response:
        wire = connection.wire
        wire.deadline = 0.0
        wire.left = -1
        scheme, host, port = connection.key
        lines = [f"{method} {connection.absolute}{target} HTTP/1.1", f"Host: {authority(scheme, host, port)}"]
        sent = {"Accept-Encoding": "identity", **headers, **connection.proxy_headers}
        if isinstance(body, bytes):
            sent["Content-Length"] = str(len(body))
        elif body is not None:
            sent["Content-Length"] = str(length)
        elif method in ("POST", "PUT", "PATCH"):
            sent["Content-Length"] = "0"
        for name, value in sent.items():
            if not _clean(name) or not _clean(value):
                raise InvalidInput(f"{url}: the header {name!r} would hold a control character")
            lines.append(f"{name}: {value}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        if isinstance(body, bytes) and len(body) < 65536:
            wire.sendall(head + body)
        else:
            wire.sendall(head)
            try:
                for piece in (body,) if isinstance(body, bytes) else body or ():
                    wire.sendall(piece)
            except ConnectionError:
                # A server may refuse in the middle of a body: its answer says more than the broken pipe.
                pass
        wire.deadline = time.monotonic() + HEADER_SECONDS
        answer = http.client.HTTPResponse(wire, method=method)  # type: ignore[arg-type]
        answer.begin()
        wire.deadline = 0.0
        connection.used = True
        return Response(self, connection, answer, url)

    def _take(self, key: tuple[str, str, int]) -> _Connection | None:
        with self._lock:
            idle = self._idle.get(key)
            while idle:
                connection = idle.pop()
                if time.monotonic() - connection.since < _IDLE_SECONDS:
                    return connection
                self._drop(connection)
        return None

    def give_back(self, connection: _Connection, reusable: bool) -> None:
        """The exchange on ``connection`` is over; keep it when it is ``reusable``."""
        if not reusable or self.cancel.set:
            self._drop(connection)
            return
        connection.since = time.monotonic()
        with self._lock:
            self._idle.setdefault(connection.key, []).append(connection)

    def _drop(self, connection: _Connection) -> None:
        self.cancel.forget(connection.sock)
        connection.sock.close()

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            idle = [c for connections in self._idle.values() for c in connections]
            self._idle.clear()
        for connection in idle:
            self._drop(connection)

    def _connect(self, key: tuple[str, str, int]) -> _Connection:
        scheme, host, port = key
        proxy = proxy_for(scheme, host, port, self._environ)
        url = f"{scheme}://{authority(scheme, host, port)}/"
        peer = (proxy.host, proxy.port) if proxy else (host, port)
        try:
            sock = socket.create_connection(peer, timeout=min(CONNECT_SECONDS, self._stall))
        except (OSError, UnicodeError) as error:
            through = f" through the proxy {proxy.host}:{proxy.port}" if proxy else ""
            if isinstance(error, TimeoutError):
                raise TimedOut(f"{url}{through}: no answer to the connection", reason="connect") from None
            raise BrokenConnection(f"{url}{through}: {_words(error)}", sent=False) from None
        try:
            self.cancel.watch(sock)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            absolute, headers = "", {}
            if proxy and scheme == "https":
                self._tunnel(sock, host, port, proxy.headers, url)
            elif proxy:
                absolute, headers = f"http://{authority(scheme, host, port)}", proxy.headers
            if scheme == "https":
                sock.settimeout(min(CONNECT_SECONDS, self._stall))
                context = self._context(authority("", host, port))
                plain, sock = sock, context.wrap_socket(sock, server_hostname=host)
                self.cancel.forget(plain)
                self.cancel.watch(sock)
        except BaseException as error:
            self.cancel.forget(sock)
            sock.close()
            if isinstance(error, (OSError, ValueError)):
                raise self._tls_error(error, url) from None
            raise
        connection = _Connection(key, Wire(sock, self._stall), sock, absolute)
        connection.proxy_headers = headers
        return connection

    def _tunnel(
        self, sock: socket.socket, host: str, port: int, headers: Mapping[str, str], url: str
    ) -> None:
        """Ask the proxy to connect us through (RFC 9110, 9.3.6)."""
        where = authority("", host, port)
        lines = [f"CONNECT {where} HTTP/1.1", f"Host: {where}", *(f"{k}: {v}" for k, v in headers.items())]
        wire = Wire(sock, self._stall)
        wire.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        wire.deadline = time.monotonic() + HEADER_SECONDS
        head = b""
        # Byte by byte: what follows the header belongs to TLS.
        while not head.endswith(b"\r\n\r\n"):
            byte = bytearray(1)
            if len(head) > 16384 or not wire.recv_into(memoryview(byte)):
                raise BrokenConnection(f"{url}: the proxy answered garbage", sent=False)
            head += byte
        status = head.split(b" ", 2)[1:2]
        if status != [b"200"]:
            line = head.split(b"\r\n", 1)[0].decode("latin-1", "replace")[:100]
            raise RemoteError(f"{url}: the proxy refused: {line!r}", reason="proxy")

    def _tls_error(self, error: Exception, url: str) -> LadingError:
        if isinstance(error, ssl.SSLCertVerificationError):
            why = error.verify_message.rstrip(".")
            return RemoteError(
                f"{url}: the certificate is not trusted: {why}",
                hint=_CERTIFICATE_HINTS.get(error.verify_code, _UNKNOWN_ISSUER),
                reason="certificate",
            )
        if isinstance(error, ssl.SSLError):
            why = (error.reason or "handshake failed").replace("_", " ").lower()
            return BrokenConnection(f"{url}: no TLS: {why}", sent=False, tls=True)
        if isinstance(error, ConnectionError):
            return BrokenConnection(f"{url}: no TLS: {_words(error)}", sent=False, tls=True)
        return self.broken(error, url)

    def broken(self, error: Exception, url: str) -> LadingError:
        """What ``error``, met while talking to ``url``, means to the user."""
        if self.cancel.set:
            return Cancelled("the transfer was cancelled")
        if isinstance(error, LadingError):
            return error
        if isinstance(error, TimeoutError):
            return TimedOut(f"{url}: the server has stopped answering", reason="stalled")
        if isinstance(error, http.client.IncompleteRead):
            return BrokenConnection(f"{url}: the connection ended in the middle of the answer")
        if isinstance(error, (http.client.HTTPException, ValueError)):
            if isinstance(error, http.client.RemoteDisconnected):
                return BrokenConnection(f"{url}: the server closed the connection without an answer")
            return RemoteError(f"{url}: the answer is not HTTP", reason="garbage")
        return BrokenConnection(f"{url}: {_words(error)}")


def split_url(url: str) -> tuple[tuple[str, str, int], str]:
    """``((scheme, host, port), target)``; the target is path and query. Raises :class:`InvalidInput`, :class:`Unsupported`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidInput(f"{url[:200]!r} is not a URL: {error}") from None
    if parts.scheme not in ("http", "https"):
        raise Unsupported(f"{url[:200]!r}: only http and https are spoken here")
    if not parts.hostname or port == 0 or not _clean(url) or " " in url:
        raise InvalidInput(f"{url[:200]!r} is not a URL we can ask")
    if parts.username is not None:
        raise InvalidInput(f"the URL of host {parts.hostname!r} holds credentials", hint="use `lading login`")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not target.isascii():
        raise InvalidInput(f"{url[:200]!r} is not a URL we can ask")
    return (parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80)), target


def authority(scheme: str, host: str, port: int) -> str:
    """``host[:port]`` as the Host header wants it: the scheme's own port left out, IPv6 in brackets."""
    shown = f"[{host}]" if ":" in host else host
    return shown if port == {"https": 443, "http": 80}.get(scheme) else f"{shown}:{port}"


def _clean(text: str) -> bool:
    return not any(ord(c) < 32 or ord(c) == 127 for c in text)


def _words(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return f"the name is not known ({error.strerror})"
    if isinstance(error, UnicodeError):
        return "not a host name"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
