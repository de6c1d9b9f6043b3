"""A mirror in its bounds: what goes, in which order, and what stays."""

from __future__ import annotations

import time

from lading.formats import digest as digests
from lading.registry.counters import Counters
from lading.registry.errors import Refusal
from lading.registry.eviction import Eviction


def aged(shop, digest: str, seconds: float) -> None:
    """The content was asked for last so many seconds ago."""
    for table, column in (("blobs", "linked"), ("manifests", "pushed")):
        shop.store.ledger.write(
            lambda made, t=table, c=column: made.db.execute(
                f"UPDATE {t} SET {c} = ? WHERE digest = ?", (time.time() - seconds, digest)
            )
        )


def present(shop, repository: str, digest: str) -> bool:
    try:
        shop.store.blob(repository, digest)
    except Refusal:
        return False
    assert shop.store.content.has(digest)
    return True


def test_what_was_not_used_for_the_longest_goes_first_and_a_tenth_is_left_free(shop):
    blobs = [shop.blob("one", bytes([number]) * 1000) for number in range(10)]
    for number, digest in enumerate(blobs):
        aged(shop, digest, 100 - number)
    aged(shop, blobs[0], 5)  # somebody asked for it since
    report = Eviction(shop.store, 7000, 0, Counters()).run()
    assert (report.count, report.size) == (4, 4000)
    assert [present(shop, "one", digest) for digest in blobs] == [True] + 4 * [False] + 5 * [True]
    assert not any(shop.store.content.has(digest) for digest in blobs[1:5])


def test_what_is_within_its_bounds_loses_nothing(shop):
    digest = shop.blob("one", b"x" * 1000)
    aged(shop, digest, 50)
    for size, age in ((1000, 0), (0, 60), (0, 0)):
        assert Eviction(shop.store, size, age, Counters()).run().count == 0
    assert present(shop, "one", digest)


def test_what_nobody_asked_for_goes_by_its_age(shop):
    old, new = shop.blob("one", b"old"), shop.blob("one", b"new")
    image = shop.image("one", b"layer", tag="latest")
    for digest in (old, image):
        aged(shop, digest, 100)
    assert Eviction(shop.store, 0, 60, Counters()).run().count == 2
    assert not present(shop, "one", old)
    assert present(shop, "one", new)
    assert present(shop, "one", digests.of(b"layer"))
    assert shop.store.ledger.rows("SELECT * FROM tags") == []
    assert shop.store.ledger.rows("SELECT * FROM refs") == []


def test_use_in_any_repository_counts(shop):
    digest = shop.blob("one", b"shared")
    aged(shop, digest, 100)
    shop.blob("two", b"shared")
    assert Eviction(shop.store, 0, 60, Counters()).run().count == 0
    assert present(shop, "one", digest)


def test_what_another_needs_of_the_same_store_stays_there(shop):
    digest = shop.blob("one", b"held")
    aged(shop, digest, 100)
    with shop.store.holding(digest):
        assert Eviction(shop.store, 0, 60, Counters()).run().count == 1
    assert shop.store.content.has(digest)
    assert not present(shop, "one", digest)


def test_what_has_just_come_makes_room_of_the_others(shop):
    counters = Counters()
    eviction = Eviction(shop.store, 2500, 0, counters)
    blobs = []
    for number in range(4):
        blobs.append(shop.blob("one", bytes([number]) * 1000))
        aged(shop, blobs[-1], 10 - number)
        eviction.arrived(blobs[-1], 1000)
    assert [present(shop, "one", digest) for digest in blobs] == [False, False, True, True]
    large = shop.blob("one", b"y" * 3000)
    eviction.arrived(large, 3000)
    assert present(shop, "one", large)  # somebody is about to read it
    text = counters.text()
    assert "lading_registry_mirror_evicted_total 4\n" in text
    assert "lading_registry_mirror_evicted_bytes_total 4000\n" in text
    assert "lading_registry_mirror_stored_bytes 3000\n" in text
    assert "lading_registry_mirror_allowed_bytes 2500\n" in text
