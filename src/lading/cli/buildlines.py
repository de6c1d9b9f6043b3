"""What commands write and files say, as lines that a terminal can be given: bounded, and without a byte that moves its cursor."""

from __future__ import annotations

from collections import deque

LONGEST = 4096
"""Characters of a line; of a longer one the rest is told on lines of its own."""
_KEPT = 60
_SEQUENCES = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])"


def printable(text: str) -> str:
    """``text`` without colours and cursor movements; whatever else does not print is escaped, tabs become spaces."""
    if text.isprintable():
        return text
    if "\x1b" in text:
        import re

        text = re.sub(_SEQUENCES, "", text)
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text.expandtabs())


def width(text: str) -> int:
    """Columns that printable text takes."""
    if text.isascii():
        return len(text)
    return sum(_cells(c) for c in text)


def _cells(character: str) -> int:
    import unicodedata

    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fitted(text: str, columns: int) -> str:
    """``text`` cut to at most ``columns``, with dots where something is left out."""
    if width(text) <= columns:
        return text
    if columns <= 3:
        return "." * max(columns, 0)
    room = columns - 3
    taken = 0
    for index, character in enumerate(text):
        taken += _cells(character)
        if taken > room:
            return text[:index] + "..."
    return text


class Lines:
    """The lines of one command's streams, as they come; the last of them are kept. ``count``: how many came."""

    def __init__(self) -> None:
        self.count = 0
        self._begun: dict[str, bytes] = {}
        self.last: deque[str] = deque(maxlen=_KEPT)

    def feed(self, stream: str, data: bytes) -> list[str]:
        """The lines that are complete with ``data``."""
        *whole, begun = (self._begun.pop(stream, b"") + data).split(b"\n")
        while len(begun) > LONGEST:
            whole.append(begun[:LONGEST])
            begun = begun[LONGEST:]
        if begun:
            self._begun[stream] = begun
        return self._told(whole)

    def flush(self) -> list[str]:
        """What was begun and will not be ended."""
        whole = list(self._begun.values())
        self._begun.clear()
        return self._told(whole)

    def showing(self, most: int) -> list[str]:
        """The last ``most`` lines, what is not ended yet among them."""
        if most <= 0:
            return []
        shown = list(self.last)
        for begun in list(self._begun.values()):
            shown.append(_text(begun))
        return shown[-most:]

    def _told(self, whole: list[bytes]) -> list[str]:
        made = []
        for line in whole:
            for start in range(0, max(len(line), 1), LONGEST):
                made.append(_text(line[start : start + LONGEST]))
        self.count += len(made)
        self.last.extend(made)
        return made


def _text(line: bytes) -> str:
    # What a progress bar wrote before it went back to the line's beginning is no more to be seen.
    return printable(line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2])
