"""``--secret``: files and variables that commands of a build may see, and nothing of which stays."""

from __future__ import annotations

import os

from lading.errors import InvalidInput, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST = 500 << 10
"""Bytes of a secret: BuildKit's limit."""
_KEYS = ("id", "src", "source", "env", "type")


def secret(text: str, environ: Mapping[str, str]) -> tuple[str, bytes]:
    """``id=ID[,src=FILE|env=VARIABLE][,type=file|env]`` as an id and the content; the id alone names a variable or a file.

    Raises :class:`InvalidInput`, :class:`NotFound`.
    """
    fields = _fields(text)
    name = fields.get("id", "")
    if not name:
        raise InvalidInput(
            f"--secret {text!r} has no id", hint="write id=NAME,src=FILE or id=NAME,env=VARIABLE"
        )
    source, variable, kind = fields.get("src", ""), fields.get("env", ""), fields.get("type", "")
    if kind not in ("", "file", "env"):
        raise InvalidInput(f"--secret id={name}: type={kind[:40]} is neither file nor env")
    if source and variable:
        raise InvalidInput(f"--secret id={name}: a file and a variable, and one of them can be meant")
    if kind == "env":
        variable, source = variable or source or name, ""
    elif not source and not variable:
        if kind != "file" and name in environ:
            variable = name
        else:
            source = name
    if variable:
        if variable not in environ:
            raise NotFound(f"--secret id={name}: the variable {variable} is not set", reason="no-secret")
        return name, os.fsencode(environ[variable])
    return name, _read(name, source)


def _fields(text: str) -> dict[str, str]:
    made: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        key = key.strip().lower()
        if key not in _KEYS or not equals:
            raise InvalidInput(
                f"--secret {text!r}: {part[:60]!r} is not one of id=, src=, env=, type=",
                hint="write id=NAME,src=FILE or id=NAME,env=VARIABLE",
            )
        key = "src" if key == "source" else key
        if key in made:
            raise InvalidInput(f"--secret {text!r}: {key} stands twice")
        made[key] = value
    return made


def _read(name: str, path: str) -> bytes:
    try:
        with open(os.path.expanduser(path), "rb") as file:
            data = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "a path has no NUL in it"
        raise NotFound(f"--secret id={name}: {path!r}: {why}", reason="no-secret") from None
    if len(data) > LARGEST:
        raise InvalidInput(
            f"--secret id={name}: {path!r} is larger than {LARGEST >> 10} KiB", reason="too-large"
        )
    return data
