"""The node's SQLite file: how it is opened, made, migrated and locked.

WAL with ``synchronous=NORMAL``: a commit survives every death of our processes without waiting for the disk. Writers
use ``BEGIN IMMEDIATE``, so a transaction never discovers half-way that it cannot be upgraded, and wait up to
:data:`PATIENCE` seconds for each other. Source: https://sqlite.org/wal.html, https://sqlite.org/lang_transaction.html.
"""

from __future__ import annotations

import os
import sys
import time

from lading.errors import Corrupt, Denied, Exhausted, LadingError, TimedOut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

#: Seconds to wait for other writers before giving up.
PATIENCE = 30.0
_RESERVE = 1 << 18  # bytes: SQLite's index of the log takes 32 KiB, removing a pod some pages of the log
_PLENTY = 8 << 20
#: Bytes of a page. A transaction writes a handful of pages whole, and a process that opens the file alone reads and sums
#: the whole log again: with small pages, and a log that is folded in more often than SQLite does by itself (every 1000
#: pages), that is a quarter of a millisecond in the mean in place of two. A file keeps the size it was made with.
PAGE = 1024
#: Pages of log after which a commit folds it into the file: two waits for the disk every fifteen starts or so.
FOLD = 500
#: ``PRAGMA user_version`` of this code. Add a step to ``_MIGRATIONS`` for each.
VERSION = 1

_MIGRATIONS = (
    """
    CREATE TABLE pods (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, pod TEXT NOT NULL, created REAL NOT NULL,
        stage TEXT NOT NULL, phase TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', message TEXT NOT NULL DEFAULT '',
        stopped INTEGER NOT NULL DEFAULT 0, keeper_pid INTEGER NOT NULL DEFAULT 0,
        keeper_start INTEGER NOT NULL DEFAULT 0, keeper_socket TEXT NOT NULL DEFAULT '',
        network TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
    CREATE TABLE containers (
        id TEXT PRIMARY KEY, pod_id TEXT NOT NULL REFERENCES pods (id) ON DELETE CASCADE, name TEXT NOT NULL,
        kind TEXT NOT NULL, place INTEGER NOT NULL, image TEXT NOT NULL, image_id TEXT NOT NULL, state TEXT NOT NULL,
        pid INTEGER NOT NULL DEFAULT 0, pid_start INTEGER NOT NULL DEFAULT 0, exit_code INTEGER NOT NULL DEFAULT 0,
        oom_killed INTEGER NOT NULL DEFAULT 0, started REAL NOT NULL DEFAULT 0, finished REAL NOT NULL DEFAULT 0,
        restarts INTEGER NOT NULL DEFAULT 0, health TEXT NOT NULL DEFAULT '', ready INTEGER NOT NULL DEFAULT 0,
        extra TEXT NOT NULL DEFAULT '', UNIQUE (pod_id, name)) WITHOUT ROWID;
    CREATE TABLE events (
        number INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, kind TEXT NOT NULL, action TEXT NOT NULL,
        id TEXT NOT NULL, name TEXT NOT NULL, attributes TEXT NOT NULL);
    CREATE INDEX living ON containers (pod_id) WHERE state != 'exited';
    """,
)
"""``living`` is for who ends, and asks which containers live in its pod: few, and thousands may have ended here. A file that was
made without it is only slower."""


def _module() -> Any:
    """The C half of ``sqlite3``: its Python half imports ``datetime`` and ``collections`` for adapters we never use.

    ``_sqlite3`` asks ``functools`` for ``lru_cache`` alone, and ``functools`` costs 2.5 ms of a run; until somebody
    imports the real one, it is shown the C implementation that the real one wraps.
    """
    if "_sqlite3" in sys.modules:
        return sys.modules["_sqlite3"]
    if "functools" not in sys.modules:
        try:
            from _functools import _lru_cache_wrapper  # type: ignore[import-not-found]
        except ImportError:
            pass
        else:
            stand_in = type(sys)("functools")

            def lru_cache(size: int) -> Any:
                return lambda function: _lru_cache_wrapper(function, size, False, tuple)

            stand_in.lru_cache = lru_cache  # type: ignore[attr-defined]
            sys.modules["functools"] = stand_in
            try:
                import _sqlite3
            finally:
                del sys.modules["functools"]
            return _sqlite3
    import _sqlite3

    return _sqlite3


class Database:
    """One connection. Made on first use, never kept across a fork."""

    def __init__(self, path: str) -> None:
        self.path = path
        #: Pages in the write-ahead log at which a commit copies them into the database and waits for the disk; 0: SQLite's.
        self.checkpoint = 0
        self._connection: Any = None
        self._depth = 0

    @property
    def opened(self) -> bool:
        """Whether a connection is open."""
        return self._connection is not None

    def connection(self) -> Any:
        """The open connection; the file is made when there is none."""
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def _open(self) -> Any:
        module = _module()
        try:
            if not os.path.exists(self.path):
                self._make(module)
            connection = module.connect(
                self.path, timeout=PATIENCE, isolation_level=None, check_same_thread=False
            )
            _retry(lambda: connection.execute("PRAGMA synchronous=NORMAL"))
            connection.execute(f"PRAGMA wal_autocheckpoint={FOLD}")
            version = _retry(lambda: connection.execute("PRAGMA user_version").fetchone())[0]
            if version != VERSION:
                self._migrate(connection, version)
            if self.checkpoint:
                connection.execute(f"PRAGMA wal_autocheckpoint={self.checkpoint}")
        except module.Error as error:
            failure = self._failure(error)
            if isinstance(failure, Exhausted) and self.make_room():
                return self._open()
            raise failure from None
        except OSError as error:
            kind = Denied if error.errno in (1, 13) else LadingError
            raise kind(f"records {self.path}: {error.strerror}") from None
        if not os.path.exists(f"{self.path}.reserve"):
            self._reserve()
        return connection

    def _reserve(self) -> None:
        """Take space that :meth:`make_room` can give up, while there is plenty."""
        try:
            there = os.statvfs(os.path.dirname(self.path))
            if there.f_bavail * there.f_frsize < _PLENTY:
                return
            fd = os.open(f"{self.path}.reserve", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, _RESERVE)
            finally:
                os.close(fd)
        except FileExistsError:
            pass  # another process was faster
        except OSError:
            self.make_room()  # on without it: there was less space than it seemed

    def make_room(self) -> bool:
        """Give up the reserve: on a full disk even what frees space has to be written down first. False where there is none."""
        try:
            os.unlink(f"{self.path}.reserve")
        except OSError:
            return False
        return True

    def _make(self, module: Any) -> None:
        # Made beside and linked into place, so that nobody ever sees a file that is not in WAL mode yet: changing the
        # mode needs an exclusive lock that ignores the busy timeout.
        os.makedirs(os.path.dirname(self.path), 0o700, exist_ok=True)
        beside = f"{self.path}.new-{os.getpid()}"
        connection = module.connect(beside, isolation_level=None)
        try:
            connection.execute(f"PRAGMA page_size={PAGE}")  # before the mode: it writes the first page
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript("BEGIN;" + _MIGRATIONS[0] + "PRAGMA user_version=1; COMMIT;")
        finally:
            connection.close()
        os.chmod(beside, 0o600)
        try:
            os.link(beside, self.path)
        except FileExistsError:
            pass
        os.unlink(beside)

    def _migrate(self, connection: Any, version: int) -> None:
        """Bring the file from ``version`` to :data:`VERSION`; whoever is second at it finds it done."""
        self._check(version)
        _retry(lambda: connection.execute("BEGIN IMMEDIATE"))
        try:
            # Read again: another process may have done it while this one waited.
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            self._check(version)
            for step in range(version, VERSION):
                for statement in _MIGRATIONS[step].split(";"):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version={VERSION}")
            _retry(lambda: connection.execute("COMMIT"))
        except BaseException:
            connection.close()  # and with it nothing was begun
            raise

    def _check(self, version: int) -> None:
        if version > VERSION:
            raise Corrupt(
                f"records {self.path} are of version {version}, this Lading reads up to {VERSION}",
                hint="use the newer Lading that wrote them",
                reason="newer-records",
            )
        if version == 0:
            raise Corrupt(f"records {self.path}: not a node database", hint="move the file away")

    def query(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """The rows of one SELECT, or of a statement within :meth:`__enter__`'s transaction."""
        connection = self.connection()
        try:
            rows: list[tuple[Any, ...]] = _retry(lambda: connection.execute(statement, values).fetchall())
            return rows
        except _module().Error as error:
            raise self._failure(error) from None

    def __enter__(self) -> Database:
        connection = self.connection()
        if self._depth == 0:
            try:
                _retry(lambda: connection.execute("BEGIN IMMEDIATE"))
            except _module().Error as error:
                raise self._failure(error) from None
        self._depth += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth:
            return
        if kind is not None:
            self._roll_back()
            if isinstance(value, _module().Error):
                raise self._failure(value) from None
            return
        try:
            _retry(lambda: self._connection.execute("COMMIT"))
        except _module().Error as error:
            self._roll_back()
            raise self._failure(error) from None

    def _roll_back(self) -> None:
        # A full disk makes SQLite roll back by itself (sqlite.org/lang_transaction.html, "Response To Errors").
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def version(self) -> int:
        """A number that changes when another connection has committed something."""
        return int(self.query("PRAGMA data_version")[0][0])

    def close(self) -> None:
        """Close the connection, if it is open."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _failure(self, error: Exception) -> LadingError:
        text = str(error)
        if "unique" in text.lower():
            raise error
        if "locked" in text or "busy" in text:
            return TimedOut(f"records {self.path}: other commands have held them for {PATIENCE:.0f} s")
        if (
            "full" in text or "disk i/o" in text.lower()
        ):  # a full disk is the latter where SQLite grows its index of the log
            return Exhausted(f"records {self.path}: {text}", hint="free some disk space")
        if "malformed" in text or "not a database" in text:
            return Corrupt(f"records {self.path}: {text}", hint="move the file away; `lading check --repair`")
        if "readonly" in text:
            return Denied(f"records {self.path}: the file, or its file system, is read-only")
        if "unable to open" in text:
            return Denied(f"records {self.path}: {text}")
        return LadingError(f"records {self.path}: {text}")


def _retry(act: Any) -> Any:
    """Some locks (recovery, the last close's checkpoint) fail at once, whatever the busy timeout says."""
    end = 0.0
    while True:
        try:
            return act()
        except _module().OperationalError as error:
            if "locked" not in str(error) and "busy" not in str(error):
                raise
            now = time.monotonic()
            end = end or now + PATIENCE
            if now > end:
                raise
            time.sleep(0.005)
