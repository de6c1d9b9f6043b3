"""A project's records as a Compose file again, in the one way that ``config`` prints: sizes in bytes, durations and modes in
one form, no short forms but those that lose nothing.

Source: docker compose's output of ``config``, which scripts read field by field.
"""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats import sizes
from lading.formats.compose import durations
from lading.formats.compose.shapes import Shape
from lading.formats.schema import _join as join

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.formats.compose.model import Project

    Change = Callable[[object], object]
    Wrong = Callable[[object, str, InvalidInput], object]


def written(project: Project, *, extended: bool = True) -> dict[str, object]:
    """The tree that ``config`` prints. Values that are no size or duration stay as they are: checking tells of them.

    Without ``extended`` only the ``x-`` fields of the top are in it.
    """
    if not extended:
        for name in project._fields:
            if name != "extensions":
                _plain(getattr(project, name))
    _sort(project)
    return _tree(project, _kept)


def check(project: Project) -> None:
    """Raise :class:`InvalidInput`, with the path in front, for the first text that is no size, duration, number or mode."""
    _tree(project, _refused)


def _inside(value: object) -> list[object]:
    """What a record, a mapping or a list holds."""
    if isinstance(value, Shape):
        return [getattr(value, name) for name in value._fields]
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _sort(value: object) -> None:
    """Names in the order of the alphabet, fields in that of their records."""
    if isinstance(value, Shape):
        for name in value._fields:
            found = getattr(value, name)
            if isinstance(found, dict):
                setattr(value, name, {key: found[key] for key in sorted(found)})
    for item in _inside(value):
        _sort(item)


def _tree(project: Project, wrong: Wrong) -> dict[str, object]:
    encoded = project.encode()
    made: dict[str, object] = {"name": encoded.pop("name", "")}
    encoded.setdefault("services", {})
    for section in sorted(encoded, key=lambda name: (_ORDER.get(name, len(_ORDER)), name)):
        entries, forms = encoded[section], _SECTIONS.get(section)
        if forms is not None and isinstance(entries, dict):
            made[section] = {
                name: _mapping(entries[name], forms, join(section, name), wrong) for name in sorted(entries)
            }
        else:
            made[section] = entries
    return made


def _kept(value: object, where: str, error: InvalidInput) -> object:
    return value


def _refused(value: object, where: str, error: InvalidInput) -> object:
    raise InvalidInput(f"{where}: {error.message}", hint=error.hint)


def _plain(value: object) -> None:
    """Take the ``x-`` fields out of records."""
    if isinstance(value, Shape):
        value.extensions = {}
    for item in _inside(value):
        _plain(item)


class _Many:
    """A change for every member of a list or mapping."""

    def __init__(self, inner: object) -> None:
        self.inner = inner


def _mapping(value: object, forms: dict[str, object], where: str, wrong: Wrong) -> object:
    if not isinstance(value, dict):
        return value
    made = {}
    for key, item in value.items():
        shown = _changed(item, forms.get(key), join(where, key), wrong)
        if shown is not _NOTHING:
            made[key] = shown
    for key, form in forms.items():
        if isinstance(form, dict) and form.get("") and key not in made:
            made[key] = {}
    return made


def without_blanks(tree: object) -> object:
    """The tree without the mappings that JSON alone has although nothing is in them."""
    if not isinstance(tree, dict):
        return tree
    for section, fields in (("networks", ("ipam",)), ("services", ("placement", "resources"))):
        for entry in tree.get(section, {}).values():
            holder = entry if section == "networks" else entry.get("deploy", {})
            for field in fields:
                if holder.get(field) == {}:
                    del holder[field]
    return tree


def _changed(value: object, form: object, where: str, wrong: Wrong) -> object:
    if isinstance(form, _Many):
        if isinstance(value, list):
            return [_changed(item, form.inner, f"{where}[{i}]", wrong) for i, item in enumerate(value)]
        if isinstance(value, dict):
            return {k: _changed(item, form.inner, join(where, k), wrong) for k, item in sorted(value.items())}
        return value
    if isinstance(form, dict):
        return _mapping(value, form, where, wrong)
    if form is None or value is None:
        return value
    assert callable(form)
    try:
        return form(value)
    except InvalidInput as error:
        return wrong(value, where, error)


_NOTHING = object()
"""A value that says nothing: 0 where that is no limit."""


def _bytes(value: object) -> object:
    text = str(value)
    digits = text.removeprefix("-")
    number = int(text) if digits.isascii() and digits.isdigit() else sizes.parse(text)
    return str(number) if number else _NOTHING


def _room(value: object) -> object:
    made = _bytes(value)
    if isinstance(made, str) and made.startswith("-"):
        raise InvalidInput(f"{made[:60]} is negative")
    return made


def _nonzero(value: object) -> object:
    return value if value else _NOTHING


def _count(value: object) -> object:
    """``all`` as -1, and a number of devices as one."""
    return -1 if str(value).lower() == "all" else _whole(value)


def size(field: str, value: object) -> object:
    """The value of a limit of a service, comparable with that of ``deploy``."""
    form = _SERVICE[field]
    assert callable(form)
    return form(value)


def _pause(value: object) -> object:
    made = durations.normal(str(value))
    return made if made != "0s" else _NOTHING


def _duration(value: object) -> object:
    return durations.normal(str(value))


def _number(value: object) -> object:
    """``"0.50"`` as the number 0.5, ``"2"`` as 2."""
    try:
        made = float(str(value))
    except ValueError:
        raise InvalidInput(f"{str(value)[:60]!r} is not a number") from None
    if not made:
        return _NOTHING
    return int(made) if made == int(made) else made


def _whole(value: object) -> object:
    made = _number(value)
    if isinstance(made, float):
        raise InvalidInput(f"{str(value)[:60]!r} is not a whole number")
    return made


def _octal(value: object) -> object:
    """An octal text as the number it is."""
    try:
        return int(str(value).removeprefix("0o") or "0", 8) or _NOTHING
    except ValueError:
        raise InvalidInput(f"{str(value)[:60]!r} is not a mode", hint="write 0440") from None


def _mode(value: object) -> object:
    """An octal text with one zero in front."""
    number = _octal(value)
    return f"0{number:o}" if isinstance(number, int) else "00"


def _bind(value: object) -> object:
    """Options of a bound directory; that it is made where it is missing goes without saying."""
    if isinstance(value, dict) and value.get("create_host_path") is True:
        return {k: v for k, v in value.items() if k != "create_host_path"}
    return value


def _limit(value: object) -> object:
    """``{single: 5}`` as 5."""
    return value["single"] if isinstance(value, dict) and "single" in value else value


def _hosts(value: object) -> object:
    if not isinstance(value, dict):
        return value
    return sorted(f"{name}={address}" for name, found in value.items() for address in found)


_GRANTED = _Many({"mode": _mode})
_UPDATE: dict[str, object] = {"delay": _pause, "monitor": _pause}
_DEVICES = _Many({"count": _count})
_LIMITS: dict[str, object] = {"cpus": _number, "memory": _bytes, "pids": _nonzero, "devices": _DEVICES}
_RATES = _Many({"rate": _bytes})
_SERVICE: dict[str, object] = {
    "blkio_config": {
        "device_read_bps": _RATES,
        "device_read_iops": _RATES,
        "device_write_bps": _RATES,
        "device_write_iops": _RATES,
    },
    "build": {
        "extra_hosts": _hosts,
        "secrets": _GRANTED,
        "shm_size": _bytes,
        "ulimits": _Many(_limit),
    },
    "configs": _GRANTED,
    "cpu_count": _whole,
    "cpu_percent": _number,
    "cpu_period": _whole,
    "cpu_quota": _whole,
    "cpu_rt_period": _whole,
    "cpu_rt_runtime": _whole,
    "cpu_shares": _whole,
    "cpus": _number,
    "gpus": _DEVICES,
    "deploy": {
        "placement": {"": True},
        "resources": {"": True, "limits": _LIMITS, "reservations": _LIMITS},
        "restart_policy": {"delay": _duration, "window": _duration},
        "rollback_config": _UPDATE,
        "update_config": _UPDATE,
    },
    "extra_hosts": _hosts,
    "healthcheck": {
        "interval": _duration,
        "start_interval": _duration,
        "start_period": _duration,
        "timeout": _duration,
    },
    "mem_limit": _bytes,
    "mem_reservation": _bytes,
    "mem_swappiness": str,
    "memswap_limit": _bytes,
    "oom_score_adj": _nonzero,
    "pids_limit": _nonzero,
    "secrets": _GRANTED,
    "shm_size": _bytes,
    "stop_grace_period": _duration,
    "ulimits": _Many(_limit),
    "volumes": _Many({"bind": _bind, "tmpfs": {"mode": _octal, "size": _room}}),
}
_ORDER = {
    name: place
    for place, name in enumerate(("services", "networks", "volumes", "secrets", "configs", "models"))
}
_SECTIONS: dict[str, dict[str, object]] = {
    "services": _SERVICE,
    "networks": {"ipam": {"": True}},
    "volumes": {},
    "configs": {},
    "secrets": {},
}
