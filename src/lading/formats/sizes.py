"""Sizes in bytes as Docker's users write and read them: ``64m``, ``1.5g``, ``7.33MB``, ``15.2MiB``.

Source: docker/go-units. On input a unit is always a power of 1024 (``k`` = ``kb`` = ``KiB``); on output images and layers are
shown in powers of 1000 and memory in powers of 1024.
"""

from __future__ import annotations

from lading.errors import InvalidInput

_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_LARGEST = 2**63 - 1
_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def decimal_bytes(text: str, *, what: str = "size") -> int:
    """As :func:`parse`, with powers of 1000 (``10m`` is ten million bytes). Raises :class:`InvalidInput`."""
    return parse(text, what=what, step=1000)


def parse(text: str, *, what: str = "size", step: int = 1024) -> int:
    """Bytes: a number, an optional fraction, and an optional unit b, k, m, g, t or p. Raises :class:`InvalidInput`."""
    end = 0
    while end < len(text) and ((text[end].isascii() and text[end].isdigit()) or text[end] == "."):
        end += 1
    number, unit = text[:end], text[end:].removeprefix(" ").lower()
    for tail in ("ib", "b"):
        if unit.endswith(tail) and unit != "ib":
            unit = unit[: -len(tail)]
            break
    whole, dot, fraction = number.partition(".")
    power = _POWERS.get(unit)
    if not whole or power is None or "." in fraction or (dot and not fraction) or len(number) > 40:
        raise InvalidInput(
            f"{what} {text[:60]!r} is not a number of bytes", hint="write 536870912, 512m or 1.5g"
        )
    value: int = int(whole + fraction) * step**power // 10 ** len(fraction)
    if value > _LARGEST:
        raise InvalidInput(f"{what} {text[:60]!r} is larger than the kernel can count")
    return value


def decimal(count: float) -> str:
    """``7.33MB``: four significant digits, powers of 1000, as ``docker images`` shows."""
    return _shown(count, 1000.0, _DECIMAL, 4)


def decimal3(count: float) -> str:
    """``7.33MB`` with three significant digits, as ``docker ps --size`` and ``docker stats`` show."""
    return _shown(count, 1000.0, _DECIMAL, 3)


def binary(count: float) -> str:
    """``15.21MiB``: four significant digits, powers of 1024, as ``docker stats`` shows memory."""
    return _shown(count, 1024.0, _BINARY, 4)


def _shown(count: float, step: float, names: tuple[str, ...], digits: int) -> str:
    value, index = float(count), 0
    while value >= step and index < len(names) - 1:
        value /= step
        index += 1
    return f"{value:.{digits}g}{names[index]}"
