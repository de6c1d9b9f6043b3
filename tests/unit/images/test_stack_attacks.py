"""Layers that are harmless one by one, and together try to leave the image."""

from __future__ import annotations

import hashlib
import os
import random

import pytest

from lading.errors import InvalidInput, LadingError
from lading.formats.oci_image import OCI_LAYER, Descriptor
from lading.images import Images, stacking
from lading.images.source import Source


def source_of(data: bytes) -> Source:
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    return Source(Descriptor(media_type=OCI_LAYER, digest=digest, size=len(data)), digest)


def stack(images: Images, *archives: bytes) -> list[str]:
    """The directories of the layers, top-most first."""
    with images.lease() as lease:
        layers = [images.layers.unpack([data], source_of(data), lease=lease) for data in archives]
        return [images.layers.directory(key) for key in stacking.stack(images.layers, layers, lease=lease)]


@pytest.fixture
def machine(tmp_path):
    """A directory beside the store that must stay as it is."""
    made = tmp_path / "machine"
    made.mkdir()
    (made / "file").write_text("precious")
    return made


@pytest.mark.parametrize("order", ["before", "after", "below"])
def test_a_link_that_replaces_where_an_earlier_layers_link_leads_is_not_gone_through(
    order, images, machine, new_tar
):
    """``a`` leads to ``b`` below; this layer puts a file into ``a`` and makes ``b`` a link into the machine."""
    lower = new_tar().dir("b").dir("b/c").symlink("a", "b").bytes()
    upper = new_tar()
    if order == "before":
        upper.symlink("b", str(machine))
    upper.file("a/file", b"evil").file("a/new", b"evil").file("a/c/file", b"evil")
    if order == "after":
        upper.symlink("b", str(machine))
    elif order == "below":
        upper.symlink("b/c", str(machine))
    with pytest.raises(InvalidInput) as caught:
        stack(images, lower, upper.bytes())
    assert caught.value.reason == "hostile-archive"
    assert os.listdir(machine) == ["file"] and (machine / "file").read_text() == "precious"
    assert os.listdir(images.root + "/staging") == []


def test_random_layers_never_reach_the_machine_and_never_crash(images, machine, new_tar):
    random_ = random.Random(5)
    names = [
        "a",
        "b",
        "a/b",
        "b/a",
        "a/file",
        "b/file",
        "a/b/file",
        "b/a/c",
        "c",
        "c/file",
        ".wh.b",
        "a/.wh.b",
    ]
    targets = ["a", "b", "c", "a/b", "../b", "/", str(machine), str(machine / "file"), "."]

    def layer() -> bytes:
        made = new_tar()
        for _ in range(random_.randrange(1, 6)):
            name = random_.choice(names)
            kind = random_.randrange(4)
            if kind == 0 or ".wh." in name:
                made.file(name, b"evil")
            elif kind == 1:
                made.dir(name)
            elif kind == 2:
                made.symlink(name, random_.choice(targets))
            else:
                made.link(name, random_.choice(names[:10]))
        return made.bytes()

    stacked = 0
    for _ in range(120):
        archives = [layer() for _ in range(3)]
        try:
            stack(images, *archives)
            stacked += 1
        except LadingError:
            pass
        assert os.listdir(machine) == ["file"] and (machine / "file").read_text() == "precious", archives
        assert (machine / "file").stat().st_nlink == 1, archives
    assert stacked > 20
