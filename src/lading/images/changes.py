"""What a container changed against its image: ``diff``'s list."""

from __future__ import annotations

import os
import stat

from lading.images import union
from lading.kernel.paths import open_plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lading.formats.rootfs import Rootfs

_CHUNK = 1 << 20


class Change:
    """``kind`` is ``A`` (added), ``C`` (changed) or ``D`` (deleted); ``path`` is absolute in the container."""

    __slots__ = ("kind", "path")

    def __init__(self, kind: str, path: str) -> None:
        self.kind = kind
        self.path = path

    def __repr__(self) -> str:
        return f"Change({self.kind} {self.path})"


#: What the runtime makes to mount over it. Left empty and unknown to the image, nobody else made it.
MOUNT_POINTS = frozenset((b"/etc/hosts", b"/etc/hostname", b"/etc/resolv.conf", b"/dev", b"/proc", b"/sys"))


def _only_mounted(name: bytes, path: bytes, there: os.stat_result, below: list[bytes]) -> bool:
    """Whether ``path`` in the writable layer is there only because the runtime mounts something at or below ``name``.

    ``below`` are the directories under the one that holds it. A directory counts when it differs from the image's in
    its time alone and holds nothing but such mount points.
    """
    if stat.S_ISREG(there.st_mode):
        if name not in MOUNT_POINTS or there.st_size:
            return False
        return union.child(b"", below, name.rpartition(b"/")[2]) is None
    if not stat.S_ISDIR(there.st_mode) or union.is_opaque(path):
        return False
    known = union.child(b"", below, name.rpartition(b"/")[2])
    entries = os.listdir(path)
    if known is None:
        if not (entries or name in MOUNT_POINTS):
            return False
    elif not entries or not same_directory(known, path, there, times=False):
        return False
    inner = [] if known is None else known.paths
    return all(
        _only_mounted(name + b"/" + entry, path + b"/" + entry, os.lstat(path + b"/" + entry), inner)
        for entry in entries
    )


def mounted_over(upper: str, lower: Sequence[str]) -> set[bytes]:
    """Names in the writable layer ``upper`` that only the runtime made; what is below such a directory goes with it.

    None without layers below: what is there then is the image itself.
    """
    if not lower:
        return set()
    found: set[bytes] = set()
    root, below = os.fsencode(upper), union.roots(lower)
    for name in {b"/" + entry for entry in os.listdir(root)} | MOUNT_POINTS:
        above = name.rpartition(b"/")[0]
        try:
            there = os.lstat(root + name)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if above and not stat.S_ISDIR(os.lstat(root + above).st_mode):
            continue  # a link of the container's: nothing of ours
        parent = union.find(below, above[1:]) if above else None
        inside = below if not above else parent.paths if parent is not None else []
        if _only_mounted(name, root + name, there, inside):
            found.add(name)
    return found


def changes(rootfs: Rootfs) -> Iterator[Change]:
    """Changes in the order of a walk, directories before what is in them. Reads the layers; nothing is mounted.

    As Docker's, the list passes over what only the runtime made: :data:`MOUNT_POINTS`.
    """
    if rootfs.base:
        from lading.images import differences

        yield from differences.changes(rootfs)
        return
    lower = union.roots(rootfs.lower)
    hidden = mounted_over(rootfs.upper, rootfs.lower)
    # The last is whether nothing of the layers shows through: then what is not in the directory is deleted.
    pending: list[tuple[bytes, bytes, list[bytes], bool]] = [(b"", os.fsencode(rootfs.upper), lower, False)]
    while pending:
        name, path, below, opaque = pending.pop()
        try:
            entries = set(os.listdir(path))
        except (FileNotFoundError, NotADirectoryError):
            continue  # gone since it was listed, here and below: the container goes on meanwhile
        covered = {n.name.rpartition(b"/")[2] for n in union.children(name, below)} if opaque else set()
        inner = []
        for entry in sorted(entries | covered):
            here = path + b"/" + entry
            full = name + b"/" + entry
            text = os.fsdecode(full)
            if entry not in entries:
                yield Change("D", text)
                continue
            if full in hidden:
                continue
            known = union.child(b"", below, entry)
            try:
                there = os.lstat(here)
                same = known is not None and (
                    same_directory(known, here, there) or same_file(known, here, there)
                )
            except FileNotFoundError:
                continue
            if union.is_whiteout(there):
                if known is not None:
                    yield Change("D", text)
                continue
            if known is None:
                yield Change("A", text)
            elif not same:
                yield Change("C", text)
            if stat.S_ISDIR(there.st_mode):
                paths = [] if known is None else known.paths
                inner.append((full, here, paths, opaque or union.is_opaque(here)))
        pending.extend(reversed(inner))


def same_directory(known: union.Node, path: bytes, there: os.stat_result, *, times: bool = True) -> bool:
    """Whether a directory in the writable layer is there only because something below it changed."""
    old = known.there
    if not stat.S_ISDIR(there.st_mode) or not stat.S_ISDIR(old.st_mode):
        return False
    if (there.st_mode, there.st_uid, there.st_gid) != (old.st_mode, old.st_uid, old.st_gid):
        return False
    # Docker lists a directory as changed when a name in it came or went: its time then differs.
    return (not times or there.st_mtime_ns == old.st_mtime_ns) and union.xattrs(path) == union.xattrs(
        known.path
    )


def same_file(known: union.Node, path: bytes, there: os.stat_result, *, since: int = 0) -> bool:
    """Whether a file is as the image has it: opened for writing or linked to, and then left alone.

    What has not been touched ``since`` (a change time in nanoseconds) is not read; the rest is compared byte by byte.
    """
    old = known.there
    if (there.st_mode, there.st_uid, there.st_gid, there.st_rdev, there.st_mtime_ns) != (
        old.st_mode,
        old.st_uid,
        old.st_gid,
        old.st_rdev,
        old.st_mtime_ns,
    ):
        return False
    if (
        stat.S_ISDIR(there.st_mode)
        or there.st_size != old.st_size
        or union.xattrs(path) != union.xattrs(known.path)
    ):
        return False
    if there.st_ctime_ns < since:
        return True
    if stat.S_ISLNK(there.st_mode):
        return os.readlink(path) == os.readlink(known.path)
    return not stat.S_ISREG(there.st_mode) or _same_bytes(path, known.path)


def _same_bytes(one: bytes, other: bytes) -> bool:
    with open(open_plain(one), "rb") as first, open(open_plain(other), "rb") as second:
        while True:
            piece = first.read(_CHUNK)
            if piece != second.read(_CHUNK):
                return False
            if not piece:
                return True
