"""A registry of ours as a process, and a client of few words for it."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SOURCE = str(Path(__file__).parents[2] / "src")
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


class Answer:
    """``status``, ``headers`` (lower case), ``body``."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = {k.lower(): v for k, v in headers.items()}
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The first error's code."""
        return str(self.json["errors"][0]["code"])


class RegistryServer:
    """``lading registry serve`` below ``directory``; a context manager. ``host`` is ``127.0.0.1:PORT``."""

    def __init__(
        self,
        directory: Path,
        *flags: str,
        env: dict[str, str] | None = None,
        port: int = 0,
        prefix: tuple[str, ...] = (),
    ) -> None:
        self.directory = directory
        self.flags = flags
        self.storage = directory / "storage"
        self.env = env or dict(os.environ, PYTHONPATH=SOURCE, LADING_ROOT=str(directory / "data"))
        self.env = {
            **self.env,
            "LADING_RUN": str(directory / "run"),
            "LADING_CONFIG": str(directory / "config"),
        }
        self.port = port
        self.prefix = prefix
        """The command that runs it."""
        self.tls = "--tls-cert" in flags
        self.log = directory / "access.log"
        self.said: list[str] = []
        self._process: subprocess.Popen[str] | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> RegistryServer:
        command = [*self.prefix, sys.executable, "-m", "lading", "registry", "serve", "-l", self.host]
        if not any(f.startswith("--storage") for f in self.flags):
            command += ["--storage", str(self.storage)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *self.flags], env=self.env, stdout=log, stderr=subprocess.PIPE, text=True
            )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.said.append(line)
            found = re.search(r"listening at 127\.0\.0\.1:(\d+)", line)
            if found:
                self.port = int(found[1])
                break
        else:
            raise RuntimeError("".join(self.said))
        threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()
        return self

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr:
            self.said += process.stderr

    def kill(self) -> None:
        """kill -9, and wait."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(60)

    def wait(self) -> int:
        """Its exit status, when it ends by itself."""
        assert self._process is not None
        return self._process.wait(60)

    def stop(self) -> int:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise

    def __enter__(self) -> RegistryServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def client(self, user: str = "", password: str = "") -> Client:
        return Client(self, user, password)


class Client:
    """One connection."""

    def __init__(self, server: RegistryServer, user: str = "", password: str = "") -> None:
        if server.tls:
            context = ssl._create_unverified_context()
            self.connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                "127.0.0.1", server.port, timeout=60, context=context
            )
        else:
            self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        self.authorization = ""
        if user:
            self.authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """``content_type="x"`` is the header Content-Type."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.authorization and "authorization" not in sent:
            sent["Authorization"] = self.authorization
        if body is None and method in ("POST", "PUT", "PATCH"):
            body = b""
        self.connection.request(method, path, body, sent)
        answer = self.connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())

    def begin(self, repository: str) -> str:
        answer = self.ask("POST", f"/v2/{repository}/blobs/uploads/")
        assert answer.status == 202, answer.body
        return answer.headers["location"]

    def blob(self, repository: str, data: bytes) -> str:
        digest = digest_of(data)
        answer = self.ask("PUT", f"{self.begin(repository)}?digest={digest}", data)
        assert answer.status == 201, answer.body
        return digest

    def image(self, repository: str, tag: str, *layers: bytes, **more: Any) -> str:
        """Push an image; its digest."""
        value = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": self.blob(repository, b"{}"), "size": 2},
            "layers": [
                {"mediaType": LAYER, "digest": self.blob(repository, data), "size": len(data)}
                for data in layers
            ],
            **more,
        }
        data = json.dumps(value).encode()
        answer = self.ask(
            "PUT", f"/v2/{repository}/manifests/{tag or digest_of(data)}", data, content_type=MANIFEST
        )
        assert answer.status == 201, answer.body
        return answer.headers["docker-content-digest"]


def until(check: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.05)
