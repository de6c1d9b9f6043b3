"""YAML as Kubernetes' users write it, from hands that may be hostile.

Scalars are YAML 1.2's: only ``true`` and ``false`` are truth values, so that ``no``, ``on`` and ``y`` stay words, and dates
stay text. Modes are octal with a leading zero (``0644``), as every Kubernetes manifest writes them, and with ``0o``.
A key given twice is an error, and so is one that is not text: ``1`` and ``true`` are one key to Python and none to JSON.
What a document may cost is bounded: its size, its depth, its aliases, and how large and how deep it becomes when every
alias is written out.
"""

from __future__ import annotations

import re
from contextlib import contextmanager

import yaml

from lading.errors import Exhausted, InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

LARGEST = 4 << 20
DEEPEST = 100
_EVENTS = 400_000
_ALIASES = 2_000
_NODES = 200_000
_MERGED = 10_000

_TAG = "tag:yaml.org,2002:"

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """YAML 1.2's core schema on PyYAML's parser."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    what = ""
    merged = 0

    def flatten_mapping(self, node: Any) -> None:
        """Write the pairs of merge keys out: a mapping's own pair wins, then the one merged first.

        Every key is text and stands once. What is copied in one stream is bounded before it is copied.
        """
        state = getattr(node, "flat", None)
        if state is not None:
            if not state:
                raise _failed(node, "an alias contains itself")
            return
        node.flat = False
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == _TAG + "merge":
                for source in self._sources(value):
                    self.flatten_mapping(source)
                    self.merged += len(source.value)
                    if self.merged > _MERGED:
                        line = key.start_mark.line + 1
                        raise Exhausted(
                            f"{self.what}: line {line}: merge keys copy more than {_MERGED} pairs"
                        )
                    for pair in source.value:
                        merged.setdefault(pair[0].value, pair)
            elif key.tag != _TAG + "str" or not isinstance(key, yaml.ScalarNode):
                what = f" {key.value[:80]!r}" if isinstance(key, yaml.ScalarNode) else ""
                raise _failed(key, f"the key{what} is not text; quote it")
            elif key.value in own:
                raise _failed(key, f"the key {key.value[:80]!r} is given twice")
            else:
                own[key.value] = key, value
        node.value = list((merged | own).values())
        node.flat = True

    @staticmethod
    def _sources(value: Any) -> list[Any]:
        sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                raise _failed(source, f"a merge key takes mappings, not a {source.id}")
        return sources


def _failed(node: Any, why: str) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, f"line {node.start_mark.line + 1}: {why}", None)


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
    raise _failed(node, f"the tag {node.tag[:80]!r} is not of a value that JSON has")


_Loader.add_constructor(_TAG + "int", _integer)
_Loader.add_constructor(_TAG + "float", _float)
for _name in ("binary", "timestamp", "omap", "pairs", "set"):
    _Loader.add_constructor(_TAG + _name, _refused)


def documents(data: bytes, *, what: str) -> list[object]:
    """Every document in ``data`` that is not empty, as JSON values. ``what`` names the source in errors.

    Raises :class:`InvalidInput` (syntax, duplicate keys, tags) and :class:`Exhausted` (larger than allowed).
    """
    with _reading(data, what) as loader:
        made: list[object] = []
        while loader.check_data():
            made.append(loader.get_data())
    made = [document for document in made if document is not None]
    for document in made:
        if _spread(document, {}, what)[0] > _NODES:
            raise Exhausted(f"{what}: its aliases make it larger than {_NODES} values")
    return made


@contextmanager
def _reading(data: bytes, what: str) -> Iterator[Any]:
    """A loader of text whose size, events, aliases and depth are within bounds; what is raised within is ours outside."""
    if len(data) > LARGEST:
        raise Exhausted(f"{what}: larger than {LARGEST >> 20} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput(f"{what}: not UTF-8 text") from None
    try:
        _bound(text, what)
        loader = _Loader(text)
        loader.what = what
        try:
            yield loader
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise InvalidInput(f"{what}: {_said(error)}", reason="syntax") from None
    except RecursionError:
        raise _too_deep(what) from None
    except (ValueError, OverflowError, TypeError, KeyError) as error:  # a tag that its value does not fit
        raise InvalidInput(f"{what}: {error}", reason="syntax") from None


def nodes(data: bytes, *, what: str) -> tuple[list[Any], Callable[[Any], str]]:
    """Every document as PyYAML's nodes, which know their lines, with merge keys written out; aliases are the same node again.

    Only events, aliases and depth are bounded here: whoever writes aliases out counts what comes of it. With them comes what
    gives the tag that a plain scalar has by its text, for nodes that wear a tag of somebody's own. Raises as :func:`documents`.
    """
    with _reading(data, what) as loader:
        made: list[Any] = []
        while loader.check_node():
            made.append(loader.get_node())
        seen: set[int] = set()
        for node in made:
            _flatten(loader, node, seen)

    def plain(node: Any) -> str:
        tag: str = loader.resolve(yaml.ScalarNode, node.value, (node.style is None, node.style is not None))
        return tag

    return made, plain


def _flatten(loader: Any, node: Any, seen: set[int]) -> None:
    if id(node) in seen or isinstance(node, yaml.ScalarNode):
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        for _, value in node.value:
            _flatten(loader, value, seen)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _flatten(loader, value, seen)


def scalar(node: Any, tag: str, *, what: str) -> object:
    """The value of a scalar node as if it had ``tag``. Raises :class:`InvalidInput`."""
    try:
        if tag == _TAG + "int":
            return _integer(None, node)
        if tag == _TAG + "float":
            return _float(None, node)
    except (ValueError, OverflowError, yaml.YAMLError) as error:
        raise InvalidInput(
            f"{what}:{node.start_mark.line + 1}: {getattr(error, 'problem', error)}", reason="syntax"
        ) from None
    if tag == _TAG + "bool":
        return node.value.lower() == "true"
    if tag == _TAG + "null":
        return None
    if tag == _TAG + "str":
        return str(node.value)
    raise InvalidInput(
        f"{what}:{node.start_mark.line + 1}: the tag {tag[:80]!r} is not of a value that JSON has",
        reason="syntax",
    )


def _too_deep(what: str) -> Exhausted:
    return Exhausted(f"{what}: nested deeper than {DEEPEST} levels")


def _bound(text: str, what: str) -> None:
    """Look at the events before anything is built from them."""
    depth = aliases = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Base)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise _too_deep(what)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
            if aliases > _ALIASES:
                raise Exhausted(f"{what}: more than {_ALIASES} aliases")
        if count > _EVENTS:
            raise Exhausted(f"{what}: more than {_EVENTS} values")


_OPEN = (-1, -1)


def _spread(value: object, known: dict[int, tuple[int, int]], what: str, level: int = 0) -> tuple[int, int]:
    """How many values there are with every alias written out, and how deep. A value that contains itself is an error."""
    if not isinstance(value, (dict, list)):
        return 1, 0
    found = known.get(id(value))
    if found == _OPEN:
        raise InvalidInput(f"{what}: an alias contains itself", reason="syntax")
    if found is None:
        if level > DEEPEST:
            raise _too_deep(what)
        known[id(value)] = _OPEN
        parts = value.values() if isinstance(value, dict) else value
        inside = [_spread(part, known, what, level + 1) for part in parts]
        found = 1 + sum(total for total, _ in inside), 1 + max((deep for _, deep in inside), default=0)
        known[id(value)] = found
    if found[1] > DEEPEST:
        raise _too_deep(what)
    return found


def _said(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    return f"{where}{' '.join(str(problem).split())[:300]}"
