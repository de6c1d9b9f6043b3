"""Layers that are kept unpacked and nowhere else: their archive is there for whoever asks, the same to the byte."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lading.errors import Corrupt, NotFound
from lading.formats import jsontext
from lading.formats.oci_image import OCI_INDEX, OCI_LAYER, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor
from lading.formats.reference import Reference
from lading.formats.rootfs import Rootfs
from lading.images import Images, rendering, snapshots, travelling
from lading.images.compression import decompress
from lading.images.files import Lock
from lading.images.oci import format_of
from lading.images.register import create

root = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices need root")


def layers_of(images: Images, image) -> list[Descriptor]:
    return [
        source.blob
        for source in format_of(image.descriptor.media_type).resolve(images.content, image.descriptor).sources
    ]


def imported(images: Images, new_tar, name="own:1"):
    data = new_tar().dir("a").file("a/b", b"content").link("c", "a/b").symlink("d", "a/b").bytes()
    return images.import_(io.BytesIO(data), names=[name])


def test_an_imported_image_has_its_layer_once(images, new_tar):
    image = imported(images, new_tar)
    (layer,) = layers_of(images, image)
    assert layer.media_type == OCI_LAYER
    assert layer.digest == image.diff_ids[0]
    assert not images.content.has(layer.digest)
    assert rendering.has(images, layer.digest)
    data = b"".join(rendering.verified(images, layer.digest))
    assert len(data) == layer.size == rendering.size(images, layer.digest)
    assert "sha256:" + hashlib.sha256(data).hexdigest() == layer.digest
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert [member.name for member in archive] == ["a", "c", "d", "a/b"]


def test_the_root_directory_of_an_imported_archive_is_in_the_layer(images, new_tar):
    data = new_tar().dir("./", mode=0o711).file("x").bytes()
    image = images.import_(io.BytesIO(data))
    rendered = b"".join(rendering.verified(images, image.diff_ids[0]))
    with tarfile.open(fileobj=io.BytesIO(rendered)) as archive:
        first = archive.next()
        assert (first.name, first.mode) == (".", 0o711)


def test_an_import_whose_links_lead_nowhere_is_refused(images, new_tar):
    with pytest.raises(Corrupt, match="hard link"):
        images.import_(io.BytesIO(new_tar().link("a", "missing").bytes()))
    assert images.layers.list() == []


def test_what_is_saved_is_loaded_as_the_same_image(images, new_tar, tmp_path):
    image = imported(images, new_tar)
    out = io.BytesIO()
    images.save(["own:1"], out)
    other = Images(str(tmp_path / "other"))
    (loaded,) = other.load(io.BytesIO(out.getvalue()))
    assert (loaded.digest, loaded.id) == (image.digest, image.id)
    # An OCI layout has what a push sends.
    images.save(["own:1"], str(tmp_path / "layout"), format="oci-dir")
    (again,) = Images(str(tmp_path / "third")).load(str(tmp_path / "layout"))
    assert again.id == image.id
    assert list(images.get("own:1").targets.values()) == [again.digest] != [image.digest]


def test_a_file_that_changed_below_is_not_passed_on(images, new_tar):
    image = imported(images, new_tar)
    with open(images.layers.directory(image.layers[0].split("/")[-2]) + "/a/b", "r+b") as file:
        file.write(b"CONTENT")
    with pytest.raises(Corrupt, match="files are not those it was made of"):
        images.save(["own:1"], io.BytesIO())
    with pytest.raises(Corrupt):
        travelling.blob(images, image.diff_ids[0], "gzip", None, lease=images.lease())
    findings = images.check(repair=True)
    assert [finding.repaired for finding in findings] == [False]
    assert image.short_id in findings[0].object
    assert images.get("own:1").layers == image.layers and os.path.isdir(image.layers[0])
    assert images.check(verify=False) == []


def test_a_file_system_may_change_its_mind_about_holes(images, tmp_path):
    upper = tmp_path / "upper"
    upper.mkdir()
    with open(upper / "sparse", "wb") as file:
        file.seek(1 << 20)
        file.write(b"x")
    with images.lease() as lease:
        made = snapshots.adopt(images, Rootfs(upper=_within(images, upper), lower=[]), lease=lease)
        path = images.layers.directory(made.key) + "/sparse"
        there = os.stat(path)
        assert there.st_blocks * 512 < there.st_size, "a file system without holes tells nothing here"
        with open(path, "r+b") as file:  # the same bytes, now with blocks of their own
            file.write(bytes(1 << 20))
        os.utime(path, ns=(there.st_atime_ns, there.st_mtime_ns))
        assert os.stat(path).st_blocks * 512 >= there.st_size
        for _ in rendering.verified(images, made.diff_id):
            pass


def _within(images: Images, upper) -> str:
    """The directory, moved to the store's file system."""
    os.makedirs(images.root, exist_ok=True)
    place = f"{images.root}/taken"
    os.rename(upper, place)
    return place


@root
def test_a_commit_keeps_whiteouts_owners_devices_and_attributes(images, new_tar, tmp_path):
    parent = imported(images, new_tar)
    upper = tmp_path / "upper"
    (upper / "closed").mkdir(parents=True)
    os.setxattr(upper / "closed", "trusted.overlay.opaque", b"y")
    (upper / "closed/file").write_bytes(b"1")
    os.mknod(upper / "a", stat.S_IFCHR, 0)
    os.mknod(upper / "null", stat.S_IFCHR | 0o640, os.makedev(1, 3))
    os.mkfifo(upper / "pipe")
    os.symlink("nowhere", upper / "link")
    for name in ("link", "pipe", "closed/file"):
        os.chown(upper / name, 12, 34, follow_symlinks=False)
    os.link(upper / "closed/file", upper / "twice")
    image = images.commit(parent, str(upper), names=["made:1"])
    assert [images.content.has(layer.digest) for layer in layers_of(images, image)] == [False, False]
    assert b"".join(rendering.verified(images, image.diff_ids[1]))
    assert images.check() == []


_NAMES = st.sampled_from(["a", "b", "dir/c", "dir/d", "dir/deep/e", "ü" * 60, "x" * 130])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        _NAMES, st.tuples(st.binary(max_size=2000), st.integers(0, 1 << 18), st.integers(0, 0o777))
    ),
    st.lists(st.tuples(_NAMES, _NAMES), max_size=3),
    st.integers(0, 2**62),
)
def test_whatever_was_committed_is_packed_to_the_same_again(tmp_path_factory, files, links, moment):
    base = tmp_path_factory.mktemp("kept")
    images = Images(str(base / "store"))
    upper = base / "upper"
    upper.mkdir()
    for name, (data, hole, mode) in files.items():
        path = upper / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            file.seek(hole)
            file.write(data)
        os.chmod(path, mode | 0o400)
        os.utime(path, ns=(moment, moment))
    for target, name in links:
        if target in files and name not in files:
            (upper / name).parent.mkdir(parents=True, exist_ok=True)
            if not (upper / name).exists():
                os.link(upper / target, upper / name)
    with images.lease() as lease:
        parent = create_empty(images, lease)
    image = images.commit(parent, str(upper))
    assert b"".join(rendering.verified(images, image.diff_ids[-1])) is not None
    assert images.check() == []


def create_empty(images: Images, lease):
    from lading.formats.oci_image import ImageConfig, RunConfig

    return create(
        images,
        ImageConfig(os="linux", architecture="amd64", config=RunConfig()),
        [],
        [],
        ["empty"],
        lease=lease,
    )


# --- travelling -------------------------------------------------------------------------------------------------------------


def test_what_travels_is_compressed_once_and_the_name_means_it(images, new_tar):
    image = imported(images, new_tar)
    images.tag("own:1", "other:1")
    said: list[str] = []
    with images.lease() as lease:
        made = travelling.compressed(images, image.descriptor, lease=lease, say=said.append)
        assert travelling.compressed(images, made, lease=lease, say=said.append).digest == made.digest
        # A second image of the same layer finds it compressed.
        again = travelling.compressed(images, image.descriptor, lease=lease)
    assert len(said) == 1
    assert again.digest == made.digest != image.digest
    for name in ("own:1", "other:1"):
        named = images.names.get(Reference.parse(name))
        assert (named.target.digest, named.image) == (made.digest, image.digest)
    (found,) = images.list()
    assert (found.id, found.digest, sorted(found.names)) == (image.id, image.digest, ["other:1", "own:1"])
    resolved = format_of(OCI_MANIFEST).resolve(images.content, made)
    assert resolved.id == image.id
    (source,) = resolved.sources
    assert source.blob.media_type == OCI_LAYER_GZIP
    plain = b"".join(decompress(images.content.verified(source.blob.digest)))
    assert "sha256:" + hashlib.sha256(plain).hexdigest() == image.diff_ids[0]
    assert images.get("own:1", "linux/" + image.platform.architecture).digest == image.digest
    images.prune()
    assert images.content.has(source.blob.digest)
    assert images.check() == []
    images.remove("own:1")
    images.remove("other:1")
    assert images.layers.list() == [] and list(images.content.list()) == []


def test_an_index_travels_with_every_platform_compressed(images, new_tar):
    image = imported(images, new_tar)
    with images.lease() as lease:
        entries = [{**image.descriptor.encode(), "annotations": {"a": "b"}}]
        data = jsontext.dumps(
            {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries, "x": 1}
        ).encode()
        index = Descriptor(media_type=OCI_INDEX, digest=images.content.put(data, lease=lease), size=len(data))
        made = travelling.compressed(images, index, lease=lease)
        value = jsontext.loads(images.content.read(made.digest))
    assert value["x"] == 1
    (entry,) = value["manifests"]
    assert entry["annotations"] == {"a": "b"}
    assert entry["digest"] != image.digest
    (layer,) = jsontext.loads(images.content.read(entry["digest"]))["layers"]
    assert layer["mediaType"] == OCI_LAYER_GZIP


def test_the_collector_keeps_a_layer_for_a_platform_that_is_not_unpacked_as_an_image(images, new_tar):
    image = imported(images, new_tar)
    with images.lease() as lease:
        data = jsontext.dumps(
            {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [image.descriptor.encode()]}
        ).encode()
        images.content.put(data, lease=lease)
        from lading.formats import digest as digests
        from lading.images.names import Named

        index = Descriptor(media_type=OCI_INDEX, digest=digests.of(data), size=len(data))
        with Lock(images.root + "/lock", exclusive=False):
            images.names.set(Reference.parse("many:1"), Named(index, "sha256:" + "0" * 64))
            images.names.remove(Reference.parse("own:1"))
            images.resolved.remove(image.digest)
    images.prune()
    assert b"".join(rendering.verified(images, image.diff_ids[0]))
    images.names.remove(Reference.parse("many:1"))
    images.prune()
    assert images.layers.list() == []
    with pytest.raises(NotFound):
        b"".join(rendering.verified(images, image.diff_ids[0]))


def test_a_reader_that_gives_up_leaves_no_thread(images, new_tar):
    import threading

    data = new_tar().file("big", os.urandom(24 << 20)).bytes()
    image = images.import_(io.BytesIO(data))
    before = threading.active_count()
    pieces = rendering.verified(images, image.diff_ids[0])
    next(pieces)
    pieces.close()
    assert threading.active_count() == before
