"""Durations and moments on the command line: ``1m30s``, ``2026-01-02T15:04:05Z``, ``1700000000``.

Source: Go's ``time.ParseDuration`` (the grammar Docker's flags have) and RFC 3339.
"""

from __future__ import annotations

from lading.errors import InvalidInput

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_LARGEST = 2**63 - 1
_LATEST = 253_402_300_799  # the end of the year 9999, the last that RFC 3339 can write


def nanoseconds(text: str) -> int:
    """``1h2m3.5s`` in nanoseconds: numbers with units, largest first by habit, in any order; ``0`` needs no unit.

    Raises :class:`InvalidInput`.
    """
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    total, index = 0, 0
    while index < len(rest):
        start = index
        while index < len(rest) and ((rest[index].isascii() and rest[index].isdigit()) or rest[index] == "."):
            index += 1
        whole, _, fraction = rest[start:index].partition(".")
        start = index
        while index < len(rest) and not (
            (rest[index].isascii() and rest[index].isdigit()) or rest[index] == "."
        ):
            index += 1
        unit = _UNITS.get(rest[start:index])
        if unit is None or "." in fraction or not (whole or fraction) or len(whole) + len(fraction) > 30:
            raise _bad(text)
        total += int((whole + fraction) or "0") * unit // 10 ** len(fraction)
    if not rest or total > _LARGEST:
        raise _bad(text)
    return -total if text[0] == "-" else total


def _bad(text: str) -> InvalidInput:
    return InvalidInput(
        f"duration {text[:60]!r} is not numbers with units", hint="write 500ms, 30s, 1m30s or 2h"
    )


def seconds(text: str) -> float:
    """A duration that may not be negative, in seconds. Raises :class:`InvalidInput`."""
    value = nanoseconds(text)
    if value < 0:
        raise InvalidInput(f"duration {text[:60]!r} is negative")
    return value / 1e9


def shown(value: float) -> str:
    """Go's text of ``value`` seconds: ``1m30s``, ``500ms``, ``0s``."""
    if value == 0:
        return "0s"
    sign, value = ("-", -value) if value < 0 else ("", value)
    if value < 1:
        milli = value * 1000
        return f"{sign}{milli:g}ms" if milli >= 1 else f"{sign}{milli * 1000:g}µs"
    whole = int(value)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60 + (value - whole)
    text = f"{rest:.9f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else sign + text


def moment(text: str, now: float) -> float:
    """Seconds since the epoch: of a date or time (RFC 3339, local without a zone), a Unix time, or ``now`` minus a duration.

    Raises :class:`InvalidInput`.
    """
    digits = text.replace(".", "", 1)
    if digits.isascii() and digits.isdigit():
        made = float(text)
        if made <= _LATEST:
            return made
    try:
        return now - nanoseconds(text) / 1e9
    except InvalidInput:
        pass
    found = _date(text)
    if found is not None:
        return found
    raise InvalidInput(
        f"time {text[:60]!r} is neither a date, a Unix time nor a duration",
        hint="write 2026-01-02T15:04:05Z, 1767366245 or 10m",
    )


def _date(text: str) -> float | None:
    if len(text) < 10 or text[4] != "-" or text[7] != "-" or not text.isascii():
        return None
    from datetime import datetime

    plain, _, fraction = text.partition(".")
    zone = ""
    if fraction:  # any number of digits, where fromisoformat wants three or six
        end = next((i for i, c in enumerate(fraction) if not c.isdigit()), len(fraction))
        fraction, zone = fraction[:end], fraction[end:]
        if not fraction or zone[:1] not in ("", "Z", "+", "-"):
            return None
    try:
        # The first and the last years have no moment in every zone: OverflowError, ValueError.
        return datetime.fromisoformat(plain + zone).timestamp() + float(f"0.{fraction}")
    except (ValueError, OverflowError):
        return None


def rfc3339(seconds_: float, nanos: int | None = None) -> str:
    """``2026-01-02T15:04:05.123456789Z`` (always UTC) of seconds since the epoch."""
    import time

    whole = int(seconds_ // 1)
    part = int((seconds_ - whole) * 1e9) if nanos is None else nanos
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{part:09d}Z"


def ago(age: float) -> str:
    """How long ``age`` seconds are in words, as Docker says it: ``5 minutes``, ``About an hour``, ``3 weeks``."""
    if age < 1:
        return "Less than a second"
    whole = int(age)
    if whole == 1:
        return "1 second"
    if whole < 60:
        return f"{whole} seconds"
    minutes = whole // 60
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = int(age / 3600 + 0.5)
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    days = int(age // 86400)
    if days < 14:
        return f"{days} days"
    if days < 60:
        return f"{days // 7} weeks"
    if days < 730:
        return f"{days // 30} months"
    return f"{days // 365} years"
