"""How the records' files are made and opened: small pages, a short log, and nothing lost of a file made before."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from lading.errors import Corrupt, Denied, LadingError
from lading.network.store import Store
from lading.node import database
from lading.node.database import Database


def test_a_new_file_has_small_pages_and_a_log_that_is_folded_in_early(tmp_path: Path) -> None:
    made = Database(str(tmp_path / "node.db"))
    assert made.query("PRAGMA page_size") == [(database.PAGE,)]
    assert made.query("PRAGMA wal_autocheckpoint") == [(database.FOLD,)]
    assert made.query("PRAGMA journal_mode") == [("wal",)]
    made.close()


def test_the_log_stays_as_short_as_it_was_asked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "FOLD", 20)
    made = Database(str(tmp_path / "node.db"))
    for number in range(60):
        with made:
            made.query(
                "INSERT INTO events (time, kind, action, id, name, attributes) VALUES (?, '', '', '', '', ?)",
                (number, "x" * 900),
            )
    assert made.query("SELECT count(*) FROM events") == [(60,)]
    # a checkpoint comes after a commit has grown the log past the limit: the limit, and one transaction
    assert (tmp_path / "node.db-wal").stat().st_size < 40 * (database.PAGE + 24)
    made.close()


def test_a_file_of_large_pages_is_kept_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "PAGE", 4096)
    made = Database(str(tmp_path / "node.db"))
    with made:
        made.query(
            "INSERT INTO events (time, kind, action, id, name, attributes) VALUES (1, '', '', '', 'kept', '')"
        )
    made.close()
    monkeypatch.undo()
    again = Database(str(tmp_path / "node.db"))
    assert again.query("PRAGMA page_size") == [(4096,)]
    assert again.query("SELECT name FROM events") == [("kept",)]
    again.close()


def _of_the_next_version(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    monkeypatch.setattr(database, "VERSION", database.VERSION + 1)
    monkeypatch.setattr(database, "_MIGRATIONS", (*database._MIGRATIONS, step))


def test_two_that_migrate_at_once_do_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "node.db")
    before = database.VERSION
    made = Database(path)
    made.query("SELECT 1")
    made.close()
    _of_the_next_version(monkeypatch, "ALTER TABLE pods ADD COLUMN further TEXT NOT NULL DEFAULT ''")
    first, second = Database(path), Database(path)
    late = sqlite3.connect(path, isolation_level=None)
    # What the second one sees, too, and acts on.
    assert late.execute("PRAGMA user_version").fetchone() == (before,)
    assert first.query("SELECT further FROM pods") == []
    second._migrate(late, before)
    assert not late.in_transaction
    assert late.execute("PRAGMA user_version").fetchone() == (before + 1,)
    late.close()
    first.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "node.db")
    made = Database(path)
    assert made.query("PRAGMA user_version") == [(database.VERSION,)]
    made.close()
    with monkeypatch.context() as newer:
        _of_the_next_version(newer, "CREATE TABLE further (id TEXT); CREATE TABLE pods (id TEXT)")
        with pytest.raises(LadingError, match="pods already exists"):
            Database(path).query("SELECT 1")
    assert made.query("PRAGMA user_version") == [(database.VERSION,)]
    assert made.query("SELECT count(*) FROM sqlite_master WHERE name = 'further'") == [(0,)]
    with made:  # and nobody holds it
        made.query("DELETE FROM events")
    made.close()


def test_records_that_a_newer_lading_has_migrated_meanwhile_are_not_touched(tmp_path: Path) -> None:
    path = str(tmp_path / "node.db")
    made = Database(path)
    made.query("SELECT 1")
    late = sqlite3.connect(path, isolation_level=None)
    late.execute(f"PRAGMA user_version={database.VERSION + 1}")
    with pytest.raises(Corrupt) as caught:
        made._migrate(late, 1)
    assert caught.value.reason == "newer-records"
    made.close()
    with sqlite3.connect(path) as found:
        assert found.execute("PRAGMA user_version").fetchone() == (database.VERSION + 1,)
    found.close()


def test_the_network_s_records_have_small_pages_too(tmp_path: Path) -> None:
    Store(str(tmp_path)).close()
    with sqlite3.connect(tmp_path / "network.db") as found:
        assert found.execute("PRAGMA page_size").fetchone() == (1024,)
        assert found.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    found.close()


def test_a_statement_that_the_file_does_not_take_is_one_of_our_errors(tmp_path: Path) -> None:
    made = Database(str(tmp_path / "node.db"))
    made.query("PRAGMA query_only=1")
    with pytest.raises(Denied, match="read-only"), made:
        made.connection().execute("DELETE FROM events")
    made.query("PRAGMA query_only=0")
    with made:
        made.query("DELETE FROM events")
    made.close()


def test_a_reserve_is_kept_for_a_full_disk_and_taken_again_when_there_is_plenty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve = tmp_path / "node.db.reserve"
    made = Database(str(tmp_path / "node.db"))
    made.query("SELECT 1")
    assert reserve.stat().st_blocks * 512 >= 1 << 18
    assert made.make_room() and not made.make_room() and not reserve.exists()
    made.close()
    monkeypatch.setattr(database, "_PLENTY", 1 << 62)
    assert made.query("SELECT 1") == [(1,)] and not reserve.exists()
    made.close()
    monkeypatch.undo()
    assert made.query("SELECT 1") == [(1,)] and reserve.exists()
    made.close()


def test_a_reserve_that_could_not_be_had_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, at: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "posix_fallocate", full)
    made = Database(str(tmp_path / "node.db"))
    assert made.query("SELECT 1") == [(1,)]
    assert not (tmp_path / "node.db.reserve").exists()
    made.close()
