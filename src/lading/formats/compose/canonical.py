"""Short forms to long forms, in the tree: merging and decoding know the long ones alone.

Source: Compose specification, "Services" and its siblings: "short syntax" and "long syntax"; "Compose file": merges apply to the
expanded form. What has the wrong type is left as it is, for the records to refuse by its path.
"""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats.compose import words
from lading.formats.compose.canonical_mounts import mount
from lading.formats.compose.canonical_ports import ports
from lading.formats.compose.document import Override, Reset
from lading.formats.compose.shapes import number
from lading.formats.schema import _join as join

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Form = Callable[[object, str], object]


def project(tree: dict[str, object]) -> dict[str, object]:
    """A file's tree in long forms. Raises :class:`InvalidInput` with the path in front."""
    made = dict(tree)
    for section, forms in _SECTIONS.items():
        found = made.get(section)
        value = found.value if isinstance(found, Override) else found
        if isinstance(value, dict):
            long: object = {
                name: _apply(
                    lambda item, where, f=forms: _mapping(item, where, f),  # type: ignore[misc]
                    {} if item is None and section in ("networks", "volumes") else item,
                    join(section, name),
                )
                for name, item in value.items()
            }
            made[section] = Override(long) if isinstance(found, Override) else long
    return made


def service(value: object, where: str) -> object:
    """One service in long forms."""
    return _apply(lambda item, path: _mapping(item, path, _SERVICE), value, where)


def _apply(form: Form, value: object, where: str) -> object:
    if isinstance(value, Reset):
        return value
    if isinstance(value, Override):
        return Override(_apply(form, value.value, where))
    return form(value, where)


def _mapping(value: object, where: str, forms: Mapping[str, Form]) -> object:
    """Every member that has a short form in its long one; one that is empty stays so."""
    if not isinstance(value, dict):
        return value
    made: dict[str, object] = {}
    for key, item in value.items():
        form = forms.get(key)
        if form is None or item is None:
            made[key] = item
        else:
            made[key] = _apply(form, item, join(where, key))
    return made


def pairs(value: object, where: str) -> object:
    """``[NAME=VALUE, NAME]`` as a mapping; a name alone has no value."""
    if isinstance(value, dict):
        return {k: _text(v) for k, v in value.items()}
    if not isinstance(value, list):
        return value
    made: dict[str, object] = {}
    for index, item in enumerate(value):
        if isinstance(item, Reset):
            continue
        if not isinstance(item, str):
            raise InvalidInput(f"{where}[{index}]: expected NAME=VALUE, found {item!r}"[:200])
        name, equals, text = item.partition("=")
        if not name or name[-1].isspace():
            why = "has a blank after the name" if name else "has no name"
            raise InvalidInput(f"{where}[{index}]: {item[:60]!r} {why}", hint="write NAME=VALUE")
        made[name] = text if equals else None
    return made


def _text(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return number(value)
    return value


def _labels(value: object, where: str) -> object:
    made = pairs(value, where)
    if isinstance(made, dict):
        return {k: "" if v is None else v for k, v in made.items()}
    return made


def _one_or_many(value: object, where: str) -> object:
    return [value] if isinstance(value, str) else value


def _servers(value: object, where: str) -> object:
    """``dns``: an empty one is none."""
    value = _one_or_many(value, where)
    return [item for item in value if item not in ("", None)] if isinstance(value, list) else value


def _command(value: object, where: str) -> object:
    if isinstance(value, str):
        try:
            return words.split(value)
        except InvalidInput as error:
            raise InvalidInput(f"{where}: {error.message}") from None
    if isinstance(value, list):
        return [_text(word) if not isinstance(word, bool) else word for word in value]
    return value


def _test(value: object, where: str) -> object:
    return ["CMD-SHELL", value] if isinstance(value, str) else value


def _named(value: object, where: str) -> object:
    """``[NAME, …]`` as a mapping of nothing."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return {str(item): None for item in value}
    return value


def _dependencies(value: object, where: str) -> object:
    if isinstance(value, list):
        made = _named(value, where)
        if isinstance(made, dict):
            return {k: {"condition": "service_started", "required": True} for k in made}
    return value


def _each(form: Form) -> Form:
    def every(value: object, where: str) -> object:
        if not isinstance(value, list):
            return value
        return [_apply(form, item, f"{where}[{i}]") for i, item in enumerate(value)]

    return every


def _as(field: str) -> Form:
    """Text alone stands for a mapping with one field."""
    return lambda value, where: {field: value} if isinstance(value, str) else value


def granted(value: object, where: str) -> object:
    """A config or secret that is granted. Its mode is octal: ``0440`` is the number 288 to YAML, and is written out again."""
    if isinstance(value, str):
        return {"source": value}
    return _octal_mode(value)


def _octal_mode(value: object) -> object:
    if isinstance(value, dict) and isinstance(value.get("mode"), int) and not isinstance(value["mode"], bool):
        return {**value, "mode": f"0{value['mode']:o}"}
    return value


def _env_files(value: object, where: str) -> object:
    if isinstance(value, (str, dict)):
        value = [value]
    return _each(_as("path"))(value, where)


def _requests(value: object, where: str) -> object:
    """``gpus``: ``all`` for every device of the driver."""
    return [{"count": "all"}] if value == "all" else _each(_request)(value, where)


def _request(value: object, where: str) -> object:
    return _mapping(value, where, {"options": pairs})


def _provider(value: object, where: str) -> object:
    def many(options: object, _: str) -> object:
        if not isinstance(options, dict):
            return options
        return {
            k: [_text(v)] if not isinstance(v, list) else [_text(i) for i in v] for k, v in options.items()
        }

    return _mapping(value, where, {"options": many})


def _device(value: object, where: str) -> object:
    if not isinstance(value, str):
        return value
    if "=" in value and ":" not in value:
        return {"source": value, "target": value, "permissions": "rwm"}  # CDI: refused by its name later
    parts = value.split(":")
    if len(parts) > 3 or not all(parts):
        raise InvalidInput(f"{where}: {value[:80]!r} is not HOST[:PATH[:PERMISSIONS]]")
    permissions = parts[2] if len(parts) == 3 else "rwm"
    return {
        "source": parts[0],
        "target": parts[1] if len(parts) > 1 else parts[0],
        "permissions": permissions,
    }


def _hosts(value: object, where: str) -> object:
    """``NAME=ADDRESS`` or ``NAME:ADDRESS`` rows, or a mapping, as a mapping of lists."""
    if isinstance(value, dict):
        return {
            k: [_unbracketed(v)]
            if isinstance(v, str)
            else [_unbracketed(i) if isinstance(i, str) else i for i in v]
            if isinstance(v, list)
            else v
            for k, v in value.items()
        }
    if not isinstance(value, list):
        return value
    made: dict[str, object] = {}
    for index, item in enumerate(value):
        if not isinstance(item, str):
            raise InvalidInput(f"{where}[{index}]: expected NAME=ADDRESS, found {item!r}"[:200])
        name, mark, address = item.partition("=")
        if not mark:
            name, mark, address = item.partition(":")
        if not name or not address:
            raise InvalidInput(f"{where}[{index}]: {item[:60]!r} is not NAME=ADDRESS")
        known = made.setdefault(name, [])
        assert isinstance(known, list)
        known += [_unbracketed(part) for part in address.split(",")]
    return made


def _unbracketed(address: str) -> str:
    return address[1:-1] if address.startswith("[") and address.endswith("]") else address


def _ulimits(value: object, where: str) -> object:
    if not isinstance(value, dict):
        return value
    made: dict[str, object] = {}
    for name, limit in value.items():
        if isinstance(limit, dict) and "single" in limit:
            raise InvalidInput(f"{where}.{name}.single: unknown field", reason="unknown-field")
        short = isinstance(limit, (int, str)) and not isinstance(limit, bool)
        made[name] = {"single": limit, "soft": limit, "hard": limit} if short else limit
    return made


def _ssh(value: object, where: str) -> object:
    if isinstance(value, dict):
        return [f"{k}={v}" if v else k for k, v in value.items()]
    return value


def _words(value: object, where: str) -> object:
    """A truth value or word as a word (``provenance: true``)."""
    return _text(value)


def _external(value: object, where: str) -> object:
    """The deprecated ``external: {name: NAME}``."""
    if isinstance(value, dict) and isinstance(value.get("external"), dict):
        external = value["external"]
        name = external.get("name")
        if name is not None and value.get("name") not in (None, name):
            raise InvalidInput(
                f"{where}.external.name: the name is {str(value['name'])[:80]!r} already",
                hint="write external: true",
            )
        made = {k: v for k, v in value.items() if k != "external"} | {"external": True}
        if name is not None:
            made.setdefault("name", name)
        return made
    return value


def _healthcheck(value: object, where: str) -> object:
    return _mapping(value, where, {"test": _test})


def _build(value: object, where: str) -> object:
    if isinstance(value, str):
        return {"context": value}
    return _mapping(
        value,
        where,
        {
            "args": pairs,
            "labels": _labels,
            "ssh": _ssh,
            "additional_contexts": pairs,
            "extra_hosts": _hosts,
            "secrets": _each(granted),
            "ulimits": _ulimits,
            "cache_from": _one_or_many,
            "no_cache_filter": _one_or_many,
            "provenance": _words,
            "sbom": _words,
        },
    )


def _deploy(value: object, where: str) -> object:
    limits: Form = lambda item, path: _mapping(item, path, {"devices": _each(_request)})  # noqa: E731
    resources: Form = lambda item, path: _mapping(item, path, {"reservations": limits})  # noqa: E731
    return _mapping(value, where, {"labels": _labels, "resources": resources})


def _hook(value: object, where: str) -> object:
    return _mapping(value, where, {"command": _command, "environment": pairs})


def _develop(value: object, where: str) -> object:
    rule = {"ignore": _one_or_many, "include": _one_or_many, "exec": _hook}
    return _mapping(value, where, {"watch": _each(lambda item, path: _mapping(item, path, rule))})


def _logging(value: object, where: str) -> object:
    return _mapping(value, where, {"options": lambda v, _: pairs(v, where) if isinstance(v, dict) else v})


_SERVICE: dict[str, Form] = {
    "annotations": _labels,
    "build": _build,
    "command": _command,
    "configs": _each(granted),
    "depends_on": _dependencies,
    "deploy": _deploy,
    "develop": _develop,
    "devices": _each(_device),
    "dns": _servers,
    "dns_search": _one_or_many,
    "entrypoint": _command,
    "env_file": _env_files,
    "environment": pairs,
    "expose": _each(lambda item, _: _text(item)),
    "extends": _as("service"),
    "extra_hosts": _hosts,
    "gpus": _requests,
    "group_add": _each(lambda item, _: _text(item)),
    "healthcheck": _healthcheck,
    "label_file": _one_or_many,
    "labels": _labels,
    "logging": _logging,
    "models": _named,
    "networks": _named,
    "ports": ports,
    "post_start": _each(_hook),
    "pre_start": _each(_hook),
    "pre_stop": _each(_hook),
    "provider": _provider,
    "secrets": _each(granted),
    "storage_opt": pairs,
    "sysctls": _labels,
    "tmpfs": _one_or_many,
    "ulimits": _ulimits,
    "volumes": _each(mount),
}

_SECTIONS: dict[str, dict[str, Form]] = {
    "services": _SERVICE,
    "networks": {"labels": _labels, "driver_opts": pairs},
    "volumes": {"labels": _labels, "driver_opts": pairs},
    "configs": {"labels": _labels},
    "secrets": {"labels": _labels},
}


def resources(tree: dict[str, object]) -> dict[str, object]:
    """The deprecated ``external: {name}`` of networks, volumes, configs and secrets written out."""
    made = dict(tree)
    for section in ("networks", "volumes", "configs", "secrets"):
        found = made.get(section)
        if isinstance(found, dict):
            made[section] = {n: _apply(_external, v, join(section, n)) for n, v in found.items()}
    return made
