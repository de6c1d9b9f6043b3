"""Mount options of runtime-spec (config.md, "Linux mount options") sorted by what the kernel wants them for."""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.kernel.mounts import (
    MOUNT_ATTR_ATIME,
    MOUNT_ATTR_NOATIME,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW,
    MOUNT_ATTR_RDONLY,
    MOUNT_ATTR_RELATIME,
    MOUNT_ATTR_STRICTATIME,
    MS_PRIVATE,
    MS_SHARED,
    MS_SLAVE,
    MS_UNBINDABLE,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_runtime import Mount

#: Name → (attributes set, attributes cleared). With an ``r`` in front: for the whole tree.
_ATTRIBUTES = {
    "ro": (MOUNT_ATTR_RDONLY, 0),
    "rw": (0, MOUNT_ATTR_RDONLY),
    "nosuid": (MOUNT_ATTR_NOSUID, 0),
    "suid": (0, MOUNT_ATTR_NOSUID),
    "nodev": (MOUNT_ATTR_NODEV, 0),
    "dev": (0, MOUNT_ATTR_NODEV),
    "noexec": (MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, MOUNT_ATTR_NOEXEC),
    "nodiratime": (MOUNT_ATTR_NODIRATIME, 0),
    "diratime": (0, MOUNT_ATTR_NODIRATIME),
    "relatime": (MOUNT_ATTR_RELATIME, MOUNT_ATTR_ATIME),
    "norelatime": (0, MOUNT_ATTR_ATIME),
    "noatime": (MOUNT_ATTR_NOATIME, MOUNT_ATTR_ATIME),
    "atime": (0, MOUNT_ATTR_ATIME),
    "strictatime": (MOUNT_ATTR_STRICTATIME, MOUNT_ATTR_ATIME),
    "nostrictatime": (0, MOUNT_ATTR_ATIME),
    "nosymfollow": (MOUNT_ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, MOUNT_ATTR_NOSYMFOLLOW),
}
_RECURSIVE = {f"r{name}": value for name, value in _ATTRIBUTES.items()}
_DEFAULTS = ("defaults", "async", "nodirsync", "nomand", "nolazytime", "loud", "noiversion", "auto", "noauto")
_SUPERBLOCK = ("sync", "dirsync", "mand", "lazytime", "silent", "iversion")

PROPAGATION = {
    "private": MS_PRIVATE,
    "shared": MS_SHARED,
    "slave": MS_SLAVE,
    "unbindable": MS_UNBINDABLE,
}
_RPROPAGATION = {f"r{name}": flag for name, flag in PROPAGATION.items()}


class Options:
    """One mount's options.

    ``set``/``clear`` and ``tree_set``/``tree_clear`` are ``MOUNT_ATTR_*``; ``propagation`` lists (``MS_*``, recursive) in
    the order given; ``data`` is the file system's own, a value of None is a flag.
    """

    __slots__ = (
        "bind",
        "clear",
        "copy_up",
        "data",
        "idmap",
        "move",
        "propagation",
        "recursive",
        "remount",
        "set",
        "tree_clear",
        "tree_set",
    )

    def __init__(self, words: list[str]) -> None:
        self.set = self.clear = self.tree_set = self.tree_clear = 0
        self.bind = self.recursive = self.remount = self.copy_up = self.move = False
        self.idmap = ""  # "", "idmap" or "ridmap"
        self.propagation: list[tuple[int, bool]] = []
        self.data: list[tuple[str, str | None]] = []
        for word in words:
            self._take(word)

    def _take(self, word: str) -> None:
        if word in _ATTRIBUTES:
            on, off = _ATTRIBUTES[word]
            # A later word wins: "ro,rw" is writable.
            self.set = self.set & ~off | on
            self.clear = self.clear & ~on | off
        elif word in _RECURSIVE:
            on, off = _RECURSIVE[word]
            self.tree_set = self.tree_set & ~off | on
            self.tree_clear = self.tree_clear & ~on | off
        elif word in ("bind", "rbind"):
            self.bind = True
            self.recursive = self.recursive or word == "rbind"
        elif word in PROPAGATION:
            self.propagation.append((PROPAGATION[word], False))
        elif word in _RPROPAGATION:
            self.propagation.append((_RPROPAGATION[word], True))
        elif word == "remount":
            self.remount = True
        elif word == "tmpcopyup":
            self.copy_up = True
        elif word in ("idmap", "ridmap"):
            self.idmap = word
        elif word in _DEFAULTS or not word:
            pass
        elif word in _SUPERBLOCK:
            self.data.append((word, None))
        else:
            key, equals, value = word.partition("=")
            if not key:
                raise InvalidInput(f"mount option {word!r} has no name")
            self.data.append((key, value if equals else None))


def is_bind(mount: Mount) -> bool:
    """Whether it shows something that exists, rather than a new file system."""
    return mount.type == "bind" or "bind" in mount.options or "rbind" in mount.options
