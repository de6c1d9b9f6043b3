"""A container's streams in its keeper."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

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
