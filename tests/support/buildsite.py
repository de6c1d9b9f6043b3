"""A web site on loopback for builds: files from a directory, with validators, redirects and passwords."""

from __future__ import annotations

import email.utils
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


class BuildSite:
    """Serves ``root`` at :attr:`url`. ``asked``: lines like ``GET /path 200``; ``times``: Last-Modified by path."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.redirects: dict[str, str] = {}
        self.times: dict[str, int] = {}
        self.tags = True
        site = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
                site.asked.append(f"GET {self.path} {status}")
                site.headers.append(dict(self.headers))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                path = unquote(self.path.partition("?")[0])
                if path in site.redirects:
                    self._answer(302, Location=site.redirects[path])
                    return
                file = site.root / path.lstrip("/")
                if not file.is_file():
                    self._answer(404)
                    return
                data = file.read_bytes()
                headers = {}
                if site.tags:
                    headers["ETag"] = f'"{hashlib.sha256(data).hexdigest()}"'
                if path in site.times:
                    headers["Last_Modified"] = email.utils.formatdate(site.times[path], usegmt=True)
                if site.tags and self.headers.get("If-None-Match") == headers["ETag"]:
                    self._answer(304, **headers)
                    return
                self._answer(200, data, **headers)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(60)
