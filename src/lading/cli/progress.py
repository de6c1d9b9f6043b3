"""What pulls, pushes and loads tell the user: live lines on a terminal, plain lines elsewhere."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

_INTERVAL = 0.1  # seconds between two drawings
_BAR = 24
_SHORTEST = 4  # a bar of less says nothing


class _Row:
    __slots__ = ("done", "shown", "state", "total")

    def __init__(self) -> None:
        self.state = ""
        self.shown = ""
        self.done = 0
        self.total = -1


class Display:
    """One line a layer, in the order they come. The cursor always rests below, so that whatever follows stands alone."""

    def __init__(self, out: TextIO) -> None:
        import threading

        self._out = out
        self._live = _is_terminal(out)
        self._lock = threading.Lock()
        self._rows: dict[str, _Row] = {}
        self._drawn = 0
        self._next = 0.0

    def layer(self, digest: str, state: str, done: int, total: int) -> None:
        """Show the state of one layer. Called from several threads; never raises."""
        import time

        with self._lock:
            row = self._rows.get(digest)
            if row is None:
                row = self._rows[digest] = _Row()
            changed = state != row.state
            row.state, row.done, row.total = state, done, total
            if not self._live:
                if changed and state not in ("waiting", row.shown):
                    row.shown = state
                    self._write(f"{_short(digest)}: {_words(row)}\n")
                return
            now = time.monotonic()
            if changed or now >= self._next:
                self._next = now + _INTERVAL
                self._draw()

    def say(self, text: str) -> None:
        """Show a line of its own, above the layers. It may quote a registry or an image: control characters are escaped."""
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
        with self._lock:
            clear = f"\x1b[{self._drawn}A\x1b[J" if self._drawn else ""
            self._write(f"{clear}{text}\n")
            self._drawn = 0
            if self._live and self._rows:
                self._draw()

    def _draw(self) -> None:
        columns, height = _size()
        lines = [_line(digest, row, columns) for digest, row in self._rows.items()]
        room = height - 1
        if len(lines) > room > 0:
            # What is finished scrolls off first: only the rest can still change.
            done = sum(row.state in ("done", "exists", "mounted") for row in self._rows.values())
            lines = [f"{done} of {len(self._rows)} layers done", *lines[-(room - 1) :]]
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        # A line that wraps is two, and the cursor would not find back to the first.
        self._write(up + "".join(f"\r{line[: columns - 1]}\x1b[K\n" for line in lines) + "\x1b[J")
        self._drawn = len(lines)

    def _write(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except (OSError, ValueError):
            self._live = False  # nobody looks any more; the transfer goes on


def _is_terminal(out: TextIO) -> bool:
    import os

    try:
        return out.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
    except ValueError:
        return False


def _size() -> tuple[int, int]:
    """Columns and lines of the terminal; a terminal that nobody told its size says 0 of both."""
    import os

    try:
        found = os.get_terminal_size(2)
    except OSError:
        return 80, 24
    return found.columns or 80, found.lines or 24


def _short(digest: str) -> str:
    return digest.partition(":")[2][:12] or digest[:12]


def _line(digest: str, row: _Row, columns: int) -> str:
    if row.state in ("downloading", "uploading", "retrying") and row.total > 0:
        around = f"{_short(digest)}: {row.state:<12}[] {_amounts(row)}"
        length = min(_BAR, columns - 1 - len(around))
        if length >= _SHORTEST:
            filled = min(length, length * row.done // row.total)
            bar = "=" * max(filled - 1, 0) + (">" if filled else "")
            return around.replace("[]", f"[{bar:<{length}}]")
    return f"{_short(digest)}: {_words(row)}"


def _words(row: _Row) -> str:
    known = {"exists": "already here", "mounted": "already there", "done": "done"}
    if row.state in known:
        return known[row.state]
    return f"{row.state} {_amounts(row)}".rstrip()


def _amounts(row: _Row) -> str:
    from lading.formats import sizes

    if row.total > 0:
        if row.done <= 0:
            return sizes.decimal3(row.total)
        return f"{sizes.decimal3(row.done)}/{sizes.decimal3(row.total)}"
    return sizes.decimal3(row.done) if row.done > 0 else ""
