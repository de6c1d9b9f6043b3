"""YAML as Kubernetes' users write it, from hands that may be hostile.

Scalars are YAML 1.2's: only ``true`` and ``false`` are truth values, so that ``no``, ``on`` and ``y`` stay words, and dates
stay text. Modes are octal with a leading zero (``0644``), as every Kubernetes manifest writes them, and with ``0o``.
A key given twice is an error. What a document may cost is bounded: its size, its depth, its aliases, and how large it
becomes when every alias is written out.
"""

from __future__ import annotations

import re

import yaml

from lading.errors import Exhausted, InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LARGEST = 4 << 20
DEEPEST = 100
_EVENTS = 400_000
_ALIASES = 2_000
_NODES = 200_000
_MERGED = 10_000

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """YAML 1.2's core schema on PyYAML's parser."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def flatten_mapping(self, node: Any) -> None:
        """Apply merge keys; what a chain of them may pile up in one mapping is bounded."""
        super().flatten_mapping(node)
        if len(node.value) > _MERGED:
            raise yaml.constructor.ConstructorError(None, None, "merge keys make a mapping too large", None)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[object, object]:
        seen: set[object] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    line = key.start_mark.line + 1
                    raise yaml.constructor.ConstructorError(
                        None, None, f"line {line}: the key {key.value!r} is given twice", None
                    )
                seen.add(key.value)
        made: dict[object, object] = super().construct_mapping(node, deep=deep)
        return made


_TAG = "tag:yaml.org,2002:"
for _name, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"^(?:[-+]?(?:0|[1-9][0-9]*)|0[0-7]+|0o[0-7]+|0x[0-9a-fA-F]+)$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
    ("float", r"^[-+]?[0-9]+[eE][-+]?[0-9]+$", "-+0123456789"),
    ("float", r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$", "-+."),
    ("merge", r"^(?:<<)$", "<"),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(_pattern), list(_first))


def _integer(loader: Any, node: Any) -> int:
    text = node.value
    if len(text) > 100:
        raise yaml.constructor.ConstructorError(None, None, "a number is too long", None)
    if text.startswith("0x"):
        return int(text, 16)
    if text.startswith("0o"):
        return int(text[2:], 8)
    if len(text) > 1 and text[0] == "0":
        return int(text, 8)
    return int(text)


def _float(loader: Any, node: Any) -> float:
    made = float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))
    if made - made != 0.0:
        raise yaml.constructor.ConstructorError(
            None, None, f"{node.value[:40]} is not a number that JSON has", None
        )
    return made


def _refused(loader: Any, node: Any) -> object:
    line = node.start_mark.line + 1
    raise yaml.constructor.ConstructorError(
        None, None, f"line {line}: the tag {node.tag[:80]!r} is not of a value that JSON has", None
    )


_Loader.add_constructor(_TAG + "int", _integer)
_Loader.add_constructor(_TAG + "float", _float)
for _name in ("binary", "timestamp", "omap", "pairs", "set"):
    _Loader.add_constructor(_TAG + _name, _refused)


def documents(data: bytes, *, what: str) -> list[object]:
    """Every document in ``data`` that is not empty, as JSON values. ``what`` names the source in errors.

    Raises :class:`InvalidInput` (syntax, duplicate keys, tags) and :class:`Exhausted` (larger than allowed).
    """
    if len(data) > LARGEST:
        raise Exhausted(f"{what}: larger than {LARGEST >> 20} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput(f"{what}: not UTF-8 text") from None
    try:
        _bound(text, what)
        made = [d for d in yaml.load_all(text, Loader=_Loader) if d is not None]
    except yaml.YAMLError as error:
        raise InvalidInput(f"{what}: {_said(error)}", reason="syntax") from None
    except (ValueError, OverflowError, TypeError, KeyError) as error:  # a tag that its value does not fit
        raise InvalidInput(f"{what}: {error}", reason="syntax") from None
    for document in made:
        if _spread(document, {}, what) > _NODES:
            raise Exhausted(f"{what}: its aliases make it larger than {_NODES} values")
    return made


def _bound(text: str, what: str) -> None:
    """Look at the events before anything is built from them."""
    depth = aliases = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Base)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise Exhausted(f"{what}: nested deeper than {DEEPEST} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
            if aliases > _ALIASES:
                raise Exhausted(f"{what}: more than {_ALIASES} aliases")
        if count > _EVENTS:
            raise Exhausted(f"{what}: more than {_EVENTS} values")


_OPEN = -1


def _spread(value: object, known: dict[int, int], what: str) -> int:
    """How many values there are with every alias written out. A value that contains itself is an error."""
    if not isinstance(value, (dict, list)):
        return 1
    found = known.get(id(value))
    if found == _OPEN:
        raise InvalidInput(f"{what}: an alias contains itself", reason="syntax")
    if found is not None:
        return found
    known[id(value)] = _OPEN
    parts = value.values() if isinstance(value, dict) else value
    known[id(value)] = total = 1 + sum(_spread(part, known, what) for part in parts)
    return total


def _said(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    return f"{where}{' '.join(str(problem).split())}"
