"""Durations of a Compose file: Go's, and days and weeks. Source: Compose specification, "Specifying durations"."""

from __future__ import annotations

import re

from lading.formats import duration

_LONG = re.compile(r"([0-9]+)([wd])")
_HOURS = {"d": 24, "w": 168}


def nanoseconds(text: str) -> int:
    """``1w2d3h4m5s`` in nanoseconds. Raises :class:`InvalidInput`."""
    return duration.nanoseconds(_LONG.sub(lambda m: f"{int(m[1]) * _HOURS[m[2]]}h", text))


def normal(text: str) -> str:
    """The duration as Go writes it: ``90s`` as ``1m30s``. Raises :class:`InvalidInput`."""
    return duration.shown(nanoseconds(text) / 1e9)
