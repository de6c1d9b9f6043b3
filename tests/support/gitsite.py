"""Git servers on loopback: smart HTTP over TLS by git's own backend, and SSH by OpenSSH's server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from support.site import Authority, Server


def git(where: Path, *words: str) -> str:
    """Run git in ``where`` as somebody; what it printed, stripped."""
    done = subprocess.run(
        [
            "git", "-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main",
            "-c", "protocol.file.allow=always", *words,
        ],
        cwd=where,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )  # fmt: skip
    return done.stdout.strip()


def commit(place: Path, files: dict[str, str], message: str = "text") -> str:
    """Write and commit ``files`` in a work tree, made where it is missing; the commit."""
    if not (place / ".git").exists():
        place.mkdir(parents=True)
        git(place, "init", "--quiet")
    for path, text in files.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(text)
    git(place, "add", ".")
    git(place, "commit", "--quiet", "--allow-empty", "-m", message)
    return git(place, "rev-parse", "HEAD")


class GitSite:
    """Serves the repositories below ``root`` at ``https://localhost:PORT``, as hosters do. A context manager.

    ``needs``: the Authorization header without which nothing is told, by the first component of paths. ``asked``: path and that
    header of each request.
    """

    def __init__(self, root: Path, authority: Authority) -> None:
        self.root = root
        self.needs: dict[str, str] = {}
        self.asked: list[tuple[str, str]] = []
        backend = git(root, "--exec-path") + "/git-http-backend"
        site = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def _answer(self) -> None:
                header = self.headers.get("Authorization", "")
                site.asked.append((self.path, header))
                wanted = site.needs.get(self.path.split("/")[1])
                if wanted is not None and header != wanted:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="here"')
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                path, _, query = self.path.partition("?")
                body = self._body()
                environ = {
                    "PATH": os.environ["PATH"],
                    "GIT_PROJECT_ROOT": str(site.root),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "GIT_CONFIG_COUNT": "2",
                    "GIT_CONFIG_KEY_0": "safe.directory",
                    "GIT_CONFIG_VALUE_0": "*",
                    "GIT_CONFIG_KEY_1": "uploadpack.allowAnySHA1InWant",
                    "GIT_CONFIG_VALUE_1": "true",
                    "REQUEST_METHOD": self.command,
                    "PATH_INFO": path,
                    "QUERY_STRING": query,
                    "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                    "CONTENT_LENGTH": str(len(body)),
                    "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                    "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                }
                done = subprocess.run([backend], env=environ, input=body, capture_output=True, timeout=60)
                head, _, rest = done.stdout.partition(b"\r\n\r\n")
                fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
                self.send_response(int(fields.pop("Status", "200").split()[0]))
                for name, value in fields.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(rest)))
                self.end_headers()
                self.wfile.write(rest)

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length", "0")))
                made = b""
                while size := int(self.rfile.readline(), 16):
                    made += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return made

        self._server = Server(0, Handler, authority)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.host = f"localhost:{self._server.server_address[1]}"
        self.url = f"https://{self.host}"

    def __enter__(self) -> GitSite:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class SshSite:
    """Serves the repositories below ``root`` by SSH at ``root@127.0.0.1:PORT``, for one key. A context manager.

    ``key`` is that key's file, and ``home/.ssh/known_hosts`` knows the server. Needs root: the server changes its user.
    """

    def __init__(self, base: Path) -> None:
        base.mkdir(parents=True)
        self.home = base / "home"
        (self.home / ".ssh").mkdir(parents=True)
        self.key, host_key = base / "key", base / "host"
        for path in (self.key, host_key):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)],
                check=True,
                timeout=60,
            )
        (base / "authorized").write_text(self.key.with_suffix(".pub").read_text())
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        host = " ".join(host_key.with_suffix(".pub").read_text().split()[:2])
        (self.home / ".ssh/known_hosts").write_text(f"[127.0.0.1]:{self.port} {host}\n")
        self._config = base / "config"
        self._config.write_text(
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {host_key}\nAuthorizedKeysFile {base}/authorized\n"
            "StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        )
        self._log = base / "log"
        self._running: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> SshSite:
        program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin") or "/usr/sbin/sshd"
        # Its directory for privilege separation is made when a machine starts: here in a mount namespace of its own.
        script = 'mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && exec "$0" -D -f "$1" -E "$2"'
        self._running = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", script, program, str(self._config), str(self._log)]
        )
        until = time.monotonic() + 30
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            assert self._running.poll() is None, self._log.read_text()
            assert time.monotonic() < until
            time.sleep(0.02)

    def __exit__(self, *_: object) -> None:
        assert self._running is not None
        self._running.terminate()
        self._running.wait(60)
