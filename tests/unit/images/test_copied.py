"""A private copy of an image's layers: what it keeps, what it leaves when it fails, and what its diff and commit say."""

from __future__ import annotations

import errno
import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from lading.errors import Exhausted, InvalidInput, KernelError, Unsupported
from lading.formats.oci_image import ImageConfig, RunConfig
from lading.formats.rootfs import Rootfs
from lading.images import Image, Images, copied, differences, storage, storage_trial, union
from lading.images.files import remove_tree
from lading.images.newlayer import LayerWriter
from lading.images.register import create


def _image(images: Images, *layers: bytes) -> Image:
    with images.lease() as lease:
        made = []
        for data in layers:
            with LayerWriter(images, lease=lease) as writer:
                writer.write(data)
                made.append(writer.finish())
        config = ImageConfig(os="linux", architecture="amd64", config=RunConfig())
        return create(images, config, [d for d, _ in made], [i for _, i in made], ["test:1"], lease=lease)


@pytest.fixture(autouse=True)
def _copying(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LADING_STORAGE", "copy")


@pytest.fixture
def image(images, new_tar):
    below = (
        new_tar().dir("etc", mtime=1000).file("etc/a", b"aaa", mtime=1001).file("etc/b", b"bbb", mode=0o4755)
    )
    below.link("etc/b2", "etc/b").dir("gone").file("gone/x").dir("hidden").file("hidden/old").dir("dev").dir(
        "empty"
    )
    above = new_tar().symlink("link", "etc/a").file("etc/.wh.c").file(".wh.gone").file("hidden/.wh..wh..opq")
    above.file("hidden/new").add("pipe", tarfile.FIFOTYPE)
    return _image(images, below.bytes(), above.bytes())


def _tree(root: str) -> dict[str, tuple[int, int, int, int]]:
    """Name → mode, size, time and number of links of everything below a directory."""
    found = {}
    for base, directories, files in os.walk(root):
        for name in directories + files:
            there = os.lstat(f"{base}/{name}")
            links = 0 if stat.S_ISDIR(there.st_mode) else there.st_nlink
            found[f"{base}/{name}"[len(root) + 1 :]] = (
                there.st_mode,
                there.st_size,
                there.st_mtime_ns,
                links,
            )
    return found


def test_the_copy_is_what_the_layers_show_with_all_attributes(images, image, tmp_path):
    rootfs = images.rootfs(image, str(tmp_path / "c"))
    assert rootfs.lower == [] and rootfs.base == image.layers
    shown = {node.name.decode(): node.there for node in union.walk(image.layers)}
    tree = _tree(rootfs.upper)
    assert (
        set(tree) == set(shown) and "gone" not in tree and "hidden/old" not in tree and "hidden/new" in tree
    )
    for name, (mode, size, mtime, links) in tree.items():
        there = shown[name]
        assert (mode, mtime) == (there.st_mode, there.st_mtime_ns), name
        assert stat.S_ISDIR(mode) or (size, links) == (there.st_size, there.st_nlink), name
    assert os.readlink(rootfs.upper + "/link") == "etc/a"
    assert os.path.samefile(rootfs.upper + "/etc/b", rootfs.upper + "/etc/b2")
    assert list(images.changes(rootfs)) == []


def test_holes_and_attributes_are_copied(images, tmp_path):
    upper = tmp_path / "layer"
    upper.mkdir()
    with (upper / "sparse").open("wb") as file:
        file.seek(8 << 20)
        file.write(b"end")
        file.truncate(16 << 20)
    os.setxattr(upper / "sparse", "user.colour", b"blue")
    copier = copied._Copier(os.fsencode(tmp_path))
    copier._clone = False
    copier.one(os.fsencode(upper / "sparse"), os.fsencode(tmp_path / "to"), os.lstat(upper / "sparse"))
    there = os.stat(tmp_path / "to")
    assert there.st_size == 16 << 20 and there.st_blocks * 512 < 1 << 20
    assert (tmp_path / "to").read_bytes() == (upper / "sparse").read_bytes()
    assert os.getxattr(tmp_path / "to", "user.colour") == b"blue"


def test_a_container_stays_what_it_began_as(images, image, tmp_path, monkeypatch):
    rootfs = images.rootfs(image, str(tmp_path / "c"))
    Path(rootfs.upper, "mine").write_text("kept")
    monkeypatch.setenv("LADING_STORAGE", "auto")
    other = Images(images.root)
    again = other.rootfs(image, str(tmp_path / "c"))
    assert again.upper == rootfs.upper and Path(again.upper, "mine").read_text() == "kept"
    os.makedirs(tmp_path / "d" / "upper")
    monkeypatch.setenv("LADING_STORAGE", "copy")
    assert Images(images.root).rootfs(image, str(tmp_path / "d")).lower == image.layers


def test_a_full_disk_leaves_nothing_and_a_killed_copy_is_begun_anew(images, image, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    directory = tmp_path / "c"
    with monkeypatch.context() as patch:
        patch.setattr(copied._Copier, "_file", full)
        with pytest.raises(Exhausted) as caught:
            images.rootfs(image, str(directory))
    assert caught.value.reason == "disk-full" and os.listdir(directory) == []
    (directory / "copy.part" / "etc").mkdir(parents=True)
    (directory / "copy.part" / "etc" / "half").write_text("h")
    rootfs = images.rootfs(image, str(directory))
    assert not os.path.exists(rootfs.upper + "/etc/half") and not (directory / "copy.part").exists()


@pytest.fixture
def changed(images, image, tmp_path) -> Rootfs:
    rootfs = images.rootfs(image, str(tmp_path / "c"))
    root = Path(rootfs.upper)
    (root / "etc/a").write_bytes(b"AAA")
    os.utime(root / "etc/a", ns=(0, 1001 * 10**9))  # the same size and time: only its bytes tell
    (root / "etc/new").write_bytes(b"new")
    (root / "hidden/new").unlink()
    (root / "link").unlink()
    (root / "link").mkdir()
    (root / "link/in").write_bytes(b"in")
    (root / "deep/er").mkdir(parents=True)
    # What the runtime makes to mount over it:
    (root / "etc/hosts").touch()
    (root / "proc").mkdir()
    return rootfs


def test_diff_of_a_copy_is_that_of_an_overlay(images, changed):
    assert [f"{c.kind} {c.path}" for c in images.changes(changed)] == [
        "A /deep",
        "A /deep/er",
        "C /etc",
        "C /etc/a",
        "A /etc/new",
        "C /hidden",
        "D /hidden/new",
        "C /link",
        "A /link/in",
    ]


def test_what_a_container_deletes_while_its_copy_is_compared_is_passed_over(images, changed, monkeypatch):
    before = [f"{c.kind} {c.path}" for c in images.changes(changed)]
    listdir = os.listdir
    top = os.fsencode(changed.upper)
    monkeypatch.setattr(os, "listdir", lambda path: [*listdir(path), *([b"gone-now"] if path == top else [])])
    assert [f"{c.kind} {c.path}" for c in images.changes(changed)] == before


def test_only_mount_points_are_no_change(images, image, tmp_path):
    rootfs = images.rootfs(image, str(tmp_path / "c"))
    Path(rootfs.upper, "etc/resolv.conf").touch()
    Path(rootfs.upper, "sys").mkdir()
    assert list(images.changes(rootfs)) == []


def test_commit_of_a_copy_holds_the_differences_only(images, image, changed):
    made = images.commit(image, changed.upper, base=changed.base, names=["made:1"])
    assert made.diff_ids[:-1] == image.diff_ids
    out = io.BytesIO()
    differences.pack(changed, out.write)
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        assert tar.getnames() == [
            "deep",
            "deep/er",
            "etc",
            "etc/a",
            "etc/new",
            "hidden",
            "hidden/.wh.new",
            "link",
            "link/in",
        ]
    shown = {node.name for node in union.walk(made.layers)}
    assert (
        b"etc/new" in shown
        and b"hidden/new" not in shown
        and b"link/in" in shown
        and b"etc/hosts" not in shown
    )


def test_a_deep_tree_is_no_trouble(images, image, tmp_path):
    rootfs = images.rootfs(image, str(tmp_path / "c"))
    here = os.getcwd()
    try:
        os.chdir(rootfs.upper)
        for _ in range(1500):
            os.mkdir("d")
            os.chdir("d")
    finally:
        os.chdir(here)
    assert sum(c.kind == "A" for c in images.changes(rootfs)) == 1500
    remove_tree(str(tmp_path / "c"))  # deeper than pytest's own cleaning goes


def test_whiteouts_that_the_file_system_cannot_keep_become_marks(new_tar, tmp_path, monkeypatch):
    images = Images(str(tmp_path / "images"))

    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no whiteouts here")

    monkeypatch.setattr(os, "mknod", refused)
    monkeypatch.setattr(os, "setxattr", refused)
    below = (
        new_tar()
        .dir("keep")
        .dir("gone")
        .file("gone/x")
        .dir("d")
        .file("d/old")
        .file("f")
        .dir("again")
        .file("again/1")
    )
    above = new_tar().file(".wh.gone").file("d/.wh..wh..opq").file("d/new").file("keep/.wh.no")
    above.file(".wh.f").file("f", b"new").file(".wh.again").dir("again").file("again/2")
    image = _image(images, below.bytes(), above.bytes())
    shown = {node.name.decode() for node in union.walk(image.layers)}
    assert shown == {"keep", "d", "d/new", "f", "again", "again/2"}
    paths = union.roots(image.layers)
    for name in ("gone", "gone/x", "d/old", "again/1"):
        assert union.find(paths, name.encode()) is None, name
    rootfs = images.rootfs(image, str(tmp_path / "c"))
    assert set(_tree(rootfs.upper)) == shown and list(images.changes(rootfs)) == []


@pytest.mark.parametrize(
    ("asked", "problem", "kind"),
    [
        ("", "", "overlay"),
        ("auto", "", "overlay"),
        ("auto", "no whiteouts", "copy"),
        ("overlay", "", "overlay"),
    ],
)
def test_what_was_found_out_is_remembered(tmp_path, monkeypatch, asked, problem, kind):
    asks = []
    monkeypatch.setenv("LADING_STORAGE", asked)
    monkeypatch.setattr(
        "lading.images.storage_trial.overlay_problem", lambda *_, **__: asks.append(1) or problem
    )
    for _ in range(2):
        choice = storage.choose(str(tmp_path), None, userxattr=False)
        assert (choice.kind, choice.reason) == (kind, problem)
    assert len(asks) == 1
    storage.choose(str(tmp_path), None, userxattr=True)  # another question
    assert len(asks) == 2


def test_asking_for_too_much_or_nonsense_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr("lading.images.storage_trial.overlay_problem", lambda *_, **__: "no whiteouts")
    monkeypatch.setenv("LADING_STORAGE", "overlay")
    with pytest.raises(Unsupported, match="no whiteouts") as caught:
        storage.choose(str(tmp_path), None, userxattr=False)
    assert caught.value.reason == "no-overlay"
    monkeypatch.setenv("LADING_STORAGE", "zfs")
    with pytest.raises(InvalidInput, match="'zfs' is not one of auto, overlay, copy"):
        storage.choose(str(tmp_path), None, userxattr=False)


@pytest.mark.parametrize(
    ("overlay", "tmpfs", "answer"),
    [
        (1, 0, "overlayfs cannot be used below"),  # a user namespace in which overlayfs may not be mounted
        (1, 1, None),  # nobody who may mount: nothing is learnt
        (38, 0, None),  # a kernel without these calls, on which no container starts
        (19, 0, "overlayfs cannot be used below"),  # a kernel without overlayfs
    ],
)
def test_a_refusal_counts_when_it_is_overlayfs_that_is_refused(tmp_path, monkeypatch, overlay, tmpfs, answer):
    class Refusing:
        def new_filesystem(self, kind: str, *_: object) -> int:
            number = {"overlay": overlay, "tmpfs": tmpfs}[kind]
            if number:
                raise KernelError(f"fsopen({kind})", number)
            return os.open("/dev/null", os.O_RDONLY)

    monkeypatch.setattr(os, "mknod", lambda *_: None)
    found = storage_trial.overlay_problem(str(tmp_path), Refusing(), userxattr=True)
    assert found is None if answer is None else answer in found
    assert os.listdir(tmp_path / "staging") == []
