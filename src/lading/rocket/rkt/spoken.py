"""How Rocket writes tables, moments and ages, for people and scripts that read them."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_TAB = 8
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_UNITS = (
    (365 * _DAY, "year"),
    (30 * _DAY, "month"),
    (7 * _DAY, "week"),
    (_DAY, "day"),
    (_HOUR, "hour"),
    (_MINUTE, "minute"),
    (1, "second"),
)


def tabulated(rows: Sequence[Sequence[str]]) -> str:
    """Lines of cells, with so many tabs behind each but the last that columns stand in line on a terminal.

    With tabs, as Rocket has it, ``awk -F'\\t+'`` finds cells that hold spaces.
    """
    if not rows:
        return ""
    widths = [
        (max(len(row[column]) for row in rows) // _TAB + 1) * _TAB for column in range(len(rows[0]) - 1)
    ]
    return "".join(_line(row, widths) for row in rows)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    text = ""
    for cell, width in zip(row, widths, strict=False):
        text += cell + "\t" * -((len(cell) - width) // _TAB)
    return text + row[-1] + "\n"


def ago(age: float) -> str:
    """An age in seconds in words: ``41 seconds ago``, ``1 hour ago``; ``now`` below a second and for what is to come."""
    for seconds, unit in _UNITS:
        count = int(age // seconds)
        if count >= 1:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "now"


def moment(when: float) -> str:
    """Seconds since the epoch as ``2016-01-26 14:23:34.631 +0100 CET``, in the local zone, without zeros at the end."""
    whole = int(when // 1)
    local = time.localtime(whole)
    part = f"{int((when - whole) * 1000):03d}".rstrip("0")
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', local)}{'.' if part else ''}{part} {time.strftime('%z %Z', local)}"
