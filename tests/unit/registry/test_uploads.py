"""Upload sessions: what is verified, what survives, and whose they are."""

from __future__ import annotations

import os

import pytest

from lading.formats import digest as digests
from lading.registry.errors import Refusal
from lading.registry.uploads import Busy, Limits

DATA = b"some bytes of a layer" * 1000


def refused(code, call, *args):
    with pytest.raises(Refusal) as caught:
        call(*args)
    assert caught.value.code == code
    return caught.value


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_finished_upload_is_a_blob_of_its_repository_and_of_no_other(shop, algorithm):
    digest = shop.blob("one", DATA, algorithm)
    assert shop.store.blob("one", digest) == len(DATA)
    assert shop.store.content.read(digest) == DATA
    refused("BLOB_UNKNOWN", shop.store.blob, "two", digest)
    assert os.listdir(shop.store.uploads) == []


def test_an_upload_goes_on_in_another_server(shop):
    identity = shop.uploads.begin("one")
    with shop.uploads.open("one", identity) as session:
        session.write(DATA[:100])
    after = shop.again()
    assert after.uploads.offset("one", identity) == 100
    with after.uploads.open("one", identity) as session:
        session.write(DATA[100:])
        session.finish(digests.of(DATA))
    assert after.store.content.read(digests.of(DATA)) == DATA


def test_bytes_that_another_server_wrote_meanwhile_are_hashed_too(shop):
    identity = shop.uploads.begin("one")
    with shop.uploads.open("one", identity) as session:
        session.write(DATA[:100])
    with shop.again().uploads.open("one", identity) as session:
        session.write(DATA[100:200])
    with shop.uploads.open("one", identity) as session:
        session.write(DATA[200:])
        session.finish(digests.of(DATA))
    assert shop.store.content.read(digests.of(DATA)) == DATA


def test_a_wrong_digest_ends_the_upload(shop):
    identity = shop.uploads.begin("one")
    with shop.uploads.open("one", identity) as session:
        session.write(DATA)
        refused("DIGEST_INVALID", session.finish, digests.of(b"other"))
    refused("BLOB_UPLOAD_UNKNOWN", shop.uploads.offset, "one", identity)
    assert list(shop.store.content.list()) == []


def test_an_upload_is_no_upload_of_another_repository(shop):
    identity = shop.uploads.begin("one")
    refused("BLOB_UPLOAD_UNKNOWN", shop.uploads.offset, "two", identity)
    refused("BLOB_UPLOAD_UNKNOWN", shop.uploads.cancel, "two", identity)
    assert shop.uploads.offset("one", identity) == 0


@pytest.mark.parametrize(
    "identity", ["", "x", "../key", "00000000-0000-8000-8000-000000000000", "A" * 36, "{}" * 18]
)
def test_an_invented_upload_is_unknown(shop, identity):
    refused("BLOB_UPLOAD_UNKNOWN", shop.uploads.open, "one", identity)


def test_an_upload_that_was_stored_but_not_recorded_goes_on_and_cannot_harm_the_blob(shop):
    identity = shop.uploads.begin("one")
    digest = digests.of(DATA)

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    session = shop.uploads.open("one", identity)
    session.write(DATA)
    shop.store.link = die
    with pytest.raises(Killed):
        session.finish(digest)
    session.close()
    after = shop.again()
    refused("BLOB_UNKNOWN", after.store.blob, "one", digest)
    assert after.uploads.offset("one", identity) == len(DATA)
    with after.uploads.open("one", identity) as session:
        session.write(b"more")
        session.rewind(len(DATA))
        session.finish(digest)
    assert after.store.blob("one", digest) == len(DATA)
    assert after.store.content.read(digest) == DATA
    assert os.listdir(after.store.uploads) == []


def test_there_is_one_writer(shop):
    identity = shop.uploads.begin("one")
    with shop.uploads.open("one", identity), pytest.raises(Busy):
        shop.uploads.open("one", identity)
    shop.uploads.open("one", identity).close()


def test_a_cancelled_upload_is_gone(shop):
    identity = shop.uploads.begin("one")
    shop.uploads.cancel("one", identity)
    refused("BLOB_UPLOAD_UNKNOWN", shop.uploads.offset, "one", identity)


def test_what_is_too_large_is_refused_and_nothing_of_it_stays(shop):
    shop.limits.blob = 100
    identity = shop.uploads.begin("one")
    with shop.uploads.open("one", identity) as session:
        session.write(b"x" * 100)
        assert refused("SIZE_INVALID", session.write, b"x").status == 413
    assert os.listdir(shop.store.uploads) == []


def test_what_is_here_already_is_compared_and_not_written_again(shop):
    digest = shop.blob("one", DATA)
    before = os.stat(shop.store.content.path(digest)).st_ino
    identity = shop.uploads.begin("two")
    with shop.uploads.open("two", identity) as session:
        session.expect(digest)
        session.write(DATA)
        assert os.stat(f"{shop.store.uploads}/{identity}").st_size == 0
        session.finish(digest)
    assert shop.store.blob("two", digest) == len(DATA)
    assert os.stat(shop.store.content.path(digest)).st_ino == before


def test_what_a_repair_removed_meanwhile_is_not_taken_for_stored(shop):
    digest = shop.blob("one", DATA)
    with shop.uploads.open("two", shop.uploads.begin("two")) as session:
        session.expect(digest)
        session.write(DATA)
        shop.store.content.remove(digest)
        assert refused("UNAVAILABLE", session.finish, digest).status == 503
    assert not shop.store.content.has(digest)
    refused("BLOB_UNKNOWN", shop.store.blob, "two", digest)
    assert os.listdir(shop.store.uploads) == []


def test_who_knows_a_digest_but_not_the_content_does_not_get_it(shop):
    digest = shop.blob("one", DATA)
    identity = shop.uploads.begin("two")
    with shop.uploads.open("two", identity) as session:
        session.expect(digest)
        session.write(b"a guess")
        refused("DIGEST_INVALID", session.finish, digest)
    refused("BLOB_UNKNOWN", shop.store.blob, "two", digest)


def test_mounting_needs_a_repository_that_has_it(shop):
    digest = shop.blob("one", DATA)
    assert not shop.store.mount("three", digest, "two")
    assert shop.store.mount("two", digest, "one")
    assert shop.store.blob("two", digest) == len(DATA)
    assert shop.store.homes(digest) == ["one", "two"]


def test_an_unknown_algorithm_is_refused(shop):
    refused("DIGEST_INVALID", shop.uploads.begin, "one", "md5")


def test_the_limits_have_the_defaults_that_the_specification_expects():
    assert Limits().manifest >= 4 << 20
