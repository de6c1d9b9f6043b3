"""Bytes to a tree of JSON values that knows its lines, with the tags ``!reset`` and ``!override``.

Source: YAML 1.2 with merge keys (:mod:`lading.formats.yamltext`); Compose specification, "Merge and override".
"""

from __future__ import annotations

import yaml

from lading.errors import Exhausted, InvalidInput, LadingError
from lading.formats import yamltext
from lading.formats.schema import _join as join

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    E = TypeVar("E", bound=LadingError)

_MOST = 200_000

#: A path in the document (``services.web.ports[0]``) → the file and the line (``compose.yaml:12``).
Places = dict[str, str]


class Reset:
    """Stands for a value tagged ``!reset``: what an earlier file says there is taken away."""

    def __repr__(self) -> str:
        return "!reset"


class Override:
    """A value tagged ``!override``: it takes the place of an earlier file's, nothing is merged."""

    def __init__(self, value: object) -> None:
        self.value = value


def read(data: bytes, *, what: str, places: Places) -> list[dict[str, object]]:
    """The documents of a file, each a mapping; ``places`` learns where everything stands. ``what``: the file in errors.

    Raises :class:`InvalidInput` and :class:`Exhausted`.
    """
    nodes, plain = yamltext.nodes(data, what=what)
    made: list[dict[str, object]] = []
    builder = _Builder(what, plain, places)
    for node in nodes:
        try:
            value = builder.build(node, "", ())
        except RecursionError:
            raise Exhausted(f"{what}: nested too deeply") from None
        if value is None:
            continue
        if not isinstance(value, dict):
            raise InvalidInput(
                f"{what}:{node.start_mark.line + 1}: a Compose file is a mapping, not {_kind(value)}",
                hint="it begins with services:",
            )
        made.append(value)
    return made


class _Builder:
    def __init__(self, what: str, plain: Callable[[Any], str], places: Places) -> None:
        self.what = what
        self.plain = plain
        self.places = places
        self.count = 0

    def build(self, node: Any, path: str, above: tuple[int, ...]) -> object:
        self.count += 1
        if self.count > _MOST:
            raise Exhausted(f"{self.what}: its aliases make it larger than {_MOST} values")
        line = node.start_mark.line + 1
        self.places[path] = f"{self.what}:{line}"
        if id(node) in above:
            raise InvalidInput(f"{self.what}:{line}: an alias contains itself", reason="syntax")
        if len(above) > yamltext.DEEPEST:
            raise Exhausted(f"{self.what}: nested deeper than {yamltext.DEEPEST} levels")
        tag = node.tag
        if tag == "!reset":
            return Reset()
        value = self._value(node, path, (*above, id(node)), line)
        return Override(value) if tag == "!override" else value

    def _value(self, node: Any, path: str, above: tuple[int, ...], line: int) -> object:
        if isinstance(node, yaml.ScalarNode):
            tag = self.plain(node) if node.tag == "!override" else node.tag
            return yamltext.scalar(node, tag, what=self.what)
        known = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq", "!override")
        if node.tag not in known:
            raise InvalidInput(
                f"{self.what}:{line}: the tag {node.tag[:80]!r} is not supported",
                hint="the tags are !reset and !override",
            )
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, f"{path}[{i}]", above) for i, item in enumerate(node.value)]
        made: dict[str, object] = {}
        for key, item in node.value:
            inner = join(path, key.value)
            made[key.value] = self.build(item, inner, above)
            self.places[inner] = f"{self.what}:{key.start_mark.line + 1}"
        return made


def _kind(value: object) -> str:
    return "a list" if isinstance(value, list) else "a scalar"


def place(places: Places, path: str) -> str:
    """Where ``path`` stands, or the nearest thing around it; empty when nobody knows."""
    while path:
        found = places.get(path)
        if found:
            return found
        cut = max(path.rfind("."), path.rfind("["))
        path = path[:cut] if cut > 0 else ""
    return ""


SECTIONS = ("services", "networks", "volumes", "configs", "secrets", "models", "include", "name", "version")


def retold(error: E, message: str) -> E:
    """The same failure in other words: of the same class, or of the nearest one that is made of words alone."""
    kind: type[LadingError] = type(error)
    while kind.__init__ is not LadingError.__init__:
        kind = kind.__bases__[0]
    return kind(message, hint=error.hint, reason=error.reason)  # type: ignore[return-value]


def located(error: E, places: Places) -> E:
    """The same error with the file and line in front, where its message begins with a path of the document."""
    path, colon, _ = error.message.partition(": ")
    top = path.partition(".")[0].partition("[")[0]
    if not colon or (top not in SECTIONS and path not in places) or " " in path:
        return error
    where = place(places, path)
    if not where:
        return error
    return retold(error, f"{where}: {error.message}")
