"""Names that are no OCI references: they hold an image as any name does, and nothing is found by them that has none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.unit.images.test_store import make

from lading.errors import Conflict, Corrupt, NotFound, Unsupported
from lading.formats.oci_image import Descriptor
from lading.images.aliases import Alias
from lading.images.oci import format_of


@pytest.fixture
def image(images, new_tar):
    """An image with an alias and no other name."""
    made = make(images, new_tar().file("a").bytes(), names=())
    with images.lease() as lease:
        images.register(made.descriptor, (), lease=lease, alias=alias(made.descriptor))
    return images.get(made.digest)


def alias(target: Descriptor, name: str = "x.example/app", version: str = "1") -> Alias:
    return Alias("none", name, f"{name}:{version}", {"version": version}, target, 5)


def test_an_alias_is_a_name_of_its_image(images, image):
    assert image.names == ["x.example/app:1"]
    assert [i.names for i in images.list()] == [["x.example/app:1"]]
    (found,) = images.aliases.named("none", "x.example/app")
    assert (found.labels, found.came, found.target.digest) == ({"version": "1"}, 5, image.digest)
    assert images.aliases.named("none", "x.example") == []


def test_what_has_an_alias_is_not_pruned_and_all_takes_it(images, image):
    assert images.prune().removed == []
    report = images.prune(all=True)
    assert (report.untagged, report.removed) == (["x.example/app:1"], [image.id])
    assert list(images.aliases.files()) == [] and images.aliases.kinds() == []


def test_removing_by_one_of_two_kinds_of_names_keeps_the_image(images, image):
    images.tag(image, "test:1")
    with pytest.raises(Conflict):
        images.remove(image.id)
    assert images.remove("test:1").removed == []
    images.tag(image, "test:1")
    image = images.get(image.digest)
    assert sorted(image.names) == ["test:1", "x.example/app:1"]
    report = images.remove(image.id, force=True)
    assert sorted(report.untagged) == ["test:1", "x.example/app:1"] and report.removed == [image.id]


def test_a_kind_that_no_module_reads_finds_nothing(images, image):
    with pytest.raises(NotFound):
        images.get("x.example/app:1")


@pytest.mark.parametrize("name", ["push", "os", "../x", "no.such", "", "__init__"])
def test_only_a_module_with_a_format_reads_a_media_type(name):
    with pytest.raises(Unsupported):
        format_of(f"application/vnd.lading.image.{name}.v1+json")


def test_a_broken_alias_is_said_and_repaired(images, image):
    (path,) = images.aliases.files()
    Path(path).write_text("{")
    with pytest.raises(Corrupt):
        images.list()
    assert [f.repaired for f in images.check(repair=True)] == [True]
    assert images.list()[0].names == []


def test_an_alias_whose_record_is_lost_is_mended_from_the_content(images, image):
    os.unlink(images.resolved.path(image.digest))
    found = images.check(repair=True)
    assert len(found) == 2 and all(f.repaired for f in found), found
    assert images.get(image.digest).names == ["x.example/app:1"]
    assert images.check() == []


def test_an_alias_whose_content_is_lost_goes(images, image):
    os.unlink(images.resolved.path(image.digest))
    os.unlink(images.content.path(image.digest))
    images.check(repair=True)
    assert list(images.aliases.files()) == []
