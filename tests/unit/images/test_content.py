"""Blobs: verified, resumable, safe with several writers, and kept alive by leases."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading

import pytest

from lading.errors import Corrupt, InvalidInput, NotFound, Unsupported
from lading.images import content, files, maintenance
from lading.images.files import Lock, try_lock
from lading.images.leases import held

DATA = os.urandom(100_000)
DIGEST = "sha256:" + hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def lease(images):
    with images.lease() as lease:
        yield lease


def test_a_blob_is_there_only_after_it_is_complete(images, lease):
    content = images.content
    with content.ingest(DIGEST, len(DATA), lease=lease) as ingest:
        ingest.write(DATA[:50_000])
        assert not content.has(DIGEST)
        ingest.write(DATA[50_000:])
        ingest.commit()
    assert content.read(DIGEST) == DATA
    assert b"".join(content.chunks(DIGEST, 999)) == DATA
    assert list(content.list()) == [(DIGEST, len(DATA))]
    assert os.listdir(images.root + "/ingest") == []


def test_an_interrupted_blob_continues_where_it_stopped(images, lease):
    with images.content.ingest(DIGEST, len(DATA), lease=lease) as first:
        first.write(DATA[:70_000])
    with images.content.ingest(DIGEST, len(DATA), lease=lease) as second:
        assert second.offset == 70_000
        assert b"".join(second.received()) == DATA[:70_000]
        second.write(DATA[70_000:])
        second.commit()
    assert images.content.verify(DIGEST)


def test_a_source_that_cannot_resume_starts_over(images, lease):
    with images.content.ingest(DIGEST, len(DATA), lease=lease) as first:
        first.write(b"rubbish")
    with images.content.ingest(DIGEST, len(DATA), lease=lease) as second:
        second.restart()
        second.write(DATA)
        second.commit()
    assert images.content.verify(DIGEST)


def test_wrong_bytes_are_refused_and_not_kept_for_resuming(images, lease):
    with images.content.ingest(DIGEST, len(DATA), lease=lease) as ingest:
        ingest.write(DATA[:-1] + b"?")
        with pytest.raises(Corrupt) as caught:
            ingest.commit()
    assert caught.value.reason == "digest-mismatch"
    with images.content.ingest(DIGEST, len(DATA), lease=lease) as again:
        assert again.offset == 0


def test_more_bytes_than_announced_are_refused_at_once(images, lease):
    with images.content.ingest(DIGEST, 10, lease=lease) as ingest, pytest.raises(Corrupt) as caught:
        ingest.write(DATA)
    assert caught.value.reason == "size-mismatch"


def test_fewer_bytes_than_announced_are_kept_for_resuming(images, lease):
    with images.content.ingest(DIGEST, len(DATA), lease=lease) as ingest:
        ingest.write(DATA[:10])
        with pytest.raises(Corrupt):
            ingest.commit()
    with images.content.ingest(DIGEST, len(DATA), lease=lease) as again:
        assert again.offset == 10


def test_two_writers_of_one_digest_do_not_disturb_each_other(images, lease):
    with (
        images.content.ingest(DIGEST, len(DATA), lease=lease) as one,
        images.content.ingest(DIGEST, len(DATA), lease=lease) as two,
    ):
        one.write(DATA[:1000])
        two.write(DATA)
        two.commit()
        one.write(DATA[1000:])
        one.commit()
    assert images.content.verify(DIGEST)
    assert os.listdir(images.root + "/ingest") == []


def test_a_second_writers_file_goes_with_it_and_is_its_own_from_the_start(images, lease, monkeypatch):
    """Nobody resumes it; and a cleaner that takes it between its creation and its lock makes the writer begin another."""
    with images.content.ingest(DIGEST, len(DATA), lease=lease):
        with images.content.ingest(DIGEST, len(DATA), lease=lease) as second:
            second.write(DATA[:1])
        assert os.listdir(images.root + "/ingest") == [DIGEST.replace(":", "-")]
        tried = []

        def cleaned(fd: int) -> bool:
            path = os.readlink(f"/proc/self/fd/{fd}")
            if "." in os.path.basename(path) and not tried:
                tried.append(path)
                os.unlink(path)
            return try_lock(fd)

        for module in (content, files):
            monkeypatch.setattr(module, "try_lock", cleaned)
        with images.content.ingest(DIGEST, len(DATA), lease=lease) as second:
            assert tried
            second.write(DATA)
            second.commit()
    assert images.content.verify(DIGEST)


@pytest.mark.parametrize("name", ["PID-aa", "new.PID-aa", "sha256-" + "0" * 64 + ".PID-aa"])
def test_what_a_living_process_makes_is_not_abandoned(images, name):
    directory = images.root + "/ingest"
    os.makedirs(directory)
    open(f"{directory}/{name.replace('PID', str(os.getpid()))}", "w").close()
    assert list(maintenance._abandoned(directory)) == []


def test_sha512_is_a_digest_too(images, lease):
    digest = images.content.put(b"x", lease=lease, algorithm="sha512")
    assert digest == "sha512:" + hashlib.sha512(b"x").hexdigest()
    assert images.content.read(digest) == b"x"


@pytest.mark.parametrize(
    "digest", ["", "sha256", "sha256:", "sha256:../../x", "sha256:" + "A" * 64, "sha256:" + "a" * 63]
)
def test_what_is_no_digest_never_becomes_a_path(images, digest):
    with pytest.raises(InvalidInput):
        images.content.path(digest)


def test_unknown_algorithms_are_named(images):
    with pytest.raises(Unsupported, match="md5"):
        images.content.path("md5:" + "a" * 32)


def test_absent_content_is_not_found(images):
    with pytest.raises(NotFound):
        images.content.read(DIGEST)


def test_content_that_rotted_on_disk_is_corrupt(images, lease):
    digest = images.content.put(b"good", lease=lease)
    path = images.content.path(digest)
    os.chmod(path, 0o644)
    with open(path, "wb") as file:
        file.write(b"evil")
    with pytest.raises(Corrupt):
        images.content.read(digest)
    assert not images.content.verify(digest)


def test_a_lease_holds_until_it_is_closed(images):
    lease = images.lease()
    lease.add(DIGEST, "layer:abc")
    with Lock(images.root + "/lock", exclusive=True):
        assert held(images.root)[0] == {DIGEST, "layer:abc"}
    lease.close()
    with Lock(images.root + "/lock", exclusive=True):
        assert held(images.root) == (set(), [])


def test_the_lease_of_a_killed_process_expires(images):
    code = (
        "import os,sys;from lading.images import Images;l=Images(sys.argv[1]).lease();l.add(sys.argv[2]);"
        "print('ok',flush=True);os.kill(os.getpid(),9)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code, images.root, DIGEST],
        stdout=subprocess.PIPE,
        env=environment,
        check=False,
    )
    assert done.stdout == b"ok\n" and done.returncode == -9
    assert len(os.listdir(images.root + "/leases")) == 1
    with Lock(images.root + "/lock", exclusive=True):
        names, dead = held(images.root)
    assert names == set() and len(dead) == 1
    assert os.listdir(images.root + "/leases") == []


def test_many_threads_storing_the_same_blob_leave_one(images):
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with images.lease() as lease:
                images.content.put(DATA, lease=lease)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert images.content.verify(DIGEST)
    assert os.listdir(images.root + "/ingest") == []
