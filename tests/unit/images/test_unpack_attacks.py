"""Archives that try to get out, to lie, or to fill the disk. Each fails clearly or stays inside, and touches nothing else."""

from __future__ import annotations

import errno
import os
import stat
import tarfile

import pytest

from lading.errors import Corrupt, Exhausted, InvalidInput, LadingError, Unsupported
from lading.images.files import remove_tree
from lading.images.limits import Limits

REFUSED = {
    "a name that climbs": lambda t, o: t.file("../escape"),
    "a name that climbs later": lambda t, o: t.dir("a").file("a/../../escape"),
    "a directory that climbs": lambda t, o: t.dir(".."),
    "a hard link to above": lambda t, o: t.link("h", "../../outside/secret"),
    "a hard link to a directory": lambda t, o: t.dir("d").link("h", "d"),
    "a hard link to a deleted file": lambda t, o: t.file("d/.wh.f", b"").link("h", "d/f"),
    "a hard link to a whiteout's name": lambda t, o: t.dir("d").link("h", "d/.wh.f"),
    "a whiteout of the parent": lambda t, o: t.file(".wh...", b""),
    "a whiteout of the directory itself": lambda t, o: t.file(".wh..", b""),
    "a whiteout of nothing": lambda t, o: t.file("a/.wh.", b""),
    "a directory with a whiteout's name": lambda t, o: t.file(".wh.d/f"),
    "links in a circle": lambda t, o: t.symlink("a", "b").symlink("b", "a").file("a/x"),
    "an overlay redirect": lambda t, o: t.dir("d", pax_headers={"SCHILY.xattr.trusted.overlay.redirect": "/etc"}),
    "an overlay opaque mark": lambda t, o: t.dir("d", pax_headers={"SCHILY.xattr.user.overlay.opaque": "y"}),
    "a climbing name in pax": lambda t, o: t.file("x" * 120 + "/../../../escape"),
    "a name beyond PATH_MAX": lambda t, o: t.file("/".join(["d" * 200] * 30)),
    "a component beyond NAME_MAX": lambda t, o: t.file("n" * 300),
    "a symbolic link to nowhere at all": lambda t, o: t.symlink("s", ""),
}  # fmt: skip


@pytest.mark.parametrize("attack", REFUSED)
def test_is_refused_as_hostile(attack, cage, new_tar):
    data = REFUSED[attack](new_tar(), cage.outside).bytes()
    with pytest.raises(InvalidInput) as caught:
        cage.unpack(data)
    assert caught.value.reason == "hostile-archive"
    cage.assert_unharmed()


CONTAINED = {
    "an absolute name": (lambda t, o: t.file(f"{o}/secret", b"mine"), None),
    "a file through an absolute link": (lambda t, o: t.symlink("d", str(o)).file("d/secret", b"mine"), None),
    "a file through a relative link": (
        lambda t, o: t.symlink("d", "../../outside").file("d/secret", b"mine"),
        "outside/secret",
    ),
    "a file through two links": (
        lambda t, o: t.symlink("b", "../../outside").symlink("a", "b").file("a/secret", b"mine"),
        "outside/secret",
    ),
    "a directory that becomes a link": (
        lambda t, o: t.dir("d").file("d/one").symlink("d", "../../outside").file("d/secret", b"mine"),
        "outside/secret",
    ),
    "a link that becomes a file": (
        lambda t, o: t.symlink("s", f"{o}/secret").file("s", b"mine"),
        "s",
    ),
    "a link that becomes a directory": (
        lambda t, o: t.symlink("d", str(o)).dir("d", mode=0o777).file("d/secret", b"mine"),
        "d/secret",
    ),
    "a file over a hard link to a link": (
        lambda t, o: t.symlink("s", f"{o}/secret").link("h", "s").file("h", b"mine"),
        "h",
    ),
    "a whiteout through a link": (lambda t, o: t.symlink("d", str(o)).file("d/.wh.secret", b""), None),
    "an opaque mark through a link": (lambda t, o: t.symlink("d", str(o)).file("d/.wh..wh..opq", b""), None),
    "a hard link through a link": (lambda t, o: t.symlink("d", str(o)).link("h", "d/secret"), None),
    "a hard link to an absolute name": (lambda t, o: t.link("h", f"{o}/secret"), None),
    "a link out of a link's own directory": (
        lambda t, o: t.dir("a").symlink("a/up", "../../../outside").file("a/up/secret", b"mine"),
        "outside/secret",
    ),
    "a symbolic link through a link": (
        lambda t, o: t.symlink("d", str(o)).symlink("d/secret", "/etc/passwd"),
        None,
    ),
    "a directory over a file in the way": (lambda t, o: t.file("a").file("a/b/c", b"mine"), "a/b/c"),
}  # fmt: skip


@pytest.mark.parametrize("attack", CONTAINED)
def test_stays_inside(attack, cage, new_tar):
    make, lands = CONTAINED[attack]
    cage.unpack(make(new_tar(), cage.outside).bytes())
    cage.assert_unharmed()
    if lands:
        assert (cage.root / lands).read_bytes() == b"mine"


def test_the_last_of_duplicate_entries_wins(cage, new_tar):
    data = new_tar().file("x", b"1").dir("x").file("x/y", b"2").symlink("x", "z").file("x", b"3", mode=0o600)
    cage.unpack(data.bytes())
    assert (cage.root / "x").read_bytes() == b"3"
    assert stat.S_IMODE((cage.root / "x").stat().st_mode) == 0o600
    assert os.listdir(cage.root) == ["x"]


def test_a_file_written_again_does_not_write_through_its_hard_links(cage, new_tar):
    cage.unpack(new_tar().file("a", b"old").link("b", "a").file("a", b"new").bytes())
    assert (cage.root / "a").read_bytes() == b"new"
    assert (cage.root / "b").read_bytes() == b"old"


def test_a_hard_link_to_itself_changes_nothing(cage, new_tar):
    cage.unpack(new_tar().file("a", b"old").link("a", "a").bytes())
    assert (cage.root / "a").read_bytes() == b"old"


def test_directories_may_nest_deeper_than_descriptors_allow(cage, new_tar):
    name = "/".join(["d"] * 1500)
    cage.unpack(new_tar().file(name, b"deep").bytes())
    depth, fd = 0, os.open(cage.root, os.O_RDONLY)
    while os.listdir(fd) and stat.S_ISDIR(os.stat("d", dir_fd=fd).st_mode):
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd, depth = below, depth + 1
    os.close(fd)
    assert depth == 1499
    remove_tree(str(cage.root))
    assert not cage.root.exists()


@pytest.mark.parametrize("size", [1, 511, 512, 513, 700, 1 << 16])
def test_an_archive_cut_inside_an_entry_is_truncated(size, cage, new_tar):
    data = new_tar().file("a", os.urandom(100_000)).bytes()[:size]
    with pytest.raises(Corrupt) as caught:
        cage.unpack(data)
    assert caught.value.reason == "truncated"


def test_a_wrong_checksum_is_corrupt(cage, new_tar):
    data = bytearray(new_tar().file("a").bytes())
    data[0] ^= 1
    with pytest.raises(Corrupt):
        cage.unpack(bytes(data))


def test_data_after_a_lone_zero_block_is_refused_because_readers_disagree_about_it(cage, raw_header):
    data = raw_header(b"a") + bytes(512) + raw_header(b"hidden") + bytes(1024)
    with pytest.raises(Corrupt):
        cage.unpack(data)


def test_data_after_the_end_is_not_unpacked(cage, new_tar, raw_header):
    cage.unpack(new_tar().file("a").bytes() + raw_header(b"hidden") + bytes(1024))
    assert os.listdir(cage.root) == ["a"]


@pytest.mark.parametrize("kind", [b"M", b"D", b"V", b"N", b"Z", b"\xff"])
def test_entry_types_nobody_needs_are_refused_by_name(kind, cage, raw_header):
    with pytest.raises(Unsupported):
        cage.unpack(raw_header(b"a", kind) + bytes(1024))


def test_a_huge_extended_header_is_refused_before_it_is_read(cage, raw_header):
    with pytest.raises(Exhausted) as caught:
        cage.unpack(raw_header(b"p", b"x", 1 << 33))
    assert caught.value.reason == "header-too-large"


def test_extended_headers_without_end_are_refused_before_they_fill_the_memory(cage, raw_header, pax_header):
    data = b"".join(pax_header(**{f"SCHILY__xattr__user__{n}": bytes(60_000)}) for n in range(100))
    with pytest.raises(Exhausted) as caught:
        cage.unpack(data + raw_header(b"a") + bytes(1024))
    assert caught.value.reason == "header-too-large"


@pytest.mark.parametrize("kind", [b"0", b"2", b"3", b"5"])
def test_an_owner_that_is_none_is_refused_whatever_has_it(kind, cage, raw_header):
    header = raw_header(b"a", kind, at108=b"\x80" + b"\xff" * 7, at157=b"target")
    with pytest.raises(Corrupt, match="no user and group"):
        cage.unpack(header + bytes(1024))


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("security.capability", b"no capability", InvalidInput),
        ("", b"x", InvalidInput),
    ],
)
def test_an_extended_attribute_that_is_none_is_named(key, value, kind, cage, raw_header, pax_header):
    data = pax_header(**{f"SCHILY__xattr__{key}": value}) + raw_header(b"a") + bytes(1024)
    with pytest.raises(kind, match="extended attribute") as caught:
        cage.unpack(data)
    assert caught.value.reason == "hostile-archive"


def test_an_attribute_too_large_for_the_file_system_is_not_called_a_full_disk(
    cage, raw_header, pax_header, monkeypatch
):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "setxattr", full)
    for size, kind in ((60_000, Unsupported), (10, Exhausted)):
        data = pax_header(SCHILY__xattr__user__a=b"x" * size) + raw_header(b"a") + bytes(1024)
        with pytest.raises(kind):
            cage.unpack(data)
        (cage.root / "a").unlink()


def test_an_archive_that_only_replaces_directories_ends(cage, new_tar, monkeypatch):
    monkeypatch.setattr("lading.images.unpack._MOST_LOOKED_AT", 1000)
    data = new_tar()
    for number in range(100):
        data.dir(f"d{number}")
    data.dir("a").file("a").dir("a").file("a")
    cage.unpack(data.bytes())
    again = new_tar()
    for number in range(100):
        again.dir(f"d{number}")
    for _ in range(20):
        again.dir("b").file("b")
    with pytest.raises(Exhausted) as caught:
        cage.unpack(again.bytes())
    assert caught.value.reason == "too-many"


@pytest.mark.parametrize(
    "size", [b"\xff" * 12, b"\x80" + b"\xff" * 11, b"0000000-001\0", b"0x10\0", b"1_0\0", b"99\0"]
)
def test_numbers_that_are_none_are_refused(size, cage, raw_header):
    with pytest.raises(Corrupt):
        cage.unpack(raw_header(b"a", b"0", size) + bytes(1024))


@pytest.mark.parametrize(
    "records",
    [
        {"path": b"a\0b"},
        {"size": b"-1"},
        {"size": b"1e9"},
        {"size": b"99999999999999999999"},
        {"mtime": b"yesterday"},
        {"uid": b"+5"},
        {"uid": b"4294967295"},
        {"gid": b"4294967296"},
        {"gid": b"9223372036854775807"},
        {"GNU.sparse.name": b"another"},
        {"GNU.sparse.realsize": b"100"},
        {"path": b"file/", "size": b"5"},
    ],
)
def test_extended_headers_that_lie_are_refused(records, cage, raw_header, pax_header):
    with pytest.raises(LadingError):
        cage.unpack(pax_header(**records) + raw_header(b"a") + bytes(1024))


@pytest.mark.parametrize("body", [b"9999 path=x\n", b"5 a=b", b"x", b"3 =\n", b"12 path\n", b"0 a=b\n"])
def test_malformed_extended_headers_are_refused(body, cage, raw_header):
    data = raw_header(b"p", b"x", len(body)) + body.ljust(512, b"\0") + raw_header(b"a") + bytes(1024)
    with pytest.raises(Corrupt):
        cage.unpack(data)


def test_a_global_header_that_would_rename_everything_is_refused(cage, raw_header):
    body = b"17 path=elsewhere"[:16] + b"\n"
    body = b"%d path=elsewhere\n" % (len(b" path=elsewhere\n") + 2)
    data = raw_header(b"g", b"g", len(body)) + body.ljust(512, b"\0") + raw_header(b"a") + bytes(1024)
    with pytest.raises(Unsupported) as caught:
        cage.unpack(data)
    assert caught.value.reason == "tar-global"


SPARSE = {
    "a part beyond the end": (b"100", b"90,20"),
    "parts that overlap": (b"1000", b"0,15,10,5"),
    "parts that go backwards": (b"1000", b"500,10,0,10"),
    "less data than the map says": (b"1000", b"0,10"),
    "an odd map": (b"1000", b"0,10,20"),
    "a map of words": (b"1000", b"a,b"),
    "no room for a number": (b"9" * 30, b"0,20"),
}


@pytest.mark.parametrize("lie", SPARSE)
def test_sparse_maps_that_lie_are_refused(lie, cage, raw_header, pax_header):
    size, parts = SPARSE[lie]
    records = {"GNU__sparse__size": size, "GNU__sparse__map": parts, "GNU__sparse__numblocks": b"1"}
    with pytest.raises(Corrupt):
        cage.unpack(pax_header(**records) + raw_header(b"a", b"0", 20) + bytes(512) + bytes(1024))


def test_a_sparse_file_larger_than_the_limit_is_refused_though_it_holds_nothing(cage, raw_header, pax_header):
    records = {"GNU__sparse__size": b"%d" % (1 << 60), "GNU__sparse__map": b"0,0"}
    with pytest.raises(Exhausted) as caught:
        cage.unpack(pax_header(**records) + raw_header(b"a") + bytes(1024), Limits(bytes=1 << 30))
    assert caught.value.reason == "too-large"


def test_more_bytes_than_allowed_are_refused_before_they_are_written(cage, new_tar):
    with pytest.raises(Exhausted) as caught:
        cage.unpack(new_tar().file("a", bytes(5000)).bytes(), Limits(bytes=4999))
    assert caught.value.reason == "too-large"
    assert not (cage.root / "a").exists()


def test_more_entries_than_allowed_are_refused(cage, new_tar):
    data = new_tar()
    for number in range(11):
        data.file(f"f{number}", b"")
    with pytest.raises(Exhausted) as caught:
        cage.unpack(data.bytes(), Limits(entries=10))
    assert caught.value.reason == "too-many"


def test_a_disk_that_is_nearly_full_is_left_alone(cage, new_tar):
    with pytest.raises(Exhausted) as caught:
        cage.unpack(new_tar().file("a", bytes(33 << 20)).bytes(), Limits(reserve=1 << 60))
    assert caught.value.reason == "disk-full"


def test_labels_of_the_machine_that_made_the_archive_are_left_out_and_noted(cage, new_tar):
    headers = {"SCHILY.xattr.security.selinux": "system_u:object_r:etc_t:s0"}
    result = cage.unpack(new_tar().file("a", pax_headers=headers).bytes())
    assert any("security.selinux" in note for note in result.notes)
    assert os.listxattr(cage.root / "a") == []


def test_fuzzed_archives_never_escape_and_never_crash(cage, new_tar):
    """Bounded: a few hundred mutations of a rich archive; every outcome is a result or one of our errors."""
    import random

    rich = (
        new_tar(tarfile.PAX_FORMAT).dir("d").file("d/f", b"x" * 600).symlink("d/s", "../d").link("d/h", "d/f")
    )
    rich.file("d/s/.wh.gone", b"").file("d/.wh..wh..opq", b"").file("long" * 40, b"y", mtime=1.5)
    good = rich.bytes()
    good = good[: good.rindex(b"y") + 1024]
    dice = random.Random(20240229)
    for _ in range(300):
        data = bytearray(good)
        for _ in range(dice.randint(1, 6)):
            position = dice.randrange(len(data))
            data[position] = dice.choice((0, 0x2F, 0x2E, 0x35, 0xFF, dice.randrange(256)))
            block = position & ~511
            if dice.random() < 0.8 and b"ustar" in data[block : block + 512]:
                data[block + 148 : block + 156] = b" " * 8
                data[block + 148 : block + 156] = b"%06o\0 " % sum(data[block : block + 512])
        try:
            cage.unpack(
                bytes(data), Limits(bytes=1 << 24, entries=1000), piece=dice.choice((512, 700, 1 << 16))
            )
        except LadingError:
            pass
    cage.assert_unharmed()
