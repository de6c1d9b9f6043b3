"""What a pull shows on a terminal."""

from __future__ import annotations

import io
import os

import pytest

from lading.cli.progress import Display

DIGEST = "sha256:" + "ab" * 32


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")


def _drawn(columns: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """The line of a layer that is half there."""
    monkeypatch.setattr(os, "get_terminal_size", lambda _fd: os.terminal_size((columns, 24)))
    out = Terminal()
    Display(out).layer(DIGEST, "downloading", 500_000, 1_000_000)
    text = out.getvalue()
    assert text.startswith("\r") and text.endswith("\x1b[K\n\x1b[J")
    return text[1 : -len("\x1b[K\n\x1b[J")]


def test_a_bar_has_the_room_that_the_terminal_has(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = f"abababababab: downloading [{'=' * 11}>{' ' * 12}] 500kB/1MB"
    assert _drawn(120, monkeypatch) == wide
    assert _drawn(0, monkeypatch) == wide  # nobody said how wide it is
    assert _drawn(47, monkeypatch) == f"abababababab: downloading [{'=' * 3}>{' ' * 4}] 500kB/1MB"


@pytest.mark.parametrize("columns", [46, 40, 30, 20, 5])
def test_no_line_wraps(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    line = _drawn(columns, monkeypatch)
    assert 0 < len(line) < columns
    assert line.startswith("abababababab"[: columns - 1])


@pytest.mark.parametrize("out", [Terminal(), io.StringIO()], ids=["terminal", "file"])
def test_what_an_image_says_of_itself_moves_no_cursor(out: io.StringIO) -> None:
    """An image's platform is whatever its maker wrote, and is quoted where it is not this machine's."""
    Display(out).say("app:1 is for linux/\x1b[2Jevil\n\x9b; this machine is linux/amd64")
    assert out.getvalue() == "app:1 is for linux/\\x1b[2Jevil\\n\\x9b; this machine is linux/amd64\n"
