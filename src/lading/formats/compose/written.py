"""A project's records as a Compose file again, in the one way that ``config`` prints: sizes in bytes, durations and modes in
one form, no short forms but those that lose nothing.

Source: docker compose's output of ``config``, which scripts read field by field.
"""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats import duration, sizes
from lading.formats.compose.shapes import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.formats.compose.model import Project

    Change = Callable[[object], object]


def written(project: Project, *, extended: bool = True) -> dict[str, object]:
    """The tree that ``config`` prints. Values that are no size or duration stay as they are: checking tells of them.

    Without ``extended`` only the ``x-`` fields of the top are in it.
    """
    if not extended:
        for name in project._fields:
            if name != "extensions":
                _plain(getattr(project, name))
    encoded = project.encode()
    made: dict[str, object] = {"name": encoded.pop("name", "")}
    encoded.setdefault("services", {})
    for section in sorted(encoded):
        entries = encoded[section]
        if section in _SECTIONS and isinstance(entries, dict):
            made[section] = {name: _mapping(entries[name], _SECTIONS[section]) for name in sorted(entries)}
        else:
            made[section] = entries
    return made


def _plain(value: object) -> None:
    """Take the ``x-`` fields out of records."""
    if isinstance(value, Shape):
        value.extensions = {}
        value = [getattr(value, name) for name in value._fields]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            _plain(item)


class _Many:
    """A change for every member of a list or mapping."""

    def __init__(self, inner: object) -> None:
        self.inner = inner


def _mapping(value: object, forms: dict[str, object]) -> object:
    if not isinstance(value, dict):
        return value
    made = {}
    for key, item in sorted(value.items()):
        shown = _changed(item, forms.get(key))
        if shown is not _NOTHING:
            made[key] = shown
    for key, item in forms.items():
        if isinstance(item, dict) and item.get("") and key not in made:
            made[key] = {}
    return made


def _changed(value: object, form: object) -> object:
    if isinstance(form, _Many):
        if isinstance(value, list):
            return [_changed(item, form.inner) for item in value]
        if isinstance(value, dict):
            return {key: _changed(item, form.inner) for key, item in sorted(value.items())}
        return value
    if isinstance(form, dict):
        return _mapping(value, form)
    if form is None or value is None:
        return value
    assert callable(form)
    return form(value)


_NOTHING = object()
"""A value that says nothing: 0 where that is no limit."""


def _bytes(value: object) -> object:
    text = str(value)
    digits = text.removeprefix("-")
    try:
        number = int(text) if digits.isascii() and digits.isdigit() else sizes.parse(text)
    except InvalidInput:
        return value
    return str(number) if number else _NOTHING


def _nonzero(value: object) -> object:
    return value if value else _NOTHING


def _count(value: object) -> object:
    """``all`` as -1, and a number of devices as one."""
    return -1 if str(value).lower() == "all" else _number(value)


def _duration(value: object) -> object:
    try:
        return duration.shown(duration.nanoseconds(str(value)) / 1e9)
    except InvalidInput:
        return value


def _number(value: object) -> object:
    """``"0.50"`` as the number 0.5, ``"2"`` as 2."""
    try:
        made = float(str(value))
    except ValueError:
        return value
    if not made:
        return _NOTHING
    return int(made) if made == int(made) else made


def _octal(value: object) -> object:
    """An octal text as the number it is."""
    try:
        return int(str(value).removeprefix("0o") or "0", 8) or _NOTHING
    except ValueError:
        return value


def _mode(value: object) -> object:
    """An octal text with one zero in front."""
    number = _octal(value)
    return f"0{number:o}" if isinstance(number, int) else value if number is not _NOTHING else "00"


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
_UPDATE: dict[str, object] = {"delay": _duration, "monitor": _duration}
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
    "cpu_count": _number,
    "cpu_percent": _number,
    "cpu_period": _number,
    "cpu_quota": _number,
    "cpu_rt_period": _number,
    "cpu_rt_runtime": _number,
    "cpu_shares": _number,
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
    "volumes": _Many({"bind": _bind, "tmpfs": {"mode": _octal, "size": _bytes}}),
}
_SECTIONS: dict[str, dict[str, object]] = {
    "services": _SERVICE,
    "networks": {"ipam": {"": True}},
    "volumes": {},
    "configs": {},
    "secrets": {},
}
