"""The base of this format's records: the specification's order of fields, ``null`` where its readers compare with one.

Documents are decoded without strictness, as the reference implementation reads them, and :func:`unknown_fields` lists what
nobody knows. A field's name is taken as the specification writes it; the one spelling that its own example gets wrong is known.
"""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats import jsontext
from lading.formats.appc.errors import join
from lading.formats.schema import Record, camel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Self

LARGEST = 4 << 20
"""Bytes of a manifest; the text states no limit, and every honest one is a thousand times smaller."""

_SPELLINGS = {"supplementaryGids": "supplementaryGIDs"}


class ACRecord(Record):
    """A record of App Container. ``_null`` names fields that are written as ``null`` when they hold nothing."""

    _null: ClassVar[tuple[str, ...]] = ()

    def encode(self) -> dict[str, Any]:
        """See :meth:`Record.encode`. Fields stand in the order of their declaration."""
        found = super().encode()
        made: dict[str, Any] = {}
        for name in self._fields:
            wire = self._wire.get(name) or camel(name)
            if wire in found:
                made[wire] = found[wire]
            elif name in self._null:
                made[wire] = None
        return made

    def check(self, where: str = "") -> None:
        """Everything the specification states that types cannot say. Raises :class:`InvalidInput` naming the field."""


class Manifest(ACRecord):
    """A whole document."""

    @classmethod
    def parse(cls, text: str | bytes, *, what: str = "manifest", strict: bool = False) -> Self:
        """Read and check a manifest. ``what`` names it in errors; ``strict`` refuses fields that nobody knows.

        Raises :class:`InvalidInput`, and :class:`Unsupported` for another major version of the specification.
        """
        if len(text) > LARGEST:
            raise InvalidInput(f"{what}: {len(text)} bytes, more than the {LARGEST} that a manifest may have")
        value = jsontext.loads(text, what=what)
        made = cls.decode(spelled(value), where=what, strict=strict)
        made.settle()
        made.check(what)
        return made

    def settle(self) -> None:
        """Put right, before it is checked, what the reference tools are known to write wrong."""

    def text(self, *, indent: int = 0) -> str:
        """The manifest as JSON. It is checked first: nothing invalid is ever written."""
        self.check()
        return jsontext.dumps(self.encode(), indent=indent)


def spelled(value: object) -> object:
    """Parsed JSON with the specification's own misspelling put right."""
    if type(value) is dict:
        return {
            (_SPELLINGS[key] if key in _SPELLINGS and _SPELLINGS[key] not in value else key): item
            if key in _FREE
            else spelled(item)
            for key, item in value.items()
        }
    if type(value) is list:
        return [spelled(item) for item in value]
    return value


_FREE = ("userAnnotations", "userLabels", "value")
"""Fields whose keys are the user's."""


def unknown_fields(record: Record, value: object, where: str = "") -> list[str]:
    """Paths of the fields in ``value`` (parsed JSON) that ``record``, decoded from it, does not have."""
    if type(value) is not dict:
        return []
    names = {record._wire.get(name) or camel(name): name for name in record._fields}
    found: list[str] = []
    for key, item in value.items():
        known = _SPELLINGS.get(key)
        name = names.get(known if known is not None else key)
        path = join(where, key if key.isprintable() and len(key) <= 64 else repr(key)[:64])
        if name is None:
            found.append(path)
            continue
        mine = getattr(record, name)
        if isinstance(mine, Record):
            found += unknown_fields(mine, item, path)
        elif type(mine) is list and type(item) is list:
            for index, (one, other) in enumerate(zip(mine, item, strict=False)):
                if isinstance(one, Record):
                    found += unknown_fields(one, other, f"{path}[{index}]")
    return found
