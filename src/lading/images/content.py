"""The content store: blobs named by their digest, written once, verified while they are written.

::

    blobs/sha256/HEX      complete and verified content, read-only
    ingest/sha256-HEX     a blob on its way; what is there survives a broken connection or a crash, and is resumed
    leases/ID             digests that a living process is working with (see leases.py)

Blobs are kept exactly as received: digests stay the same through load, save, pull and push.
"""

from __future__ import annotations

import errno
import os

from lading.errors import Corrupt, NotFound
from lading.formats import digest as digests
from lading.images.files import OwnFile, disk_error, make_directories, read, sync_directory, try_lock
from lading.images.leases import Lease

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 1 << 20


class ContentStore:
    """Blobs below ``root`` (the image store's directory). Any number of processes and threads may use it at once."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._blobs = root + "/blobs"
        self._ingest = root + "/ingest"

    def path(self, digest: str) -> str:
        """Where the blob is when it is here. Raises :class:`InvalidInput` for a text that is no digest."""
        algorithm, text = digests.split(digest)
        return f"{self._blobs}/{algorithm}/{text}"

    def has(self, digest: str) -> bool:
        """Whether the complete blob is here."""
        return os.path.exists(self.path(digest))

    def size(self, digest: str) -> int:
        """Size in bytes. Raises :class:`NotFound`."""
        try:
            return os.stat(self.path(digest)).st_size
        except FileNotFoundError:
            raise _missing(digest) from None

    def open(self, digest: str) -> int:
        """A descriptor open for reading, the caller's to close. Raises :class:`NotFound`."""
        try:
            return os.open(self.path(digest), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise _missing(digest) from None

    def read(self, digest: str, *, limit: int = 16 << 20, verify: bool = True) -> bytes:
        """A small blob (manifest, config) as bytes, at most ``limit`` of them.

        Raises :class:`NotFound`, or :class:`Corrupt` when it is larger or not what its digest says.
        """
        path = self.path(digest)
        try:
            if os.stat(path).st_size > limit:
                raise Corrupt(f"content {digest} is larger than the {limit} bytes expected of it")
            data = read(path)
        except FileNotFoundError:
            data = None
        if data is None:
            raise _missing(digest)
        if verify and digests.of(data, digest.partition(":")[0]) != digest:
            raise _broken(digest)
        return data

    def chunks(self, digest: str, size: int = _CHUNK) -> Iterator[bytes]:
        """The blob in pieces of at most ``size`` bytes, not verified. Raises :class:`NotFound`."""
        fd = self.open(digest)
        try:
            while piece := os.read(fd, size):
                yield piece
        finally:
            os.close(fd)

    def verified(self, digest: str) -> Iterator[bytes]:
        """The blob in pieces. Raises :class:`NotFound`, and :class:`Corrupt` after the last piece of what is something else."""
        made = digests.hasher(digest.partition(":")[0])
        for piece in self.chunks(digest):
            made.update(piece)
            yield piece
        if made.hexdigest() != digest.partition(":")[2]:
            raise _broken(digest)

    def ingest(self, digest: str, size: int = -1, *, lease: Lease) -> Ingest:
        """Begin or resume writing the blob ``digest`` of ``size`` bytes (-1: unknown).

        ``lease`` keeps it from being collected before something refers to it. When another process is writing the
        same blob at this moment, both write, apart from each other, and the content is the same.
        """
        algorithm, text = digests.split(digest)
        lease.add(digest)
        os.makedirs(self._ingest, exist_ok=True)
        name = f"{self._ingest}/{algorithm}-{text}"
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            fd = os.open(name, flags, 0o644)
            # The lock must be on the file that has the name: its last writer may have just renamed it away.
            if not try_lock(fd) or not _same(fd, name):
                os.close(fd)
                own = OwnFile(self._ingest, f"{algorithm}-{text}.")
                return Ingest(self, own.fd, own.path, digest, size, shared=False)
        except OSError as error:
            raise disk_error(error, f"cannot store {digest}") from None
        return Ingest(self, fd, name, digest, size)

    def drop_partial(self, digest: str) -> None:
        """Forget what is here of a blob that was not completed, unless somebody is writing it at this moment."""
        algorithm, text = digests.split(digest)
        name = f"{self._ingest}/{algorithm}-{text}"
        try:
            fd = os.open(name, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            if try_lock(fd) and _same(fd, name):
                os.unlink(name)
        finally:
            os.close(fd)

    def put(self, data: bytes, *, lease: Lease, algorithm: str = "sha256") -> str:
        """Store ``data`` and return its digest."""
        digest = digests.of(data, algorithm)
        lease.add(digest)
        if not self.has(digest):
            with self.ingest(digest, len(data), lease=lease) as ingest:
                if ingest.offset:
                    ingest.restart()
                ingest.write(data)
                ingest.commit()
        return digest

    def adopt(self, path: str, fd: int, digest: str, *, keep: bool = False) -> str:
        """Make the whole and verified file ``path``, open as ``fd`` on the same file system, the blob ``digest``.

        Its bytes are synced, its name is not: the directory returned is the caller's to sync, once for many blobs. The caller
        has a lease on it. ``keep``: the file has its old name, too. Raises what :func:`disk_error` says.
        """
        final = self.path(digest)
        directory = os.path.dirname(final)
        try:
            os.fchmod(fd, 0o444)
            os.fsync(fd)
            make_directories(directory)
            if not keep:
                os.rename(path, final)
                return directory
            try:
                os.link(path, final)
            except FileExistsError:
                pass
        except OSError as error:
            raise disk_error(error, f"cannot store {digest}") from None
        return directory

    def remove(self, digest: str) -> int:
        """Remove a blob and return its size; absent is 0. Only the collector calls this, under the store's lock."""
        path = self.path(digest)
        try:
            size = os.stat(path).st_size
            os.unlink(path)
        except FileNotFoundError:
            return 0
        return size

    def list(self) -> Iterator[tuple[str, int]]:
        """Every complete blob: digest and size in bytes. Files of other names are passed over."""
        for algorithm in digests.LENGTHS:
            try:
                entries = list(os.scandir(f"{self._blobs}/{algorithm}"))
            except FileNotFoundError:
                continue
            for entry in entries:
                digest = f"{algorithm}:{entry.name}"
                if digests.is_digest(digest):
                    try:
                        yield digest, entry.stat(follow_symlinks=False).st_size
                    except FileNotFoundError:
                        continue

    def verify(self, digest: str) -> bool:
        """Read the blob through and compare: the whole truth, at the disk's speed."""
        made = digests.hasher(digest.partition(":")[0])
        try:
            for piece in self.chunks(digest):
                made.update(piece)
        except (NotFound, OSError):
            return False
        return made.hexdigest() == digest.partition(":")[2]


class Ingest:
    """One blob on its way into the store. A context manager: leaving it without commit keeps what is there for resuming.

    ``offset``  bytes already here (from an interrupted attempt at first); the source continues from there.
    """

    def __init__(
        self, store: ContentStore, fd: int, name: str, digest: str, size: int, *, shared: bool = True
    ) -> None:
        self._store = store
        self._shared = shared  # others look for it under this name
        self._fd = fd
        self._name = name
        self.digest = digest
        self.size = size
        self._hash = digests.hasher(digest.partition(":")[0])
        self.offset = 0
        self._resume()

    def _resume(self) -> None:
        while piece := os.pread(self._fd, _CHUNK, self.offset):
            self._hash.update(piece)
            self.offset += len(piece)
        if 0 <= self.size < self.offset:
            self.restart()
        os.lseek(self._fd, self.offset, os.SEEK_SET)

    def received(self) -> Iterator[bytes]:
        """What is already here, in pieces, for a consumer that must see the blob from its beginning."""
        position, end = 0, self.offset
        while position < end:
            piece = os.pread(self._fd, min(_CHUNK, end - position), position)
            if not piece:
                raise Corrupt(f"content {self.digest}: the partial file shrank")
            position += len(piece)
            yield piece

    def reader(self) -> int:
        """A descriptor to read with what is being written, also after it has got its name; the caller's to close."""
        return os.open(self._name, os.O_RDONLY | os.O_CLOEXEC)

    def restart(self) -> None:
        """Forget what is here and begin at offset 0, for a source that cannot resume."""
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self.offset = 0
        self._hash = digests.hasher(self.digest.partition(":")[0])

    def write(self, data: bytes | memoryview) -> None:
        """Append. Raises :class:`Corrupt` when more arrives than announced, :class:`Exhausted` when the disk is full."""
        if 0 <= self.size < self.offset + len(data):
            raise Corrupt(
                f"content {self.digest}: more than the announced {self.size} bytes arrived",
                reason="size-mismatch",
            )
        view = memoryview(data)
        try:
            while view:
                done = os.write(self._fd, view)
                self._hash.update(view[:done])
                self.offset += done
                view = view[done:]
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                self._discard()  # partial data would only keep the disk full
            raise disk_error(error, f"cannot store {self.digest}") from None

    def verify(self) -> None:
        """Check size and digest of what is here. On a mismatch it is discarded and :class:`Corrupt` raised."""
        if self.size >= 0 and self.offset != self.size:
            raise Corrupt(
                f"content {self.digest}: {self.offset} bytes arrived where {self.size} were announced",
                reason="size-mismatch",
            )
        found = self._hash.hexdigest()
        if found != self.digest.partition(":")[2]:
            self._discard()
            raise Corrupt(
                f"content {self.digest}: what arrived has the digest {self.digest.partition(':')[0]}:{found}",
                reason="digest-mismatch",
            )

    def commit(self) -> None:
        """Verify, make durable, and give the blob its name. Raises :class:`Corrupt`; incomplete data is kept for resuming."""
        self.verify()
        directory = self._store.adopt(self._name, self._fd, self.digest)
        self._shared = True
        sync_directory(directory)
        self.close()

    def abort(self) -> None:
        """Throw away what is here."""
        self._discard()
        self.close()

    def _discard(self) -> None:
        if self._fd < 0:
            return
        try:
            os.ftruncate(self._fd, 0)
            os.unlink(self._name)
        except OSError:
            pass
        self.offset = 0

    def close(self) -> None:
        """Let go, keeping what is here for whoever resumes it. Does nothing after commit or abort."""
        if self._fd >= 0:
            if not self._shared:
                self._discard()  # a second writer's file, whose name nobody asks for
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Ingest:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _same(fd: int, name: str) -> bool:
    try:
        there = os.stat(name)
    except FileNotFoundError:
        return False
    here = os.fstat(fd)
    return (here.st_ino, here.st_dev) == (there.st_ino, there.st_dev)


def _broken(digest: str) -> Corrupt:
    return Corrupt(
        f"content {digest} does not match its digest", hint="run `lading check --repair` and pull again"
    )


def _missing(digest: str) -> NotFound:
    return NotFound(f"content {digest} is not in the store", hint="pull or load the image again")
