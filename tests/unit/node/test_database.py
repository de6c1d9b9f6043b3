"""How the records' files are made and opened: small pages, a short log, and nothing lost of a file made before."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

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


def test_the_network_s_records_have_small_pages_too(tmp_path: Path) -> None:
    Store(str(tmp_path)).close()
    with sqlite3.connect(tmp_path / "network.db") as found:
        assert found.execute("PRAGMA page_size").fetchone() == (1024,)
        assert found.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    found.close()
