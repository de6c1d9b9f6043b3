"""Where a registry keeps things: a content store that others may use too, its records beside it, and leases for what is in work.

::

    ROOT/blobs, leases, lock, pins…   the content store (lading.images.content), of this Lading's images or of the registry alone
    ROOT/registry/records.db          who has what (ledger.py), held as a whole by one pin
    ROOT/registry/uploads/UUID        blobs on their way
    ROOT/registry/key                 a secret that upload sessions and tokens are signed with
    ROOT/registry/frozen              why nobody may push or delete at the moment, when nobody may
    ROOT/mirror-UPSTREAM/…            the same of each registry that is mirrored

The order that loses nothing: a lease on the digest, the content, the record of it, the end of the lease. The collector takes
the store's lock exclusively and looks at leases and records, so at every moment one of the two speaks for a blob.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from lading.errors import Corrupt, NotFound
from lading.images import Images
from lading.images.files import OwnFile, disk_error, read, sync_directory, write_atomically
from lading.images.leases import Lease
from lading.registry.errors import BLOB_UNKNOWN, Refusal
from lading.registry.ledger import Change, Ledger

_MOST = 256
"""Digests in one lease file before the next one is begun: it only grows, and the collector reads it whole."""

_REASON = "maintenance"
_LONGEST_REASON = 500  # bytes; clients are told of it

KIND = "registry"
"""Of the pins that hold the records."""


def records(name: str) -> str:
    """Where below a store the records of a registry are that is called ``name``."""
    return f"{name}/records.db"


def mirror_name(upstream: str) -> str:
    """What the mirror of a registry is called: what it has is not what the registry of the same store has."""
    return "mirror-" + "".join(c if c.isalnum() or c in ".-" else "_" for c in upstream)


class Store:
    """The part of the content store below ``root`` that is the registry ``name``. Any number of processes may use it at once."""

    def __init__(self, root: str, name: str = "registry") -> None:
        self.root = root
        self.images = Images(root)
        self.content = self.images.content
        self.directory = f"{root}/{name}"
        self.uploads = self.directory + "/uploads"
        self._leases = _Leases(self.images)
        try:
            self.images.lease().close()  # makes the store if there is none, for its owner alone
            os.makedirs(self.uploads, mode=0o700, exist_ok=True)
        except OSError as error:
            raise disk_error(error, f"cannot make the registry's store {self.directory}") from None
        ledger = records(name)
        self.ledger = Ledger(f"{root}/{ledger}")
        pin = self.images.pins.get(KIND, name)
        if pin is None or pin.ledger != ledger:
            self.images.pins.put(KIND, name, holds=[], about={"what": "all that it has"}, ledger=ledger)
        self.key = _secret(self.directory + "/key")

    def close(self) -> None:
        """Close the records. Content and uploads stay."""
        self.ledger.close()

    def holding(self, *digests: str) -> _Holding:
        """A context in which ``digests`` are not collected, whether they are here already or not."""
        return _Holding(self._leases, digests)

    # --- maintenance ------------------------------------------------------------------------------------------------

    def frozen(self) -> str:
        """Why nothing may change at the moment, empty when it may."""
        try:
            with open(self.directory + "/frozen", "rb") as file:
                return file.read(_LONGEST_REASON).decode(errors="replace") or _REASON
        except FileNotFoundError:
            return ""

    def freeze(self, reason: str) -> None:
        """Have every server of this store refuse changes, and collect no garbage, from the next request on."""
        write_atomically(self.directory + "/frozen", (reason or _REASON).encode()[:_LONGEST_REASON])

    def thaw(self) -> bool:
        """Allow changes again; False when they were allowed."""
        try:
            os.unlink(self.directory + "/frozen")
        except FileNotFoundError:
            return False
        sync_directory(self.directory)
        return True

    def sign(self, *words: str) -> bytes:
        """32 bytes that only this store can make of ``words``."""
        return hmac.digest(self.key, "\0".join(words).encode(), "sha256")

    # --- content ----------------------------------------------------------------------------------------------------

    def keep(self, data: bytes, digest: str) -> str:
        """Store the small ``data``, whose digest the caller has checked and holds; the directory that is yet to be synced."""
        path = self.content.path(digest)
        if os.path.exists(path):
            return os.path.dirname(path)
        try:
            file = OwnFile(self.uploads, "put.")
            try:
                file.write(data)
                return self.content.adopt(file.path, file.fd, digest)
            except BaseException:
                os.unlink(file.path)
                raise
            finally:
                file.keep()
        except OSError as error:
            raise disk_error(error, f"cannot store {digest}") from None

    def open(self, repository: str, digest: str) -> tuple[int, int]:
        """A descriptor of a blob that ``repository`` has, the caller's to close, and its size. Raises :class:`Refusal`."""
        size = self.blob(repository, digest)
        try:
            return self.content.open(digest), size
        except NotFound:
            raise Refusal(BLOB_UNKNOWN, f"the content of {digest} is lost", detail=digest) from None

    # --- blobs of repositories --------------------------------------------------------------------------------------

    def blob(self, repository: str, digest: str) -> int:
        """The size of a blob that ``repository`` has. Raises :class:`Refusal` (``BLOB_UNKNOWN``)."""
        found = self.ledger.row(
            "SELECT b.size FROM blobs b JOIN repositories r ON r.id = b.repository WHERE r.name = ? AND b.digest = ?",
            repository,
            digest,
        )
        if found is None:
            raise Refusal(BLOB_UNKNOWN, f"{repository} has no blob {digest}", detail=digest)
        return int(str(found[0]))

    def touch(self, repository: str, digest: str, after: float) -> None:
        """Somebody has asked whether the blob is here, and may now push a manifest that names it: it counts as new.

        ``after``: seconds for which that is remembered anyway.
        """
        now = time.time()
        where = "digest = ? AND linked < ? AND repository = (SELECT id FROM repositories WHERE name = ?)"
        values = (digest, now - after, repository)
        if self.ledger.row(f"SELECT 1 FROM blobs WHERE {where}", *values) is None:
            return

        def change(made: Change) -> None:
            made.db.execute(f"UPDATE blobs SET linked = ? WHERE {where}", (now, *values))

        self.ledger.write(change)

    def homes(self, digest: str) -> list[str]:
        """The repositories that have the blob ``digest``."""
        rows = self.ledger.rows(
            "SELECT r.name FROM blobs b JOIN repositories r ON r.id = b.repository WHERE b.digest = ? ORDER BY r.name",
            digest,
        )
        return [str(row[0]) for row in rows]

    def link(self, repository: str, digest: str, size: int, directory: str = "") -> None:
        """Record durably that ``repository`` has the blob ``digest``, which is stored in ``directory`` and held by the caller."""

        def change(made: Change) -> None:
            made.db.execute(
                "INSERT INTO blobs (repository, digest, size, linked) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (repository, digest) DO UPDATE SET linked = excluded.linked",
                (repository_id(made, repository), digest, size, time.time()),
            )
            if directory:
                made.directories.add(directory)

        self.ledger.write(change)

    def mount(self, repository: str, digest: str, source: str) -> bool:
        """Let ``repository`` have a blob that ``source`` has; False where it has not."""
        with self.holding(digest):
            try:
                size = self.blob(source, digest)
            except Refusal:
                return False
            if not self.content.has(digest):
                return False
            self.link(repository, digest, size)
            return True

    def unlink(self, repository: str, digest: str) -> None:
        """Take a blob from ``repository``. Raises :class:`Refusal` when it has none, or a manifest there needs it."""

        def change(made: Change) -> None:
            row = made.db.execute(
                "SELECT b.repository FROM blobs b JOIN repositories r ON r.id = b.repository WHERE r.name = ? AND b.digest = ?",
                (repository, digest),
            ).fetchone()
            if row is None:
                raise Refusal(BLOB_UNKNOWN, f"{repository} has no blob {digest}", detail=digest)
            user = made.db.execute(
                "SELECT manifest FROM refs WHERE repository = ? AND digest = ? AND kind = 'b'",
                (row[0], digest),
            ).fetchone()
            if user is not None:
                raise Refusal(
                    "UNSUPPORTED",
                    f"blob {digest} is part of the manifest {user[0]}: delete that first",
                    detail=digest,
                )
            made.db.execute("DELETE FROM blobs WHERE repository = ? AND digest = ?", (row[0], digest))

        self.ledger.write(change)


def repository_id(change: Change, name: str) -> int:
    """The number of the repository ``name`` in the records, which is made when it is not there."""
    row = change.db.execute("SELECT id FROM repositories WHERE name = ?", (name,)).fetchone()
    if row is None:
        change.db.execute("INSERT INTO repositories (name, made) VALUES (?, ?)", (name, time.time()))
        row = change.db.execute("SELECT id FROM repositories WHERE name = ?", (name,)).fetchone()
    return int(row[0])


def _secret(path: str) -> bytes:
    """The secret in ``path``, made when there is none. Two processes that begin at once agree on one."""
    found = read(path)
    if found is None:
        write_atomically(path + ".new", os.urandom(32), mode=0o600)
        try:
            os.link(path + ".new", path)
        except (FileExistsError, FileNotFoundError):
            pass  # somebody else was as quick
        try:
            os.unlink(path + ".new")
        except FileNotFoundError:
            pass
        found = read(path) or b""
    if len(found) != 32:
        # A key that anybody can guess would make tokens for anybody.
        raise Corrupt(
            f"{path} is not the key that was made there",
            hint="remove it: a new one is made, and uploads and tokens of the old one end",
        )
    return hashlib.sha256(found).digest()


class _Generation:
    """One lease file, shared by what is in work at the same time."""

    __slots__ = ("count", "lease", "lock", "users")

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.lock = threading.Lock()
        self.users = 0
        self.count = 0


class _Leases:
    """Leases that end when nobody uses them: a file for each small push would cost as much as the push."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._lock = threading.Lock()
        self._now: _Generation | None = None

    @contextmanager
    def hold(self, digests: tuple[str, ...]) -> Iterator[None]:
        with self._lock:
            generation = self._now
            if generation is None:
                generation = self._now = _Generation(self._images.lease())
            generation.users += 1
            generation.count += len(digests)
            if generation.count >= _MOST:
                self._now = None
        try:
            with generation.lock:
                generation.lease.add(*digests)
            yield
        finally:
            with self._lock:
                generation.users -= 1
                last = generation.users == 0
                if last and self._now is generation:
                    self._now = None
            if last:
                generation.lease.close()


class _Holding:
    """A ``with`` block in which digests are held."""

    __slots__ = ("_context",)

    def __init__(self, leases: _Leases, digests: tuple[str, ...]) -> None:
        self._context = leases.hold(digests)

    def __enter__(self) -> None:
        self._context.__enter__()

    def __exit__(self, *error: object) -> None:
        self._context.__exit__(None, None, None)
