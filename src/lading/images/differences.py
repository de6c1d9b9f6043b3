"""What is different in a private copy of an image's layers (copied.py): its ``diff``, and the layer that ``commit`` makes.

A copy keeps times, so what has the same kind, owner, mode, size, times and attributes is the same. One doubt is left: a
file that was written to and given its old time back. Its change time is later than the copy's end; it is compared byte
by byte.
"""

from __future__ import annotations

import os
import stat

from lading.images import union
from lading.images.changes import MOUNT_POINTS, Change, same_directory, same_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lading.formats.rootfs import Rootfs
    from lading.images.pack import Owner


class Difference:
    """A name, ``kind`` ``A``, ``C`` or ``D``, or empty for a directory that is as it was but holds differences.

    ``path`` and ``there`` say where it is in the copy; of what was deleted, where it was.
    """

    __slots__ = ("kind", "name", "path", "there")

    def __init__(self, kind: str, name: bytes, path: bytes, there: os.stat_result) -> None:
        self.kind = kind
        self.name = name
        self.path = path
        self.there = there


def changes(rootfs: Rootfs) -> Iterator[Change]:
    """Changes in the order of a walk, as :func:`lading.images.changes.changes` gives them for an overlay."""
    for found in differences(rootfs):
        if found.kind:
            yield Change(found.kind, "/" + os.fsdecode(found.name))


def pack(rootfs: Rootfs, out: Callable[[bytes], object], *, owner: Owner | None = None) -> list[str]:
    """The differences as the tar of an image layer; names left out are returned."""
    from lading.errors import Unsupported
    from lading.images.pack import Packer
    from lading.images.tarentry import Entry, show
    from lading.images.tarwrite import TarWriter

    tar = TarWriter(out)
    packer = Packer(tar, owner=owner)
    for found in differences(rootfs):
        above, _, last = found.name.rpartition(b"/")
        if found.kind == "D":
            tar.add(Entry(above + b"/.wh." + last if above else b".wh." + last, mode=0o600))
            continue
        if last.startswith(b".wh."):
            raise Unsupported(
                f"{show(found.name)}: a file whose name begins with .wh. cannot be in a layer",
                hint="rename it in the container",
            )
        packer.add(found.name, found.path, found.there)
    tar.close()
    return packer.skipped


class _Open:
    """A directory that is being looked at: the names left to see, and where its own line belongs in the list."""

    __slots__ = ("here", "known", "left", "mark", "name", "node", "passed", "path", "there")

    def __init__(
        self,
        name: bytes,
        path: bytes,
        there: os.stat_result,
        node: union.Node | None,
        base: list[bytes],
        mark: int,
    ) -> None:
        self.name = name
        self.path = path
        self.there = there
        self.node = node
        self.mark = mark
        self.passed = False  # over a mount point of the runtime's
        self.known = {n.name.rpartition(b"/")[2]: n for n in union.children(name, base)} if base else {}
        self.here = set(os.listdir(path))
        self.left = sorted(self.here | set(self.known), reverse=True)


def differences(rootfs: Rootfs) -> list[Difference]:
    """Everything that is not as the image has it, parents before children, with the directories on the way.

    What only the runtime made to mount something over it stays out, as for an overlay.
    """
    since = os.stat(os.path.dirname(rootfs.upper) + "/copied").st_ctime_ns
    found: list[Difference] = []
    root = os.fsencode(rootfs.upper)
    # Not by recursion: a container may nest directories deeper than Python does.
    open_ = [_Open(b"", root, os.lstat(root), None, union.roots(rootfs.base), 0)]
    while open_:
        above = open_[-1]
        if not above.left:
            open_.pop()
            if open_ and not _closed(above, found):
                open_[-1].passed = True
            continue
        entry = above.left.pop()
        node = above.known.get(entry)
        name = above.name + b"/" + entry if above.name else entry
        if entry not in above.here:
            if node is not None:
                found.append(Difference("D", name, node.path, node.there))
            continue
        path = above.path + b"/" + entry
        try:
            there = os.lstat(path)
            if stat.S_ISDIR(there.st_mode):
                below = node.paths if node is not None else []
                open_.append(_Open(name, path, there, node, below, len(found)))
            elif node is None and _mount_point(name, there):
                above.passed = True
            elif node is None:
                found.append(Difference("A", name, path, there))
            elif not same_file(node, path, there, since=since):
                found.append(Difference("C", name, path, there))
        except FileNotFoundError:
            continue  # gone since it was listed: the container goes on meanwhile
    return found


def _closed(seen: _Open, found: list[Difference]) -> bool:
    """Give a directory its line, now that all below it is known; False when only the runtime's mount points explain it."""
    below = len(found) > seen.mark
    if seen.node is None:
        if not below and (seen.passed or b"/" + seen.name in MOUNT_POINTS):
            return False
        kind = "A"
    elif same_directory(seen.node, seen.path, seen.there, times=not (seen.passed and not below)):
        if not below:
            return True
        kind = ""
    else:
        kind = "C"
    found.insert(seen.mark, Difference(kind, seen.name, seen.path, seen.there))
    return True


def _mount_point(name: bytes, there: os.stat_result) -> bool:
    return stat.S_ISREG(there.st_mode) and not there.st_size and b"/" + name in MOUNT_POINTS
