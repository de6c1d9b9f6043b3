"""Owners, modes, extended attributes and times of what was unpacked, as far as this machine and user can give them.

What cannot be kept is noted, and said once for all entries; what forges overlayfs's own attributes is refused.
"""

from __future__ import annotations

import errno
import os

from lading.errors import Unsupported
from lading.images.tarentry import DIRECTORY, REGULAR, SYMLINK, Entry, show
from lading.images.unpacked import OWNER_XATTR, hostile, initial_user_namespace

_ROOM = 2048  # bytes of an attribute that every file system with attributes has room for, while its disk is not full


class Attributes:
    """Gives attributes to one layer's files. ``notes`` counts what was left out, by the sentence that says so."""

    def __init__(self, keep_owner: bool) -> None:
        self._keep_owner = keep_owner
        self._uid = os.geteuid()
        self._gid = os.getegid()
        self.notes: dict[str, int] = {}

    def note(self, text: str) -> None:
        """Something could not be kept as the archive has it."""
        self.notes[text] = self.notes.get(text, 0) + 1

    def unopened(self, entry: Entry, directory: int, base: bytes) -> None:
        """Owner, mode, attributes and time of something that is not opened: a link or a node."""
        if self._keep_owner and (entry.uid != self._uid or entry.gid != self._gid):
            try:
                os.chown(base, entry.uid, entry.gid, dir_fd=directory, follow_symlinks=False)
            except (PermissionError, OSError) as error:
                if error.errno not in (errno.EPERM, errno.EINVAL):
                    raise
                self.note("owners outside the user namespace's range were given to its root")
        if entry.kind != SYMLINK:
            # Just made by us in a directory nobody else writes: no link to follow here.
            os.chmod(base, entry.mode, dir_fd=directory)
        if entry.xattrs:
            self.xattrs(entry, f"/proc/self/fd/{directory}/".encode() + base)
        os.utime(base, ns=(entry.mtime, entry.mtime), dir_fd=directory, follow_symlinks=False)

    def owner(self, entry: Entry, fd: int) -> None:
        """The owner of an open file or directory; as an ordinary user with one id it is written into an attribute."""
        if self._keep_owner:
            try:
                os.fchown(fd, entry.uid, entry.gid)
                if entry.mode & 0o7000:
                    os.fchmod(fd, entry.mode)
                return
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.EINVAL):
                    raise
                self.note("owners outside the user namespace's range were given to its root")
        if entry.uid or entry.gid:
            try:
                os.setxattr(fd, OWNER_XATTR, f"{entry.uid}:{entry.gid}".encode())
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.ENOTSUP):
                    raise

    def xattrs(self, entry: Entry, target: int | bytes) -> None:
        """Extended attributes. Raises :class:`InvalidInput` (reason ``hostile-archive``) for overlayfs's own."""
        refuse_xattrs(entry)
        for key, value in (entry.xattrs or {}).items():
            if key == OWNER_XATTR:
                continue
            if key.startswith((b"security.selinux", b"security.ima", b"security.evm")):
                self.note(f"{show(key)} belongs to the machine that made the archive and was left out")
                continue
            try:
                if isinstance(target, int):
                    os.setxattr(target, key, value)
                else:
                    os.setxattr(target, key, value, follow_symlinks=False)
            except OSError as error:
                if error.errno in (errno.EINVAL, errno.ERANGE):
                    raise hostile(
                        f"{show(entry.name)}: the extended attribute {show(key)} is not one that Linux takes"
                    ) from None
                if error.errno == errno.E2BIG or (error.errno == errno.ENOSPC and len(value) > _ROOM):
                    # ext4 says "no space" for what does not fit into one block, however much is free.
                    raise Unsupported(
                        f"{show(entry.name)}: the file system has no room for {len(value)} bytes of {show(key)}",
                        hint="keep the store on XFS or btrfs",
                        reason="xattr-size",
                    ) from None
                if error.errno != errno.ENOTSUP and not (
                    error.errno == errno.EPERM and self._may_refuse(entry, key)
                ):
                    raise
                self.note(f"{show(key)} cannot be set here and was left out")

    def _may_refuse(self, entry: Entry, key: bytes) -> bool:
        """Whether EPERM for ``key`` is a fact of life: user.* on links and nodes, or security.* without privilege."""
        if key.startswith(b"user.") and entry.kind not in (REGULAR, DIRECTORY):
            return True
        return bool(self._uid) or not initial_user_namespace()


def refuse_xattrs(entry: Entry) -> None:
    """Raise :class:`InvalidInput` (reason ``hostile-archive``) for attributes that no archive may set or nothing can hold."""
    for key, value in (entry.xattrs or {}).items():
        if b"overlay." in key and key.startswith((b"trusted.overlay.", b"user.overlay.")):
            raise hostile(f"{show(entry.name)}: the archive sets {show(key)}, which belongs to overlayfs")
        if key != OWNER_XATTR and (len(key) > 255 or len(value) > 65536 or b"\0" in key):
            raise hostile(f"{show(entry.name)}: the extended attribute {show(key)} is too large")
