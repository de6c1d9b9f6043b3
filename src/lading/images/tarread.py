"""A streaming tar reader: ustar, GNU and pax, including every sparse form.

Sources: POSIX.1-2017 pax(1) "ustar Interchange Format" and "pax Extended Header"; tar(5) of libarchive; GNU tar manual,
"Storing Sparse Files". ``tarfile`` of the standard library takes four times as long and trusts its input more.

The reader trusts nothing: checksums, numbers, lengths and sparse maps are checked, headers bounded. Where readers of the
world disagree about an archive (a hole that differs is a way past a scanner), it is refused rather than guessed at.
"""

from __future__ import annotations

from lading.errors import Corrupt, Exhausted, Unsupported
from lading.images.tarentry import DIRECTORY, REGULAR, Entry, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BLOCK_SIZE = 512
MAX_HEADER = 1 << 20  # bytes of one pax header or long name; GNU tar and Go stop here too
MAX_HEADERS = (
    4 << 20
)  # bytes of all extended headers of one entry: each of them is kept until the entry comes
MAX_SPARSE = 1 << 20  # parts of one sparse file
MAX_ID = (1 << 32) - 2  # the largest user or group of Linux; one more means "leave it as it is" to chown(2)
_ZERO = bytes(BLOCK_SIZE)
_HEADER_ONLY = frozenset(b"123456")
_MAX_NUMBER = (1 << 63) - 1


class Stream:
    """Bytes that arrive in pieces, read exactly. ``pieces`` may be any iterable of bytes; at most one piece is held."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._source = iter(pieces)
        self.buffer = b""
        self.position = 0
        self._before = 0

    @property
    def offset(self) -> int:
        """Bytes consumed so far."""
        return self._before + self.position

    def _more(self) -> bool:
        for piece in self._source:
            if piece:
                self._before += self.position
                self.buffer = piece
                self.position = 0
                return True
        return False

    def take(self, count: int) -> bytes:
        """Exactly ``count`` bytes; fewer only at the end of the stream."""
        start = self.position
        stop = start + count
        if stop <= len(self.buffer):
            self.position = stop
            return self.buffer[start:stop]
        parts = [self.buffer[start:]]
        self.position = len(self.buffer)
        missing = count - len(parts[0])
        while missing and self._more():
            part = self.buffer[:missing]
            self.position = len(part)
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def pieces(self, count: int) -> Iterator[memoryview]:
        """``count`` bytes as views into what arrived, without copying. Raises :class:`Corrupt` when the stream ends before."""
        while count:
            available = len(self.buffer) - self.position
            if not available:
                if not self._more():
                    raise truncated()
                continue
            size = min(available, count)
            view = memoryview(self.buffer)[self.position : self.position + size]
            self.position += size
            count -= size
            yield view

    def skip(self, count: int) -> None:
        """Pass over ``count`` bytes. Raises :class:`Corrupt` when the stream ends before."""
        room = len(self.buffer) - self.position
        if count <= room:
            self.position += count
            return
        for _ in self.pieces(count):
            pass

    def drain(self) -> bool:
        """Read to the end; True when anything but zeros was there."""
        rest = False
        while True:
            if self.position < len(self.buffer):
                view = self.buffer[self.position :]
                self.position = len(self.buffer)
                rest = rest or view.count(0) != len(view)
            if not self._more():
                return rest


def truncated() -> Corrupt:
    """The error for an archive that ends in the middle of something."""
    return Corrupt("the archive is truncated", reason="truncated")


class TarReader:
    """Entries in the order of the archive. After :meth:`next`, read or skip the entry's ``stored`` bytes with :meth:`data`.

    What is not read is skipped by the next :meth:`next`.
    """

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.stream = Stream(pieces)
        self._left = 0  # unread data and padding of the current entry
        self._padding = 0

    def __iter__(self) -> Iterator[Entry]:
        while (entry := self.next()) is not None:
            yield entry

    def data(self) -> Iterator[memoryview]:
        """The stored bytes of the current entry that have not been read yet, in pieces."""
        left, self._left = self._left, 0
        yield from self.stream.pieces(left)

    def whole(self) -> bytes | None:
        """The stored bytes in one go, when all of them have arrived already; None otherwise. Saves small files the loop."""
        stream = self.stream
        stop = stream.position + self._left
        if stop > len(stream.buffer):
            return None
        data = stream.buffer[stream.position : stop]
        stream.position = stop
        self._left = 0
        return data

    def next(self) -> Entry | None:
        """The next entry, None at the end of the archive. Raises :class:`Corrupt`, :class:`Unsupported`, :class:`Exhausted`."""
        stream = self.stream
        skip = self._left + self._padding
        if skip:
            stream.skip(skip)
            self._left = self._padding = 0
        pax: dict[bytes, bytes] = {}
        parts: list[tuple[int, int]] = []
        long_name = long_link = None
        extended = False
        room = MAX_HEADERS
        while True:
            header = stream.take(BLOCK_SIZE)
            if len(header) < BLOCK_SIZE:
                if header or extended:
                    raise truncated()
                return None
            if not header[0] and header == _ZERO:
                if extended:
                    raise Corrupt("the archive ends after an extended header", reason="bad-tar")
                second = stream.take(BLOCK_SIZE)
                if second and second != _ZERO:
                    raise Corrupt("the archive has data after a lone block of zeros", reason="bad-tar")
                return None
            try:
                checksum = _octal(header[148:156], "checksum")
            except Corrupt:
                if stream.offset == BLOCK_SIZE:
                    raise Corrupt("this is not a tar archive", reason="bad-tar") from None
                raise
            if sum(header) - sum(header[148:156]) + 256 != checksum and _signed_sum(header) != checksum:
                raise Corrupt(
                    f"a header at byte {stream.offset - BLOCK_SIZE} has a wrong checksum", reason="bad-tar"
                )
            kind = header[156] or REGULAR
            if kind in b"xgLKX":
                extended = kind != 0x67
                body = self._body(header)
                room -= BLOCK_SIZE + len(body)
                if room < 0:
                    raise Exhausted(
                        f"extended headers of more than {MAX_HEADERS} bytes before one entry",
                        reason="header-too-large",
                    )
                if kind == 0x4C:
                    long_name = body.partition(b"\0")[0]
                elif kind == 0x4B:
                    long_link = body.partition(b"\0")[0]
                elif kind == 0x67:
                    _check_global(_records(body, []))
                else:
                    pax.update(_records(body, parts))
                continue
            break
        entry = self._entry(header, kind, long_name, long_link)
        if pax:
            self._apply(entry, pax)
        if kind == 0x53:
            self._old_sparse(entry, header)
        elif pax and (parts or any(key.startswith(b"GNU.sparse.") for key in pax)):
            self._pax_sparse(entry, pax, parts)
        if entry.uid > MAX_ID or entry.gid > MAX_ID:
            raise Corrupt(
                f"{show(entry.name)}: {entry.uid}:{entry.gid} are no user and group of Linux",
                reason="bad-tar",
            )
        if entry.name[-1:] == b"/" and entry.kind == REGULAR:
            # Archives older than POSIX mark directories so; for a file with data it would be a lie.
            if entry.size or entry.sparse is not None:
                raise Corrupt(f"{show(entry.name)}: a file's name ends in a slash", reason="bad-tar")
            entry.kind = DIRECTORY
        return entry

    def _body(self, header: bytes) -> bytes:
        size = _number(header[124:136], "size")
        if size > MAX_HEADER:
            raise Exhausted(
                f"an extended header of {size} bytes, more than {MAX_HEADER}", reason="header-too-large"
            )
        body = self.stream.take(size)
        if len(body) < size:
            raise truncated()
        self.stream.skip(-size % BLOCK_SIZE)
        return body

    def _entry(self, header: bytes, kind: int, long_name: bytes | None, long_link: bytes | None) -> Entry:
        entry = Entry.__new__(Entry)
        name = header[:100].partition(b"\0")[0]
        if header[257:263] == b"ustar\0":
            prefix = header[345:500].partition(b"\0")[0]
            if prefix:
                name = prefix + b"/" + name
        entry.name = name if long_name is None else long_name
        linkname = header[157:257].partition(b"\0")[0] if header[157] else b""
        entry.linkname = linkname if long_link is None else long_link
        entry.mode = _number(header[100:108], "mode") & 0o7777
        entry.uid = _number(header[108:116], "uid")
        entry.gid = _number(header[116:124], "gid")
        entry.mtime = _number(header[136:148], "mtime", signed=True) * 1_000_000_000
        entry.xattrs = None
        entry.sparse = None
        entry.device = (0, 0)
        size = 0
        if kind in _HEADER_ONLY:
            if kind == 0x33 or kind == 0x34:
                entry.device = (_number(header[329:337], "device"), _number(header[337:345], "device"))
        elif kind == REGULAR or kind == 0x37 or kind == 0x53:
            size = _number(header[124:136], "size")
            kind = REGULAR
        else:
            raise Unsupported(
                f"{show(entry.name)}: entries of type {chr(kind)!r} are not supported", reason="tar-type"
            )
        entry.kind = kind
        entry.size = entry.stored = size
        self._left = size
        self._padding = -size % BLOCK_SIZE
        return entry

    def _apply(self, entry: Entry, pax: dict[bytes, bytes]) -> None:
        for key, value in pax.items():
            if key == b"path":
                entry.name = value
            elif key == b"linkpath":
                entry.linkname = value
            elif key == b"size":
                if entry.kind == REGULAR:
                    size = _decimal(value, "size")
                    entry.size = entry.stored = self._left = size
                    self._padding = -size % BLOCK_SIZE
            elif key == b"uid":
                entry.uid = _decimal(value, "uid")
            elif key == b"gid":
                entry.gid = _decimal(value, "gid")
            elif key == b"mtime":
                entry.mtime = _time(value)
            elif key.startswith(b"SCHILY.xattr."):
                if entry.xattrs is None:
                    entry.xattrs = {}
                entry.xattrs[key[13:]] = value
            elif key.startswith(b"LIBARCHIVE.xattr."):
                _libarchive(entry, key[17:], value)
        for text in (entry.name, entry.linkname):
            if b"\0" in text:
                raise Corrupt(f"{show(text)}: a name contains a NUL", reason="bad-tar")

    def _old_sparse(self, entry: Entry, header: bytes) -> None:
        real = _number(header[483:495], "size")
        parts = _parts(header[386:482], 4)
        more = header[482]
        while more:
            block = self.stream.take(BLOCK_SIZE)
            if len(block) < BLOCK_SIZE:
                raise truncated()
            parts += _parts(block, 21)
            more = block[504]
            if len(parts) > MAX_SPARSE:
                raise Exhausted(
                    f"{show(entry.name)}: more than {MAX_SPARSE} sparse parts", reason="header-too-large"
                )
        self._set_sparse(entry, real, parts)

    def _pax_sparse(self, entry: Entry, pax: dict[bytes, bytes], parts: list[tuple[int, int]]) -> None:
        if entry.kind != REGULAR:
            raise Corrupt(f"{show(entry.name)}: only files can be sparse", reason="bad-sparse")
        entry.name = pax.get(b"GNU.sparse.name", entry.name)
        if b"\0" in entry.name:
            raise Corrupt(f"{show(entry.name)}: a name contains a NUL", reason="bad-tar")
        version = (pax.get(b"GNU.sparse.major", b"0"), pax.get(b"GNU.sparse.minor", b"0"))
        size = pax.get(b"GNU.sparse.realsize") or pax.get(b"GNU.sparse.size")
        if size is None or not (
            parts or {b"GNU.sparse.major", b"GNU.sparse.map", b"GNU.sparse.size"} & pax.keys()
        ):
            # A name or a size alone: GNU tar takes them, Go and libarchive do not.
            raise Corrupt(
                f"{show(entry.name)}: a sparse file without its size or its map", reason="bad-sparse"
            )
        real = _decimal(size, "GNU.sparse.realsize")
        if version == (b"1", b"0"):
            parts = self._stored_map(entry)
        elif version[0] != b"0":
            raise Unsupported(
                f"{show(entry.name)}: sparse format {show(version[0])} is not known", reason="tar-type"
            )
        elif b"GNU.sparse.map" in pax:
            numbers = [_decimal(n, "GNU.sparse.map") for n in pax[b"GNU.sparse.map"].split(b",") if n]
            if len(numbers) % 2:
                raise Corrupt(
                    f"{show(entry.name)}: the sparse map has an odd number of fields", reason="bad-sparse"
                )
            parts = list(zip(numbers[::2], numbers[1::2], strict=True))
        self._set_sparse(entry, real, parts)

    def _stored_map(self, entry: Entry) -> list[tuple[int, int]]:
        """Format 1.0: the map stands before the data, decimal numbers a line each, padded to a block."""
        text = b""
        used = 0

        def number() -> int:
            nonlocal text, used
            while b"\n" not in text:
                if used + BLOCK_SIZE > entry.stored or len(text) > 32:
                    raise Corrupt(f"{show(entry.name)}: the sparse map is broken", reason="bad-sparse")
                block = self.stream.take(BLOCK_SIZE)
                if len(block) < BLOCK_SIZE:
                    raise truncated()
                used += BLOCK_SIZE
                text += block
            line, _, text = text.partition(b"\n")
            return _decimal(line, "sparse map")

        count = number()
        if count > MAX_SPARSE:
            raise Exhausted(
                f"{show(entry.name)}: more than {MAX_SPARSE} sparse parts", reason="header-too-large"
            )
        parts = [(number(), number()) for _ in range(count)]
        self._left -= used
        entry.stored -= used
        return parts

    def _set_sparse(self, entry: Entry, real: int, parts: list[tuple[int, int]]) -> None:
        end = total = 0
        kept = []
        for offset, length in parts:
            if offset < end or offset + length > real:
                raise Corrupt(f"{show(entry.name)}: the sparse map lies about the file", reason="bad-sparse")
            end = offset + length
            total += length
            if length:
                kept.append((offset, length))
        if total != entry.stored:
            raise Corrupt(
                f"{show(entry.name)}: the sparse map holds {total} bytes and the archive {entry.stored}",
                reason="bad-sparse",
            )
        entry.size = real
        entry.sparse = kept


def _parts(field: bytes, count: int) -> list[tuple[int, int]]:
    found = []
    for index in range(0, count * 24, 24):
        if not field[index]:
            break
        found.append(
            (_number(field[index : index + 12], "sparse"), _number(field[index + 12 : index + 24], "sparse"))
        )
    return found


def _octal(field: bytes, what: str) -> int:
    text = field.lstrip(b" \0")
    for end in (b"\0", b" "):
        text = text.partition(end)[0]
    if not text:
        return 0
    if not text.isdigit():
        raise Corrupt(f"a header's {what} {show(field)} is not a number", reason="bad-tar")
    try:
        return int(text, 8)
    except ValueError:
        raise Corrupt(f"a header's {what} {show(field)} is not octal", reason="bad-tar") from None


def _number(field: bytes, what: str, *, signed: bool = False) -> int:
    """An octal number, or GNU's base-256 form (first bit set)."""
    first = field[0]
    if not first & 0x80:
        head = field[:-1]
        if head.isdigit():
            try:
                return int(head, 8)
            except ValueError:
                pass
        return _octal(field, what)
    if first == 0xFF and signed:
        value = int.from_bytes(field, "big", signed=True)
    elif first & 0x40:
        raise Corrupt(f"a header's {what} is negative", reason="bad-tar")
    else:
        value = int.from_bytes(bytes((first & 0x7F,)) + field[1:], "big")
    if not -_MAX_NUMBER // 1_000_000_000 <= value <= _MAX_NUMBER:
        raise Corrupt(f"a header's {what} is out of range", reason="bad-tar")
    return value


def _decimal(text: bytes, what: str) -> int:
    if not text.isdigit() or len(text) > 19 or (value := int(text)) > _MAX_NUMBER:
        raise Corrupt(f"the extended header {what}={show(text)} is not a number", reason="bad-tar")
    return value


def _time(text: bytes) -> int:
    """Decimal seconds, possibly negative or with a fraction → nanoseconds."""
    sign = -1 if text[:1] == b"-" else 1
    whole, _, fraction = text.lstrip(b"-").partition(b".")
    if not (whole + fraction).isdigit() or len(whole) > 12:
        raise Corrupt(f"the extended header mtime={show(text)} is not a time", reason="bad-tar")
    return sign * (int(whole or b"0") * 1_000_000_000 + int(fraction[:9].ljust(9, b"0")))


def _signed_sum(header: bytes) -> int:
    """Some old writers summed signed characters."""
    rest = header[:148] + header[156:]
    return sum(rest) - 256 * sum(1 for b in rest if b > 127) + 256


def _records(body: bytes, parts: list[tuple[int, int]]) -> dict[bytes, bytes]:
    """Parse a pax header: ``LENGTH KEY=VALUE\\n`` again and again. Repeated sparse 0.0 records go to ``parts``."""
    found: dict[bytes, bytes] = {}
    position, end = 0, len(body)
    pending: int | None = None
    while position < end:
        space = body.find(b" ", position, position + 20)
        digits = body[position:space] if space > 0 else b""
        stop = position + int(digits) if digits.isdigit() else -1
        if stop <= space + 1 or stop > end or body[stop - 1] != 0x0A:
            if not body[position:].strip(b"\0"):
                break
            raise Corrupt("an extended header is malformed", reason="bad-tar")
        key, equals, value = body[space + 1 : stop - 1].partition(b"=")
        if not equals or not key:
            raise Corrupt("an extended header is malformed", reason="bad-tar")
        position = stop
        if key == b"GNU.sparse.offset":
            pending = _decimal(value, "GNU.sparse.offset")
        elif key == b"GNU.sparse.numbytes":
            if pending is None or len(parts) > MAX_SPARSE:
                raise Corrupt("a sparse part without its offset", reason="bad-sparse")
            parts.append((pending, _decimal(value, "GNU.sparse.numbytes")))
            pending = None
        elif not value:
            found.pop(key, None)  # an empty value cancels what went before
        else:
            found[key] = value
    return found


_GLOBAL_REFUSED = (b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime")


def _check_global(records: dict[bytes, bytes]) -> None:
    """Readers disagree about whether a global header changes entries (Go's ignores it), so one that would is refused."""
    for key in records:
        if key in _GLOBAL_REFUSED or key.startswith((b"GNU.sparse.", b"SCHILY.xattr.", b"LIBARCHIVE.xattr.")):
            raise Unsupported(f"a global extended header sets {show(key)}", reason="tar-global")


def _libarchive(entry: Entry, key: bytes, value: bytes) -> None:
    import base64
    import urllib.parse

    name = urllib.parse.unquote_to_bytes(key)
    if entry.xattrs is None:
        entry.xattrs = {}
    try:
        entry.xattrs.setdefault(name, base64.b64decode(value + b"=" * (-len(value) % 4), validate=True))
    except ValueError:
        raise Corrupt(
            f"{show(entry.name)}: the extended attribute {show(name)} is not base64", reason="bad-tar"
        ) from None
