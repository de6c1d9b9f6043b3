"""A web site over HTTPS with a certificate of its own authority, for whatever a test wants it to answer."""

from __future__ import annotations

import ctypes
import os
import queue
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NAMES = "DNS:localhost,IP:127.0.0.1"


CLONE_NEWNET = 0x40000000


class Answer:
    """What is answered: a body whole, or in pieces (then without a length unless ``headers`` say it)."""

    def __init__(self, body: bytes | Iterator[bytes] = b"", status: int = 200, **headers: str) -> None:
        self.body = body
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Asked:
    """One request."""

    def __init__(self, path: str, headers: dict[str, str]) -> None:
        self.path = path
        self.headers = headers


class Authority:
    """A certificate authority below ``base``, and a certificate of it for this machine."""

    def __init__(self, base: Path) -> None:
        base.mkdir(parents=True, exist_ok=True)
        self.ca, self.cert, self.key = base / "ca.crt", base / "site.crt", base / "site.key"
        make = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ]
        self._run(
            [*make, "-subj", "/CN=test authority", "-keyout", str(base / "ca.key"), "-out", str(self.ca)]
        )
        self._run([
            *make, "-subj", "/CN=localhost", "-addext", f"subjectAltName={NAMES}", "-CA", str(self.ca), "-CAkey",
            str(base / "ca.key"), "-addext", "basicConstraints=critical,CA:false", "-keyout", str(self.key),
            "-out", str(self.cert),
        ])  # fmt: skip

    def _run(self, command: list[str]) -> None:
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def trust(self, config: Path, *places: str) -> None:
        """Let a configuration directory believe certificates of ``places`` (``host:port``)."""
        for place in places:
            directory = config / "certs.d" / place
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "ca.crt").write_bytes(self.ca.read_bytes())


class Server(ThreadingHTTPServer):
    """A thread for each connection to ``port`` of loopback, with TLS where there is an ``authority``. Closing waits for them."""

    daemon_threads = False
    block_on_close = True

    def __init__(self, port: int, handler: type[BaseHTTPRequestHandler], authority: Authority | None) -> None:
        self._context: ssl.SSLContext | None = None
        if authority is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(authority.cert, authority.key)
        super().__init__(("127.0.0.1", port), handler)

    def handle_error(self, request: object, address: object) -> None:
        """Clients hang up when they do not like what they see, or whom."""

    def finish_request(self, request: object, address: object) -> None:
        """The handshake in the request's own thread: a client that has none must not stop the others."""
        assert isinstance(request, socket.socket)
        request.settimeout(60)
        if self._context is None:
            super().finish_request(request, address)
            return
        with self._context.wrap_socket(request, server_side=True) as wrapped:
            super().finish_request(wrapped, address)


class Site:
    """Serves ``answers``: by path with query, an :class:`Answer` or a function of the request. ``asked``: what was.

    A context manager. ``port`` 0 is any. Without an ``authority`` it is plain HTTP.
    """

    def __init__(self, authority: Authority | None, port: int = 0) -> None:
        self.answers: dict[str, Answer | Callable[[Asked], Answer]] = {}
        self.asked: list[Asked] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                request = Asked(self.path, {k.lower(): v for k, v in self.headers.items()})
                site.asked.append(request)
                found = site.answers.get(self.path, Answer(b"", 404))
                answer = found(request) if callable(found) else found
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if isinstance(answer.body, bytes):
                    if "Content-Length" not in answer.headers:
                        self.send_header("Content-Length", str(len(answer.body)))
                    self.end_headers()
                    self._send(iter([answer.body]))
                    self.close_connection = int(answer.headers.get("Content-Length", "0")) > len(answer.body)
                else:
                    self.send_header("Connection", "close")
                    self.end_headers()
                    self._send(answer.body)
                    self.close_connection = True

            def _send(self, pieces: Iterator[bytes]) -> None:
                try:
                    for piece in pieces:
                        self.wfile.write(piece)
                        self.wfile.flush()
                except OSError:
                    self.close_connection = True  # the client had enough

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = Server(port, Handler, authority)
        self.port = self._server.server_address[1]
        self.scheme = "http" if authority is None else "https"
        self.url = f"{self.scheme}://localhost:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def paths(self) -> list[str]:
        """The paths that were asked for."""
        return [request.path for request in self.asked]

    def __enter__(self) -> Site:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def meta(*tags: tuple[str, str, str]) -> bytes:
    """A page with ``ac-…`` tags of kind, prefix and value."""
    lines = [f'<meta name="ac-{kind}" content="{prefix} {value}">' for kind, prefix, value in tags]
    return "\n".join(["<!DOCTYPE html><html><head>", *lines, "</head></html>"]).encode()


class Island:
    """A network namespace of a thread, with nothing but loopback, where ports below 1024 are free. A context manager.

    ``path`` is for nsenter(1); :meth:`site` makes a site in there.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work)
        self.path = ""

    def _work(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.unshare(CLONE_NEWNET) == 0, ctypes.get_errno()
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=60)
        self._done.put(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net")
        while (job := self._jobs.get()) is not None:
            self._done.put(job())

    def __enter__(self) -> Island:
        self._thread.start()
        self.path = str(self._done.get(timeout=60))
        return self

    def __exit__(self, *_: object) -> None:
        self._jobs.put(None)
        self._thread.join()

    def site(self, authority: Authority | None, port: int) -> Site:
        """A site whose socket is of this namespace."""
        self._jobs.put(lambda: Site(authority, port))
        made = self._done.get(timeout=60)
        assert isinstance(made, Site)
        return made
