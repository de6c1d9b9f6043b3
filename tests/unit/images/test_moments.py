"""When images came and were used."""

from __future__ import annotations

import os
import time

import pytest
from tests.unit.images.aci.conftest import archive, put

from lading.errors import NotFound
from lading.images import Images
from lading.images.moments import came, used


def test_an_image_is_used_when_a_container_of_it_is_recorded(tmp_path):
    images = Images(str(tmp_path / "images"))
    before = time.time()
    image = put(images, archive())
    assert before - 1 <= came(images, image) <= time.time() + 1
    record = images.resolved.path(image.digest)
    os.utime(record, (1000, 1000))
    assert used(images, image) == 1000.0
    images.get("x.example/app")
    assert used(images, image) == 1000.0  # looking at it is no use
    images.confirm(image.digest)
    assert used(images, image) >= before - 1
    assert came(images, image) <= time.time() + 1


def test_an_image_that_is_gone_is_not_confirmed(tmp_path):
    images = Images(str(tmp_path / "images"))
    image = put(images, archive())
    images.remove(image.digest)
    with pytest.raises(NotFound):
        images.confirm(image.digest)
    assert (came(images, image), used(images, image)) == (0.0, 0.0)


def test_without_a_name_an_image_came_when_its_manifest_did(tmp_path):
    images = Images(str(tmp_path / "images"))
    image = put(images, archive())
    for alias in list(images.aliases.list()):
        images.aliases.remove(alias)
    os.utime(images.content.path(image.digest), (2000, 2000))
    assert came(images, image) == 2000.0
