"""Archives that hold a whole image: what is refused, and that nothing of an OCI layer's meaning is read into them."""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.errors import LadingError
from lading.formats.oci_image import OCI_LAYER, Descriptor
from lading.images import Images, stacking
from lading.images.register import unpack_all
from lading.images.rooted import RootedReader
from lading.images.source import ROOTFS, Source
from support.fuzzing import LONGER


def source_of(
    images: Images, data: bytes, dialect: str = ROOTFS, keep: frozenset[str] | None = None
) -> Source:
    with images.lease() as lease:
        digest = images.content.put(data, lease=lease)
    blob = Descriptor(media_type=OCI_LAYER, digest=digest, size=len(data))
    return Source(blob, "sha512:" + hashlib.sha512(data).hexdigest(), dialect, keep)


def unpacked(images: Images, *sources: Source):
    with images.lease() as lease:
        return unpack_all(images, list(sources), lease)


def stacked(images: Images, *sources: Source) -> list[str]:
    with images.lease() as lease:
        layers = unpack_all(images, list(sources), lease)
        return [images.layers.directory(key) for key in stacking.stack(images.layers, layers, lease=lease)]


def whole(tar):
    """An archive with a manifest and a root, to which a test adds."""
    return tar().file("manifest", b"{}").dir("rootfs")


def test_the_root_is_unpacked_and_the_manifest_may_come_last(images, new_tar):
    data = (
        new_tar().dir("./rootfs", mode=0o711).dir("rootfs/a").file("rootfs/a/b", b"x").file("manifest", b"{}")
    )
    (layer,) = unpacked(images, source_of(images, data.bytes()))
    root = Path(layer.path)
    assert sorted(os.listdir(root)) == ["a"] and (root / "a/b").read_bytes() == b"x"
    assert stat.S_IMODE(root.stat().st_mode) == 0o711
    assert layer.dialect == ROOTFS and layer.implicit == []


def test_a_whiteouts_name_is_a_files_name(images, new_tar):
    data = whole(new_tar).file("rootfs/.wh.a", b"1").dir("rootfs/.wh..wh..opq").file("rootfs/a", b"2").bytes()
    (layer,) = unpacked(images, source_of(images, data))
    assert sorted(os.listdir(layer.path)) == [".wh..wh..opq", ".wh.a", "a"]


def test_no_archive_forges_the_mark_of_a_deletion(images, new_tar):
    forged = whole(new_tar).file("rootfs/.wh.a", b"", mode=0, mtime=0).bytes()
    (layer,) = unpacked(images, source_of(images, forged))
    assert os.stat(layer.path + "/.wh.a").st_mtime_ns != 0


def test_one_archive_read_in_two_ways_gives_two_layers(images, new_tar):
    data = whole(new_tar).file("rootfs/a").bytes()
    one, other = unpacked(images, source_of(images, data), source_of(images, data, ""))
    assert one.key != other.key
    assert os.listdir(one.path) == ["a"] and sorted(os.listdir(other.path)) == ["manifest", "rootfs"]


REFUSED = [
    ("duplicate-entry", lambda t: t.file("rootfs/a").file("rootfs/a")),
    ("duplicate-entry", lambda t: t.file("rootfs/a").file("./rootfs//a")),
    ("duplicate-entry", lambda t: t.dir("rootfs/a").dir("rootfs/a")),
    ("duplicate-entry", lambda t: t.dir("rootfs")),
    ("duplicate-entry", lambda t: t.file("rootfs/a").symlink("rootfs/a", "b")),
    ("duplicate-entry", lambda t: t.dir("rootfs/a").file("rootfs/a")),
    ("duplicate-entry", lambda t: t.file("rootfs/a").dir("rootfs/a")),
    ("duplicate-entry", lambda t: t.file("rootfs/a/b").symlink("rootfs/a", "/")),
    ("duplicate-entry", lambda t: t.file("rootfs/a").file("rootfs/b").link("rootfs/b", "rootfs/a")),
    ("duplicate-entry", lambda t: t.file("manifest", b"{}")),
    ("duplicate-entry", lambda t: t.add("rootfs/a", tarfile.FIFOTYPE).add("rootfs/a", tarfile.FIFOTYPE)),
    ("hostile-archive", lambda t: t.file("../a")),
    ("hostile-archive", lambda t: t.file("rootfs/../../a")),
    ("hostile-archive", lambda t: t.file("rootfs/a/../b")),
    ("hostile-archive", lambda t: t.file("/rootfs/a")),
    ("hostile-archive", lambda t: t.symlink("rootfs/a", "/etc").file("rootfs/a/b")),
    ("hostile-archive", lambda t: t.symlink("rootfs/a", "b").dir("rootfs/b").file("rootfs/a/c")),
    ("hostile-archive", lambda t: t.file("rootfs/a").file("rootfs/a/b")),
    ("hostile-archive", lambda t: t.link("rootfs/a", "manifest")),
    ("hostile-archive", lambda t: t.link("rootfs/a", "../../etc/passwd")),
    ("hostile-archive", lambda t: t.link("rootfs/a", "/etc/passwd")),
    ("hostile-archive", lambda t: t.dir("rootfs/d").link("rootfs/a", "rootfs/d")),
    ("hostile-archive", lambda t: t.add("rootfs/a", tarfile.CHRTYPE)),
    ("bad-link", lambda t: t.link("rootfs/a", "rootfs/b")),
    ("bad-link", lambda t: t.link("rootfs/a", "rootfs/a")),
    ("bad-link", lambda t: t.link("rootfs/a", "rootfs/b/c")),
    ("bad-link", lambda t: t.link("rootfs/a", "rootfs/b").file("rootfs/b")),
    ("bad-layout", lambda t: t.file("other")),
    ("bad-layout", lambda t: t.file("rootfs.txt")),
    ("bad-layout", lambda t: t.file("manifest/x")),
    ("bad-layout", lambda t: t.file("rootfsx/a")),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "grow"), REFUSED)
def test_what_readers_disagree_about_is_refused_and_leaves_nothing(images, new_tar, reason, grow):
    with pytest.raises(LadingError) as caught:
        unpacked(images, source_of(images, grow(whole(new_tar)).bytes()))
    assert caught.value.reason == reason, caught.value
    assert images.layers.list() == [] and os.listdir(images.root + "/staging") == []


@pytest.mark.parametrize(
    ("reason", "make"),
    [
        ("no-manifest", lambda t: t.dir("rootfs").file("rootfs/manifest")),
        ("no-root", lambda t: t.file("manifest")),
        ("no-manifest", lambda t: t),
        ("bad-layout", lambda t: t.file("rootfs").file("manifest")),
        ("bad-layout", lambda t: t.symlink("rootfs", "/").file("manifest")),
        ("bad-layout", lambda t: t.dir("manifest").dir("rootfs")),
        ("bad-layout", lambda t: t.symlink("manifest", "/etc/passwd").dir("rootfs")),
        ("too-large", lambda t: t.file("manifest", bytes((4 << 20) + 1)).dir("rootfs")),
    ],
)
def test_an_archive_without_its_two_parts_is_no_image(images, new_tar, reason, make):
    with pytest.raises(LadingError) as caught:
        unpacked(images, source_of(images, make(new_tar()).bytes()))
    assert caught.value.reason == reason, caught.value


# --- laid over each other -------------------------------------------------------------------------------------------


def test_a_link_below_is_replaced_and_never_followed(images, new_tar):
    lower = whole(new_tar).dir("rootfs/usr").dir("rootfs/usr/lib").symlink("rootfs/lib", "usr/lib").bytes()
    upper = new_tar().file("manifest", b"{}").file("rootfs/lib/new").bytes()
    top, *_ = stacked(images, source_of(images, lower), source_of(images, upper))
    assert os.listdir(top + "/lib") == ["new"]


def test_a_directory_that_an_archive_only_passes_through_keeps_its_attributes_from_below(images, new_tar):
    lower = whole(new_tar).dir("rootfs/tmp", mode=0o1777).bytes()
    upper = new_tar().file("manifest", b"{}").file("rootfs/tmp/x").bytes()
    top, *_ = stacked(images, source_of(images, lower), source_of(images, upper))
    assert stat.S_IMODE(os.stat(top + "/tmp").st_mode) == 0o1777


# --- only some paths ------------------------------------------------------------------------------------------------


def test_only_what_is_kept_is_there_and_costs_no_data(images, new_tar):
    data = (
        whole(new_tar).dir("rootfs/etc", mode=0o750).file("rootfs/etc/a", b"a").file("rootfs/etc/b", b"b")
        .dir("rootfs/d").file("rootfs/d/x").symlink("rootfs/l", "etc").bytes()
    )  # fmt: skip
    keep = frozenset({"etc/a", "d", "l", "l/b", "no/such", "etc/a/x", "\ud800", "n\0l", "x" * 5000})
    part, full = unpacked(images, source_of(images, data, keep=keep), source_of(images, data))
    assert sorted(os.listdir(part.path)) == ["d", "etc", "l"]
    assert os.listdir(part.path + "/etc") == ["a"] and os.listdir(part.path + "/d") == []
    assert os.readlink(part.path + "/l") == "etc"
    assert os.path.samefile(part.path + "/etc/a", full.path + "/etc/a")
    assert stat.S_IMODE(os.stat(part.path + "/etc").st_mode) == 0o750
    assert part.implicit == [b"etc"] and part.size == 1


def test_the_same_part_is_made_once_and_another_part_is_another_layer(images, new_tar):
    data = whole(new_tar).file("rootfs/a").file("rootfs/b").bytes()
    one, two, other = unpacked(
        images, *(source_of(images, data, keep=frozenset(k)) for k in ("ab", "ba", "a"))
    )
    assert one.key == two.key != other.key
    assert [x.key for x in unpacked(images, source_of(images, data, keep=frozenset("ab")))] == [one.key]
    assert sorted(os.listdir(other.path)) == ["a"]


NAMES = st.lists(st.sampled_from(["a", "b", "c", ".wh.a"]), min_size=1, max_size=3).map("/".join)


@settings(max_examples=60 * LONGER)
@given(
    st.dictionaries(NAMES, st.sampled_from("dfl"), max_size=8),
    st.frozensets(NAMES, max_size=6),
)
def test_a_part_is_the_whole_less_what_is_not_listed(tmp_path_factory, tree, keep):
    from tests.unit.images.conftest import Tar

    tar = Tar().file("manifest", b"{}").dir("rootfs")
    present: dict[str, str] = {}
    for name, kind in sorted(tree.items()):
        above = name.rpartition("/")[0]
        if above and present.get(above) != "d":
            continue
        present[name] = kind
        {"d": tar.dir, "f": tar.file, "l": lambda n: tar.symlink(n, "a")}[kind]("rootfs/" + name)
    images = Images(str(tmp_path_factory.mktemp("images")))
    (layer,) = unpacked(images, source_of(images, tar.bytes(), keep=keep))
    found = {str(p.relative_to(layer.path)) for p in Path(layer.path).rglob("*")}
    kept = keep & present.keys()
    parents = {"/".join(n.split("/")[:i]) for n in kept for i in range(1, n.count("/") + 1)}
    assert found == kept | parents


@pytest.mark.fuzz
@pytest.mark.timeout(1800)
@settings(max_examples=5_000 if os.environ.get("LADING_FUZZ") else 200, deadline=None)
@given(st.binary(max_size=3000), st.integers(1, 700))
def test_any_bytes_give_entries_or_one_of_our_errors(data, piece):
    reader = RootedReader(data[i : i + piece] for i in range(0, len(data), piece))
    with pytest.raises(LadingError):
        while reader.next() is not None:
            pass
