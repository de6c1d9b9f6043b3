"""The client that every registry is measured with: a light one, for the registries and not their clients are compared.

``python -m benchmarks.registry_client image|small PORT REPOSITORY`` prints the seconds that the work took. Content is new each
time: random bytes, made before the clock starts.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
import threading
import time

IMAGE = 61 << 20
SMALL, COUNT, CLIENTS = 4096, 1000, 16
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Connection:
    """One connection that stays open, and just enough of HTTP for a registry that behaves."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._host = f"127.0.0.1:{port}"
        self._rest = b""
        self._buffer = memoryview(bytearray(1 << 18))

    def ask(
        self, method: str, path: str, good: int, body: bytes = b"", kind: str = ""
    ) -> tuple[dict[str, str], int]:
        """Headers (lower case) and the length of the answer's body, which is read and forgotten."""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {len(body)}\r\n"
        head += f"Content-Type: {kind}\r\nAccept: {kind}\r\n\r\n" if kind else "\r\n"
        self._socket.sendall(head.encode())
        if body:
            self._socket.sendall(body)
        data = self._rest
        while b"\r\n\r\n" not in data:
            more = self._socket.recv(1 << 16)
            if not more:
                raise EOFError(f"{method} {path}: no answer")
            data += more
        top, _, data = data.partition(b"\r\n\r\n")
        lines = top.decode().split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        status = int(lines[0].split()[1])
        if status != good:
            raise ValueError(f"{method} {path}: {status}")
        length = 0 if method == "HEAD" or status == 204 else int(headers.get("content-length", 0))
        self._rest = data[length:]
        left = length - min(len(data), length)
        while left:
            got = self._socket.recv_into(self._buffer, min(left, len(self._buffer)))
            if not got:
                raise EOFError(f"{method} {path}: broke off")
            left -= got
        return headers, length

    def upload(self, repository: str, data: bytes, digest: str) -> None:
        """As clients push: look, begin, send."""
        self.ask("HEAD", f"/v2/{repository}/blobs/{digest}", 404)
        headers, _ = self.ask("POST", f"/v2/{repository}/blobs/uploads/", 202)
        where = headers["location"]
        if "://" in where:
            where = "/" + where.split("/", 3)[3]
        where += ("&" if "?" in where else "?") + f"digest={digest}"
        self.ask("PUT", where, 201, data, "application/octet-stream")


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def image(port: int, repository: str) -> float:
    """Push an image with one layer of 61 MB and pull it again."""
    config, layer = b'{"architecture":"amd64","os":"linux"}', os.urandom(IMAGE)
    described = [
        {"mediaType": f"application/vnd.oci.image.{kind}", "digest": _digest(data), "size": len(data)}
        for kind, data in (("config.v1+json", config), ("layer.v1.tar", layer))
    ]
    manifest = json.dumps(
        {"schemaVersion": 2, "mediaType": MANIFEST, "config": described[0], "layers": described[1:]}
    ).encode()
    digests = [_digest(config), _digest(layer)]
    connection = Connection(port)
    began = time.perf_counter()
    for data, digest in zip((config, layer), digests, strict=True):
        connection.upload(repository, data, digest)
    connection.ask("PUT", f"/v2/{repository}/manifests/latest", 201, manifest, MANIFEST)
    connection.ask("GET", f"/v2/{repository}/manifests/latest", 200, kind=MANIFEST)
    for digest in digests:
        connection.ask("GET", f"/v2/{repository}/blobs/{digest}", 200)
    return time.perf_counter() - began


def small(port: int, repository: str) -> float:
    """Push 1,000 blobs of 4 KiB by 16 clients, each over its own connection, and pull every one of them."""
    work = [(data, _digest(data)) for data in (os.urandom(SMALL) for _ in range(COUNT))]
    waiting = iter(work)
    lock = threading.Lock()
    failures: list[BaseException] = []

    def one() -> None:
        try:
            connection = Connection(port)
            while True:
                with lock:
                    data, digest = next(waiting, (b"", ""))
                if not digest:
                    return
                connection.upload(repository, data, digest)
                connection.ask("GET", f"/v2/{repository}/blobs/{digest}", 200)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=one) for _ in range(CLIENTS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return time.perf_counter() - began


if __name__ == "__main__":
    print({"image": image, "small": small}[sys.argv[1]](int(sys.argv[2]), sys.argv[3]))
