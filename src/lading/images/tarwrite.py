"""A deterministic tar writer: ustar where it suffices, pax where it does not, the same bytes for the same entries.

Source: POSIX.1-2017 pax(1). Extended attributes are ``SCHILY.xattr.*`` records, sparse files GNU's format 1.0, as the
OCI image-spec's producers write them.
"""

from __future__ import annotations

from lading.images.tarentry import DIRECTORY, REGULAR, Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK_SIZE = 512
_OCTAL_7 = 0o7777777
_OCTAL_11 = 0o77777777777


class TarWriter:
    """Writes entries to ``out`` (called with bytes). After :meth:`add`, write the entry's stored bytes with :meth:`data`.

    ``size``: bytes written so far.
    """

    def __init__(self, out: Callable[[bytes], object]) -> None:
        self._to = out
        self.size = 0
        self._left = 0
        self._padding = 0

    def add(self, entry: Entry) -> None:
        """Begin an entry. The data of the one before must be complete."""
        self._end_entry()
        name = entry.name
        if entry.kind == DIRECTORY and not name.endswith(b"/"):
            name += b"/"
        pax: list[tuple[bytes, bytes]] = []
        stored = entry.stored if entry.kind == REGULAR else 0
        prefix = b""
        sparse_map = b""
        if entry.sparse is not None:
            sparse_map = _sparse_map(entry.sparse)
            pax += [
                (b"GNU.sparse.major", b"1"),
                (b"GNU.sparse.minor", b"0"),
                (b"GNU.sparse.name", name),
                (b"GNU.sparse.realsize", b"%d" % entry.size),
            ]
            name = b"GNUSparseFile.0/" + name.rpartition(b"/")[2][:80]
            stored += len(sparse_map)
        elif len(name) > 100 or _not_ascii(name):
            prefix, short = _split(name) if not _not_ascii(name) else (b"", None)
            if short is None:
                pax.append((b"path", name))
                name = name[-100:].lstrip(b"/") if not _not_ascii(name) else b"pax-name"
                if entry.kind == DIRECTORY and not name.endswith(b"/"):
                    name += b"/"
            else:
                name = short
        linkname = entry.linkname
        if len(linkname) > 100 or _not_ascii(linkname):
            pax.append((b"linkpath", linkname))
            linkname = linkname[:100] if not _not_ascii(linkname) else b"pax-link"
        for key, value, most in (
            (b"uid", entry.uid, _OCTAL_7),
            (b"gid", entry.gid, _OCTAL_7),
            (b"size", stored, _OCTAL_11),
        ):
            if value > most:
                pax.append((key, b"%d" % value))
        seconds, fraction = divmod(entry.mtime, 1_000_000_000)
        if fraction or not 0 <= seconds <= _OCTAL_11:
            pax.append((b"mtime", _time(entry.mtime)))
        for key in sorted(entry.xattrs or ()):
            pax.append((b"SCHILY.xattr." + key, (entry.xattrs or {})[key]))
        if pax:
            body = b"".join(_record(key, value) for key, value in sorted(pax))
            self._out(_header(b"PaxHeaders.0/entry", 0x78, 0o644, 0, 0, len(body), 0, b"", (0, 0), b""))
            self._out(body + bytes(-len(body) % BLOCK_SIZE))
        self._out(
            _header(
                name,
                entry.kind,
                entry.mode,
                min(entry.uid, _OCTAL_7),
                min(entry.gid, _OCTAL_7),
                min(stored, _OCTAL_11),
                min(max(seconds, 0), _OCTAL_11),
                linkname,
                entry.device,
                prefix,
            )
        )
        self._out(sparse_map) if sparse_map else None
        self._left = stored - len(sparse_map)
        self._padding = -stored % BLOCK_SIZE

    def data(self, data: bytes | memoryview) -> None:
        """The next stored bytes of the entry. Raises :class:`ValueError` for more than it announced."""
        if len(data) > self._left:
            raise ValueError("more data than the entry announced")
        self._left -= len(data)
        self._out(data if isinstance(data, bytes) else bytes(data))

    def close(self) -> None:
        """End the archive: two blocks of zeros."""
        self._end_entry()
        self._out(bytes(2 * BLOCK_SIZE))

    def _out(self, data: bytes) -> None:
        self.size += len(data)
        self._to(data)

    def _end_entry(self) -> None:
        if self._left:
            raise ValueError(f"{self._left} bytes of the entry are missing")
        if self._padding:
            self._out(bytes(self._padding))
            self._padding = 0


def _header(
    name: bytes,
    kind: int,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    mtime: int,
    linkname: bytes,
    device: tuple[int, int],
    prefix: bytes,
) -> bytes:
    head = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0" % (name.ljust(100, b"\0"), mode, uid, gid, size, mtime)
    tail = b"%c%bustar\00000%b%07o\0%07o\0%b" % (
        kind,
        linkname.ljust(100, b"\0"),
        bytes(64),
        device[0],
        device[1],
        prefix.ljust(167, b"\0"),
    )
    checksum = sum(head) + sum(tail) + 8 * 32
    return head + b"%06o\0 " % checksum + tail


def _split(name: bytes) -> tuple[bytes, bytes | None]:
    """ustar's prefix and name of a long name; (empty, None) when there is no place to cut."""
    if len(name) <= 256:
        cut = name.find(b"/", max(len(name) - 101, 0))
        while 0 <= cut <= 155:
            if 0 < len(name) - cut - 1 <= 100 and cut:
                return name[:cut], name[cut + 1 :]
            cut = name.find(b"/", cut + 1)
    return b"", None


def _not_ascii(name: bytes) -> bool:
    return not name.isascii()


def _record(key: bytes, value: bytes) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    length = len(body)
    total = length + len(b"%d" % length)
    total = length + len(b"%d" % total)
    return b"%d" % total + body


def _time(nanoseconds: int) -> bytes:
    sign = b"-" if nanoseconds < 0 else b""
    seconds, fraction = divmod(abs(nanoseconds), 1_000_000_000)
    text = b"%b%d" % (sign, seconds)
    return text + (b".%09d" % fraction).rstrip(b"0") if fraction else text


def _sparse_map(parts: list[tuple[int, int]]) -> bytes:
    numbers = [len(parts)]
    for offset, length in parts:
        numbers += (offset, length)
    text = b"".join(b"%d\n" % n for n in numbers)
    return text + bytes(-len(text) % BLOCK_SIZE)
