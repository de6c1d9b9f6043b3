"""Our tar reader and writer against Python's tarfile, and against each other."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.images.tarentry import DIRECTORY, HARDLINK, REGULAR, SYMLINK, Entry
from lading.images.tarread import TarReader
from lading.images.tarwrite import TarWriter
from support.fuzzing import LONGER

_PART = st.binary(min_size=1, max_size=90).filter(
    lambda b: b"/" not in b and b"\0" not in b and b not in (b".", b"..")
)
_NAME = st.lists(_PART, min_size=1, max_size=5).map(b"/".join)
_XATTRS = st.dictionaries(
    st.sampled_from([b"user.a", b"security.capability", "user.ä".encode()]),
    st.binary(min_size=1, max_size=40),
    max_size=2,
)


@st.composite
def entries(draw):
    kind = draw(st.sampled_from([REGULAR, REGULAR, DIRECTORY, SYMLINK, HARDLINK]))
    data = draw(st.binary(max_size=1500)) if kind == REGULAR else b""
    entry = Entry(
        draw(_NAME),
        kind,
        mode=draw(st.integers(0, 0o7777)),
        uid=draw(st.sampled_from([0, 1000, 0o7777777, 0o10000000, 4294967294])),
        gid=draw(st.sampled_from([0, 5, 0o10000000])),
        size=len(data),
        mtime=draw(st.integers(-(10**18), 8 * 10**18)),
        linkname=draw(_NAME) if kind in (SYMLINK, HARDLINK) else b"",
        xattrs=draw(_XATTRS) or None,
    )
    return entry, data


def write(pairs) -> bytes:
    out = io.BytesIO()
    tar = TarWriter(out.write)
    for entry, data in pairs:
        tar.add(entry)
        tar.data(data)
    tar.close()
    return out.getvalue()


@settings(max_examples=150 * LONGER)
@given(st.lists(entries(), max_size=6), st.integers(1, 3000))
def test_what_we_write_we_read(pairs, piece):
    packed = write(pairs)
    reader = TarReader(packed[i : i + piece] for i in range(0, len(packed), piece))
    for wanted, data in pairs:
        got = reader.next()
        assert got is not None
        assert got.name.rstrip(b"/") == wanted.name
        for field in ("kind", "mode", "uid", "gid", "size", "mtime", "linkname", "xattrs"):
            assert getattr(got, field) == getattr(wanted, field), field
        assert b"".join(reader.data()) == data
    assert reader.next() is None


@settings(max_examples=100 * LONGER)
@given(st.lists(entries(), max_size=6))
def test_tarfile_reads_what_we_write(pairs):
    with tarfile.open(fileobj=io.BytesIO(write(pairs)), errors="surrogateescape", encoding="utf-8") as tar:
        members = tar.getmembers()
        assert len(members) == len(pairs)
        for member, (wanted, data) in zip(members, pairs, strict=True):
            assert member.name.encode("utf-8", "surrogateescape") == wanted.name.rstrip(b"/")
            assert (member.mode, member.uid, member.gid) == (wanted.mode, wanted.uid, wanted.gid)
            if wanted.kind == REGULAR:
                assert member.size == len(data)
                taken = tar.extractfile(member)
                assert taken is not None and taken.read() == data
            if wanted.kind in (SYMLINK, HARDLINK):
                assert member.linkname.encode("utf-8", "surrogateescape") == wanted.linkname
            for key, value in (wanted.xattrs or {}).items():
                found = member.pax_headers["SCHILY.xattr." + key.decode("utf-8", "surrogateescape")]
                assert found.encode("utf-8", "surrogateescape") == value


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@settings(max_examples=60 * LONGER)
@given(data=st.data())
def test_we_read_what_tarfile_writes(format, data):
    most = 90 if format == tarfile.USTAR_FORMAT else 300
    text = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=20)
    names = data.draw(
        st.lists(text.filter(lambda t: t not in (".", "..")), min_size=1, max_size=5, unique=True)
    )
    out = io.BytesIO()
    wanted = []
    with tarfile.open(fileobj=out, mode="w", format=format, encoding="utf-8") as tar:
        for name in names:
            name = (name * data.draw(st.integers(1, 8))).encode()[:most].decode(errors="ignore") or "x"
            content = data.draw(st.binary(max_size=700))
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mtime = data.draw(st.integers(0, 2**33 - 1))
            info.uid = data.draw(
                st.sampled_from([0, 1000, 2**21 - 1] + ([2**30] if format != tarfile.USTAR_FORMAT else []))
            )
            tar.addfile(info, io.BytesIO(content))
            wanted.append((name.encode(), content, info.mtime, info.uid))
    reader = TarReader([out.getvalue()])
    got = [(e.name, b"".join(reader.data()), e.mtime // 10**9, e.uid) for e in reader]
    assert got == wanted


def test_the_same_entries_give_the_same_bytes():
    def make() -> bytes:
        return write(
            [(Entry(b"a" * 150, xattrs={b"user.b": b"1", b"user.a": b"2"}, mtime=1_500_000_000), b"")]
        )

    assert make() == make()


def test_a_sparse_file_survives_with_its_holes():
    out = io.BytesIO()
    tar = TarWriter(out.write)
    tar.add(Entry(b"dir/s", size=1 << 40, sparse=[(4096, 5), (1 << 39, 3)]))
    tar.data(b"hello")
    tar.data(b"end")
    tar.add(Entry(b"after", size=1))
    tar.data(b"x")
    tar.close()
    reader = TarReader([out.getvalue()])
    entry = reader.next()
    assert entry is not None
    assert (entry.name, entry.size, entry.sparse) == (b"dir/s", 1 << 40, [(4096, 5), (1 << 39, 3)])
    assert b"".join(reader.data()) == b"helloend"
    after = reader.next()
    assert after is not None and after.name == b"after"
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as theirs:
        member = theirs.getmembers()[0]
        assert (member.name, member.size) == ("dir/s", 1 << 40)


def test_old_gnu_sparse_with_extension_blocks_is_read(raw_header):
    parts = [(n * 1024, 10) for n in range(30)]
    fields = b"".join(b"%011o\0%011o\0" % p for p in parts[:4])
    head = bytearray(
        raw_header(b"old", b"S", 300, at257=b"ustar  \0", at386=fields, at482=b"\1", at483=b"%011o\0" % 31000)
    )
    blocks = b""
    for start in (4, 25):
        block = b"".join(b"%011o\0%011o\0" % p for p in parts[start : start + 21]).ljust(504, b"\0")
        blocks += (block + (b"\1" if start == 4 else b"\0")).ljust(512, b"\0")
    reader = TarReader([bytes(head) + blocks + b"d" * 300 + bytes(212) + bytes(1024)])
    entry = reader.next()
    assert entry is not None
    assert (entry.size, entry.sparse) == (31000, parts)
    assert b"".join(reader.data()) == b"d" * 300
    assert reader.next() is None


def test_numbers_beyond_octal_are_read_in_base_256(raw_header):
    big = b"\x80" + (1 << 40).to_bytes(11, "big")
    entry = TarReader([raw_header(b"big", b"0", big)]).next()
    assert entry is not None and entry.size == 1 << 40


def test_an_interrupted_entry_is_not_closed_silently():
    tar = TarWriter(lambda _: None)
    tar.add(Entry(b"a", size=10))
    tar.data(b"123")
    with pytest.raises(ValueError, match="7 bytes"):
        tar.close()
