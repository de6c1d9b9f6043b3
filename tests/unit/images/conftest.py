"""Archives for tests, made by Python's own tarfile or byte by byte; and a store of one's own."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lading.images import Images
from lading.images.limits import Limits
from lading.images.tarread import TarReader
from lading.images.unpack import Extractor
from lading.images.unpacked import Unpacked


class Tar:
    """Builds an archive entry by entry."""

    def __init__(self, format: int = tarfile.PAX_FORMAT) -> None:
        self._out = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._out, mode="w", format=format)

    def add(self, name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", **fields: object) -> Tar:
        info = tarfile.TarInfo(name)
        info.type = kind
        info.size = len(data)
        info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
        for key, value in fields.items():
            setattr(info, key, value)
        self._tar.addfile(info, io.BytesIO(data))
        return self

    def file(self, name: str, data: bytes = b"data", **fields: object) -> Tar:
        return self.add(name, tarfile.REGTYPE, data, **fields)

    def dir(self, name: str, **fields: object) -> Tar:
        return self.add(name, tarfile.DIRTYPE, **fields)

    def symlink(self, name: str, target: str) -> Tar:
        return self.add(name, tarfile.SYMTYPE, linkname=target)

    def link(self, name: str, target: str) -> Tar:
        return self.add(name, tarfile.LNKTYPE, linkname=target)

    def raw(self, data: bytes) -> Tar:
        self._out.write(data)
        self._tar.offset = self._out.tell()
        return self

    def bytes(self) -> bytes:
        self._tar.close()
        return self._out.getvalue()


def header(name: bytes, kind: bytes = b"0", size: int | bytes = 0, **fields: bytes) -> bytes:
    """One raw ustar header with a right checksum."""
    field = size if isinstance(size, bytes) else b"%011o\0" % size
    made = bytearray(512)
    made[0 : len(name)] = name
    made[100:108] = b"0000644\0"
    made[108:116] = made[116:124] = b"0000000\0"
    made[124 : 124 + len(field)] = field
    made[136:148] = b"00000000000\0"
    made[156:157] = kind
    made[257:265] = b"ustar\x0000"
    for offset, value in fields.items():
        at = int(offset.removeprefix("at"))
        made[at : at + len(value)] = value
    made[148:156] = b" " * 8
    made[148:156] = b"%06o\0 " % sum(made)
    return bytes(made)


def pax(**records: bytes) -> bytes:
    """An extended header; ``__`` in a key stands for a dot."""
    body = b""
    for key, value in records.items():
        line = b" " + key.replace("__", ".").encode() + b"=" + value + b"\n"
        length = len(line)
        while len(b"%d" % length) + len(line) != length:
            length = len(b"%d" % length) + len(line)
        body += b"%d" % length + line
    return header(b"pax", b"x", len(body)) + body + bytes(-len(body) % 512)


@pytest.fixture
def new_tar() -> type[Tar]:
    return Tar


@pytest.fixture
def raw_header() -> Callable[..., bytes]:
    return header


@pytest.fixture
def pax_header() -> Callable[..., bytes]:
    return pax


def look(directory: Path) -> dict[str, object]:
    """Everything about a tree that an attack could change."""
    found: dict[str, object] = {}
    for base, directories, files in os.walk(directory):
        for name in [".", *directories, *files]:
            path = Path(base) / name
            there = path.lstat()
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            found[str(path)] = (
                there.st_mode, there.st_uid, there.st_nlink, there.st_ino, there.st_mtime_ns, content,
                tuple(os.listxattr(path, follow_symlinks=False)),
            )  # fmt: skip
    return found


class Cage:
    """A layer's root beside a directory that must not change."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "in" / "root"
        self.root.mkdir(parents=True)
        self.outside = base / "outside"
        self.outside.mkdir()
        (self.outside / "secret").write_text("secret")
        (self.base / "in" / "beside").write_text("beside")
        self._before = self._look()

    def _look(self) -> dict[str, object]:
        found = look(self.base)
        return {k: v for k, v in found.items() if not k.startswith(str(self.root))}

    def unpack(self, data: bytes, limits: Limits | None = None, piece: int = 1 << 16) -> Unpacked:
        fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        extractor = Extractor(fd, limits=limits)
        try:
            pieces = (data[i : i + piece] for i in range(0, len(data), piece))
            return extractor.extract(TarReader(pieces))
        finally:
            extractor.close()
            os.close(fd)

    def assert_unharmed(self) -> None:
        assert self._look() == self._before


@pytest.fixture
def cage(tmp_path: Path) -> Cage:
    return Cage(tmp_path)


@pytest.fixture
def images(tmp_path: Path) -> Images:
    return Images(str(tmp_path / "images"))
