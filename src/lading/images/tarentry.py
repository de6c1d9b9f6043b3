"""One entry of a tar archive, as the reader finds it and the writer writes it. Names are bytes: archives have no encoding."""

from __future__ import annotations

REGULAR = 0x30  # '0'
HARDLINK = 0x31
SYMLINK = 0x32
CHARACTER = 0x33
BLOCK = 0x34
DIRECTORY = 0x35
FIFO = 0x36


class Entry:
    """``size`` is the file's own; ``stored`` what the archive holds of it (less, when ``sparse`` lists its parts).

    ``mtime`` is in nanoseconds since 1970; ``mode`` the twelve permission bits; ``device`` is (major, minor).
    ``sparse``: (offset, length) of the parts that hold data, ascending; None for a plain file.
    """

    __slots__ = (
        "device",
        "gid",
        "kind",
        "linkname",
        "mode",
        "mtime",
        "name",
        "size",
        "sparse",
        "stored",
        "uid",
        "xattrs",
    )

    def __init__(
        self,
        name: bytes,
        kind: int = REGULAR,
        *,
        mode: int = 0o644,
        uid: int = 0,
        gid: int = 0,
        size: int = 0,
        mtime: int = 0,
        linkname: bytes = b"",
        device: tuple[int, int] = (0, 0),
        xattrs: dict[bytes, bytes] | None = None,
        sparse: list[tuple[int, int]] | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.size = size
        self.stored = size if sparse is None else sum(length for _, length in sparse)
        self.mtime = mtime
        self.linkname = linkname
        self.device = device
        self.xattrs = xattrs
        self.sparse = sparse

    def __repr__(self) -> str:
        return f"Entry({self.name!r}, {chr(self.kind)!r}, {self.mode:o}, {self.uid}:{self.gid}, {self.size})"


def show(name: bytes) -> str:
    """A name for an error message: short, and without control characters."""
    text = name.decode("utf-8", "backslashreplace")
    text = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return text if len(text) <= 120 else text[:80] + "…" + text[-39:]
