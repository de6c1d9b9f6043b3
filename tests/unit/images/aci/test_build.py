"""Building archives: the same bytes for the same input, and OCI images there and back."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest
from tests.unit.images.aci.conftest import labels, put, tree
from tests.unit.images.aci.test_stored import shown
from tests.unit.images.test_store import make

from lading.errors import InvalidInput, LadingError
from lading.formats.appc.image import ImageManifest
from lading.images import Images
from lading.images.aci.archive import examine
from lading.images.aci.build import COMPRESSIONS, build, from_container, from_image, layers_from_image


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    root = tmp_path / "rootfs"
    (root / "bin").mkdir(parents=True)
    (root / "bin/sh").write_bytes(b"#!")
    os.link(root / "bin/sh", root / "bin/ash")
    (root / "sh").symlink_to("bin/sh")
    (root / ".wh.x").write_bytes(b"plain")
    os.chmod(root / "bin/sh", 0o4755)
    os.chmod(root, 0o711)
    return root


def built(manifest: ImageManifest, rootfs: Path, compression: str = "gzip") -> bytes:
    out = io.BytesIO()
    build(manifest, str(rootfs), out, compression=compression)
    return out.getvalue()


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_what_is_built_is_taken_and_is_what_it_was(images, rootfs, compression):
    manifest = ImageManifest.new("x.example/app")
    data = built(manifest, rootfs, compression)
    seen = examine([data])
    assert seen.compression == ("" if compression == "none" else compression)
    image = put(images, data)
    assert shown(image) == tree(rootfs)
    assert os.path.samefile(image.layers[0] + "/bin/sh", image.layers[0] + "/bin/ash")
    assert os.stat(image.layers[0] + "/bin/sh").st_mode & 0o7777 == 0o4755
    assert image.owner == (0o711, os.geteuid(), os.getegid())


def test_the_same_input_gives_the_same_bytes_wherever_it_stands(rootfs, tmp_path, monkeypatch):
    import shutil

    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000")
    manifest = ImageManifest.new("x.example/app")
    first = built(manifest, rootfs)
    copy = tmp_path / "elsewhere"
    shutil.copytree(rootfs, copy, symlinks=True)
    os.unlink(copy / "bin/ash")
    os.link(copy / "bin/sh", copy / "bin/ash")
    assert built(manifest, copy) == first
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        assert tar.getnames()[:2] == ["manifest", "rootfs"] and tar.getnames()[2:] == sorted(
            tar.getnames()[2:]
        )
        assert max(member.mtime for member in tar) == 1000000


def test_what_no_archive_holds_is_named(rootfs):
    import socket

    with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.bind(str(rootfs / "s"))
        assert build(ImageManifest.new("a"), str(rootfs), io.BytesIO()).skipped == ["rootfs/s"]


def test_what_is_no_directory_and_no_compression_is_refused(rootfs):
    with pytest.raises(InvalidInput):
        build(ImageManifest.new("a"), str(rootfs / "bin/sh"), io.BytesIO())
    with pytest.raises(InvalidInput):
        build(ImageManifest.new("a"), str(rootfs), io.BytesIO(), compression="lz4")


# --- OCI images -----------------------------------------------------------------------------------------------------


@pytest.fixture
def oci(images, new_tar):
    """Three layers; the upper ones delete, replace and hide."""
    low = (
        new_tar().dir("etc").file("etc/a", b"a").file("etc/b", b"b").dir("old").file("old/x", b"x")
        .dir("tmp", mode=0o1777).symlink("lib", "etc").bytes()
    )  # fmt: skip
    mid = new_tar().file("etc/.wh.a", b"").file("etc/c", b"c").file("tmp/t", b"t").file("lib/d", b"d").bytes()
    top = new_tar().dir("old").file("old/.wh..wh..opq", b"").file("old/y", b"y").file("z", b"z").bytes()
    return make(
        images, low, mid, top, names=["three:1"],
        entrypoint=["/run"], cmd=["x", "y"], env=["A=b"], user="7", labels={"org.example": "v"},
        exposed_ports={"80/tcp": {}, "90-92/udp": {}}, volumes={"/data": {}}, working_dir="/srv", stop_signal="INT",
    )  # fmt: skip


WHOLE = {
    "etc": None, "etc/b": b"b", "etc/c": b"c", "etc/d": b"d", "old": None, "old/y": b"y",
    "tmp": None, "tmp/t": b"t", "lib": "etc", "z": b"z",
}  # fmt: skip


def test_an_oci_image_becomes_one_archive_and_comes_back(images, oci, tmp_path):
    out = io.BytesIO()
    done = from_image(oci, out, name="x.example/three", labels={"version": "1"})
    assert done.lost == [] and done.skipped == []
    there = Images(str(tmp_path / "there"))
    image = put(there, out.getvalue())
    assert image.id.replace(":", "-") == done.image_id
    assert shown(image) == shown(oci) == WHOLE and len(image.layers) == 1
    assert os.stat(image.layers[0] + "/tmp").st_mode & 0o7777 == 0o1777
    saved = io.BytesIO()
    there.save(["x.example/three"], saved)
    (back,) = images.load(io.BytesIO(saved.getvalue()))
    assert shown(back) == WHOLE
    run, was = back.config.config, oci.config.config
    own = {key: value for key, value in run.labels.items() if not key.startswith("appc.io/")}
    assert run.replace(labels=own) == was
    assert (back.config.os, back.config.architecture) == ("linux", "amd64")
    again = io.BytesIO()
    from_image(oci, again, name="x.example/three", labels={"version": "1"})
    assert again.getvalue() == out.getvalue()


def test_what_a_container_changed_is_in_its_archive_and_mount_points_are_not(images, oci, tmp_path):
    rootfs = images.rootfs(oci, str(tmp_path / "container"))
    upper = Path(rootfs.upper)
    (upper / "new").write_bytes(b"new")
    (upper / "proc").mkdir()
    (upper / "etc").mkdir()
    os.mknod(upper / "etc/b", 0o20644, os.makedev(0, 0))  # as overlayfs deletes
    out = io.BytesIO()
    done = from_container(ImageManifest.new("x.example/changed"), rootfs, out)
    image = put(images, out.getvalue())
    assert image.id.replace(":", "-") == done.image_id
    assert shown(image) == {**{k: v for k, v in WHOLE.items() if k != "etc/b"}, "new": b"new"}


def test_its_layers_become_dependencies_that_other_images_share(images, oci, new_tar, tmp_path):
    files: dict[str, io.BytesIO] = {}

    @contextlib.contextmanager
    def writing(name):
        files[name] = io.BytesIO()
        yield files[name]

    out = io.BytesIO()
    done = layers_from_image(oci, out, writing, name="x.example/three", labels={})
    there = Images(str(tmp_path / "there"))
    with pytest.raises(LadingError) as caught:
        put(there, out.getvalue())
    assert caught.value.reason == "dependency"
    for data in files.values():
        put(there, data.getvalue())
    image = put(there, out.getvalue())
    assert image.id.replace(":", "-") == done.image_id
    assert shown(image) == WHOLE
    assert len(examine([out.getvalue()]).manifest.dependencies) == len(oci.layers) - 1

    other = make(
        images,
        gzip.decompress(images.content.read(_layer(images, oci, 0))),
        new_tar().file("w", b"w").bytes(),
        names=["two:1"],
    )
    before = set(files)
    files.clear()
    layers_from_image(other, io.BytesIO(), writing, name="x.example/two", labels={})
    assert set(files) <= before and files


def _layer(images, image, index: int) -> str:
    import json

    digest: str = json.loads(images.content.read(image.digest))["layers"][index]["digest"]
    return digest


def test_an_image_that_deletes_nothing_needs_no_whitelist(images, new_tar):
    image = make(images, new_tar().file("a").bytes(), new_tar().file("b").bytes())
    out = io.BytesIO()
    layers_from_image(image, out, lambda name: contextlib.nullcontext(io.BytesIO()), name="two", labels={})
    manifest = examine([out.getvalue()]).manifest
    assert manifest.path_whitelist == [] and len(manifest.dependencies) == 1


def test_a_name_that_cannot_be_is_refused_before_anything_is_written(oci):
    out = io.BytesIO()
    for name, values in (("Upper", {}), ("a", {"name": "x"}), ("a", {"os": "plan9"})):
        with pytest.raises(InvalidInput):
            from_image(oci, out, name=name, labels=values)
    assert out.getvalue() == b""


def test_an_image_of_app_container_becomes_one_too(images, new_tar):
    from tests.unit.images.aci.conftest import archive, on

    put(images, archive("base", {"b": b"b"}, labels=labels(version="1")))
    top = put(
        images, archive("top", {"t": b"t"}, dependencies=on("base"), labels=labels(version="2", channel="c"))
    )
    out = io.BytesIO()
    from_image(top, out, name="squashed", labels={"version": "3"})
    image = put(images, out.getvalue())
    assert shown(image) == {"b": b"b", "t": b"t"}
    assert image.names == ["squashed:3,channel=c"]
