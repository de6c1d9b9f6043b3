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
    ``marks``     whether files stand for whiteouts, because there could be none (:func:`make_mark`).
    """

    __slots__ = ("entries", "implicit", "links", "marks", "notes", "size")

    def __init__(self) -> None:
        self.entries = 0
        self.size = 0
        self.implicit: list[bytes] = []
        self.links: list[tuple[bytes, bytes]] = []
        self.notes: list[str] = []
        self.marks = False

    def encode(self) -> dict[str, object]:
        """For another process."""
        return {
            "entries": self.entries,
            "size": self.size,
            "implicit": [name.decode("latin-1") for name in self.implicit],
            "links": [[name.decode("latin-1"), target.decode("latin-1")] for name, target in self.links],
            "notes": self.notes,
            "marks": self.marks,
        }

    @classmethod
    def decode(cls, record: dict[str, object]) -> Unpacked:
        """What :meth:`encode` gave."""
        made = cls()
        made.entries, made.size = record["entries"], record["size"]  # type: ignore[assignment]
        made.implicit = [name.encode("latin-1") for name in record["implicit"]]  # type: ignore[attr-defined]
        made.links = [
            (name.encode("latin-1"), target.encode("latin-1"))
            for name, target in record["links"]  # type: ignore[attr-defined]
        ]
        made.notes, made.marks = record["notes"], record["marks"]  # type: ignore[assignment]
        return made


class Tar:
    """The archive that an unpacked layer is packed to again, byte for byte, because it was packed here in the first place.

    ``size``   its bytes; their digest is the layer's diff-id.
    ``holes``  by name, where a file that has holes has data (offset, length): file systems change their minds about it.
    """

    __slots__ = ("holes", "size")

    def __init__(self, size: int, holes: dict[bytes, list[tuple[int, int]]]) -> None:
        self.size = size
        self.holes = holes

    def encode(self) -> dict[str, object]:
        """As the layer's record has it."""
        holes = [
            [name.decode("latin-1"), [list(part) for part in parts]] for name, parts in self.holes.items()
        ]
        return {"size": self.size, "holes": holes}

    @classmethod
    def decode(cls, record: object) -> Tar:
        """Raises :class:`TypeError`, :class:`ValueError`, :class:`KeyError` for what is no such record."""
        assert isinstance(record, dict)
        holes = {
            str(name).encode("latin-1"): [(int(start), int(length)) for start, length in parts]
            for name, parts in record["holes"]
        }
        return cls(int(record["size"]), holes)


def hostile(message: str) -> InvalidInput:
    """The error for an archive that tries to leave its root or to forge overlay metadata."""
    return InvalidInput(message, reason="hostile-archive")


def mark_opaque(fd: int, uid: int) -> bool:
    """Let a directory hide the layers below, for mounts here and (``user.overlay``) in a user namespace.

    Where the file system has neither attribute a file says so, for the copies that containers get there (union.py); whether it
    had to.
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
    return not done


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
