"""What a container changed against its image: ``diff``'s list."""

from __future__ import annotations

import os
import stat

from lading.images import union

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lading.formats.rootfs import Rootfs


class Change:
    """``kind`` is ``A`` (added), ``C`` (changed) or ``D`` (deleted); ``path`` is absolute in the container."""

    __slots__ = ("kind", "path")

    def __init__(self, kind: str, path: str) -> None:
        self.kind = kind
        self.path = path

    def __repr__(self) -> str:
        return f"Change({self.kind} {self.path})"


def changes(rootfs: Rootfs) -> Iterator[Change]:
    """Changes in the order of a walk, directories before what is in them. Reads the layers; nothing is mounted."""
    lower = union.roots(rootfs.lower)
    pending: list[tuple[bytes, bytes, list[bytes]]] = [(b"", os.fsencode(rootfs.upper), lower)]
    while pending:
        name, path, below = pending.pop()
        inner = []
        for entry in sorted(os.listdir(path)):
            here = path + b"/" + entry
            there = os.lstat(here)
            full = name + b"/" + entry
            known = union.child(b"", below, entry)
            text = os.fsdecode(full)
            if union.is_whiteout(there):
                if known is not None:
                    yield Change("D", text)
                continue
            if known is None:
                yield Change("A", text)
            elif not _same(known, here, there):
                yield Change("C", text)
            if stat.S_ISDIR(there.st_mode):
                opaque = union.is_opaque(here)
                if opaque and known is not None:
                    for gone in union.children(full, known.paths):
                        if not os.path.lexists(here + b"/" + gone.name.rpartition(b"/")[2]):
                            yield Change("D", os.fsdecode(gone.name))
                inner.append((full, here, [] if known is None or opaque else known.paths))
        pending.extend(reversed(inner))


def _same(known: union.Node, path: bytes, there: os.stat_result) -> bool:
    """Whether a directory in the writable layer is there only because something below it changed."""
    old = known.there
    if not stat.S_ISDIR(there.st_mode) or not stat.S_ISDIR(old.st_mode):
        return False
    if (there.st_mode, there.st_uid, there.st_gid) != (old.st_mode, old.st_uid, old.st_gid):
        return False
    # Docker lists a directory as changed when a name in it came or went: its time then differs.
    return there.st_mtime_ns == old.st_mtime_ns and union.xattrs(path) == union.xattrs(known.path)
