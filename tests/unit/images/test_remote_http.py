"""Answers byte by byte: what a server may send around a body."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator

import pytest

from lading.errors import InvalidInput, LadingError
from lading.images import remote_http
from lading.images.remote_http import HttpPool

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def serve() -> Iterator[Callable[[Iterator[bytes]], str]]:
    """Serves one connection with the given pieces; gives its URL."""
    threads = []
    listener = socket.create_server(("127.0.0.1", 0))

    def start(pieces: Iterator[bytes]) -> str:
        def work() -> None:
            with listener.accept()[0] as peer:
                try:
                    peer.recv(65536)
                    for piece in pieces:
                        peer.sendall(piece)
                    peer.recv(1)
                except OSError:
                    pass

        threads.append(threading.Thread(target=work))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"

    yield start
    for thread in threads:
        thread.join()
    listener.close()


@pytest.fixture
def pool() -> Iterator[HttpPool]:
    made = HttpPool(lambda _: ssl.create_default_context(), environ={})
    yield made
    made.close()


def trailers(count: int) -> Iterator[bytes]:
    yield HEAD + b"4\r\nbody\r\n0\r\n"
    for _ in range(count):
        yield b"x: y\r\n" * 1000
    yield b"\r\n"


def test_a_chunked_body_with_a_few_trailers_comes_whole(serve, pool):
    with pool.request("GET", serve(trailers(1)), {}) as response:
        assert b"".join(response.pieces()) == b"body"


@pytest.mark.parametrize("size", [1, 1000, 300_000])
def test_chunks_of_all_sizes_come_whole(serve, pool, size):
    data = bytes(range(256)) * 4000
    chunks = [data[at : at + size] for at in range(0, 20 * size, size)]
    sent = b"".join(b"%x;name=value\r\n%b\r\n" % (len(c), c) for c in chunks if c)
    with pool.request("GET", serve(iter([HEAD + sent + b"0\r\n\r\n"])), {}) as response:
        assert b"".join(response.pieces(1 << 16)) == b"".join(chunks)


def test_trailers_without_end_are_no_answer(serve, pool):
    """They are no piece of the body, so that nobody who counts its bytes sees them."""
    with pool.request("GET", serve(trailers(20_000)), {}) as response, pytest.raises(LadingError) as caught:
        list(response.pieces())
    assert caught.value.reason == "garbage"


def test_trailers_that_trickle_are_a_stall(serve, pool, monkeypatch):
    monkeypatch.setattr(remote_http, "HEADER_SECONDS", 0.5)
    pool._stall = 1.0
    go_on = threading.Event()

    def trickle() -> Iterator[bytes]:
        yield HEAD + b"4\r\nbody\r\n0\r\n"
        for _ in range(600):  # a minute, and never a second without a byte
            if go_on.wait(0.1):
                return
            yield b"x: y\r\n"

    with pool.request("GET", serve(trickle()), {}) as response, pytest.raises(LadingError) as caught:
        list(response.pieces())
    go_on.set()
    assert caught.value.reason == "stalled"


def test_certificates_for_an_ipv6_address_are_looked_for_as_the_address_is_written() -> None:
    asked = []

    def context(name: str) -> ssl.SSLContext:
        asked.append(name)
        raise InvalidInput("enough")

    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        where = f"[::1]:{server.getsockname()[1]}"
        with pytest.raises(InvalidInput):
            HttpPool(context, environ={}).request("GET", f"https://{where}/", {})
    assert asked == [where]
