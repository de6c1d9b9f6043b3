"""Decompression of a stream that arrives in pieces: gzip, zstd, bzip2, xz, or nothing. The first bytes say which.

Every decompressor here takes several members (frames, streams) after one another, as the formats allow and as some
builders write, lets zeros pad the end, and refuses anything else there.
"""

from __future__ import annotations

from lading.errors import Corrupt, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Protocol

    class _Decompressor(Protocol):
        @property
        def eof(self) -> bool: ...
        @property
        def unused_data(self) -> bytes: ...


MAGIC = {
    "gzip": b"\x1f\x8b",
    "zstd": b"\x28\xb5\x2f\xfd",
    "bzip2": b"BZh",
    "xz": b"\xfd7zXZ\x00",
}
_SKIPPABLE = tuple(bytes((0x50 + n, 0x2A, 0x4D, 0x18)) for n in range(16))
OUTPUT = 1 << 18  # the most that one piece of output holds: a handful of them stays in the processor's cache

_LONGEST_HEADER = 1 << 18  # bytes of a gzip member's
_PART = 1 << 15  # bytes of a piece that are looked at together behind the end of a member


def sniff(head: bytes) -> str:
    """``gzip``, ``zstd``, ``bzip2``, ``xz``, or empty for anything else, from the first six bytes."""
    for name, magic in MAGIC.items():
        if head.startswith(magic):
            return name
    return "zstd" if head[:4] in _SKIPPABLE else ""


def decompress(pieces: Iterable[bytes], *, what: str = "the archive") -> Iterator[bytes]:
    """The plain bytes of ``pieces``, at most :data:`OUTPUT` of them at a time.

    Raises :class:`Corrupt` (reasons ``bad-compression``, ``truncated``), :class:`Unsupported` for zstd where no module has it.
    """
    source = iter(pieces)
    head = b""
    for piece in source:
        head += piece
        if len(head) >= 6:
            break
    kind = sniff(head)
    if not kind:
        if head:
            yield head
        yield from source
        return
    make, run = _ENGINES[kind]()
    yield from _members(kind, make, run, head, source, what)


def _members(
    kind: str,
    make: Callable[[], _Decompressor],
    run: Callable[[_Decompressor, bytes], Iterator[bytes]],
    data: bytes,
    source: Iterator[bytes],
    what: str,
) -> Iterator[bytes]:
    engine = make()
    fresh = False  # between members, nothing of the next one seen
    ahead: list[bytes] = []  # parts of a piece, the next one last

    def take() -> bytes:
        return ahead.pop() if ahead else next((piece for piece in source if piece), b"")

    def begun(data: bytes) -> bytes:
        while kind == "gzip" and not _has_header(data) and len(data) < _LONGEST_HEADER and (more := take()):
            data += more
        return data

    data = begun(data)
    while True:
        if fresh:
            data = data.lstrip(b"\0") if kind != "zstd" else data
            while data and len(data) < 6 and (more := take()):
                data += more
            if data.strip(b"\0"):
                if sniff(data) != kind:
                    raise Corrupt(f"{what}: garbage after the {kind} data", reason="bad-compression")
                engine = make()
                fresh = False
                data = begun(data)
        if not fresh and data:
            try:
                yield from run(engine, data)
            except Exception as error:
                if isinstance(error, (Corrupt, Unsupported, GeneratorExit, MemoryError)):
                    raise
                raise Corrupt(f"{what}: broken {kind} data: {error}", reason="bad-compression") from None
            if engine.eof:
                data = engine.unused_data
                if (
                    len(data) > _PART and not ahead
                ):  # each end copies what is behind it, and there may be thousands in a piece
                    ahead = [data[at : at + _PART] for at in range(_PART, len(data), _PART)][::-1]
                    data = data[:_PART]
                fresh = True
                continue
        data = take()
        if not data:
            break
    if not fresh:
        raise Corrupt(f"{what}: the {kind} data is truncated", reason="truncated")


def _has_header(data: bytes) -> bool:
    """Whether the header of a gzip member is whole (RFC 1952, 2.3). In one that comes in pieces ISA-L loses its place."""
    flags, at = data[3:4], 10
    if len(data) < at:
        return False
    if flags[0] & 4:
        at = 12 + int.from_bytes(data[10:12], "little")
    for bit in (8, 16):  # a name, a comment
        if flags[0] & bit:
            at = data.find(b"\0", at) + 1
            if not at:
                return False
    return len(data) >= max(at + (2 if flags[0] & 2 else 0), 12 if flags[0] & 4 else 0)


def _gzip() -> tuple[Callable[[], _Decompressor], Callable[[_Decompressor, bytes], Iterator[bytes]]]:
    try:
        from isal import igzip_lib
    except ImportError:
        return _zlib()

    def make() -> _Decompressor:
        return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)

    return make, _bounded


def _zlib() -> tuple[Callable[[], _Decompressor], Callable[[_Decompressor, bytes], Iterator[bytes]]]:
    import zlib

    def make() -> _Decompressor:
        return zlib.decompressobj(31)

    def run(engine: _Decompressor, data: bytes) -> Iterator[bytes]:
        while data and not engine.eof:
            yield engine.decompress(data, OUTPUT)  # type: ignore[attr-defined]
            data = engine.unconsumed_tail  # type: ignore[attr-defined]

    return make, run


def _bounded(engine: _Decompressor, data: bytes) -> Iterator[bytes]:
    """Feed an engine of the ``bz2`` kind, which keeps its input and says when it needs more."""
    while True:
        made = engine.decompress(data, OUTPUT)  # type: ignore[attr-defined]
        if made:
            yield made
        data = b""
        if engine.eof or engine.needs_input:  # type: ignore[attr-defined]
            return


def _zstd() -> tuple[Callable[[], _Decompressor], Callable[[_Decompressor, bytes], Iterator[bytes]]]:
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        try:
            from backports import zstd
        except ImportError:
            raise Unsupported("zstd layers need Python 3.14 or the backports.zstd package") from None

    def make() -> _Decompressor:
        # A frame may ask for a window of 2 GiB; 128 MiB is what the zstd command allows by default.
        made: _Decompressor = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 27})
        return made

    return make, _bounded


def _bzip2() -> tuple[Callable[[], _Decompressor], Callable[[_Decompressor, bytes], Iterator[bytes]]]:
    import bz2

    return bz2.BZ2Decompressor, _bounded


def _xz() -> tuple[Callable[[], _Decompressor], Callable[[_Decompressor, bytes], Iterator[bytes]]]:
    import lzma

    def make() -> _Decompressor:
        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=256 << 20)

    return make, _bounded


_ENGINES = {"gzip": _gzip, "zstd": _zstd, "bzip2": _bzip2, "xz": _xz}
