"""Pins: records of other packages that keep content from the collector."""

from __future__ import annotations

import os
import sqlite3

import pytest

from lading.errors import Corrupt, InvalidInput, NotFound
from support.making import make


@pytest.fixture
def blob(images):
    with images.lease() as lease:
        return images.content.put(b"something", lease=lease)


def test_a_pin_is_read_as_it_was_put_and_replaced_whole(images, blob):
    images.pins.put("step", "abc", holds=[blob, blob], about={"created": "today", "sizes": [1, 2]})
    pin = images.pins.get("step", "abc")
    assert (pin.kind, pin.name, pin.holds, pin.about) == (
        "step",
        "abc",
        [blob],
        {"created": "today", "sizes": [1, 2]},
    )
    images.pins.put("step", "abc", holds=[], about={})
    assert images.pins.get("step", "abc").holds == []
    assert [p.name for p in images.pins.list("step")] == ["abc"]
    assert images.pins.kinds() == ["step"]


def test_what_a_pin_holds_stays_until_the_pin_goes(images, blob):
    images.pins.put("step", "abc", holds=[blob], about={})
    images.prune(all=True)
    assert images.content.has(blob)
    assert images.pins.remove("step", "abc")
    images.prune(all=True)
    assert not images.content.has(blob)
    assert not images.pins.remove("step", "abc")


def test_a_held_layer_stays_when_its_image_goes(images, new_tar):
    image = make(images, new_tar().file("a", b"x").bytes())
    key = image.layers[0].split("/")[-2]
    images.pins.put("step", "abc", holds=[f"layer:{key}"], about={})
    images.remove("test:1")
    assert os.path.isdir(image.layers[0])
    images.pins.remove("step", "abc")
    images.prune()
    assert not os.path.isdir(image.layers[0])


def test_nothing_is_collected_while_a_pin_cannot_be_read(images, blob):
    images.pins.put("step", "abc", holds=[blob], about={})
    with open(images.pins.path("step", "abc"), "w") as file:
        file.write("{")
    with pytest.raises(Corrupt):
        images.prune(all=True)
    assert images.content.has(blob)
    assert [f.object for f in images.check(repair=True)] == ["record step/abc"]
    images.prune(all=True)
    assert not images.content.has(blob)


def test_a_pin_on_what_is_not_here_is_found_and_removed(images, blob):
    images.pins.put("step", "abc", holds=["layer:none"], about={})
    images.pins.put("step", "good", holds=[blob], about={})
    findings = images.check(repair=False)
    assert [(f.object, f.repaired) for f in findings] == [("record step/abc", False)]
    images.check(repair=True)
    assert [p.name for p in images.pins.list("step")] == ["good"]


def test_using_a_pin_moves_its_time_and_a_removed_one_cannot_be_used(images, blob):
    images.pins.put("step", "abc", holds=[blob], about={})
    os.utime(images.pins.path("step", "abc"), (1, 1))
    images.pins.use("step", "abc")
    assert images.pins.get("step", "abc").used > 1
    images.pins.remove("step", "abc")
    with pytest.raises(NotFound):
        images.pins.use("step", "abc")


@pytest.mark.parametrize("name", ["", ".", "..", ".x", "a/b", "a b", "a\0", "x" * 201])
def test_names_that_are_no_files_are_refused(images, name):
    with pytest.raises(InvalidInput):
        images.pins.get("step", name)
    with pytest.raises(InvalidInput):
        images.pins.put(name, "x", holds=[], about={})


def test_what_a_ledger_lists_stays_until_it_lists_it_no_more(images, blob):
    path = f"{images.root}/own/ledger.db"
    os.makedirs(os.path.dirname(path))
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("CREATE TABLE holds (digest TEXT)")
    database.execute("INSERT INTO holds VALUES (?)", (blob,))
    images.pins.put("shop", "books", holds=[], about={}, ledger="own/ledger.db")
    images.prune(all=True)
    assert images.content.has(blob)
    assert images.check(repair=True) == []
    database.execute("DELETE FROM holds")
    database.close()
    images.prune(all=True)
    assert not images.content.has(blob)
    os.unlink(path)
    images.prune(all=True)
