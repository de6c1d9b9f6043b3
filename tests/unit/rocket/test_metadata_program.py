"""The metadata service on a socket: HTTP/1.1 as clients in containers speak it, well or badly."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.formats.appc.metadata import Answer
from lading.rocket import metadata

FUZZ = settings(max_examples=5_000 if os.environ.get("LADING_FUZZ") else 100, deadline=None)


def _echo(method: str, target: str, body: bytes) -> Answer:
    return Answer(200, f"{method} {target} ".encode() + body)


def _told(*pieces: bytes) -> tuple[bytes, bool]:
    connection = metadata.Connection(_echo)
    for piece in pieces:
        connection.feed(piece)
    return bytes(connection.out), connection.done


HOST = b"Host: x\r\n"


@pytest.mark.parametrize(
    ("request_", "status", "last"),
    [
        (b"GET / HTTP/1.1\r\n" + HOST, b"200 OK", False),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Connection: Close\r\n", b"200 OK", True),
        (b"GET / HTTP/1.0\r\n", b"200 OK", True),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n", b"200 OK", False),
        (b"\r\n\r\nGET / HTTP/1.1\r\n" + HOST, b"200 OK", False),
        (b"GET / HTTP/1.1\r\n", b"400 Bad Request", True),
        (b"GET / HTTP/2.0\r\n" + HOST, b"505 ", True),
        (b"GET /\r\n" + HOST, b"400 ", True),
        (b"GET  / HTTP/1.1\r\n" + HOST, b"400 ", True),
        (b"G(T / HTTP/1.1\r\n" + HOST, b"400 ", True),
        (b"GET / HTTP/1.1\r\n" + HOST + b"A : b\r\n", b"400 ", True),
        (b"GET / HTTP/1.1\r\n" + HOST + b" folded\r\n", b"400 ", True),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n", b"400 ", True),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n", b"400 ", True),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1_0\r\n", b"400 ", True),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999999999999\r\n", b"413 ", True),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n", b"411 ", True),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Expect: wonders\r\n", b"417 ", True),
        (b"GET / HTTP/1.1\r\n" + HOST + b"A: " + b"x" * (16 << 10) + b"\r\n", b"431 ", True),
    ],
)
def test_heads(request_: bytes, status: bytes, last: bool) -> None:
    out, done = _told(request_ + b"\r\n")
    assert out.startswith(b"HTTP/1.1 " + status)
    assert done is last and (b"\r\nConnection: close\r\n" in out) is last


def test_a_head_without_end_is_not_kept() -> None:
    out, done = _told(b"GET /", b"x" * (17 << 10))
    assert done and out.startswith(b"HTTP/1.1 431 ")


def test_bodies_pipelines_and_head() -> None:
    post = b"POST /p HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\n\r\nbody"
    head = b"HEAD /h HTTP/1.1\r\n" + HOST + b"\r\n"
    out, done = _told(post + head + post)
    assert not done
    assert out.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert out.count(b"POST /p body") == 2
    assert b"Content-Length: 8\r\n\r\nHTTP/1.1" in out  # of HEAD: a length, and no body


def test_a_client_that_asks_first_is_told_to_go_on() -> None:
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    assert _told(head)[0] == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert _told(head, b"hi")[0].endswith(b"POST / hi")
    assert b"100 Continue" not in _told(head + b"hi")[0]  # it did not wait


@FUZZ
@given(
    st.lists(st.binary(max_size=40), max_size=4),
    st.lists(st.integers(1, 30), max_size=20),
    st.binary(max_size=30),
)
def test_how_bytes_are_cut_into_pieces_makes_no_difference(
    bodies: list[bytes], cuts: list[int], junk: bytes
) -> None:
    stream = b"".join(
        b"POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (i, len(body), body)
        for i, body in enumerate(bodies)
    )
    stream += junk
    pieces, rest = [], stream
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    assert _told(*pieces, rest) == _told(stream)


@FUZZ
@given(st.binary(max_size=300))
def test_any_bytes_get_an_answer_or_wait_for_more(data: bytes) -> None:
    out, done = _told(data + b"\r\n\r\n")
    assert not out or out.startswith(b"HTTP/1.1 ")
    assert done or out.count(b"HTTP/1.1") <= data.count(b"HTTP/1.") + 1


@pytest.fixture
def server() -> Iterator[metadata.Server]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    made = metadata.Server(listener, _echo)
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            made.turn(0.05)

    thread = threading.Thread(target=serve)
    thread.start()
    yield made
    ended.set()
    thread.join(60)
    made.close()


def _connected(server: metadata.Server) -> socket.socket:
    made = socket.create_connection(server.listener.getsockname(), timeout=60)
    made.settimeout(60)
    return made


def test_a_client_that_says_nothing_keeps_nobody_waiting(server: metadata.Server) -> None:
    with _connected(server) as silent, _connected(server) as slow:
        slow.sendall(b"GET /slow HT")
        client = http.client.HTTPConnection(*server.listener.getsockname(), timeout=60)
        for number in range(3):  # on one connection
            client.request("POST", f"/{number}", body=b"x" * 100_000)
            assert client.getresponse().read() == f"POST /{number} ".encode() + b"x" * 100_000
        client.close()
        slow.sendall(b"TP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        assert slow.makefile("rb").read().endswith(b"GET /slow ")
        assert silent.fileno() >= 0


def test_beyond_the_most_connections_the_oldest_makes_room(
    server: metadata.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "_MOST", 4)
    held = [_connected(server) for _ in range(9)]
    client = http.client.HTTPConnection(*server.listener.getsockname(), timeout=60)
    client.request("GET", "/still")
    assert client.getresponse().read() == b"GET /still "
    assert held[0].recv(1) == b""
    client.close()
    for one in held:
        one.close()


def test_a_request_that_does_not_come_whole_is_ended(
    server: metadata.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "_PATIENCE", 0.3)
    with _connected(server) as slow:
        slow.sendall(b"GET /")
        with slow.makefile("rb") as answer:
            assert answer.read().startswith(b"HTTP/1.1 408 ")
    with _connected(server) as trickling:
        trickling.sendall(b"GET /")
        end = time.monotonic() + 60
        try:
            while time.monotonic() < end:
                trickling.sendall(b"x")
                time.sleep(0.05)
        except OSError:
            pass
        assert time.monotonic() < end, "each byte bought more time"


PROGRAM = """
import os, socket, sys
from lading.rocket import metadata
from lading.rocket.rkt import identity

class Service:
    answer = None

class Server:
    def __init__(self, *_):
        pass
    def turn(self):
        print(told.recv(9), "_hashlib" in sys.modules)
        sys.exit()

assert "_hashlib" not in sys.modules
identity.recorded, metadata.Server = (lambda name: Service), Server
listener, (told, tells) = socket.socket(), socket.socketpair()
told = socket.socket(fileno=os.dup2(told.detach(), 20))
os.dup2(os.dup2(tells.fileno(), 21), 4)
os.dup2(os.dup2(listener.fileno(), 22), 3)
sys.argv = ["metadata", "pod"]
metadata.main()
"""


def test_what_signs_is_loaded_before_an_app_can_ask() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert done.stdout == "b'\\n' True\n", done.stderr
