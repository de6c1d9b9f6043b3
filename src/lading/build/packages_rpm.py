"""Packages in rpm's databases: each holds headers as rpm stores them. The SQLite form is read here.

A header is two big-endian numbers (entries, bytes of data), an index of 16 bytes an entry (tag, type, offset, count), and the
data.
Source: rpm.org, "RPM V4 Package format", "Header"; lib/backend/sqlite.c.
"""

from __future__ import annotations

import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME, _VERSION, _RELEASE, _EPOCH = 1000, 1001, 1002, 1003
_VENDOR, _LICENSE, _ARCHITECTURE, _SOURCE = 1011, 1014, 1022, 1044
_WANTED = frozenset(
    (_NAME, _VERSION, _RELEASE, _EPOCH, _VENDOR, _LICENSE, _ARCHITECTURE, _SOURCE),
)
_INT32, _STRING, _TRANSLATED = 4, 6, 9
_MOST_ENTRIES = 1 << 16
_LARGEST = 256 << 20
_LONGEST = 1 << 16  # bytes of a text
_KEY = "gpg-pubkey"  # a signing key that rpm keeps as if it were a package


class Row:
    """What a header says. Texts that are not there are empty, and so is an ``epoch`` of none."""

    __slots__ = ("architecture", "epoch", "license", "name", "release", "source", "vendor", "version")

    def __init__(self, told: dict[int, str]) -> None:
        self.name = told.get(_NAME, "")
        self.version = told.get(_VERSION, "")
        self.release = told.get(_RELEASE, "")
        self.epoch = told.get(_EPOCH, "")
        self.vendor = told.get(_VENDOR, "")
        self.license = told.get(_LICENSE, "")
        self.architecture = told.get(_ARCHITECTURE, "")
        self.source = told.get(_SOURCE, "")


def read(path: str) -> Iterator[Row]:
    """Every installed package. Raises :class:`ValueError` for what is no such database."""
    import sqlite3

    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        # By the descriptor: the name could be another file's meanwhile. Nothing is written beside it.
        database = sqlite3.connect(f"file:/proc/self/fd/{fd}?mode=ro&immutable=1", uri=True)
        try:
            database.execute("PRAGMA trusted_schema = OFF")
            database.execute("PRAGMA cell_size_check = ON")
            database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST)
            columns = database.execute("PRAGMA table_xinfo(Packages)").fetchall()
            if any(str(name).lower() == "blob" and hidden for _, name, _, _, _, _, hidden in columns):
                raise ValueError("its headers are computed")
            database.set_authorizer(_rows_only)
            for (blob,) in database.execute("SELECT blob FROM Packages"):
                if isinstance(blob, bytes) and len(blob) <= _LARGEST:
                    row = Row(header(blob))
                    if row.name and row.name != _KEY:
                        yield row
        except sqlite3.Error as error:
            raise ValueError(str(error)) from None
        finally:
            database.close()
    finally:
        os.close(fd)


def read_old(path: str) -> Iterator[Row]:
    """The same of the older forms: ndb where the name ends in ``.db``, else Berkeley DB's hash. Raises as :func:`read`."""
    from lading.build.packages_rpm_files import hashed, ndb

    for blob in ndb(path) if path.endswith(".db") else hashed(path):
        row = Row(header(blob))
        if row.name and row.name != _KEY:
            yield row


def _rows_only(action: int, _one: str | None, _two: str | None, _base: str | None, view: str | None) -> int:
    """Nothing but reading a table: a view is a stranger's program, which need never end."""
    import sqlite3

    plain = action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ) and view is None
    return sqlite3.SQLITE_OK if plain else sqlite3.SQLITE_DENY


def header(blob: bytes) -> dict[int, str]:
    """The texts of a header that :class:`Row` has, and its epoch, by their tags. Raises :class:`ValueError` for a broken one."""
    if len(blob) < 8:
        raise ValueError("a header is too short")
    entries, size = struct.unpack_from(">II", blob)
    begin = 8 + 16 * entries
    if entries > _MOST_ENTRIES or begin + size > len(blob):
        raise ValueError("a header is shorter than it says")
    data = blob[begin : begin + size]
    told: dict[int, str] = {}
    for number in range(entries):
        tag, kind, offset, count = struct.unpack_from(">IIII", blob, 8 + 16 * number)
        if tag not in _WANTED or tag in told or offset >= size or not count:
            continue
        if kind in (_STRING, _TRANSLATED):
            end = data.find(b"\0", offset, offset + _LONGEST)
            if end < 0:
                raise ValueError("a text has no end")
            told[tag] = data[offset:end].decode("utf-8", "replace")
        elif kind == _INT32 and tag == _EPOCH and offset + 4 <= size:
            told[tag] = str(struct.unpack_from(">I", data, offset)[0])
    return told
