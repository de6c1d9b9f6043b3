"""A small registry for tests, in the standard library: the distribution specification's pull and push, three ways of
authentication, and faults on demand.

A :class:`Fault` says which requests it meets (a piece of ``METHOD path``), what happens to them, and how often; what was
asked stands in :attr:`Registry.log`.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import socket
import ssl
import struct
import tarfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass
class Fault:
    """``kind``: status, truncate, reset, stall, slow, garbage, corrupt, length, type, ignore-range, wrong-range, redirect,
    no-answer, lost-answer (it is done, and nobody hears of it), headers (more of them), unsized (it ends with the connection).

    ``after``  body bytes that are sent first.  ``value``  status, length, content type or location, as the kind needs.
    """

    match: str
    kind: str
    times: int = 1
    after: int = 0
    value: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Seen:
    method: str
    path: str
    headers: dict[str, str]


class Registry:
    """Context manager: a registry on ``self.host`` (``127.0.0.1:PORT``) until the end of the block."""

    def __init__(
        self, *, auth: str = "", users: dict[str, str] | None = None, tls: tuple[str, str] | None = None
    ) -> None:
        self.auth = auth  # "", basic, token
        self.users = users or {"alice": "secret"}
        self.identity_token = "refresh-me"
        self.anonymous_pull = False
        self.token_seconds: int | None = 300
        self.blobs: dict[str, bytes] = {}
        self.owners: dict[str, set[str]] = {}  # digest → repositories
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.uploads: dict[str, bytearray] = {}
        self.faults: list[Fault] = []
        self.log: list[Seen] = []
        self.tokens: dict[str, tuple[str, float]] = {}
        self.mounts = True
        self.page = 1000
        self.lock = threading.Lock()
        self.release = threading.Event()
        handler = type("Handler", (_Handler,), {"registry": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.scheme = "https" if tls else "http"
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"{self.scheme}://{self.host}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Registry:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()

    # --- content ----------------------------------------------------------------------------------------------------

    def blob(self, repository: str, data: bytes) -> str:
        digest = digest_of(data)
        self.blobs[digest] = data
        self.owners.setdefault(digest, set()).add(repository)
        return digest

    def manifest(self, repository: str, value: dict[str, Any], *tags: str, type: str = "") -> dict[str, Any]:
        """Store a manifest under its digest and ``tags``; returns its descriptor."""
        data = json.dumps(value).encode()
        media_type = type or value["mediaType"]
        for name in (digest_of(data), *tags):
            self.manifests[repository, name] = media_type, data
        return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}

    def image(
        self,
        repository: str,
        *tags: str,
        layers: list[bytes] | None = None,
        compress: Callable[[bytes], bytes] = lambda d: gzip.compress(d, 1, mtime=0),
        suffix: str = "+gzip",
        architecture: str = "amd64",
        variant: str = "",
        **changes: Any,
    ) -> dict[str, Any]:
        """Store a whole image of the tar archives ``layers``; returns its descriptor with its platform."""
        archives = [tar({"hello": b"world"})] if layers is None else layers
        described = []
        for archive in archives:
            data = compress(archive)
            described.append(
                {"mediaType": LAYER + suffix, "digest": self.blob(repository, data), "size": len(data)}
            )
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(a) for a in archives]},
        }
        if variant:
            config["variant"] = variant
        text = json.dumps(config).encode()
        value = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": self.blob(repository, text), "size": len(text)},
            "layers": described,
            **changes,
        }
        made = self.manifest(repository, value, *tags)
        made["platform"] = {
            "architecture": architecture,
            "os": "linux",
            **({"variant": variant} if variant else {}),
        }
        return made

    def index(self, repository: str, tag: str, *entries: dict[str, Any]) -> dict[str, Any]:
        return self.manifest(
            repository, {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries)}, tag
        )

    # --- what happened ----------------------------------------------------------------------------------------------

    def asked(self, match: str) -> list[Seen]:
        """The requests whose ``METHOD path`` holds ``match``."""
        with self.lock:
            return [s for s in self.log if match in f"{s.method} {s.path}"]

    def fault(self, line: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times and fault.match in line:
                    fault.times -= 1
                    return fault
        return None


def tar(files: dict[str, bytes]) -> bytes:
    """A tar archive of regular files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


class _Handler(BaseHTTPRequestHandler):
    registry: Registry
    protocol_version = "HTTP/1.1"
    wbufsize = 0
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None: ...

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ValueError):
            pass

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def _serve(self) -> None:
        registry = self.registry
        with registry.lock:
            registry.log.append(
                Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()})
            )
        fault = registry.fault(f"{self.command} {self.path}")
        length = int(self.headers.get("Content-Length") or 0)
        if fault and fault.kind == "reset" and length:
            got = self.rfile.read(min(fault.after, length))
            if self.command in ("PATCH", "PUT"):
                self._upload(urlsplit(self.path).path, got)
            self._reset()
            return
        body = self.rfile.read(length) if length else b""
        if fault and fault.kind == "no-answer":
            self.close_connection = True
            return
        if fault and fault.kind == "garbage":
            self.wfile.write(b"\x16\x03\x01 what is this?\r\n\r\n" * 3)
            self.close_connection = True
            return
        if fault and fault.kind in ("status", "redirect"):
            status = 307 if fault.kind == "redirect" else fault.value
            headers = dict(fault.headers)
            if fault.kind == "redirect":
                headers["Location"] = fault.value or self.path
            self._send(status, b"{}", headers)
            return
        parts = urlsplit(self.path)
        query = {k: v[0] for k, v in parse_qs(parts.query).items()}
        if parts.path == "/token":
            self._token(query, parse_qs(parts.query).get("scope", []), body)
            return
        if not self._allowed():
            return
        status, data, headers = self._answer(parts.path, query, body)
        if fault and fault.kind == "ignore-range" and status == 206:
            status, data = 200, registry.blobs[parts.path.rpartition("/")[2]]
            headers.pop("Content-Range")
        if fault and fault.kind == "wrong-range" and status == 206:
            headers["Content-Range"] = fault.value
        if fault and fault.kind == "lost-answer":
            self.close_connection = True
            return
        if fault and fault.kind == "headers":
            headers.update(fault.headers)
        self._send(status, data, headers, fault)

    # --- authentication ---------------------------------------------------------------------------------------------

    def _allowed(self) -> bool:
        registry, given = self.registry, self.headers.get("Authorization", "")
        if not registry.auth:
            return True
        if registry.auth == "basic":
            if given.startswith("Basic ") and self._user(given):
                return True
            self._send(401, b"{}", {"WWW-Authenticate": 'Basic realm="tests, all of them"'})
            return False
        known = registry.tokens.get(given.removeprefix("Bearer "))
        parts = urlsplit(self.path).path.split("/")
        repository = (
            "/".join(parts[2:-2]) if "uploads" not in parts else "/".join(parts[2 : parts.index("blobs")])
        )
        action = "pull" if self.command in ("GET", "HEAD") else "push"
        if known and time.monotonic() < known[1]:
            scopes = known[0].split(" ")
            if not repository or any(
                s.startswith(f"repository:{repository}:") and action in s.rpartition(":")[2].split(",")
                for s in scopes
            ):
                return True
        scope = f',scope="repository:{repository}:{action}"' if repository else ""
        self._send(
            401,
            b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}',
            {"WWW-Authenticate": f'Bearer realm="{registry.url}/token",service="tests"{scope}'},
        )
        return False

    def _user(self, header: str) -> bool:
        try:
            name, _, password = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
        except ValueError:
            return False
        return self.registry.users.get(name) == password

    def _token(self, query: dict[str, str], scopes: list[str], body: bytes) -> None:
        registry = self.registry
        if self.command == "POST":
            form = {k: v[0] for k, v in parse_qs(body.decode()).items()}
            good = (
                form.get("refresh_token") == registry.identity_token
                and form.get("grant_type") == "refresh_token"
            )
            scopes = form.get("scope", "").split(" ")
        else:
            given = self.headers.get("Authorization", "")
            good = self._user(given) if given else registry.anonymous_pull
        if not good:
            self._send(401, b'{"details":"incorrect username or password"}', {})
            return
        token = hashlib.sha256(f"{time.monotonic_ns()}".encode()).hexdigest()
        registry.tokens[token] = " ".join(scopes), time.monotonic() + (registry.token_seconds or 60)
        answer: dict[str, Any] = {"access_token" if self.command == "POST" else "token": token}
        if registry.token_seconds is not None:
            answer["expires_in"] = registry.token_seconds
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    # --- the specification ------------------------------------------------------------------------------------------

    def _answer(self, path: str, query: dict[str, str], body: bytes) -> tuple[int, bytes, dict[str, str]]:
        if path == "/v2/":
            return 200, b"{}", {"Docker-Distribution-Api-Version": "registry/2.0"}
        if path == "/v2/_catalog":
            return self._page(sorted({r for r, _ in self.registry.manifests}), "repositories", path, query)
        name, _, last = path.removeprefix("/v2/").rpartition("/")
        if name.endswith("/tags"):
            repository = name.removesuffix("/tags")
            tags = sorted(t for r, t in self.registry.manifests if r == repository and ":" not in t)
            return self._page(tags, "tags", path, query)
        if name.endswith("/manifests"):
            return self._manifest(name.removesuffix("/manifests"), last, body)
        if "/blobs/uploads" in path:
            return self._uploading(path, query, body)
        return self._blob(name.removesuffix("/blobs"), last)

    def _page(
        self, names: list[str], key: str, path: str, query: dict[str, str]
    ) -> tuple[int, bytes, dict[str, str]]:
        rest = [n for n in names if n > query.get("last", "")]
        page = rest[: self.registry.page]
        more = {"Link": f'<{path}?n=1&last={page[-1]}>; rel="next"'} if len(rest) > len(page) else {}
        return 200, json.dumps({key: page}).encode(), {"Content-Type": "application/json", **more}

    def _manifest(self, repository: str, target: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        if self.command == "PUT":
            digest = digest_of(body)
            media_type = self.headers["Content-Type"]
            value = json.loads(body)
            children = [v["digest"] for v in (*value.get("layers", []), *filter(None, [value.get("config")]))]
            if any(repository not in self.registry.owners.get(c, ()) for c in children):
                return 400, b'{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown"}]}', {}
            for name in (target, digest):
                self.registry.manifests[repository, name] = media_type, body
            return 201, b"", {"Docker-Content-Digest": digest, "Location": self.path}
        found = self.registry.manifests.get((repository, target))
        if found is None:
            return 404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}', {}
        return 200, found[1], {"Content-Type": found[0], "Docker-Content-Digest": digest_of(found[1])}

    def _blob(self, repository: str, digest: str) -> tuple[int, bytes, dict[str, str]]:
        data = self.registry.blobs.get(digest)
        if data is None or repository not in self.registry.owners[digest]:
            return 404, b'{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}', {}
        wanted = self.headers.get("Range")
        headers = {"Content-Type": "application/octet-stream"}
        if not wanted:
            return 200, data, headers
        start = int(wanted.removeprefix("bytes=").partition("-")[0])
        if start >= len(data):
            return 416, b"", headers
        return 206, data[start:], {**headers, "Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}

    def _uploading(self, path: str, query: dict[str, str], body: bytes) -> tuple[int, bytes, dict[str, str]]:
        registry = self.registry
        repository = path.removeprefix("/v2/").partition("/blobs/uploads")[0]
        if self.command == "POST":
            owners = registry.owners.get(query.get("mount", ""), set())
            if registry.mounts and query.get("from") in owners:
                owners.add(repository)
                return 201, b"", {"Location": f"/v2/{repository}/blobs/{query['mount']}"}
            session = hashlib.sha256(f"{time.monotonic_ns()}".encode()).hexdigest()[:16]
            registry.uploads[session] = bytearray()
            # Relative, and with a query that has to be kept.
            return 202, b"", {"Location": f"/v2/{repository}/blobs/uploads/{session}?_state=abc%3D"}
        session = path.rpartition("/")[2]
        if session not in registry.uploads or query.get("_state") != "abc=":
            return 404, b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"upload unknown"}]}', {}
        so_far = registry.uploads[session]
        if self.command == "DELETE":
            del registry.uploads[session]
            return 204, b"", {}
        if self.command == "PATCH" and self.headers.get("Content-Range", "").partition("-")[0] != str(
            len(so_far)
        ):
            return 416, b"", {}
        self._upload(path, body)
        state = {"Location": self.path, "Range": f"0-{max(len(so_far) - 1, 0)}"}
        if self.command != "PUT":
            return (204 if self.command == "GET" else 202), b"", state
        if digest_of(bytes(so_far)) != query["digest"]:
            return 400, b'{"errors":[{"code":"DIGEST_INVALID","message":"digest does not match"}]}', {}
        self.registry.blob(repository, bytes(so_far))
        del registry.uploads[session]
        return 201, b"", {"Docker-Content-Digest": query["digest"], "Location": f"/v2/{repository}/blobs/x"}

    def _upload(self, path: str, body: bytes) -> None:
        self.registry.uploads[path.rpartition("/")[2]] += body

    # --- answers ----------------------------------------------------------------------------------------------------

    def _send(self, status: int, data: bytes, headers: dict[str, str], fault: Fault | None = None) -> None:
        kind = fault.kind if fault else ""
        length = len(data)
        if fault and kind == "length":
            length = fault.value
            self.close_connection = True
        if kind == "unsized":
            self.close_connection = True
        if fault and kind == "type":
            headers = {**headers, "Content-Type": fault.value}
        if fault and kind == "corrupt" and data:
            data = data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 0xFF]) + data[len(data) // 2 + 1 :]
        if fault and kind == "body":
            data = fault.value
            length = len(data)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            if not ((status == 204 or kind == "unsized") and name == "Content-Length"):
                self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD" or status == 204:
            return
        if not fault or kind not in ("truncate", "reset", "stall", "slow"):
            self.wfile.write(data)
            return
        self.wfile.write(data[: fault.after])
        if kind == "slow":
            for byte in data[fault.after :]:
                if self.registry.release.wait(0.02):
                    break
                self.wfile.write(bytes([byte]))
        elif kind == "stall":
            self.registry.release.wait(30)
        elif kind == "reset":
            self._reset()
            return
        self.close_connection = True

    def _reset(self) -> None:
        # A close with linger 0 sends RST instead of FIN; the pause lets the client read what was sent before.
        time.sleep(0.05)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
