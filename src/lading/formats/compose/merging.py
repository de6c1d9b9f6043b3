"""Two trees to one: what a later file says over what an earlier one says, and a service over the one that it extends.

Source: Compose specification, "Merge and override". Both are in long forms (:mod:`lading.formats.compose.canonical`).
"""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats.compose.document import Override, Reset
from lading.formats.schema import _join as join

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: Lists that the later file replaces, by the end of their path.
_REPLACED = ("command", "entrypoint", "test")
#: Lists in which the same text may stand twice.
_REPEATED = (
    ("build", "cache_from"),
    ("build", "cache_to"),
    ("build", "platforms"),
    ("build", "entitlements"),
)


def merge(base: dict[str, object], over: dict[str, object]) -> dict[str, object]:
    """``over`` on top of ``base``. Raises :class:`InvalidInput` where one has a list and the other a mapping."""
    made = _merge(base, over, "", ())
    assert isinstance(made, dict)
    return made


def merge_service(base: object, over: object, where: str) -> object:
    """A service on top of the one that it extends."""
    return _merge(base, over, where, ("services", "*"))


def merge_entry(section: str, base: object, over: object, where: str) -> object:
    """A service, network or other resource on top of one of the same name."""
    return _merge(base, over, where, (section, "*"))


def settle(tree: object) -> object:
    """A tree without tags: what a reset leaves is gone, what overrides is simply there."""
    if isinstance(tree, Override):
        return settle(tree.value)
    if isinstance(tree, dict):
        return {k: settle(v) for k, v in tree.items() if not isinstance(v, Reset)}
    if isinstance(tree, list):
        return [settle(v) for v in tree if not isinstance(v, Reset)]
    return tree


def unified(tree: object, kind: tuple[str, ...] = ()) -> object:
    """A settled tree in which no two rows of a list have the same key: the later one of a file counts, too."""
    if isinstance(tree, dict):
        return {key: unified(value, _inner(kind, key)) for key, value in tree.items()}
    if isinstance(tree, list):
        found = _key_of(kind)
        return _by_key([], tree, found) if found is not None else tree
    return tree


def _inner(kind: tuple[str, ...], key: str) -> tuple[str, ...]:
    return (*kind, "*" if len(kind) == 1 and kind[0] in _COLLECTIONS else key)


def _key_of(kind: tuple[str, ...]) -> Callable[[dict[str, object]], object] | None:
    return _KEYS.get(kind[2:]) if kind[:1] == ("services",) else _KEYS.get(kind)


def _merge(base: object, over: object, where: str, kind: tuple[str, ...]) -> object:
    if isinstance(over, (Reset, Override)):
        return over
    if isinstance(base, Override):
        base = base.value
    if over is None:
        return base
    if base is None or isinstance(base, Reset):
        return over
    if isinstance(base, dict) and isinstance(over, dict):
        return _mappings(base, over, where, kind)
    if isinstance(base, list) and isinstance(over, list):
        return _lists(base, over, kind)
    if isinstance(base, (dict, list)) or isinstance(over, (dict, list)):
        raise InvalidInput(f"{where}: cannot merge {_kind(over)} into {_kind(base)} of an earlier file")
    return over


def _kind(value: object) -> str:
    return (
        "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, list) else "a single value"
    )


def _mappings(
    base: dict[str, object], over: dict[str, object], where: str, kind: tuple[str, ...]
) -> dict[str, object]:
    drivers = base.get("driver"), over.get("driver")
    if kind[2:] == ("logging",) and all(drivers) and drivers[0] != drivers[1]:
        return over  # options are a driver's own
    if kind[2:] == ("build",) and ("dockerfile" in over) != ("dockerfile_inline" in over):
        gone = "dockerfile_inline" if "dockerfile" in over else "dockerfile"
        base = {k: v for k, v in base.items() if k != gone}
    if kind[-2:-1] == ("ulimits",):
        return over
    made = dict(base)
    for key, value in over.items():
        inner = _inner(kind, key)
        if value is None and key in _REPLACED and inner[:1] == ("services",) and len(inner) in (3, 4):
            made[key] = None
        elif key in made:
            made[key] = _merge(made[key], value, join(where, key), inner)
        else:
            made[key] = value
    return made


_COLLECTIONS = ("services", "networks", "volumes", "configs", "secrets", "models")


def _lists(base: list[object], over: list[object], kind: tuple[str, ...]) -> list[object]:
    end = kind[-1] if kind else ""
    if kind[:1] == ("services",) and end in _REPLACED and len(kind) in (3, 4):
        return over
    key = _key_of(kind)
    if key is not None:
        return _by_key(base, over, key)
    if kind[2:] in _REPEATED:
        return [*base, *over]
    made = list(base)
    there = {item for item in base if not isinstance(item, (dict, list))}
    for item in over:
        if isinstance(item, (dict, list)):
            made.append(item)
        elif item not in there:
            made.append(item)
            there.add(item)
    return made


def _by_key(
    base: list[object], over: list[object], key: Callable[[dict[str, object]], object]
) -> list[object]:
    """All rows; one with the key of an earlier one takes its place, and nothing of that one stays."""
    made: list[object] = []
    places: dict[object, int] = {}
    for item in (*base, *over):
        if not isinstance(item, dict):
            made.append(item)
            continue
        name = repr(key(item))
        if name in places:
            made[places[name]] = item
        else:
            places[name] = len(made)
            made.append(item)
    return made


def _port(item: dict[str, object]) -> object:
    host = item.get("host_ip") or "0.0.0.0"
    return [
        str(host),
        *(str(item.get(k, "")) for k in ("target", "published")),
        str(item.get("protocol", "tcp")),
    ]


def _target(default: str) -> Callable[[dict[str, object]], object]:
    def of(item: dict[str, object]) -> object:
        target, source = item.get("target"), item.get("source")
        name = str(target if target else source)
        return name if name.startswith("/") or not default else default + name

    return of


def _mounted(item: dict[str, object]) -> object:
    return str(item.get("target", "")).rstrip("/")


_KEYS: dict[tuple[str, ...], Callable[[dict[str, object]], object]] = {
    ("ports",): _port,
    ("volumes",): _mounted,
    ("secrets",): _target("/run/secrets/"),
    ("configs",): _target("/"),
    ("devices",): lambda item: item.get("target"),
    ("env_file",): lambda item: item.get("path"),
    ("networks", "*", "ipam", "config"): lambda item: item.get("subnet"),
}
