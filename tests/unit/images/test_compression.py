"""Streams that decompress, and streams that pretend to."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import struct
import time
import zlib

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import Corrupt
from lading.images.compression import OUTPUT, decompress, sniff

PACK = {
    "gzip": gzip.compress,
    "zstd": zstd.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "": lambda d: d,
}
DATA = os.urandom(5000) + b"ustar" * 100_000


def run(data: bytes, piece: int = 1000) -> bytes:
    return b"".join(decompress(data[i : i + piece] for i in range(0, len(data), piece)))


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("piece", [1, 7, 4096, 1 << 20])
def test_every_kind_comes_back_whatever_the_pieces(kind, piece):
    data = DATA[:9000] if piece < 10 else DATA
    packed = PACK[kind](data)
    assert sniff(packed) == kind
    assert run(packed, piece) == data


@pytest.mark.parametrize("kind", ["gzip", "zstd", "bzip2", "xz"])
def test_several_members_are_one_stream(kind):
    assert run(PACK[kind](b"one") + PACK[kind](b"two"), 5) == b"onetwo"


@pytest.mark.parametrize("kind", ["gzip", "zstd", "bzip2", "xz"])
def test_a_cut_stream_is_truncated(kind):
    with pytest.raises(Corrupt) as caught:
        run(PACK[kind](DATA)[:-3])
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize("kind", ["gzip", "bzip2", "xz"])
def test_zeros_may_pad_the_end(kind):
    assert run(PACK[kind](DATA) + bytes(777)) == DATA


@pytest.mark.parametrize("kind", ["gzip", "zstd", "bzip2", "xz"])
def test_garbage_after_the_end_is_refused(kind):
    with pytest.raises(Corrupt) as caught:
        run(PACK[kind](DATA) + b"garbage")
    assert caught.value.reason == "bad-compression"


@pytest.mark.parametrize(
    "kind", ["gzip", "bzip2", "xz"]
)  # zstd frames need carry no checksum: the diff-id finds it
def test_a_flipped_bit_is_noticed(kind):
    packed = bytearray(PACK[kind](DATA))
    packed[len(packed) // 2] ^= 0x10
    with pytest.raises(Corrupt):
        run(bytes(packed))


@pytest.mark.parametrize("kind", ["gzip", "zstd", "bzip2", "xz"])
def test_a_bomb_comes_out_in_bounded_pieces(kind):
    sizes = [len(piece) for piece in decompress([PACK[kind](bytes(20 << 20))])]
    assert sum(sizes) == 20 << 20
    assert max(sizes) <= OUTPUT


def test_gzip_without_isal_gives_the_same(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "isal", None)
    assert run(gzip.compress(DATA) + gzip.compress(b"more") + bytes(9)) == DATA + b"more"
    with pytest.raises(Corrupt):
        run(gzip.compress(DATA)[:-1])


def test_raw_deflate_is_not_mistaken_for_anything():
    assert sniff(zlib.compress(b"x")) == ""


def test_an_empty_stream_is_empty():
    assert run(b"") == b""


@pytest.mark.parametrize("flags", range(0, 32, 2))
def test_the_fields_of_a_gzip_header_may_be_cut_anywhere(flags):
    header = b"\x1f\x8b\x08" + bytes([flags]) + bytes(4) + b"\0\xff"
    header += struct.pack("<H", 20) + b"ABCDEFGHIJKLMNOPQRST" if flags & 4 else b""
    header += b"a-file-name.txt\0" if flags & 8 else b""
    header += b"some comment here\0" if flags & 16 else b""
    header += struct.pack("<H", zlib.crc32(header) & 0xFFFF) if flags & 2 else b""
    body = b"some words, some words" * 500
    engine = zlib.compressobj(6, zlib.DEFLATED, -15)
    member = header + engine.compress(body) + engine.flush() + struct.pack("<II", zlib.crc32(body), len(body))
    assert zlib.decompress(member, 31) == body
    for cut in range(1, len(member)):
        assert b"".join(decompress([member[:cut], b"", member[cut:]])) == body, cut
        assert b"".join(decompress([member + member[:cut], member[cut:]])) == body * 2, cut
    assert run(member * 2, 1) == body * 2


def test_a_piece_of_thousands_of_members_takes_no_square_of_their_number():
    for name in ("gzip", "zstd", "bzip2", "xz"):
        members = PACK[name](b"ab") * 20_000
        begun = time.process_time()
        assert run(members, 1 << 20) == b"ab" * 20_000
        assert time.process_time() - begun < 15, name


@given(st.data())
def test_any_bytes_are_unpacked_in_bounded_pieces_the_same_however_they_come_or_refused(data):
    name = data.draw(st.sampled_from(sorted(PACK)))
    packed = bytearray(PACK[name](b"some words, some words" * 30) * data.draw(st.integers(1, 2)))
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(packed) - 1))
        packed[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        packed = packed or bytearray(1)
    told = []
    for piece in (1, 7, 10_000):
        try:
            told.append(run(bytes(packed), piece))
        except Corrupt as error:
            told.append(error.reason.encode())
    assert told[0] == told[1] == told[2]
