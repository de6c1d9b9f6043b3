"""The base of the Compose file's records: names as they are written there, ``x-`` extensions, values that came as text.

Variables make text of everything, so a number or truth value in quotes is one (Compose specification, JSON schema:
``"type": ["boolean", "string"]``). A number where text belongs is taken where the schema says ``["number", "string"]``.
"""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats import schema
from lading.formats.schema import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Self

_TRUE = ("true", "yes", "y", "on")
_FALSE = ("false", "no", "n", "off")


class Shape(Record):
    """One mapping of a Compose file, in its long form.

    ``_numbers``: fields of text that may be written as numbers. ``_nulls``: fields that may stand there empty.
    """

    _numbers: ClassVar[tuple[str, ...]] = ()
    _nulls: ClassVar[tuple[str, ...]] = ()
    extensions: dict[str, object] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._wire = {name: name for name in cls._fields}

    @classmethod
    def decode(cls, value: object, *, where: str = "", strict: bool = True) -> Self:
        """As :meth:`Record.decode`, of a tree in which every form is the long one."""
        return schema._decode_record(cls, _typed(cls, value, where), where, strict)  # type: ignore[return-value]

    def encode(self) -> dict[str, Any]:
        """As it is written in a Compose file, extensions last."""
        out = super().encode()
        out.update(out.pop("extensions", {}))
        return out


def _typed(cls: type[Shape], value: object, where: str) -> object:
    """``value`` with text turned into what its field holds, and extensions in their own field."""
    if not isinstance(value, dict):
        return value
    made: dict[str, object] = {}
    extensions: dict[str, object] = {}
    plan = schema._plan(cls)
    for key, item in value.items():
        if key.startswith("x-"):
            extensions[key] = item
            continue
        if key == "extensions":
            raise InvalidInput(f"{schema._join(where, key)}: unknown field", reason="unknown-field")
        if key not in plan:
            from lading.flags import nearest

            near = nearest(key, [name for name in plan if name != "extensions"])
            raise InvalidInput(
                f"{schema._join(where, key)}: unknown field",
                reason="unknown-field",
                hint=f"did you mean {near!r}?" if near else "",
            )
        if item is None and key not in cls._nulls:
            raise InvalidInput(
                f"{schema._join(where, key)}: it is empty", hint="leave it out, or write what belongs there"
            )
        kind = schema._resolve(cls, key)
        made[key] = _fit(kind, item, schema._join(where, key), key in cls._numbers)
    if extensions:
        made["extensions"] = extensions
    return made


def _fit(kind: Any, item: object, where: str, numbers: bool) -> object:
    if item is None:
        return None
    if type(kind) is schema._UNION:
        arms = [arm for arm in kind.__args__ if arm is not type(None)]
        return _fit(arms[0], item, where, numbers) if len(arms) == 1 else item
    if type(kind) is schema._ALIAS:
        inner = kind.__args__[-1]
        if kind.__origin__ is list and isinstance(item, list):
            return [_fit(inner, part, f"{where}[{i}]", numbers) for i, part in enumerate(item)]
        if kind.__origin__ is dict and isinstance(item, dict):
            return {k: _fit(inner, part, schema._join(where, k), numbers) for k, part in item.items()}
        return item
    if isinstance(kind, type) and issubclass(kind, Shape):
        return _typed(kind, item, where)
    return _scalar(kind, item, where, numbers)


def _scalar(kind: object, item: object, where: str, numbers: bool) -> object:
    if kind is bool and isinstance(item, str):
        if item.lower() in _TRUE or item.lower() in _FALSE:
            return item.lower() in _TRUE
        raise InvalidInput(f"{where}: {item[:60]!r} is not true or false")
    if kind is int and isinstance(item, str):
        return whole(item, where)
    if kind is int and isinstance(item, float) and item == int(item):
        return int(item)
    if kind is float and isinstance(item, str):
        try:
            if item.isascii() and "_" not in item and len(item) < 40:
                return float(item)
        except ValueError:
            pass
        raise InvalidInput(f"{where}: {item[:60]!r} is not a number")
    if kind is str and numbers and isinstance(item, (int, float)) and not isinstance(item, bool):
        return number(item)
    return item


def whole(text: str, where: str) -> int:
    """A number written as text, decimal. Raises :class:`InvalidInput`."""
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise InvalidInput(f"{where}: {text[:60]!r} is not a whole number")
    return int(text)


def number(value: int | float) -> str:
    """A number as text, as a person would have written it."""
    return str(int(value)) if isinstance(value, float) and value == int(value) else str(value)
