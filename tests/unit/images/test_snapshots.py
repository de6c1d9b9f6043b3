"""Snapshots: what was written on top of layers becomes a layer, and nothing names it before it has reached the disk."""

from __future__ import annotations

import os

import pytest

from lading.errors import Corrupt
from lading.formats.rootfs import Rootfs
from lading.images import snapshots, travelling
from lading.images.layers import UNSETTLED
from support.making import make


@pytest.fixture
def written(images, tmp_path):
    """A function that gives a root in which ``files`` were written."""
    numbers = iter(range(100))

    def write(files: dict[str, bytes]) -> Rootfs:
        upper = os.path.join(images.root, f"upper-{next(numbers)}")
        os.makedirs(upper)
        for name, data in files.items():
            path = os.path.join(upper, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(data)
        return Rootfs(lower=["/nonexistent"], upper=upper)

    os.makedirs(images.root, exist_ok=True)
    return write


def test_what_was_written_is_a_layer_whose_tar_is_its_diff_id(images, written):
    with images.lease() as lease:
        made = snapshots.adopt(images, written({"a/b": b"content"}), lease=lease)
        snapshot = snapshots.of_layers(images, [made.diff_id], lease=lease)
        with open(snapshot.directories[0] + "/a/b", "rb") as file:
            assert file.read() == b"content"
        blob = travelling.blob(images, made.diff_id, "uncompressed", None, lease=lease)[0]
        assert blob.digest == made.diff_id
        assert made.size == 7


@pytest.mark.parametrize(("compression", "level"), [("gzip", None), ("gzip", 9), ("zstd", None), ("zstd", 1)])
def test_a_blob_unpacks_to_the_layer_it_was_made_of(images, written, compression, level):
    with images.lease() as lease:
        made = snapshots.adopt(images, written({"x": b"x" * 100_000}), lease=lease)
        blob = travelling.blob(images, made.diff_id, compression, level, lease=lease)[0]
        again = travelling.blob(images, made.diff_id, compression, level, lease=lease)[0]
        assert blob.digest == again.digest
        assert blob.size < 10_000
        from lading.images.source import Source

        images.layers._forget(made.key)
        layer = images.layers.unpack(
            images.content.chunks(blob.digest), Source(blob, made.diff_id), lease=lease
        )
        assert layer.key == made.key


def test_nothing_is_a_layer_too(images, written):
    with images.lease() as lease:
        made = snapshots.adopt(images, written({}), lease=lease)
        assert made.diff_id == snapshots.EMPTY_LAYER


def test_the_same_files_are_one_layer(images, written):
    with images.lease() as lease:
        times = {}
        for _ in range(2):
            root = written({"x": b"x"})
            os.utime(root.upper + "/x", (1, 1))
            times[snapshots.adopt(images, root, lease=lease).key] = 1
        assert len(times) == 1


def test_sockets_stay_out_and_are_named(images, written):
    import socket

    root = written({"x": b"x"})
    with socket.socket(socket.AF_UNIX) as sock, images.lease() as lease:
        here = os.getcwd()
        os.chdir(root.upper)  # a socket's name may have 107 bytes
        try:
            sock.bind("sock")
        finally:
            os.chdir(here)
        made = snapshots.adopt(images, root, lease=lease)
        assert made.skipped == ["sock"]
        assert os.listdir(images.layers.directory(made.key)) == ["x"]


def test_a_layer_is_unsettled_until_somebody_waited_for_the_disk(images, written):
    with images.lease() as lease:
        made = snapshots.adopt(images, written({"x": b"x"}), lease=lease)
        assert not images.layers.settled(made.key)
        images.layers.settle([made.key])
        assert images.layers.settled(made.key)


def test_an_unsettled_layer_of_an_earlier_start_of_the_machine_is_not_there(images, written):
    with images.lease() as lease:
        made = snapshots.adopt(images, written({"x": b"x"}), lease=lease)
        with open(f"{images.root}/layers/{made.key}/{UNSETTLED}", "w") as file:
            file.write("another boot\n")
        assert images.layers.by_key(made.key) is None
        assert not os.path.exists(f"{images.root}/layers/{made.key}")
        with pytest.raises(Corrupt):
            snapshots.of_layers(images, [made.diff_id], lease=lease)


def test_check_takes_away_what_nobody_waited_for(images, written):
    with images.lease() as lease:
        made = snapshots.adopt(images, written({"x": b"x"}), lease=lease)
        assert images.check() == []  # its maker lives
    assert [f.object for f in images.check(repair=True)] == [f"layer {made.key}"]
    assert images.check() == []


def test_a_step_is_an_image_to_its_digest_alone(images, new_tar):
    image = make(images, new_tar().file("x", b"x").bytes())
    with images.lease() as lease:
        sources = snapshots.of_image(images, image, lease=lease)
        snapshot = snapshots.of_layers(images, [s.diff_id for s in sources], lease=lease)
        step = snapshots.image_of(images, snapshot, os_="linux", architecture="amd64")
        snapshots.record(images, step, lease=lease)
        assert images.get(step.digest).layers == image.layers
        assert [found.id for found in images.list()] == [image.id]
        snapshots.forget(images, [step.digest])
        assert images.resolved.get(step.digest) is not None  # in our own lease
    snapshots.forget(images, [step.digest])
    assert images.resolved.get(step.digest) is None


def test_prune_forgets_steps_of_builds_that_are_gone(images, new_tar):
    image = make(images, new_tar().file("x", b"x").bytes())
    with images.lease() as lease:
        sources = snapshots.of_image(images, image, lease=lease)
        snapshot = snapshots.of_layers(images, [s.diff_id for s in sources], lease=lease)
        step = snapshots.image_of(images, snapshot, os_="linux", architecture="amd64")
        snapshots.record(images, step, lease=lease)
        images.prune()
        assert images.resolved.get(step.digest) is not None
    images.prune()
    assert images.resolved.get(step.digest) is None


def test_repair_forgets_a_step_whose_layers_are_gone(images, written):
    with images.lease() as lease:
        made = snapshots.adopt(images, written({"x": b"x"}), lease=lease)
        snapshot = snapshots.of_layers(images, [made.diff_id], lease=lease)
        step = snapshots.image_of(images, snapshot, os_="linux", architecture="amd64")
        snapshots.record(images, step, lease=lease)
    images.layers._forget(made.key)
    assert [(f.object, f.repaired) for f in images.check(repair=True)] == [(f"step {step.digest}", True)]
    assert images.check() == []
