"""The network package's records: one SQLite file below ``roots.network``.

Everything is written here before the kernel is touched. A lock file in front of the database gives 200 processes a
queue where SQLite's own busy handler gives them a lottery.
"""

from __future__ import annotations

import fcntl
import os

from lading.errors import Conflict, Corrupt, Denied, Exhausted, LadingError
from lading.formats import jsontext
from lading.network.model import Attachment, Network, PublishedPort

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _sqlite3 import DatabaseError
    from collections.abc import Iterable, Iterator
    from types import TracebackType

_SCHEMA = """
create table if not exists meta (key text primary key, value text) without rowid;
create table if not exists networks (
    id integer primary key autoincrement, name text unique not null, record text not null);
create table if not exists cursors (network integer, family integer, cursor text, primary key (network, family))
    without rowid;
create table if not exists attachments (
    id text primary key, pid integer not null, record text not null) without rowid;
create table if not exists leases (
    network integer not null, address text not null, owner text not null, interface text not null,
    primary key (network, address)) without rowid;
create index if not exists leases_by_owner on leases (owner);
create index if not exists leases_by_address on leases (address);
create table if not exists interfaces (
    name text primary key, owner text not null, network integer not null, mac text not null) without rowid;
create index if not exists interfaces_by_owner on interfaces (owner);
create table if not exists ports (
    protocol text, host_port integer, host_ip text, owner text, container_ip text, container_port integer,
    primary key (protocol, host_port, host_ip)) without rowid;
create index if not exists ports_by_owner on ports (owner);
create table if not exists names (
    network integer, name text, address text, owner text, rank integer,
    primary key (network, name, address, owner)) without rowid;
create index if not exists names_by_owner on names (owner);
"""
_VERSION = 1
# Small pages and a log that is folded in often: see the node's database, which opens as often as this one.
_PAGE = 1024
_FOLD = 500


class Store:
    """An open database. One of these serves one process; after a fork the child opens its own."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        try:
            os.makedirs(directory, 0o700, exist_ok=True)
            self._lock = os.open(directory + "/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except PermissionError:
            raise Denied(f"network records in {directory} are not ours to write") from None
        self.path = directory + "/network.db"
        self._depth = 0
        # The C half alone: ``sqlite3`` imports datetime for adapters that nobody here uses.
        import _sqlite3

        self._error = _sqlite3.DatabaseError
        try:
            self._db = _sqlite3.connect(
                self.path, timeout=30, isolation_level=None, cached_statements=64, check_same_thread=False
            )
            self._db.execute("pragma synchronous=normal")
            self._db.execute(f"pragma wal_autocheckpoint={_FOLD}")
            if self._db.execute("pragma user_version").fetchone()[0] != _VERSION:
                self._create()
        except self._error as error:
            os.close(self._lock)
            raise _translated(error, self.path) from None

    def _create(self) -> None:
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            found = self._db.execute("pragma user_version").fetchone()[0]
            if found > _VERSION:
                raise Corrupt(f"{self.path} was written by a newer version", hint="use that version")
            self._db.execute(f"pragma page_size={_PAGE}")  # before the mode: it writes the first page
            self._db.execute("pragma journal_mode=wal")
            self._db.executescript("begin immediate;" + _SCHEMA + f"pragma user_version={_VERSION}; commit;")
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the database and the lock file."""
        self._db.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    # -- transactions ------------------------------------------------------------------------------------------------

    def __enter__(self) -> Store:
        """Begin a write transaction: in the queue first, then in SQLite."""
        if self._depth == 0:
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            try:
                self._db.execute("begin immediate")
            except self._error as error:
                fcntl.flock(self._lock, fcntl.LOCK_UN)
                raise _translated(error, self.path) from None
        self._depth += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth:
            return
        try:
            # A full disk makes SQLite roll back by itself.
            if not kind or self._db.in_transaction:
                self._db.execute("rollback" if kind else "commit")
        except self._error as error:
            if self._db.in_transaction:  # a commit that finds no space stays open, and with it the lock
                self._db.execute("rollback")
            raise _translated(error, self.path) from None
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def run(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Execute one statement and fetch all rows."""
        try:
            return self._db.execute(statement, values).fetchall()
        except self._error as error:
            raise _translated(error, self.path) from None

    def many(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        """Execute one statement for every row."""
        try:
            self._db.executemany(statement, rows)
        except self._error as error:
            raise _translated(error, self.path) from None

    # -- meta --------------------------------------------------------------------------------------------------------

    def meta(self, key: str) -> str:
        """A recorded fact, or empty text."""
        rows = self.run("select value from meta where key=?", key)
        return str(rows[0][0]) if rows else ""

    def set_meta(self, key: str, value: str) -> None:
        """Record a fact."""
        self.run("insert or replace into meta values (?, ?)", key, value)

    # -- networks ----------------------------------------------------------------------------------------------------

    def network(self, name: str) -> Network | None:
        """A network by name."""
        rows = self.run("select id, record from networks where name=?", name)
        return _network(rows[0]) if rows else None

    def networks(self) -> list[Network]:
        """All networks in the order they were made."""
        return [_network(row) for row in self.run("select id, record from networks order by id")]

    def add_network(self, network: Network) -> Network:
        """Record a new network and number it."""
        if self.run("select 1 from networks where name=?", network.name):
            raise Conflict(f"network {network.name} exists already")
        self.run("insert into networks (name, record) values (?, ?)", network.name, "{}")
        ((number,),) = self.run("select last_insert_rowid()")
        made = network.replace(id=number)
        self.save_network(made)
        return made

    def save_network(self, network: Network) -> None:
        """Write a network's record again."""
        self.run("update networks set record=? where id=?", jsontext.dumps(network.encode()), network.id)

    def remove_network(self, number: int) -> None:
        """Forget a network and what hangs on it."""
        for table in ("names", "leases", "cursors"):
            self.run(f"delete from {table} where network=?", number)
        self.run("delete from networks where id=?", number)
        self.run("delete from meta where key=?", f"ready {number}")

    # -- attachments -------------------------------------------------------------------------------------------------

    def attachment(self, owner: str) -> Attachment | None:
        """One attachment's record."""
        rows = self.run("select record from attachments where id=?", owner)
        return _attachment(str(rows[0][0])) if rows else None

    def attachments(self) -> Iterator[Attachment]:
        """All attachments."""
        for (record,) in self.run("select record from attachments order by id"):
            yield _attachment(str(record))

    def ports(self, owner: str = "") -> list[PublishedPort]:
        """The published ports of one owner, or of all."""
        rows = self.run(
            "select protocol, host_ip, host_port, container_ip, container_port from ports where ?1='' or owner=?1",
            owner,
        )
        return [
            PublishedPort(
                protocol=str(row[0]),
                host_ip=str(row[1]),
                host_port=int(str(row[2])),
                container_ip=str(row[3]),
                container_port=int(str(row[4])),
            )
            for row in rows
        ]

    def forget(self, owner: str) -> None:
        """Drop an attachment, its leases, ports, names and interfaces."""
        for table in ("names", "ports", "leases", "interfaces"):
            self.run(f"delete from {table} where owner=?", owner)
        self.run("delete from attachments where id=?", owner)


def _network(row: tuple[object, ...]) -> Network:
    made = Network.decode(jsontext.loads(str(row[1]), what="network record"), strict=False)
    made.id = int(str(row[0]))
    return made


def _attachment(record: str) -> Attachment:
    return Attachment.decode(jsontext.loads(record, what="attachment record"), strict=False)


def _space(path: str) -> int:
    found = os.statvfs(os.path.dirname(path))
    return found.f_bavail * found.f_frsize >> 16


def _translated(error: DatabaseError, path: str) -> LadingError:
    text = str(error)
    if "full" in text or (
        "I/O" in text and not _space(path)
    ):  # the shared index of the log needs space to be read
        return Exhausted(f"{path}: the disk is full", hint="free some space, then repeat the command")
    if "locked" in text or "busy" in text:
        return Conflict(f"{path}: another process kept the database locked for 30 s")
    if "readonly" in text or "unable to open" in text:
        return Denied(f"{path}: {text}")
    if "I/O" in text:
        return LadingError(f"{path}: {text}", hint="see the kernel's log for what the disk said")
    return Corrupt(f"{path}: {text}", hint="move the file away; networks must then be created again")
