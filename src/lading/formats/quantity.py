"""Kubernetes resource quantities (``100m``, ``1.5``, ``64Mi``, ``1e3``), exactly.

Source: ``resource.Quantity`` of the Kubernetes API reference. The grammar is ``<sign><number><suffix>`` with one suffix out of
the binary ones (Ki … Ei), the decimal ones (n u m k M G T P E) or a decimal exponent (``e3``, ``E-2``). Everything is integers
here: a quantity is read into billionths (the finest step Kubernetes keeps), rounded up and capped as the API server does.
"""

from __future__ import annotations

from lading.errors import InvalidInput

NANO = 10**9
LARGEST = 2**63 - 1  # what Kubernetes caps a value at, in units

_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_LONGEST = 64  # characters; no honest quantity is longer
_FARTHEST = 40  # decimal exponent beyond which every value is zero or capped


def nanos(text: str | int | float) -> int:
    """The quantity in billionths of its unit, rounded away from zero and capped at 2⁶³-1 units.

    Numbers, as YAML gives them for ``cpu: 2``, count as their text. Raises :class:`InvalidInput` (reason ``quantity``).
    """
    source = repr(text) if isinstance(text, float) else str(text)
    sign, rest = (-1, source[1:]) if source[:1] == "-" else (1, source[1:] if source[:1] == "+" else source)
    split = 0
    while split < len(rest) and ((rest[split].isascii() and rest[split].isdigit()) or rest[split] == "."):
        split += 1
    number, suffix = rest[:split], rest[split:]
    whole, _, fraction = number.partition(".")
    if len(source) > _LONGEST or isinstance(text, bool) or "." in fraction or not (whole or fraction):
        raise _bad(source)
    digits = int((whole + fraction) or "0")
    exponent = -len(fraction)
    factor = 1
    if suffix in _BINARY:
        factor = _BINARY[suffix]
    elif suffix in _DECIMAL:
        exponent += _DECIMAL[suffix]
    elif suffix[:1] in ("e", "E") and len(suffix) > 1:
        exponent += _exponent(suffix[1:], source)
    else:
        raise _bad(source)
    exponent += 9
    value = digits * factor
    if exponent >= 0:
        value = (
            LARGEST * NANO
            if value and exponent > _FARTHEST + 9
            else value * 10 ** min(exponent, _FARTHEST + 9)
        )
    else:
        value = -(-value // 10 ** min(-exponent, 2 * _LONGEST + _FARTHEST))
    return sign * min(value, LARGEST * NANO)


def _exponent(text: str, source: str) -> int:
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        raise _bad(source)
    value = min(int(digits), 10**6)
    return -value if text[0] == "-" else value


def _bad(source: str) -> InvalidInput:
    return InvalidInput(
        f"quantity {source[:80]!r} is not a number with an optional suffix",
        hint="write 0.5, 500m, 64Mi, 2G or 1e3",
        reason="quantity",
    )


def units(text: str | int | float) -> int:
    """The quantity in whole units (bytes, for memory), rounded up. Raises as :func:`nanos` does."""
    return -(-nanos(text) // NANO)


def millis(text: str | int | float) -> int:
    """The quantity in thousandths (millicores, for cpu), rounded up. Raises as :func:`nanos` does."""
    return -(-nanos(text) // 10**6)


def decimal(value: int) -> str:
    """The canonical decimal text of ``value`` billionths: the largest suffix that leaves an integer."""
    if value == 0:
        return "0"
    for suffix, exponent in reversed(_DECIMAL.items()):
        step = 10 ** (exponent + 9)
        if value % step == 0:
            return f"{value // step}{suffix}"
    raise AssertionError("every integer is a multiple of one billionth")


def binary(value: int) -> str:
    """The canonical binary text of ``value`` whole units (``67108864`` is ``64Mi``)."""
    for suffix, step in reversed(_BINARY.items()):
        if value and value % step == 0:
            return f"{value // step}{suffix}"
    return str(value)
