"""What unpacking one layer yields, and the few things it asks of the machine."""

from __future__ import annotations

import errno
import os

from lading.errors import InvalidInput

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
    """Let a directory hide the layers below, for mounts here and (``user.overlay``) in a user namespace."""
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
        raise InvalidInput(
            "the layer hides a directory of the layers below, and this file system keeps no extended attributes for it",
            hint="put the data root on ext4, xfs, btrfs or a recent tmpfs",
        )


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
