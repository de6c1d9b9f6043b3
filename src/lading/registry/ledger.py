"""The registry's records: which repository has which blobs, manifests and tags, in SQLite.

::

    repositories   id, name
    blobs          a blob is visible in a repository it was pushed or mounted to
    manifests      with what the referrers API has to say about one
    refs           what a manifest names: blobs ('b'), manifests ('m')
    tags           a movable name for a manifest
    holds          (a view) every digest of them: what the image store's collector leaves where it is (images/pins.py)

Writers are gathered: whoever comes while a transaction is being made durable joins the next one, so a thousand small
pushes cost some tens of syncs. A write has returned when its transaction is on the disk (WAL, ``synchronous=FULL``).
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from lading.errors import Corrupt, Exhausted, LadingError
from lading.images.files import sync_directory

VERSION = 1
T = TypeVar("T")

_SCHEMA = """
CREATE TABLE repositories (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, made REAL NOT NULL);
CREATE TABLE blobs (
    repository INTEGER NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL, linked REAL NOT NULL,
    PRIMARY KEY (repository, digest)) WITHOUT ROWID;
CREATE INDEX blobs_digest ON blobs (digest);
CREATE TABLE manifests (
    repository INTEGER NOT NULL, digest TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL,
    pushed REAL NOT NULL, subject TEXT NOT NULL, artifact_type TEXT NOT NULL, annotations TEXT NOT NULL,
    PRIMARY KEY (repository, digest)) WITHOUT ROWID;
CREATE INDEX manifests_digest ON manifests (digest);
CREATE INDEX manifests_subject ON manifests (repository, subject) WHERE subject <> '';
CREATE TABLE refs (
    repository INTEGER NOT NULL, manifest TEXT NOT NULL, digest TEXT NOT NULL, kind TEXT NOT NULL,
    PRIMARY KEY (repository, manifest, digest)) WITHOUT ROWID;
CREATE INDEX refs_digest ON refs (repository, digest);
CREATE TABLE tags (
    repository INTEGER NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, moved REAL NOT NULL,
    PRIMARY KEY (repository, name)) WITHOUT ROWID;
CREATE INDEX tags_digest ON tags (repository, digest);
CREATE VIEW holds AS SELECT digest FROM blobs UNION SELECT digest FROM manifests;
"""


class Change:
    """One writer's part of a transaction: the connection, and directories that must be durable before it counts."""

    __slots__ = ("db", "directories")

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self.directories: set[str] = set()


class _Waiting(Generic[T]):
    __slots__ = ("change", "done", "error", "leads", "result")

    def __init__(self, change: Callable[[Change], T]) -> None:
        self.change = change
        self.done = threading.Event()
        self.leads = False  # woken not because it is done, but to do it, for itself and whoever else waits
        self.error: BaseException | None = None
        self.result: T | None = None


class Ledger:
    """The database ``path``, made when it is not there. Any number of threads and processes may use it at once."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._local = threading.local()
        self._lock = threading.Lock()
        self._queue: list[_Waiting[object]] = []
        self._leading = False
        self._all: list[sqlite3.Connection] = []
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        self._prepare()

    # --- connections ------------------------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        # Closed by whoever closes the ledger, which is another thread.
        db = sqlite3.connect(self.path, timeout=30.0, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA temp_store=MEMORY")
        with self._lock:
            self._all.append(db)
        return db

    def _prepare(self) -> None:
        try:
            db = self._open()
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("BEGIN IMMEDIATE")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    if statement.strip():
                        db.execute(statement)
                db.execute(f"PRAGMA user_version={VERSION}")
            db.execute("COMMIT")
            sync_directory(os.path.dirname(self.path))
        except sqlite3.Error as error:
            raise _failed(self.path, error) from None
        if version not in (0, VERSION):
            raise LadingError(
                f"{self.path} has version {version} of the records, and this Lading knows {VERSION}",
                hint="use the Lading that wrote it",
                reason="version",
            )
        self._local.db = db

    def _db(self) -> sqlite3.Connection:
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if db is None:
            db = self._local.db = self._open()
        return db

    def close(self) -> None:
        """Close every connection; nobody may use the ledger any more."""
        with self._lock:
            everyone, self._all = self._all, []
        for db in everyone:
            db.close()
        self._local = threading.local()

    # --- reading ----------------------------------------------------------------------------------------------------

    def rows(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """The rows of a query, of what is committed. Raises :class:`LadingError`."""
        try:
            return self._db().execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise _failed(self.path, error) from None

    def each(self, statement: str, *values: object) -> Iterator[tuple[object, ...]]:
        """The same one by one, for rows that a client can make large, or of which not all may be wanted."""
        try:
            yield from self._db().execute(statement, values)
        except sqlite3.Error as error:
            raise _failed(self.path, error) from None

    def row(self, statement: str, *values: object) -> tuple[object, ...] | None:
        """The first row of a query, None where there is none. Raises :class:`LadingError`."""
        try:
            found: tuple[object, ...] | None = self._db().execute(statement, values).fetchone()
        except sqlite3.Error as error:
            raise _failed(self.path, error) from None
        return found

    # --- writing ----------------------------------------------------------------------------------------------------

    def write(self, change: Callable[[Change], T]) -> T:
        """Run ``change`` in a transaction, shared with whoever else is waiting; returns when it is durable.

        ``change`` may be run by another thread and again after a failure, so it only uses what it is given. What it raises
        undoes it alone, and is raised here.
        """
        mine = _Waiting(change)
        with self._lock:
            self._queue.append(mine)  # type: ignore[arg-type]
            lead = not self._leading
            self._leading = True
        if not lead:
            mine.done.wait()
        if lead or mine.leads:
            self._lead()
        if mine.error is not None:
            raise mine.error
        return mine.result  # type: ignore[return-value]

    def _lead(self) -> None:
        """Commit what waits now, which is this thread's own too, and let somebody else lead what has come meanwhile."""
        with self._lock:
            batch, self._queue = self._queue, []
        try:
            self._commit(batch)
        except BaseException as error:
            failure = _failed(self.path, error) if isinstance(error, sqlite3.Error) else error
            for waiting in batch:
                waiting.error = failure
        finally:
            with self._lock:
                if self._queue:
                    self._queue[0].leads = True
                    self._queue[0].done.set()
                else:
                    self._leading = False
            for waiting in batch:
                waiting.done.set()

    def _commit(self, batch: list[_Waiting[object]]) -> None:
        db = self._db()
        db.execute("BEGIN IMMEDIATE")
        try:
            change = Change(db)
            for waiting in batch:
                db.execute("SAVEPOINT one")
                try:
                    waiting.result = waiting.change(change)
                except sqlite3.Error:
                    raise
                except BaseException as error:
                    waiting.error = error
                    db.execute("ROLLBACK TO one")
                db.execute("RELEASE one")
            for directory in change.directories:
                sync_directory(directory)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise


def _failed(path: str, error: BaseException) -> LadingError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return Exhausted(f"cannot write {path}: the disk is full", reason="disk-full")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return Corrupt(f"{path} is broken: {error}", hint="restore it from a backup")
    return LadingError(f"{path}: {error}", reason="records")
