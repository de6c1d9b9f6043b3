"""Lines of several containers on one stream."""

from __future__ import annotations

import os
import pty
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.node.labels import LONGEST, Chorus, Label, on_terminal
from lading.node.logwriter import LogWriter
from lading.node.loop import Loop
from lading.node.model import Stdio
from lading.node.streams import Streams


def test_a_line_is_passed_on_when_it_is_whole() -> None:
    label = Label("one")
    assert label.lines(b"be") == b""
    assert label.lines(b"gun\nand") == b"[one] begun\n"
    assert label.end() == b"[one] and\n"
    assert label.end() == b""


def test_bytes_of_any_kind_stay_as_they_are() -> None:
    data = bytes(range(10)) + bytes(range(11, 256))
    assert Label("one").lines(data + b"\r\n\n") == b"[one] " + data + b"\r\n[one] \n"


@given(st.lists(st.binary(max_size=200)))
def test_nothing_is_lost_or_added_but_the_name(pieces: list[bytes]) -> None:
    label = Label("x")
    out = b"".join(label.lines(piece) for piece in pieces) + label.end()
    lines = out.split(b"\n")
    assert lines.pop() == b""
    assert all(line.startswith(b"[x] ") for line in lines)
    whole = b"".join(pieces)
    assert b"\n".join(line[4:] for line in lines) == whole.removesuffix(b"\n")
    assert bool(lines) == bool(whole)


@pytest.mark.parametrize("end", [b"\n", b""])
def test_an_endless_line_is_broken(end: bytes) -> None:
    label = Label("x")
    lines = (label.lines(b"y" * (2 * LONGEST) + b"z" + end) + label.end()).split(b"\n")
    assert [len(line) for line in lines] == [LONGEST + 4, LONGEST + 4, 5, 0]


def test_names_have_a_colour_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = Label("one", 0, terminal=True).lines(b"hi\n")
    assert shown == b"\x1b[0;36m[one]\x1b[0m hi\n"
    assert Label("two", 1, terminal=True).lines(b"hi\n") != shown.replace(b"one", b"two")
    monkeypatch.setenv("NO_COLOR", "1")
    assert Label("one", 0, terminal=True).lines(b"hi\n") == b"\x1b[0m[one]\x1b[0m hi\n"


def test_a_line_that_begins_anew_has_its_name_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    front = b"\x1b[0m[p]\x1b[0m "
    label = Label("p", terminal=True)
    assert label.lines(b"1%\r99%\r\r\n") == front + b"1%\r" + front + b"99%\r\r\n"


def test_only_what_can_show_colours_is_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    main, other = pty.openpty()
    read, write = os.pipe()
    monkeypatch.setenv("TERM", "xterm")
    assert on_terminal(other)
    assert not on_terminal(write) and not on_terminal(-1)
    monkeypatch.setenv("TERM", "dumb")
    assert not on_terminal(other)
    for fd in (main, other, read, write):
        os.close(fd)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Streams, Streams, int, int]]:
    """Two containers that speak to one pipe, which holds little, and its reader."""
    loop = Loop()
    read, write = os.pipe()
    chorus = Chorus(loop, Stdio(stdin=-1, stdout=write, stderr=write))

    def streams(name: str, number: int) -> Streams:
        log = LogWriter(f"{tmp_path}/{name}")
        return Streams(
            loop, log, tty=False, stdin=False, once=False, stdio=chorus.outlet.stdio,
            voice=lambda changed: chorus.voice(name, number, changed),
        )  # fmt: skip

    yield streams("a", 0), streams("b", 1), read, write
    loop.close()
    for fd in (read, write):
        os.close(fd)


def test_two_containers_never_write_into_one_line(pair: tuple[Streams, Streams, int, int]) -> None:
    one, two, read, write = pair
    lines = 300
    got: list[bytes] = []

    def reads() -> None:
        # In pieces that are no lines, so that the pipe fills up within some.
        while data := os.read(read, 5000):
            got.append(data)

    reader = threading.Thread(target=reads)
    reader.start()
    writers = []
    for streams, letter in ((one, "y"), (two, "z")):
        _, out, _ = streams.open()
        speaks = f"yes {letter * 9000} | head -n {lines}"
        writers.append(subprocess.Popen(["sh", "-c", speaks], stdout=out))
        streams.begin()
    while one.sources or two.sources:
        one.loop.turn(60)
    for writer in writers:
        writer.wait()
    assert one.outlet is not None
    one.outlet.finish()
    os.dup2(read, write)  # so that there is nobody left who writes
    reader.join()
    assert sorted(b"".join(got).splitlines()) == sorted(
        [b"[a] " + b"y" * 9000, b"[b] " + b"z" * 9000] * lines
    )


def test_who_is_not_read_holds_all_of_the_pod(pair: tuple[Streams, Streams, int, int]) -> None:
    one, two, read, _ = pair
    _, out, _ = one.open()
    mine = os.dup(out)
    one.begin()
    os.set_blocking(mine, False)
    assert one.outlet is not None
    while not one.outlet.waiting:
        try:
            os.write(mine, b"y" * 4095 + b"\n")
        except BlockingIOError:
            pass
        one.loop.turn(0)
    two.open()
    two.begin()
    assert two.outlet is not None and two.outlet.waiting
    assert [two._interest(fd) for fd in two.sources] == [0, 0]
    while one.outlet.waiting:
        os.read(read, 1 << 16)
        one.loop.turn(0)
    assert all(two._interest(fd) for fd in two.sources)
    os.close(mine)
    for streams in (one, two):
        streams.discard()


def test_another_mark_may_stand_in_front():
    assert Label("a", mark="a-1  | ").lines(b"x\ny\n") == b"a-1  | x\na-1  | y\n"
    assert Label("a", mark="a-1  | ", terminal=True).lines(b"x\n").endswith(b"ma-1  |\x1b[0m x\n")
