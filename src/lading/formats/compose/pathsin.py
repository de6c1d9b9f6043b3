"""Paths in a tree made absolute: those of a file count from its project's directory, ``~`` is the caller's home.

Source: Compose specification: "relative paths are resolved based on the Compose file's parent folder"; "include"; "extends".
"""

from __future__ import annotations

import os.path

from lading.formats.compose.document import Override, Reset

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def absolute(tree: dict[str, object], base: str, home: str) -> dict[str, object]:
    """The tree, in long forms, with every path of this machine absolute."""

    def fix(value: object) -> object:
        return path(value, base, home) if isinstance(value, str) else value

    def context(value: object) -> object:
        return value if isinstance(value, str) and is_remote(value) else fix(value)

    made = dict(tree)
    services = _inside(made.get("services"))
    if services is not None:
        made["services"] = _again(
            made["services"], {n: _service(s, fix, context) for n, s in services.items()}
        )
    for section in ("configs", "secrets"):
        found = _inside(made.get(section))
        if found is not None:
            made[section] = _again(
                made[section], {n: _member(entry, "file", fix) for n, entry in found.items()}
            )
    volumes = _inside(made.get("volumes"))
    if volumes is not None:
        made["volumes"] = _again(made["volumes"], {n: _volume(entry, fix) for n, entry in volumes.items()})
    return made


def path(text: str, base: str, home: str) -> str:
    """One path, absolute; empty text, and one that is absolute already, stay as they are."""
    if not text:
        return text
    if home and (text == "~" or text.startswith("~/")):
        return os.path.normpath(home + text[1:])
    return text if _is_absolute(text) else os.path.normpath(os.path.join(base, text))


def _is_absolute(text: str) -> bool:
    """Whether a path is absolute, here or where drives have letters."""
    return text.startswith(("/", "\\\\")) or (text[:1].isalpha() and text[1:3] in (":\\", ":/"))


def is_remote(context: str) -> bool:
    """Whether a build context is no directory of this machine: a URL, a git repository, another image or target."""
    return "://" in context or context.startswith(("git@", "github.com/", "service:"))


def _inside(value: object) -> dict[str, object] | None:
    value = value.value if isinstance(value, Override) else value
    return value if isinstance(value, dict) else None


def _again(before: object, value: object) -> object:
    return Override(value) if isinstance(before, Override) else value


def _member(entry: object, name: str, fix: Callable[[object], object]) -> object:
    inside = _inside(entry)
    if inside is None or name not in inside or isinstance(inside[name], Reset):
        return entry
    value = inside[name]
    made = Override(fix(value.value)) if isinstance(value, Override) else fix(value)
    return _again(entry, {**inside, name: made})


def _rows(entry: object, name: str, change: Callable[[dict[str, object]], object]) -> object:
    inside = _inside(entry)
    if inside is None:
        return entry
    found = inside.get(name)
    rows = found.value if isinstance(found, Override) else found
    if not isinstance(rows, list):
        return entry
    made: object = [change(row) if isinstance(row, dict) else row for row in rows]
    return _again(entry, {**inside, name: _again(found, made)})


def _service(entry: object, fix: Callable[[object], object], context: Callable[[object], object]) -> object:
    def mounted(row: dict[str, object]) -> object:
        return {**row, "source": fix(row["source"])} if row.get("type") == "bind" and "source" in row else row

    entry = _rows(entry, "env_file", lambda row: {**row, "path": fix(row.get("path"))})
    entry = _rows(entry, "volumes", mounted)
    inside = _inside(entry)
    if inside is None:
        return entry
    made = dict(inside)
    labels = _inside_list(made.get("label_file"))
    if labels is not None:
        made["label_file"] = _again(made["label_file"], [fix(name) for name in labels])
    build = _inside(made.get("build"))
    if build is not None:
        changed = dict(build)
        if "context" in changed:
            changed["context"] = context(changed["context"])
        extra = _inside(changed.get("additional_contexts"))
        if extra is not None:
            changed["additional_contexts"] = _again(
                changed["additional_contexts"], {n: context(v) for n, v in extra.items()}
            )
        made["build"] = _again(made["build"], changed)
    develop = made.get("develop")
    if develop is not None:
        made["develop"] = _rows(develop, "watch", lambda row: {**row, "path": fix(row.get("path"))})
    return _again(entry, made)


def _inside_list(value: object) -> list[object] | None:
    value = value.value if isinstance(value, Override) else value
    return value if isinstance(value, list) else None


def _volume(entry: object, fix: Callable[[object], object]) -> object:
    """A volume that is a directory of this machine (``driver_opts`` with ``o: bind``)."""
    inside = _inside(entry)
    options = _inside(inside.get("driver_opts")) if inside is not None else None
    if inside is None or options is None or "bind" not in str(options.get("o", "")).split(","):
        return entry
    device = {"device": fix(options["device"] or ".")} if "device" in options else {}
    return _again(entry, {**inside, "driver_opts": {**options, **device}})
