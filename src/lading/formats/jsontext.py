"""JSON text without the price of ``json``.

``import json`` compiles regular expressions: 6 ms of a process that lives 40. The interpreter's own C scanner and
encoder (``_json``) need none. Where an interpreter does not have them, the standard module takes over; behaviour is
the same: UTF-8 in, UTF-8 out, duplicate keys and trailing text refused.
"""

from __future__ import annotations

from lading.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_fast: Any
try:
    import _json

    _fast = _json
except ImportError:  # an interpreter without the accelerators
    _fast = None

_SPACE = " \t\n\r"
_DEEPEST = 128
"""Levels of nesting. No format comes near; beyond some hundreds every recursive reader would end in a traceback."""


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise InvalidInput(f"the key {key[:80]!r} stands twice in one JSON object")
            seen.add(key)
    return made


def _float(text: str) -> float:
    value = float(text)
    if value - value != 0.0:
        raise InvalidInput(f"the number {text[:40]} is out of range")
    return value


def _constant(name: str) -> object:
    raise InvalidInput(f"{name} is not JSON")


class _Context:
    strict = True
    object_hook = None
    object_pairs_hook = staticmethod(_pairs)
    parse_float = staticmethod(_float)
    parse_int = int
    parse_constant = staticmethod(_constant)
    memo: dict[str, str] = {}


def loads(text: str | bytes, *, what: str = "document") -> Any:
    """Parse one JSON value. ``what`` names it in errors (a file name, a URL).

    Raises :class:`InvalidInput` for anything that is not exactly one JSON value, for numbers that a float cannot hold,
    for halves of surrogate pairs (they have no UTF-8 form), and for more than 128 levels of nesting.
    """
    if isinstance(text, (bytes, bytearray, memoryview)):
        try:
            text = bytes(text).decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{what}: not UTF-8 at byte {error.start}") from None
    value = _scan(text, what) if _fast is not None else _slow_loads(text, what)
    if not text.isascii() or "\\ud" in text or "\\uD" in text:
        from lading.formats.jsonvalues import encodable

        if not encodable(value):
            raise InvalidInput(f"{what}: half of a surrogate pair is not text")
    if text.count("[") + text.count("{") > _DEEPEST:
        from lading.formats.jsonvalues import too_deep

        if too_deep(value, _DEEPEST):
            raise InvalidInput(f"{what}: nested too deeply")
    return value


def _scan(text: str, what: str) -> Any:
    start, end = 0, len(text)
    while start < end and text[start] in _SPACE:
        start += 1
    try:
        value, stop = _fast.make_scanner(_Context)(text, start)
    except StopIteration as error:
        raise InvalidInput(f"{what}: no JSON value at {_place(text, error.value)}") from None
    except RecursionError:
        raise InvalidInput(f"{what}: nested too deeply") from None
    except InvalidInput as error:
        raise InvalidInput(f"{what}: {error.message}") from None
    except (ValueError, SystemError):
        # The C scanner reports a syntax error by importing json.JSONDecodeError, and on some versions fails to: ask
        # the standard module for the message. Only broken input pays for it.
        return _slow_loads(text, what)
    while stop < end and text[stop] in _SPACE:
        stop += 1
    if stop != end:
        raise InvalidInput(f"{what}: text after the JSON value at {_place(text, stop)}")
    return value


def _slow_loads(text: str, what: str) -> Any:
    import json

    try:
        return json.loads(text, object_pairs_hook=_pairs, parse_float=_float, parse_constant=_constant)
    except RecursionError:
        raise InvalidInput(f"{what}: nested too deeply") from None
    except InvalidInput as error:
        raise InvalidInput(f"{what}: {error.message}") from None
    except ValueError as error:
        raise InvalidInput(f"{what}: not JSON: {error}") from None


def _place(text: str, index: int) -> str:
    return f"line {text.count(chr(10), 0, index) + 1}, column {index - text.rfind(chr(10), 0, index)}"


def dumps(value: object, *, indent: int = 0, sort: bool = False) -> str:
    """JSON text of plain values; compact by default, ``indent`` spaces a level otherwise.

    Raises :class:`TypeError` for a value that JSON has no form for; that is a programming error.
    """
    if not indent and _fast is not None:
        encode = _fast.make_encoder(
            None, _no_form, _fast.encode_basestring, None, ":", ",", sort, False, False
        )
        try:
            return "".join(encode(value, 0))
        except ValueError:
            pass  # a number without a JSON form: the careful way names it
    from lading.formats.jsonwriter import written

    return written(value, indent, sort)


def _no_form(value: object) -> object:
    raise TypeError(f"{type(value).__name__} has no JSON form")
