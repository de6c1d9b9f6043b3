"""The union of layer directories, read without mounting it: what overlayfs would show.

Used where a mount would be a nuisance or is not to be had: to list what a container changed, to write a flattened
archive, and to copy an image's files where the kernel has no overlayfs.
Source: Linux Documentation/filesystems/overlayfs.rst, "Upper and Lower", "whiteouts and opaque directories".
"""

from __future__ import annotations

import os
import stat

from lading.errors import Unsupported
from lading.images.tarentry import show
from lading.kernel import overlay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OVERLAY = ("trusted.overlay.", "user.overlay.")
MARK = b".wh."
OPAQUE_MARK = b".wh..wh..opq"


class Node:
    """One name in the union: ``name`` from its root, ``path`` on the host of what decides, ``there`` its status.

    ``paths``  for a directory, all directories that are merged, top-most first.
    """

    __slots__ = ("name", "path", "paths", "there")

    def __init__(self, name: bytes, path: bytes, there: os.stat_result, paths: list[bytes]) -> None:
        self.name = name
        self.path = path
        self.there = there
        self.paths = paths


def is_whiteout(there: os.stat_result) -> bool:
    """A character device 0/0: overlayfs's "there is nothing here"."""
    return stat.S_ISCHR(there.st_mode) and not there.st_rdev


def is_mark(there: os.stat_result) -> bool:
    """Whether a file named ``.wh.…`` stands for a whiteout, where the file system can have no device or attribute for it.

    Unpacking makes such files empty, without permissions and time, and an archive cannot make a file of that name.
    """
    return stat.S_ISREG(there.st_mode) and not (
        stat.S_IMODE(there.st_mode) or there.st_size or there.st_mtime_ns
    )


def marked(directory: bytes, name: bytes) -> bool:
    """Whether a mark in ``directory`` deletes ``name`` from the layers below."""
    try:
        return is_mark(os.lstat(directory + b"/" + MARK + name))
    except OSError:
        return False


def is_opaque(path: bytes) -> bool:
    """Whether a directory hides what the layers below have in it."""
    return overlay.is_opaque(path) or marked(path, OPAQUE_MARK[len(MARK) :])


def roots(directories: Sequence[str]) -> list[bytes]:
    """Layer directories (top-most first) as :func:`children` wants them."""
    return [os.fsencode(d) for d in directories]


def children(name: bytes, paths: Sequence[bytes]) -> list[Node]:
    """What the merged directory ``name`` holds, sorted. ``paths``: its directories in the layers, top-most first.

    Raises :class:`Unsupported` for overlayfs features that need a mount to be read (redirects, metadata-only copies).
    """
    found: dict[bytes, Node] = {}
    closed: set[bytes] = set()  # decided by an upper layer: a whiteout, a file, an opaque directory
    for path in paths:
        deleted = set()
        for entry in sorted(os.listdir(path)):
            if entry in closed:
                continue
            here = path + b"/" + entry
            there = os.lstat(here)
            if entry.startswith(MARK) and is_mark(there):
                deleted.add(entry[len(MARK) :])
                continue
            known = found.get(entry)
            if not stat.S_ISDIR(there.st_mode):
                closed.add(entry)
                if known is None and not is_whiteout(there):
                    refuse_metacopy(here, there)
                    found[entry] = Node(name + b"/" + entry if name else entry, here, there, [])
                continue
            if known is None:
                known = found[entry] = Node(name + b"/" + entry if name else entry, here, there, [])
            known.paths.append(here)
            if is_opaque(here):
                closed.add(entry)
            else:
                refuse_redirect(here)
        closed |= deleted  # a whiteout hides what is below its layer only
    return [found[entry] for entry in sorted(found)]


def walk(directories: Sequence[str]) -> Iterator[Node]:
    """Everything in the union of ``directories`` (top-most first), parents before children, sorted, without the root."""
    pending = list(reversed(children(b"", roots(directories))))
    while pending:
        node = pending.pop()
        yield node
        if node.paths:
            pending.extend(reversed(children(node.name, node.paths)))


def find(paths: Sequence[bytes], name: bytes) -> Node | None:
    """The node ``name`` in the union, None when nothing is there. No link is followed."""
    node: Node | None = None
    current = list(paths)
    prefix = b""
    for part in name.split(b"/"):
        node = child(prefix, current, part)
        if node is None:
            return None
        prefix, current = node.name, node.paths
    return node


def child(prefix: bytes, paths: Sequence[bytes], part: bytes) -> Node | None:
    """The node ``part`` of the merged directory ``prefix``, None when it is not there or hidden."""
    node: Node | None = None
    for path in paths:
        here = path + b"/" + part
        try:
            there = os.lstat(here)
        except (FileNotFoundError, NotADirectoryError):
            if marked(path, part):
                return node
            continue
        if not stat.S_ISDIR(there.st_mode):
            if node is None and not is_whiteout(there):
                return Node(prefix + b"/" + part if prefix else part, here, there, [])
            return node
        if node is None:
            node = Node(prefix + b"/" + part if prefix else part, here, there, [])
        node.paths.append(here)
        if is_opaque(here) or marked(path, part):
            return node
    return node


def refuse_redirect(path: bytes) -> None:
    """Raise :class:`Unsupported` for a directory whose lower part has another name: only a mount can tell which."""
    for prefix in OVERLAY:
        try:
            os.getxattr(path, prefix + "redirect", follow_symlinks=False)
        except OSError:
            continue
        raise Unsupported(
            f"{show(path)}: the directory was renamed with overlayfs's redirect_dir",
            hint="mount containers with redirect_dir=off",
        )


def refuse_metacopy(path: bytes, there: os.stat_result) -> None:
    """Raise :class:`Unsupported` for a file whose data overlayfs left in a layer below."""
    if not stat.S_ISREG(there.st_mode):
        return
    for prefix in OVERLAY:
        try:
            os.getxattr(path, prefix + "metacopy", follow_symlinks=False)
        except OSError:
            continue
        raise Unsupported(
            f"{show(path)}: only the metadata is in this layer", hint="mount containers with metacopy=off"
        )


def attributes(path: bytes) -> list[str]:
    """The names of a file's extended attributes; none where the file system has none. Most files have none."""
    try:
        return os.listxattr(path, follow_symlinks=False)
    except OSError:
        return []


def xattrs(path: bytes, names: Sequence[str] | None = None) -> dict[bytes, bytes] | None:
    """A file's extended attributes that belong into an archive: not overlayfs's, not the machine's own labels.

    ``names``: its :func:`attributes`, where they are known.
    """
    found = {}
    for name in attributes(path) if names is None else names:
        if name.startswith((*OVERLAY, "security.selinux", "security.ima", "security.evm", "user.lading.")):
            continue
        found[os.fsencode(name)] = os.getxattr(path, name, follow_symlinks=False)
    return found or None
