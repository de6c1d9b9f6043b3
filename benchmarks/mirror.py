"""A Debian mirror with just what a benchmark asks for: filled once from the real one, then served to containers without it."""

from __future__ import annotations

import http.server
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path

from benchmarks import material
from benchmarks.harness import Failed, output

UPSTREAM = "http://deb.debian.org"
ADDRESS = "10.199.99.1"
"""On the loopback of the bench's network namespace: every contender's containers reach it by their default route."""
PORT = 8199
SOURCES = f"deb http://{ADDRESS}:{PORT}/debian bookworm main"


class Mirror:
    """Serves the files below ``directory``; with ``upstream`` fetches those that are missing."""

    def __init__(self, directory: Path, address: str, *, upstream: str = "") -> None:
        self.directory = directory

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                """The file, or 404."""
                path = directory / self.path.lstrip("/")
                if not path.is_file() and upstream and not _fetch(upstream + self.path, path):
                    self.send_error(404)
                    return
                if not path.is_file():
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(path.stat().st_size))
                self.end_headers()
                with path.open("rb") as file:
                    shutil.copyfileobj(file, self.wfile, 1 << 20)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: the table is all that is printed."""

        self._server = http.server.ThreadingHTTPServer((address, PORT), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()


def _fetch(url: str, path: Path) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(path.suffix + ".part")
            with part.open("wb") as file:
                shutil.copyfileobj(answer, file)
            part.rename(path)
    except urllib.error.HTTPError:
        return False
    return True


def fill(work: Path, package: str) -> Path:
    """The directory with everything that ``apt-get install`` of ``package`` on a minimal Debian asks for; made the first time."""
    place = work / "mirror"
    done = place / f".{package}"
    if done.exists():
        return place
    root = work / "mirror-root"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    place.mkdir(exist_ok=True)
    output(["tar", "-C", str(root), "-xf", str(material.debian_tar(work))])
    (root / "etc/apt/sources.list").write_text(SOURCES.replace(ADDRESS, "127.0.0.1") + "\n")
    mirror = Mirror(place, "127.0.0.1", upstream=UPSTREAM)
    try:
        script = f"apt-get update && apt-get install -y --no-install-recommends --download-only {package}"
        found = subprocess.run(
            ["chroot", str(root), "sh", "-c", script], check=False, capture_output=True, text=True
        )
        if found.returncode:
            raise Failed(f"filling the mirror: {found.stderr.strip()[-300:]}")
    finally:
        mirror.stop()
        shutil.rmtree(root, ignore_errors=True)
    done.touch()
    return place


def serve(work: Path) -> Mirror:
    """The filled mirror, at :data:`ADDRESS` of this network namespace."""
    subprocess.run(["ip", "addr", "add", f"{ADDRESS}/32", "dev", "lo"], check=False, capture_output=True)
    return Mirror(work / "mirror", ADDRESS)
