"""rpm's older databases, written here by their formats, whole and broken."""

from __future__ import annotations

import os
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.build.test_packages import rpm_header

from lading.build import packages
from lading.build.packages_rpm_files import hashed, ndb
from support.fuzzing import LONGER

PAGE = 512
BLOBS = [b"first", b"second" * 300, b"third" * 2000]


def ndb_file(blobs: list[bytes], *, slot: int = 1) -> bytes:
    """A database of one page of slots; ``slot`` is the number of the first package."""
    slots = [struct.pack("<4sIII", b"RpmP", 0, 7, 1), struct.pack("<IIII", slot + len(blobs), 0, 0, 0)]
    body = b""
    for number, blob in enumerate(blobs, slot):
        whole = struct.pack("<4sIII", b"BlbS", number, 1, len(blob)) + blob
        whole += bytes(-(len(whole) + 12) % 16)
        whole += struct.pack("<II4s", zlib.adler32(whole), len(blob), b"BlbE")
        slots.append(struct.pack("<4sIII", b"Slot", number, (4096 + len(body)) // 16, len(whole) // 16))
        body += whole
    slots += [struct.pack("<4sIII", b"Slot", 0, 0, 0)] * (256 - len(slots))
    return b"".join(slots) + body


def hash_file(blobs: list[bytes], order: str = "<") -> bytes:
    """A hash of one pair a page, after the record that counts them; large values on overflow pages."""

    def page(number: int, kind: int, entries: int, place: int, after: int = 0) -> bytes:
        return struct.pack(f"{order}QIIIHHBB", 0, number, 0, after, entries, place, 0, kind)

    def laid(number: int, items: list[bytes]) -> bytes:
        places, at, tail = [], PAGE, b""
        for item in items:
            at -= len(item)
            places.append(at)
            tail = item + tail
        head = page(number, 13, len(items), at) + struct.pack(f"{order}{len(items)}H", *places)
        return head + bytes(PAGE - len(head) - len(tail)) + tail

    pages = [b"", laid(1, [b"\1" + bytes(4), b"\1" + struct.pack(f"{order}I", len(blobs))])]
    for key, blob in enumerate(blobs, 1):
        item = b"\1" + blob
        if len(item) > PAGE // 4:
            first = len(pages)
            pieces = [blob[i : i + PAGE - 26] for i in range(0, len(blob), PAGE - 26)]
            for index, piece in enumerate(pieces):
                after = first + index + 1 if index + 1 < len(pieces) else 0
                made = page(first + index, 7, 1, len(piece), after) + piece
                pages.append(made + bytes(PAGE - len(made)))
            item = b"\3\0\0\0" + struct.pack(f"{order}II", first, len(blob))
        pages.append(laid(len(pages), [b"\1" + struct.pack(f"{order}I", key), item]))
    meta = struct.pack(
        f"{order}QIIIIBBBBIIIIII", 0, 0, 0x061561, 9, PAGE, 0, 8, 0, 0, 0, len(pages) - 1, 0, 0, 0, 0
    )
    pages[0] = meta + bytes(PAGE - len(meta))
    return b"".join(pages)


def test_every_header_of_an_ndb_database_is_read(tmp_path):
    (tmp_path / "f").write_bytes(ndb_file(BLOBS))
    assert list(ndb(str(tmp_path / "f"))) == BLOBS


@pytest.mark.parametrize("order", ["<", ">"])
def test_every_header_of_a_hash_is_read_in_either_byte_order(tmp_path, order):
    (tmp_path / "f").write_bytes(hash_file(BLOBS, order))
    assert list(hashed(str(tmp_path / "f"))) == BLOBS


def test_blobs_that_overlap_and_pages_in_a_circle_end(tmp_path):
    path = tmp_path / "f"
    data = bytearray(ndb_file([b"x" * 5000]))
    for number in range(3, 256):
        data[number * 16 : number * 16 + 16] = data[32:48]
    path.write_bytes(data)
    with pytest.raises(ValueError, match="overlap"):
        list(ndb(str(path)))
    data = bytearray(hash_file([b"x" * 5000]))
    struct.pack_into("<I", data, 2 * PAGE + 16, 2)
    path.write_bytes(data)
    assert [len(value) for value in _until(hashed(str(path)))] in ([], [5000])
    many = bytearray(hash_file([b"x" * 5000]))
    for _ in range(30):
        many += many[-PAGE:]
    path.write_bytes(many)
    assert sum(len(value) for value in _until(hashed(str(path)))) <= len(many)


def test_a_page_that_holds_a_byte_and_follows_itself_is_not_read_for_each_byte(tmp_path, monkeypatch):
    data = bytearray(hash_file([b"x" * 5000])) + bytes(PAGE * 2_000)
    at = data.index(b"\3\0\0\0" + struct.pack("<II", 2, 5000))
    struct.pack_into("<II", data, at + 4, 2, PAGE * 1_000)
    struct.pack_into("<I", data, 2 * PAGE + 16, 2)
    struct.pack_into("<H", data, 2 * PAGE + 22, 1)
    (tmp_path / "f").write_bytes(data)
    read = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda *args: read.append(args[1]) or pread(*args))
    with pytest.raises(ValueError, match="share pages"):
        list(hashed(str(tmp_path / "f")))
    assert sum(read) < 3 * len(data)


def _until(values):
    """What comes before an error."""
    try:
        yield from values
    except ValueError:
        pass


@settings(max_examples=150 * LONGER)
@given(st.data())
def test_a_broken_database_is_refused_in_good_order(tmp_path_factory, data):
    kind, read = data.draw(st.sampled_from([(ndb_file, ndb), (hash_file, hashed)]))
    whole = bytearray(kind(BLOBS))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, min(len(whole) - 1, 1200)))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    path = tmp_path_factory.mktemp("broken") / "f"
    path.write_bytes(whole[:cut] if data.draw(st.booleans()) else whole)
    values = list(_until(read(str(path))))
    assert sum(map(len, values)) <= len(whole)


@pytest.mark.parametrize(
    "name,kind",
    [("usr/lib/sysimage/rpm/Packages.db", ndb_file), ("var/lib/rpm/Packages", hash_file)],
)
def test_an_image_s_packages_are_told(tmp_path, name, kind):
    blobs = [
        rpm_header(
            name="bash", version="5.2", release="1", epoch=2, license="GPL-3.0-or-later", arch="x86_64"
        ),
        rpm_header(name="gpg-pubkey", version="1", release="1"),
    ]
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_bytes(kind(blobs))
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text("ID=opensuse-leap\nVERSION_ID=15.6\n")
    made = packages.scan([str(tmp_path)])
    assert [p.purl(made.distribution) for p in made.packages] == [
        "pkg:rpm/opensuse-leap/bash@2:5.2-1?arch=x86_64&distro=opensuse-leap-15.6"
    ]
    assert made.notes == []
    (tmp_path / name).write_bytes(b"no database")
    assert packages.scan([str(tmp_path)]).notes == [f"/{name} could not be read: ValueError"]
