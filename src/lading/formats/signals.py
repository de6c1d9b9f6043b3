"""Signals by name and number (signal(7)), with Docker's spellings: ``KILL``, ``SIGKILL``, ``9``, ``RTMIN+3``."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal itself imports enum

from lading.errors import InvalidInput

_EXTRA = {"CLD": "CHLD", "POLL": "IO", "IOT": "ABRT"}
_RTMIN, _RTMAX = 34, 64  # as programs see them: glibc and musl keep the first ones to themselves


def names() -> dict[str, int]:
    """Every signal this machine knows, without ``SIG``, aliases included."""
    return {
        name[3:]: int(value)
        for name, value in vars(_signal).items()
        if name.startswith("SIG") and name[3:4] not in ("", "_") and isinstance(value, int) and value > 0
    }


def number(text: str) -> int:
    """The number of a signal given by name or number, case ignored. Raises :class:`InvalidInput`."""
    word = text.upper()
    if word.isascii() and word.isdigit() and len(word) < 4:
        if 0 < int(word) <= _RTMAX:
            return int(word)
        raise _bad(text)
    word = word.removeprefix("SIG")
    for base, least, most, sign in (("RTMIN", _RTMIN, _RTMAX, 1), ("RTMAX", _RTMIN, _RTMAX, -1)):
        if word.startswith(base):
            tail = word[len(base) :]
            start = least if base == "RTMIN" else most
            if not tail:
                return start
            if (
                tail[0] == ("+" if sign > 0 else "-")
                and tail[1:].isascii()
                and tail[1:].isdigit()
                and len(tail) < 4
            ):
                value = start + sign * int(tail[1:])
                if least <= value <= most:
                    return value
            raise _bad(text)
    word = _EXTRA.get(word, word)
    found: object = getattr(_signal, "SIG" + word, None) if word.isalnum() else None
    if not isinstance(found, int) or found <= 0:
        raise _bad(text)
    return int(found)


def name(value: int) -> str:
    """``SIGTERM`` of 15; ``SIGRTMIN+3`` of 37; the number's own digits when it has no name."""
    if _RTMIN <= value <= _RTMAX:
        return "SIGRTMIN" if value == _RTMIN else f"SIGRTMIN+{value - _RTMIN}"
    for word, found in names().items():
        if found == value and word not in _EXTRA:
            return "SIG" + word
    return str(value)


def _bad(text: str) -> InvalidInput:
    return InvalidInput(
        f"signal {text[:40]!r} is unknown", hint="write a name such as SIGTERM or a number from 1 to 64"
    )
