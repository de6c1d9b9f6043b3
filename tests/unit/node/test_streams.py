"""A container's streams in its keeper."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lading.node.clients import Client
from lading.node.logfile import read
from lading.node.logwriter import LogWriter
from lading.node.loop import Loop
from lading.node.model import Stdio
from lading.node.streams import _FULL_PIPE, Streams


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[Streams]:
    loop = Loop()
    yield Streams(loop, LogWriter(f"{tmp_path}/log"), tty=False, stdin=False, once=False, stdio=None)
    loop.close()


def _log(streams: Streams) -> bytes:
    return b"".join(line.text for line in read(streams.log.path))


def test_what_was_written_before_the_end_is_logged(streams: Streams) -> None:
    _, stdout, stderr = streams.open()
    os.write(stdout, b"out")
    os.write(stderr, b"err")
    streams.begin()
    streams.drain()
    assert sorted((line.stream, line.text) for line in read(streams.log.path)) == [
        ("stderr", b"err"),
        ("stdout", b"out"),
    ]


def test_who_goes_on_writing_does_not_hold_the_keeper(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    _, stdout, _ = streams.open()
    with subprocess.Popen(["yes"], stdout=stdout) as flood:
        try:
            streams.begin()
            monkeypatch.setattr(streams.log, "write", lambda _stream, data, _now: written.append(len(data)))
            streams.drain()
        finally:
            flood.kill()
    assert sum(written) <= _FULL_PIPE


def test_a_write_waits_while_nobody_keeps_the_pipe(streams: Streams) -> None:
    _, stdout, _ = streams.open()
    own = os.dup(stdout)
    (inode, _) = streams.pipes()
    assert os.fstat(own).st_ino == inode
    for fd in streams.sources:
        os.close(fd)  # as a SIGKILL of the keeper does
    os.set_blocking(own, False)
    written = 0
    with pytest.raises(BlockingIOError):
        while True:
            written += os.write(own, b"y" * 4096)
    again = os.open(f"/proc/self/fd/{own}", os.O_RDONLY | os.O_NONBLOCK)
    assert len(os.read(again, 1 << 20)) == written > 0
    os.close(again)


def _foreground(tmp_path: Path, stdout: int) -> Streams:
    log = LogWriter(f"{tmp_path}/log")
    return Streams(
        Loop(), log, tty=False, stdin=False, once=False, stdio=Stdio(stdin=-1, stdout=stdout, stderr=-1)
    )


def test_a_reader_of_a_foreground_container_who_leaves_ends_its_stream(tmp_path: Path) -> None:
    reader, caller = os.pipe()
    streams = _foreground(tmp_path, caller)
    _, stdout, stderr = streams.open()
    mine, other = os.dup(stdout), os.dup(stderr)
    streams.begin()
    os.write(mine, b"first\n")
    streams.loop.turn(60)
    assert os.read(reader, 100) == b"first\n"
    os.close(reader)
    os.write(mine, b"second\n")
    streams.loop.turn(60)
    with pytest.raises(BrokenPipeError):
        os.write(mine, b"third\n")
    os.write(other, b"still heard\n")
    streams.drain()
    assert sorted(line.text for line in read(streams.log.path)) == [b"first", b"second", b"still heard"]
    for fd in (mine, other, caller):
        os.close(fd)
    streams.loop.close()


def test_a_file_that_takes_no_more_ends_no_stream(tmp_path: Path) -> None:
    caller = os.open("/dev/full", os.O_WRONLY)
    streams = _foreground(tmp_path, caller)
    _, stdout, _ = streams.open()
    mine = os.dup(stdout)
    streams.begin()
    for text in (b"first\n", b"second\n"):
        os.write(mine, text)
        streams.loop.turn(60)
    streams.drain()
    assert [line.text for line in read(streams.log.path)] == [b"first", b"second"]
    os.close(mine)
    os.close(caller)
    streams.loop.close()


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[tuple[Streams, socket.socket]]:
    """Streams with input, and the other end of the connection of a client."""
    loop = Loop()
    made = Streams(loop, LogWriter(f"{tmp_path}/log"), tty=False, stdin=True, once=False, stdio=None)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    clients: list[Client] = []

    def ready(_events: int) -> None:
        try:
            clients[0].streams.feed(ours.recv(1 << 16))
        except BlockingIOError:
            return

    loop.watch(ours.fileno(), ready)
    clients.append(Client(made, ours, True))
    yield made, theirs
    for fd in (ours, theirs):
        fd.close()
    loop.close()


def test_a_client_is_heard_as_fast_as_the_container_takes_its_input(
    listening: tuple[Streams, socket.socket],
) -> None:
    streams, client = listening
    stdin, _, _ = streams.open()
    theirs = os.dup(stdin)
    streams.begin()
    os.set_blocking(theirs, False)
    said = bytes(range(256)) * 128  # one packet, half of what the pipe holds
    client.setblocking(False)
    sent = 0
    while True:  # a container that reads nothing: the keeper stops reading, too, and the socket fills
        try:
            client.send(said)
            sent += 1
        except BlockingIOError:
            break
        streams.loop.turn(0)
    assert streams.filled
    assert 3 <= sent < 100
    got = b""
    while len(got) < sent * len(said):
        try:
            got += os.read(theirs, 1 << 20)
        except BlockingIOError:
            streams.loop.turn(1.0)
    assert got == said * sent
    assert not streams.filled
    streams.close_stdin()
    assert os.read(theirs, 1) == b""
    os.close(theirs)


def test_the_end_of_input_waits_for_what_the_container_has_not_taken(
    listening: tuple[Streams, socket.socket],
) -> None:
    streams, _ = listening
    stdin, _, _ = streams.open()
    theirs = os.dup(stdin)
    streams.begin()
    streams.feed(b"x" * 100_000)
    assert streams.filled
    streams.close_stdin()
    streams.feed(b"too late")
    got = 0
    while data := os.read(theirs, 10_000):
        got += len(data)
        streams.loop.turn(0)
    assert got == 100_000
    os.close(theirs)


def test_input_that_the_container_closes_is_dropped(listening: tuple[Streams, socket.socket]) -> None:
    streams, client = listening
    stdin, _, _ = streams.open()
    theirs = os.dup(stdin)
    streams.begin()
    streams.feed(b"x" * 100_000)
    os.close(theirs)
    streams.loop.turn(1.0)
    assert not streams.filled
    client.send(b"y")
    streams.loop.turn(1.0)
    assert streams.stdin == -1


def test_what_waits_is_dropped_with_the_container(listening: tuple[Streams, socket.socket]) -> None:
    streams, client = listening
    streams.open()
    streams.begin()
    streams.feed(b"x" * 100_000)
    streams.drain()
    assert not streams.filled
    client.send(b"y")
    streams.loop.turn(1.0)  # heard again, and for nothing
    assert streams.stdin == -1


def test_a_stream_that_is_discarded_leads_nowhere(tmp_path: Path) -> None:
    loop = Loop()
    log = LogWriter(f"{tmp_path}/log")
    streams = Streams(loop, log, tty=False, stdin=False, once=False, stdio=None, discard=["stdout"])
    _, stdout, stderr = streams.open()
    assert stdout == -1 and streams.pipes() == [0, os.fstat(stderr).st_ino]
    streams.discard()
    loop.close()
