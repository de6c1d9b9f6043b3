"""``--device`` and ``--device-cgroup-rule`` to a Pod. Pure; see :mod:`lading.cli.translate_rights`."""

from __future__ import annotations

from lading.errors import InvalidInput, Unsupported
from lading.formats.pod import HostDevice


def device(text: str) -> HostDevice:
    """``HOST[:PATH[:rwm]]``. Raises :class:`InvalidInput`."""
    parts = text.split(":")
    path = parts[0]
    inside, rights = path, "rwm"
    if len(parts) == 2:
        if parts[1] and set(parts[1]) <= set("rwm"):
            rights = parts[1]
        else:
            inside = parts[1]
    elif len(parts) == 3:
        inside, rights = parts[1] or path, parts[2]
    if len(parts) > 3 or not path.startswith("/") or not inside.startswith("/"):
        if "=" in path and not path.startswith("/"):
            raise Unsupported(f"--device {text!r}: CDI devices are not supported")
        raise InvalidInput(f"--device {text!r} is not HOST[:PATH[:RIGHTS]] with absolute paths")
    if not rights or not set(rights) <= set("rwm") or len(set(rights)) != len(rights):
        raise InvalidInput(f"--device {text!r}: {rights!r} is not made of r, w and m")
    return HostDevice(path=path, container_path=inside, permissions=rights)


def check_rule(rule: str) -> None:
    """Raise :class:`InvalidInput` unless ``rule`` is ``TYPE MAJOR:MINOR RIGHTS``."""
    parts = rule.split()
    numbers = parts[1].split(":") if len(parts) == 3 else []
    if (
        len(parts) != 3
        or parts[0] not in ("a", "b", "c")
        or len(numbers) != 2
        or not all(n == "*" or (n.isascii() and n.isdigit() and len(n) < 11) for n in numbers)
        or not set(parts[2]) <= set("rwm")
    ):
        raise InvalidInput(
            f"--device-cgroup-rule {rule!r} is not 'TYPE MAJOR:MINOR RIGHTS'", hint="write 'c 1:3 rwm'"
        )
