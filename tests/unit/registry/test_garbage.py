"""Garbage: what goes, what stays, and when."""

from __future__ import annotations

import os
import time

import pytest

from lading.errors import Corrupt
from lading.formats import digest as digests
from lading.registry.checking import check
from lading.registry.errors import Refusal
from lading.registry.garbage import Collector
from lading.registry.manifests import Manifests
from lading.registry.overview import remove, repositories, tags
from lading.registry.store import Store, mirror_name, records


def old(shop) -> None:
    """Everything that is there was there an hour ago."""
    before = time.time() - 3600
    for digest, _ in list(shop.store.content.list()):
        os.utime(shop.store.content.path(digest), (before, before))
    for name in os.listdir(shop.store.uploads):
        os.utime(f"{shop.store.uploads}/{name}", (before, before))
    for table, column in (("blobs", "linked"), ("manifests", "pushed")):
        shop.store.ledger.write(
            lambda made, t=table, c=column: made.db.execute(f"UPDATE {t} SET {c} = ?", (before,))
        )


def test_what_a_manifest_names_stays_and_what_none_names_goes_when_it_is_old(shop):
    image = shop.image("one", b"layer", tag="latest")
    loose = shop.blob("one", b"loose")
    report = Collector(shop.store, 60).run()
    assert (report.links, report.blobs, report.uploads) == (0, 0, 0)
    old(shop)
    fresh = shop.blob("one", b"fresh")
    report = Collector(shop.store, 60).run()
    assert (report.links, report.blobs) == (1, 1)
    assert not shop.store.content.has(loose)
    for digest in (image, fresh, digests.of(b"layer"), digests.of(b"{}")):
        assert shop.store.content.has(digest)


def test_a_blob_that_another_repository_needs_stays_in_the_store(shop):
    shop.image("one", b"layer")
    shop.blob("two", b"layer")
    old(shop)
    assert Collector(shop.store, 60).run().links == 1
    assert shop.store.content.has(digests.of(b"layer"))
    with pytest.raises(Refusal):
        shop.store.blob("two", digests.of(b"layer"))


def test_a_blob_that_somebody_asked_for_lately_stays_in_its_repository(shop):
    digest = shop.blob("one", b"layer")
    old(shop)
    shop.store.touch("one", digest, 15)
    assert Collector(shop.store, 60).run().links == 0
    assert shop.store.blob("one", digest) == 5


def test_what_is_leased_stays(shop):
    digest = shop.blob("one", b"layer")
    shop.store.unlink("one", digest)
    old(shop)
    with shop.store.holding(digest):
        assert Collector(shop.store, 60).run().blobs == 0
    assert Collector(shop.store, 60).run().blobs == 1


def test_forgotten_uploads_go_and_those_in_work_stay(shop):
    forgotten, working = shop.uploads.begin("one"), shop.uploads.begin("one")
    with shop.uploads.open("one", working) as session:
        session.write(b"x")
        old(shop)
        assert Collector(shop.store, 60).run().uploads == 1
    assert shop.uploads.offset("one", working) == 1
    with pytest.raises(Refusal):
        shop.uploads.offset("one", forgotten)


def test_a_forgotten_upload_that_is_a_blob_already_goes_for_its_owner_too(shop, monkeypatch):
    forgotten = shop.uploads.begin("one")
    path = f"{shop.store.uploads}/{forgotten}"
    os.chmod(path, 0o444)  # as a server leaves it that dies between storing and recording
    old(shop)
    opened = os.open

    def as_anybody(name, flags, *more, **rest):
        if name == path and flags & os.O_ACCMODE != os.O_RDONLY:
            raise PermissionError(13, "Permission denied", name)
        return opened(name, flags, *more, **rest)

    monkeypatch.setattr(os, "open", as_anybody)
    assert Collector(shop.store, 60).run().uploads == 1
    assert os.listdir(shop.store.uploads) == []


def test_untagged_manifests_go_only_when_that_is_asked_for(shop):
    image = shop.image("one", b"layer")
    kept = shop.image("one", b"other", tag="latest")
    size = shop.manifests.find("one", kept).size
    subject = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": kept, "size": size}
    signature = shop.image("one", b"signature", subject=subject)
    old(shop)
    assert Collector(shop.store, 60).run().manifests == 0
    assert Collector(shop.store, 60).run(untagged=True).manifests == 1
    for digest in (kept, signature):
        assert shop.manifests.find("one", digest).digest == digest
    with pytest.raises(Refusal):
        shop.manifests.find("one", image)
    assert not shop.store.content.has(digests.of(b"layer"))


def test_images_of_the_same_store_stay(shop):
    images = shop.store.images
    with images.lease() as lease:
        images.content.put(b"being pulled", lease=lease)
        old(shop)
        assert Collector(shop.store, 60).run().blobs == 0


def test_one_collection_at_a_time(shop):
    import fcntl

    fd = os.open(shop.store.directory + "/gc.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    assert Collector(shop.store, 60).run() is None
    os.close(fd)
    assert Collector(shop.store, 60).run() is not None


def test_nothing_goes_while_a_pin_is_broken(shop):
    digest = shop.blob("one", b"layer")
    shop.store.unlink("one", digest)
    old(shop)
    with open(shop.store.images.pins.path("registry", "registry"), "w") as file:
        file.write("{")
    with pytest.raises(Corrupt):
        Collector(shop.store, 60).run()
    assert shop.store.content.has(digest)


def test_a_repository_is_listed_and_removed_whole_only_by_force(shop):
    shop.image("one", b"layer", tag="latest")
    assert [(r.name, r.tags, r.manifests, r.blobs, r.size) for r in repositories(shop.store)] == [
        ("one", 1, 1, 2, 7)
    ]
    assert [t.name for t in tags(shop.store, "one")] == ["latest"]
    from lading.errors import InvalidInput, NotFound

    with pytest.raises(InvalidInput):
        remove(shop.store, "one", force=False)
    remove(shop.store, "one:latest", force=False)
    with pytest.raises(NotFound):
        remove(shop.store, "one:latest", force=False)
    for nothing in ("one:", "one@"):
        with pytest.raises(InvalidInput):
            remove(shop.store, nothing, force=True)
    remove(shop.store, "one", force=True)
    assert repositories(shop.store) == []
    with pytest.raises(NotFound):
        tags(shop.store, "one")


def test_a_check_finds_what_is_lost_or_broken_and_repair_lets_it_be_pushed_again(shop):
    shop.image("one", b"layer", tag="latest")
    lost, broken = shop.blob("one", b"lost"), shop.blob("one", b"broken")
    assert check(shop.store, repair=False) == []
    os.unlink(shop.store.content.path(lost))
    os.chmod(shop.store.content.path(broken), 0o644)
    with open(shop.store.content.path(broken), "w") as file:
        file.write("other")
    assert {f.object for f in check(shop.store, repair=False)} == {lost, broken}
    assert all(f.repaired for f in check(shop.store, repair=True))
    assert check(shop.store, repair=False) == []
    assert shop.blob("one", b"lost") == lost
    assert shop.store.content.verify(lost)


def test_a_mirror_need_not_have_what_its_manifests_name(shop):
    one = shop.image("one", b"layer", tag="latest")
    mirror = Store(shop.root, mirror_name("localhost:5000"))
    data = shop.store.content.read(one)
    Manifests(mirror).put("one", "latest", "", data, complete=False)
    assert len(check(mirror, repair=False)) == 2
    assert check(mirror, repair=True, mirror=True) == []
    with pytest.raises(
        Refusal
    ):  # that another registry of the store has the blob does not make it this one's
        mirror.blob("one", digests.of(b"layer"))
    mirror.close()


def test_the_records_are_where_the_pin_says(shop):
    assert shop.store.images.pins.get("registry", "registry").ledger == records("registry")


def test_a_registry_and_mirrors_of_one_store_know_nothing_of_each_other_and_lose_nothing(shop):
    shop.image("one", b"layer", tag="latest")
    name = mirror_name("localhost:5000")
    assert name != mirror_name("localhost:5001")
    mirror = Store(shop.root, name)
    assert repositories(mirror) == []
    old(shop)
    Collector(mirror, 60).run(untagged=True)
    assert check(shop.store, repair=False) == []
    mirror.close()


def test_what_arrived_of_a_blob_that_a_mirror_fetches_no_more_goes_when_it_is_old(shop):
    content = shop.store.content
    wanted, forgotten = digests.of(b"wanted"), digests.of(b"forgotten")
    with shop.store.images.lease() as lease:
        with content.ingest(forgotten, lease=lease) as ingest:
            ingest.write(b"forg")
        with content.ingest(wanted, lease=lease) as busy:
            busy.write(b"wan")
            directory = shop.root + "/ingest"
            assert len(os.listdir(directory)) == 2
            for name in os.listdir(directory):
                os.utime(f"{directory}/{name}", (1, 1))
            assert Collector(shop.store, 60).run().uploads == 0
            assert Collector(shop.store, 60).run(mirror=True).freed == 4
            busy.write(b"ted")
            busy.commit()
    assert content.has(wanted)
    assert os.listdir(directory) == []
