"""``volumes`` of a service: ``[SOURCE:]TARGET[:MODE]`` in its long form. Source: Compose specification, "volumes"."""

from __future__ import annotations

from lading.errors import InvalidInput

_PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")


def is_path(source: str) -> bool:
    """Whether a source is a path of the host and no volume's name."""
    return source.startswith(("/", ".", "~", "\\\\"))


def _parts(text: str) -> list[str]:
    """What colons separate, those in braces of a variable left alone."""
    made, depth = [""], 0
    for index, char in enumerate(text):
        depth += {"{": text[index - 1 : index] == "$", "}": -(depth > 0)}.get(char, 0)
        if char == ":" and not depth:
            made.append("")
        else:
            made[-1] += char
    return made


def mount(value: object, where: str) -> object:
    """One row in long form. Raises :class:`InvalidInput`."""
    if isinstance(value, dict):
        return _long(value)
    if not isinstance(value, str):
        return value
    parts = _parts(value)
    if len(parts) > 3 or not all(parts):
        raise InvalidInput(
            f"{where}: {value[:80]!r} is not [SOURCE:]TARGET[:MODE]",
            hint="the long form has room for a colon in a path",
        )
    if len(parts) == 1:
        return {"type": "volume", "target": value, "volume": {}}
    made: dict[str, object] = {"type": "bind" if is_path(parts[0]) else "volume"}
    made["source"], made["target"] = parts[0], parts[1]
    bind = made["type"] == "bind"
    options: dict[str, object] = {"create_host_path": True} if bind else {}
    for mode in parts[2].split(",") if len(parts) == 3 else ():
        if mode in ("ro", "rw"):
            if mode == "ro":
                made["read_only"] = True
        elif mode in ("z", "Z") and bind:
            options["selinux"] = mode
        elif mode in _PROPAGATIONS and bind:
            options["propagation"] = mode
        elif mode == "nocopy" and not bind:
            options["nocopy"] = True
        elif mode not in ("cached", "delegated", "consistent"):  # which say something on a Mac alone
            raise InvalidInput(
                f"{where}: {value[:80]!r}: the mode {mode[:40]!r} is unknown for a {made['type']}"
            )
    made["bind" if bind else "volume"] = options
    return made


def _long(value: dict[str, object]) -> dict[str, object]:
    made = dict(value)
    memory = made.get("tmpfs")
    if isinstance(memory, dict) and isinstance(memory.get("mode"), int):
        made["tmpfs"] = {**memory, "mode": f"0{memory['mode']:o}"}
    options = made.get("volume")
    if isinstance(options, dict) and isinstance(options.get("labels"), list):
        from lading.formats.compose.canonical import pairs

        made["volume"] = {**options, "labels": pairs(options["labels"], "volume.labels")}
    return made
