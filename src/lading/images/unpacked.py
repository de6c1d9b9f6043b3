"""What unpacking one layer yields, and the few things it asks of the machine."""

from __future__ import annotations

import errno
import os

from lading.errors import InvalidInput
from lading.images.union import OPAQUE_MARK

OWNER_XATTR = b"user.lading.owner"


class Unpacked:
    """What one layer turned out to hold.

    ``implicit``  directories made only because an entry needed a parent: their attributes belong to a layer below.
    ``links``     hard links (name, target) whose target is only in a layer below.
    ``notes``     what could not be kept as the archive has it, a sentence each.
    """

    __slots__ = ("entries", "implicit", "links", "notes", "size")

    def __init__(self) -> None:
        self.entries = 0
        self.size = 0
        self.implicit: list[bytes] = []
        self.links: list[tuple[bytes, bytes]] = []
        self.notes: list[str] = []


def hostile(message: str) -> InvalidInput:
    """The error for an archive that tries to leave its root or to forge overlay metadata."""
    return InvalidInput(message, reason="hostile-archive")


def mark_opaque(fd: int, uid: int) -> None:
    """Let a directory hide the layers below, for mounts here and (``user.overlay``) in a user namespace.

    Where the file system has neither attribute a file says so, for the copies that containers get there (union.py).
    """
    names = (b"trusted.overlay.opaque", b"user.overlay.opaque") if uid == 0 else (b"user.overlay.opaque",)
    done = False
    for name in names:
        try:
            os.setxattr(fd, name, b"y")
            done = True
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP):
                raise
    if not done:
        make_mark(fd, OPAQUE_MARK)


def make_mark(directory: int, name: bytes) -> None:
    """A file that stands for a whiteout: :func:`lading.images.union.is_mark`."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(name, flags, 0, dir_fd=directory)
    try:
        os.utime(fd, ns=(0, 0))
    finally:
        os.close(fd)


def initial_user_namespace() -> bool:
    """Whether every id of the machine is ours to give."""
    try:
        with open("/proc/self/uid_map", "rb") as file:
            return file.read().split() == [b"0", b"0", b"4294967295"]
    except OSError:
        return True


def umask() -> int:
    """This process's umask, read without changing it: other threads create files too."""
    try:
        with open("/proc/self/status", "rb") as file:
            for line in file:
                if line.startswith(b"Umask:"):
                    return int(line.split()[1], 8)
    except (OSError, ValueError):
        pass
    return 0o777
