"""Conditional and range requests about content that never changes.

Source: RFC 9110, sections 13 (conditional requests) and 14 (range requests). The entity tag is the digest.
"""

from __future__ import annotations

from lading.registry.errors import SIZE_INVALID, Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST = 19


class Conditions:
    """What a request's headers demand of the representation ``digest``. ``ranged``: a range is asked for, and is to be given."""

    def __init__(self, headers: Mapping[str, str], digest: str) -> None:
        self._headers = headers
        self._tag = f'"{digest}"'
        self.ranged = False

    def verdict(self, method: str) -> int:
        """304 or 412 where the request ends with that, else 0."""
        match = self._headers.get("If-Match")
        if match is not None and not self._listed(match, weak=False):
            return 412
        none = self._headers.get("If-None-Match")
        if none is not None and self._listed(none, weak=True):
            return 304 if method in ("GET", "HEAD") else 412
        return 0

    def _listed(self, header: str, *, weak: bool) -> bool:
        for entry in header.split(","):
            tag = entry.strip()
            if weak:
                tag = tag.removeprefix("W/")
            if tag in ("*", self._tag):
                return True
        return False

    def span(self, size: int) -> tuple[int, int] | None:
        """``(start, length)`` of what to send of ``size`` bytes; None when the range cannot be satisfied.

        What is not one range of bytes, or was asked for on a condition that does not hold, is the whole (section 14.2).
        """
        header = self._headers.get("Range")
        condition = self._headers.get("If-Range")
        if header is None or (condition is not None and condition.strip() != self._tag):
            return 0, size
        unit, equals, text = header.partition("=")
        if not equals or unit.strip().lower() != "bytes" or "," in text:
            return 0, size
        first, dash, last = text.strip().partition("-")
        first, last = first.strip(), last.strip()
        if not dash or not all(_number(word) for word in (first, last) if word) or not (first or last):
            return 0, size
        if not first:  # the last so many bytes
            length = min(int(last), size)
            if not length:
                return None
            self.ranged = True
            return size - length, length
        start = int(first)
        end = int(last) if last else size - 1
        if start >= size or end < start:
            return None
        self.ranged = True
        return start, min(end, size - 1) - start + 1


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _LONGEST


def unsatisfiable(size: int) -> Refusal:
    """The answer to a range that begins behind the end."""
    return Refusal(
        SIZE_INVALID,
        f"the content has {size} bytes, and the range begins behind them",
        status=416,
        headers={"Content-Range": f"bytes */{size}"},
    )
