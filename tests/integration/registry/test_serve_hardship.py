"""Requests that no honest client sends, clients that never end, and a disk without space."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.registry.checking import check
from lading.registry.store import Store
from support.registryserver import MANIFEST, RegistryServer, digest_of, until

pytestmark = pytest.mark.root

EXAMPLES = 3000 if os.environ.get("LADING_FUZZ") else 100
CODES = frozenset(
    "BLOB_UNKNOWN BLOB_UPLOAD_INVALID BLOB_UPLOAD_UNKNOWN DIGEST_INVALID MANIFEST_BLOB_UNKNOWN MANIFEST_INVALID "
    "MANIFEST_UNKNOWN NAME_INVALID NAME_UNKNOWN SIZE_INVALID UNAUTHORIZED DENIED UNSUPPORTED TOOMANYREQUESTS".split()
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry with something in it."""
    with RegistryServer(tmp_path_factory.mktemp("hard"), "--access-log", "json") as made:
        with made.client() as client:
            client.image("a", "latest", b"layer")
        yield made
        with made.client() as client:
            assert client.ask("GET", "/v2/a/manifests/latest").status == 200
        assert not any("500" in line or "Error" in line for line in made.said), made.said


def raw(server: RegistryServer, data: bytes) -> bytes:
    """Everything that is answered to ``data`` before the connection ends."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as sock:
        answer = b""
        with contextlib.suppress(ConnectionError):
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while piece := sock.recv(1 << 16):
                answer += piece
        return answer


DIGEST = digest_of(b"layer")
NAMES = st.sampled_from(
    ["a", "b/c", "A", "..", ".", "a//b", "%2e%2e", "a" * 256, "é", "a%00b", "a/../b", "-a", "a__b"]
)
REFERENCES = st.sampled_from(
    [
        "latest",
        DIGEST,
        "sha256:",
        "sha512:" + "a" * 128,
        "md5:abc",
        "..",
        "%2F",
        "x" * 129,
        "sha256-" + "a" * 64,
        "",
        "%0d%0a",
    ]
)
PATHS = st.one_of(
    st.builds("/v2/{}/manifests/{}".format, NAMES, REFERENCES),
    st.builds("/v2/{}/blobs/{}".format, NAMES, REFERENCES),
    st.builds("/v2/{}/referrers/{}?artifactType={}".format, NAMES, REFERENCES, REFERENCES),
    st.builds("/v2/{}/blobs/uploads/{}".format, NAMES, REFERENCES),
    st.builds("/v2/{}/blobs/uploads/?mount={}&from={}".format, NAMES, REFERENCES, NAMES),
    st.builds("/v2/{}/blobs/uploads/?digest={}".format, NAMES, REFERENCES),
    st.builds("/v2/{}/tags/list?n={}&last={}".format, NAMES, st.integers(-2, 10**20), REFERENCES),
    st.builds("/v2/_catalog?n={}&last={}".format, st.sampled_from(["", "x", "0", "1", "٣"]), REFERENCES),
    st.text(alphabet="/v2abloupsdmnifest%:?&=.", max_size=60).map(lambda text: "/" + text),
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["Range", "Content-Range", "If-None-Match", "If-Match", "If-Range", "Content-Type", "Content-Encoding", "Accept",
         "Authorization", "Expect", "Content-Length", "Transfer-Encoding", "Host"]
    ),
    st.one_of(
        st.sampled_from(["bytes=0-", "0-4", "5-1", "bytes=-5", "*", f'"{DIGEST}"', MANIFEST, "gzip", "chunked", "5", "-1",
                         "Basic !", "Bearer x", "99999999999999999999", "100-continue", "0x5"]),
        st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
    ),
    max_size=4,
)  # fmt: skip


@pytest.mark.fuzz
@settings(max_examples=EXAMPLES, deadline=None)
@given(
    method=st.sampled_from(
        ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"]
    ),
    path=PATHS,
    headers=HEADERS,
    body=st.one_of(
        st.binary(max_size=40), st.sampled_from([b"layer", b"{}", b'{"schemaVersion":2}', b"[" * 300])
    ),
)
def test_whatever_is_asked_is_answered_in_the_specifications_words(
    server: RegistryServer, method: str, path: str, headers: dict[str, str], body: bytes
) -> None:
    lines = [f"{method} {path} HTTP/1.1".encode("utf-8", "replace"), b"Connection: close"]
    if not {"Content-Length", "Transfer-Encoding"} & headers.keys():
        lines.append(f"Content-Length: {len(body)}".encode())
    lines += [f"{name}: {value}".encode("latin-1", "replace") for name, value in headers.items()]
    answer = raw(server, b"\r\n".join(lines) + b"\r\n\r\n" + body)
    if not answer:
        return  # what is no HTTP, or never ends
    head, _, rest = answer.partition(b"\r\n\r\n")
    if b" 100 Continue" in head.split(b"\r\n")[0]:
        head, _, rest = rest.partition(b"\r\n\r\n")
        if not head:
            return
    status = int(head.split()[1])
    assert status < 500, answer
    if status >= 400 and method != "HEAD" and b"application/json" in head:
        assert {e["code"] for e in json.loads(rest)["errors"]} <= CODES


@pytest.mark.fuzz
@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["PATCH", "PUT", "GET", "PUT!"]), st.integers(-2, 60), st.integers(0, 40)),
        max_size=8,
    )
)
def test_an_upload_in_any_order_ends_as_its_bytes_say(
    server: RegistryServer, steps: list[tuple[str, int, int]]
) -> None:
    with server.client() as client:
        where = client.begin("up")
        data = b""
        for method, start, length in steps:
            piece = os.urandom(length)
            place = {} if start < 0 else {"content_range": f"{start}-{start + length - 1}"}
            good = start < 0 or (start == len(data) and length > 0)
            if method == "GET":
                answer = client.ask("GET", where)
                assert answer.headers["range"] == f"0-{max(len(data) - 1, 0)}"
            elif method == "PATCH":
                answer = client.ask("PATCH", where, piece, **place)
                assert (answer.status == 202) == good or length == 0, (
                    answer.status,
                    start,
                    length,
                    len(data),
                )
                if answer.status == 202 and good:
                    data += piece
            elif good:
                right = method == "PUT"
                digest = digest_of(data + piece if right else data + piece + b"!")
                answer = client.ask("PUT", f"{where}?digest={digest}", piece, **place)
                assert answer.status == (201 if right else 400)
                if right:
                    assert client.ask("GET", f"/v2/up/blobs/{digest}").body == data + piece
                assert client.ask("GET", where).status == 404
                return
        assert client.ask("DELETE", where).status == 204


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01 a TLS hello, perhaps\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n" * 1000,
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
        b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
        b"GET /v2/a/tags/list HTTP/1.1\r\nHost: x\r\nHost: y\r\nContent-Length: -1\r\n\r\n",
    ],
)
def test_what_is_no_request_harms_nobody(server: RegistryServer, data: bytes) -> None:
    answer = raw(server, data)
    assert not answer or answer.split()[1] < b"500"
    with server.client() as client:
        assert client.ask("GET", "/v2/").status == 200


def test_a_client_that_has_closed_its_half_is_answered(server: RegistryServer) -> None:
    data = os.urandom(8 << 20)
    with server.client() as client:
        digest = client.blob("half", data)
    get = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"
    blob = f"GET /v2/half/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    small = b"small"
    post = f"POST /v2/half/blobs/uploads/?digest={digest_of(small)} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
    for sent, answers, size in (
        (get, 1, 0),
        (get * 20, 20, 0),
        (get + blob, 2, len(data)),
        (post.encode() + small + get, 2, 0),
    ):
        answer = half_closed(server, sent)
        assert answer.count(b"HTTP/1.1 20") == answers, answer[:1000]
        assert len(answer) > size
    assert half_closed(server, post.encode() + small[:3]) == b""  # what is asked for cannot come any more
    with server.client() as client:
        until(lambda: b"requests_in_flight 1\n" in client.ask("GET", "/metrics").body)  # this one alone


def half_closed(server: RegistryServer, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        found = b""
        while piece := sock.recv(1 << 20):
            found += piece
        return found


def test_many_silent_connections_keep_nobody_out(server: RegistryServer) -> None:
    silent = []
    try:
        for number in range(300):
            sock = socket.create_connection(("127.0.0.1", server.port))
            sock.sendall(b"GET /v2/ HTTP/1.1\r\nX: "[: number % 20])
            silent.append(sock)
        with server.client() as client:
            client.image("b", "latest", b"layer")
    finally:
        for sock in silent:
            sock.close()


def test_a_full_disk_is_said_and_leaves_nothing_half(small_disk: Path) -> None:
    with RegistryServer(small_disk) as server, server.client() as client:
        client.image("a", "latest", b"layer")
        for _ in range(3):
            where = client.begin("a")
            data = os.urandom(16 << 20)
            try:
                answer = client.ask("PUT", f"{where}?digest={digest_of(data)}", data)
            except (BrokenPipeError, ConnectionResetError):
                client = server.client()  # it was answered before all had been sent
            else:
                assert (answer.status, answer.code) == (507, "UNAVAILABLE")
            assert client.ask("GET", where).status == 404
        assert os.listdir(server.storage / "registry/uploads") == []
        client.image("a", "again", os.urandom(1 << 20))
        with (small_disk / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while ballast.write(bytes(4096)):
                pass
        for _ in range(5):
            answer = client.ask("POST", "/v2/a/blobs/uploads/")
            if answer.status == 202:
                data = os.urandom(100_000)
                answer = client.ask("PUT", f"{answer.headers['location']}?digest={digest_of(data)}", data)
            assert (answer.status, answer.code) == (507, "UNAVAILABLE")
        assert client.ask("GET", "/v2/a/manifests/again").status == 200
        (small_disk / "ballast").unlink()
        client.image("a", "after", b"more")
        client.connection.close()
    store = Store(str(server.storage))
    assert check(store, repair=False) == []
    store.close()


def test_a_client_that_goes_away_in_the_middle_leaves_no_process_busy(server: RegistryServer) -> None:
    data = os.urandom(8 << 20)
    with server.client() as client:
        digest = client.blob("big", data)
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(f"GET /v2/big/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            sock.recv(1000)
    deadline = time.monotonic() + 60
    with server.client() as client:
        while True:
            text = client.ask("GET", "/metrics").body.decode()
            if "lading_registry_requests_in_flight 1\n" in text:
                break
            assert time.monotonic() < deadline, text
            time.sleep(0.1)
