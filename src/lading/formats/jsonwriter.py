"""JSON text that people read, and what the interpreter's encoder cannot write: see :func:`lading.formats.jsontext.dumps`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def written(value: object, indent: int, sort: bool) -> str:
    """``value`` with ``indent`` spaces a level, on one line for 0. Raises :class:`TypeError` naming what has no form."""
    parts: list[str] = []
    _write(value, parts.append, "\n" if indent else "", " " * indent, sort)
    return "".join(parts)


def _string(text: str) -> str:
    try:
        from _json import encode_basestring
    except ImportError:  # an interpreter without the accelerators
        import json

        return json.dumps(text, ensure_ascii=False)
    return str(encode_basestring(text))


def _write(value: Any, out: Any, newline: str, step: str, sort: bool) -> None:
    kind = type(value)
    if kind is str:
        out(_string(value))
    elif value is None:
        out("null")
    elif value is True:
        out("true")
    elif value is False:
        out("false")
    elif kind is int:
        out(str(value))
    elif kind is float:
        if value != value or value in (float("inf"), float("-inf")):
            raise TypeError(f"{value} has no JSON form")
        out(repr(value))
    elif kind is dict:
        _write_object(value, out, newline, step, sort)
    elif kind is list or kind is tuple:
        _write_array(value, out, newline, step, sort)
    else:
        raise TypeError(f"{kind.__name__} has no JSON form")


def _write_object(value: dict[str, object], out: Any, newline: str, step: str, sort: bool) -> None:
    if not value:
        out("{}")
        return
    deeper = newline + step
    colon = ": " if newline else ":"
    between = "{" + deeper
    for key in sorted(value) if sort else value:
        if type(key) is not str:
            raise TypeError(f"JSON keys are strings, not {type(key).__name__}")
        out(between)
        out(_string(key) + colon)
        _write(value[key], out, deeper, step, sort)
        between = "," + deeper
    out(newline + "}")


def _write_array(value: list[object], out: Any, newline: str, step: str, sort: bool) -> None:
    if not value:
        out("[]")
        return
    deeper = newline + step
    between = "[" + deeper
    for item in value:
        out(between)
        _write(item, out, deeper, step, sort)
        between = "," + deeper
    out(newline + "]")
