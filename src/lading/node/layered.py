"""Read small files of a container's root without mounting it.

A root is a stack of layer directories, as overlayfs would show them: whiteouts hide, opaque directories end the search,
links are resolved against the root and never leave it. Source: Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import os
import stat

from lading.errors import LadingError
from lading.kernel import overlay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_LINKS = 40
_SMALL = 4 << 20


def find(layers: Sequence[str], path: str) -> tuple[str, os.stat_result] | None:
    """Where ``path`` of the merged root lies, and what it is; links followed. ``layers`` are top-most first.

    A directory's place is that of its top-most part. None when there is nothing.
    """
    found = _found(layers, path)
    return None if found is None else found[:2]


def holds_something(layers: Sequence[str], path: str) -> bool:
    """Whether ``path`` of the merged root is a directory with something in it; links followed."""
    found = _found(layers, path)
    hidden: set[str] = set()
    for directory in found[2] if found is not None else ():
        with os.scandir(directory) as entries:
            for entry in entries:
                info = entry.stat(follow_symlinks=False)
                if stat.S_ISCHR(info.st_mode) and info.st_rdev == 0:
                    hidden.add(entry.name)
                elif entry.name not in hidden:
                    return True
    return False


def _found(layers: Sequence[str], path: str) -> tuple[str, os.stat_result, list[str]] | None:
    """As :func:`find`; with the directories that make up a directory, top-most first."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    links = 0
    done: list[str] = []
    current = list(layers)
    found = _top(current)
    while parts:
        part = parts.pop(0)
        if part == "..":
            # Start over without the last component: rare, and simpler than keeping every level's directories.
            parts = done[:-1] + parts
            done, current = [], list(layers)
            found = _top(current)
            continue
        step = _step(current, part)
        if step is None:
            return None
        place, info, below = step
        if stat.S_ISLNK(info.st_mode):
            links += 1
            if links > _LINKS:
                return None
            target = os.readlink(place)
            ahead = [piece for piece in target.split("/") if piece not in ("", ".")]
            parts = ahead + parts if target.startswith("/") else done + ahead + parts
            done, current = [], list(layers)
            found = _top(current)
            continue
        if parts and not stat.S_ISDIR(info.st_mode):
            return None
        found = (place, info)
        done.append(part)
        current = below
    return None if found is None else (*found, current)


def _top(layers: list[str]) -> tuple[str, os.stat_result] | None:
    return (layers[0], os.lstat(layers[0])) if layers else None


def _step(directories: list[str], name: str) -> tuple[str, os.stat_result, list[str]] | None:
    first: tuple[str, os.stat_result] | None = None
    below: list[str] = []
    for directory in directories:
        place = f"{directory}/{name}"
        try:
            info = os.lstat(place)
        except OSError:
            continue
        if stat.S_ISCHR(info.st_mode) and info.st_rdev == 0:
            break
        if first is None:
            first = (place, info)
        if not stat.S_ISDIR(info.st_mode):
            break
        below.append(place)
        if overlay.is_opaque(place):
            break
    if first is None:
        return None
    return first[0], first[1], below


def read(layers: Sequence[str], path: str) -> bytes:
    """The bytes of a small regular file; nothing when there is none. Raises LadingError beyond 4 MiB."""
    found = find(layers, path)
    if found is None or not stat.S_ISREG(found[1].st_mode):
        return b""
    try:
        # Between look-up and open a running process could put a link here; NOFOLLOW and the second look see it.
        fd = os.open(found[0], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        info = os.fstat(fd)
        if (info.st_dev, info.st_ino) != (found[1].st_dev, found[1].st_ino):
            return b""
        if info.st_size > _SMALL:
            raise LadingError(f"{path} in the image is larger than {_SMALL >> 20} MiB")
        return os.read(
            fd, info.st_size
        )  # and not the most there may be: a buffer of that size is mapped and unmapped
    finally:
        os.close(fd)
