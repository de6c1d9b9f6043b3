"""The headers in rpm's two older databases, each in one file: ndb (``Packages.db``) and Berkeley DB's hash (``Packages``).

Both are read page by page as far as the file goes; no number in it leads to more reading than its size allows.
Source: rpm.org, lib/backend/ndb/rpmpkg.c (slots of 16 bytes, blobs in blocks of 16); Berkeley DB, src/dbinc/db_page.h.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST = 1 << 30
"""Bytes of a database."""
_LARGEST_HEADER = 256 << 20

_PAGE, _BLOCK = 4096, 16
_SLOT, _HEAD, _TAIL = 16, 16, 12

_HASH_MAGIC = 0x061561
_PAGE_HEADER = 26
_META, _HASH_UNSORTED, _HASH, _OVERFLOW = 8, 2, 13, 7
_IN_PAGE, _OFF_PAGE = 1, 3


def ndb(path: str) -> Iterator[bytes]:
    """The headers of an ndb database. Raises :class:`ValueError` for what is none or is broken, OSError."""
    file = _File(path)
    try:
        magic, version, _, pages = struct.unpack("<4sIII", file.read(0, 16))
        if magic != b"RpmP" or version:
            raise ValueError("no ndb database")
        left = file.size
        for number in range(2, min(pages * _PAGE, file.size) // _SLOT):
            magic, package, block, blocks = struct.unpack("<4sIII", file.read(number * _SLOT, _SLOT))
            if magic != b"Slot":
                raise ValueError("a slot is broken")
            if block:
                left -= blocks * _BLOCK
                if left < 0:
                    raise ValueError("its blobs overlap")
                yield _blob(file, package, block * _BLOCK, blocks * _BLOCK)
    finally:
        file.close()


def _blob(file: _File, package: int, begin: int, size: int) -> bytes:
    if not _HEAD + _TAIL <= size <= _LARGEST_HEADER:
        raise ValueError("a blob is too small or too large")
    data = file.read(begin, size)
    magic, owner, _, length = struct.unpack_from("<4sIII", data)
    checksum, again, end = struct.unpack_from("<II4s", data, size - _TAIL)
    # Zeros lie between what it holds and its end, so that it fills its blocks.
    if magic != b"BlbS" or owner != package or not 0 <= size - length - _HEAD - _TAIL < _BLOCK:
        raise ValueError("a blob is broken")
    if end != b"BlbE" or again != length or checksum != zlib.adler32(data[:-_TAIL]):
        raise ValueError("a blob's end is broken")
    return data[_HEAD : _HEAD + length]


def hashed(path: str) -> Iterator[bytes]:
    """The headers of a Berkeley DB hash. Raises :class:`ValueError` for what is none or is broken, OSError."""
    file = _File(path)
    try:
        meta = file.read(0, 72)
        order = next((o for o in ("<", ">") if struct.unpack_from(f"{o}I", meta, 12)[0] == _HASH_MAGIC), "")
        if not order or meta[25] != _META:
            raise ValueError("no Berkeley DB hash")
        (size,) = struct.unpack_from(f"{order}I", meta, 20)
        if not 512 <= size <= 65536 or size & (size - 1) or meta[24]:
            raise ValueError("its pages cannot be read")
        left = [file.size]
        for number in range(1, file.size // size):
            page = file.read(number * size, size)
            if page[25] in (_HASH_UNSORTED, _HASH):
                yield from _pairs(file, page, order, left)
    finally:
        file.close()


def _pairs(file: _File, page: bytes, order: str, left: list[int]) -> Iterator[bytes]:
    """The values of a hash page; ``left``: bytes that may still be read from overflow pages."""
    (entries,) = struct.unpack_from(f"{order}H", page, 20)
    if _PAGE_HEADER + 2 * entries > len(page):
        raise ValueError("a page has more entries than it holds")
    # Items are laid down from the end of the page on: each ends where the one before begins.
    places = [len(page), *struct.unpack_from(f"{order}{entries}H", page, _PAGE_HEADER)]
    for number in range(2, entries + 1, 2):
        key = page[places[number - 1] : places[number - 2]]
        value = page[places[number] : places[number - 1]]
        if not value or not any(key[1:]):
            continue  # the record 0 counts the packages
        if value[0] == _IN_PAGE:
            yield value[1:]
        elif value[0] == _OFF_PAGE and len(value) >= 12:
            first, length = struct.unpack_from(f"{order}II", value, 4)
            yield _overflow(file, first, length, len(page), order, left)


def _overflow(file: _File, number: int, length: int, size: int, order: str, left: list[int]) -> bytes:
    if length > min(_LARGEST_HEADER, left[0]):
        raise ValueError("a value is larger than the file")
    made = bytearray()
    while len(made) < length:
        left[0] -= size  # a page that holds a byte costs as much as a full one, and each belongs to one value
        if left[0] < 0:
            raise ValueError("its values share pages")
        page = file.read(number * size, size)
        (number,) = struct.unpack_from(f"{order}I", page, 16)
        (held,) = struct.unpack_from(f"{order}H", page, 22)
        if page[25] != _OVERFLOW or not held or _PAGE_HEADER + held > size:
            raise ValueError("an overflow page is broken")
        made += page[_PAGE_HEADER : _PAGE_HEADER + held]
    if len(made) != length:
        raise ValueError("a value is longer than it says")
    return bytes(made)


class _File:
    """A plain file that is read at places. Raises :class:`ValueError` for another kind, one too large, or past its end."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        there = os.fstat(self._fd)
        self.size = there.st_size
        if not stat.S_ISREG(there.st_mode) or self.size > LARGEST:
            self.close()
            raise ValueError("no plain file, or too large")

    def read(self, place: int, size: int) -> bytes:
        """Exactly ``size`` bytes at ``place``."""
        if size > self.size - place:
            raise ValueError("it is shorter than it says")
        data = os.pread(self._fd, size, place)
        if len(data) != size:
            raise ValueError("it is shorter than it says")
        return data

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)
