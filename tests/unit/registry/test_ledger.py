"""The records: gathered writers, and a failure that undoes one alone."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from lading.errors import Corrupt, LadingError
from lading.registry.ledger import Change, Ledger
from lading.registry.store import Store, records, repository_id


@pytest.fixture
def ledger(tmp_path: Path):
    made = Ledger(str(tmp_path / "r" / "records.db"))
    yield made
    made.close()


def test_writers_that_come_together_are_all_recorded(ledger):
    def write(number: int) -> None:
        ledger.write(lambda made: repository_id(made, f"name{number}"))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.row("SELECT count(*) FROM repositories") == (50,)


def test_who_commits_for_others_does_so_once(ledger, monkeypatch):
    """Under constant load somebody is always waiting; the first writer is not to work for them for ever."""
    commit = ledger._commit
    returned, ended = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def busy(batch: list) -> None:
        commit(batch)
        if len(threads) < 3000 and not returned.is_set():
            number = len(threads)
            thread = threading.Thread(
                target=ledger.write, args=(lambda made: repository_id(made, f"name{number}"),)
            )
            threads.append(thread)
            thread.start()
            while not ledger._queue:  # it waits before this commit is over
                ended.wait(0.0001)

    monkeypatch.setattr(ledger, "_commit", busy)
    ledger.write(lambda made: repository_id(made, "first"))
    returned.set()
    for thread in threads:
        thread.join()
    assert len(threads) < 3000
    assert ledger.row("SELECT count(*) FROM repositories") == (len(threads) + 1,)


def test_a_failed_change_takes_no_other_with_it(ledger):
    def fail(made: Change) -> None:
        repository_id(made, "half")
        raise ValueError

    ready = threading.Barrier(2)

    def good() -> None:
        ready.wait()
        ledger.write(lambda made: repository_id(made, "good"))

    thread = threading.Thread(target=good)
    thread.start()
    ready.wait()
    with pytest.raises(ValueError):
        ledger.write(fail)
    thread.join()
    assert ledger.rows("SELECT name FROM repositories") == [("good",)]


def test_what_is_written_is_there_for_another_process(ledger):
    ledger.write(lambda made: repository_id(made, "one"))
    other = sqlite3.connect(ledger.path)
    assert other.execute("SELECT name FROM repositories").fetchall() == [("one",)]
    other.close()


def test_records_of_another_version_are_not_touched(tmp_path: Path):
    path = tmp_path / "records.db"
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version=77")
    database.close()
    with pytest.raises(LadingError) as caught:
        Ledger(str(path))
    assert caught.value.reason == "version"


def test_broken_records_are_said_as_such(tmp_path: Path):
    path = tmp_path / "records.db"
    path.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    with pytest.raises(Corrupt):
        Ledger(str(path))


def test_the_image_store_removes_nothing_that_a_repository_has(shop):
    digest = shop.blob("one", b"kept")
    images = shop.store.images
    with images.lease() as lease:
        loose = images.content.put(b"loose", lease=lease)
    images.prune(all=True)
    assert images.content.has(digest)
    assert not images.content.has(loose)
    shop.store.unlink("one", digest)
    images.prune(all=True)
    assert not images.content.has(digest)


def test_the_image_store_removes_nothing_while_the_records_cannot_be_read(shop):
    digest = shop.blob("one", b"kept")
    shop.store.close()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{shop.root}/{records('registry')}{suffix}").write_bytes(b"x" * 5000)
    with pytest.raises(Corrupt):
        shop.store.images.prune(all=True)
    assert shop.store.images.content.has(digest)


def test_two_servers_have_one_key(tmp_path: Path):
    first, second = Store(str(tmp_path / "s")), Store(str(tmp_path / "s"))
    assert first.sign("a") == second.sign("a") != first.sign("b")
    first.close()
    second.close()


@pytest.mark.parametrize("key", [b"", b"x" * 31])
def test_a_key_that_is_none_is_refused_and_not_used(tmp_path: Path, key: bytes):
    Store(str(tmp_path / "s")).close()
    path = tmp_path / "s/registry/key"
    path.write_bytes(key)
    with pytest.raises(Corrupt):
        Store(str(tmp_path / "s"))
    path.unlink()
    Store(str(tmp_path / "s")).close()
    assert len(path.read_bytes()) == 32
