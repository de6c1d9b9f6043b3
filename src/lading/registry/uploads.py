"""Blobs on their way in: sessions that survive broken connections, other worker processes, and the end of the server.

All that is known of a session is its file ``uploads/UUID``: what it holds is what arrived, its modification time when it last
moved. Half of the UUID (version 8, RFC 9562) is a signature over the repository, so no session continues in another one.
A digest that this process has computed along the way is used at the end; else the file is read once more.

Source: distribution-spec, "Pushing blobs".
"""

from __future__ import annotations

import fcntl
import hmac
import os
import threading
import uuid
from collections import OrderedDict

from lading.errors import Exhausted
from lading.formats import digest as digests
from lading.images.files import OwnFile, disk_error
from lading.registry.errors import (
    BLOB_UPLOAD_INVALID,
    BLOB_UPLOAD_UNKNOWN,
    DIGEST_INVALID,
    SIZE_INVALID,
    UNAVAILABLE,
    Refusal,
)
from lading.registry.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    import hashlib

CHUNK = 1 << 20
_REMEMBERED = 4096
"""Sessions whose digest so far is kept in memory."""


class Limits:
    """Bytes of the largest ``blob``, of the largest ``manifest``, and of the least ``chunk`` but the last."""

    __slots__ = ("blob", "chunk", "manifest")

    def __init__(self, *, blob: int = 64 << 30, manifest: int = 4 << 20, chunk: int = 0) -> None:
        self.blob = blob
        self.manifest = manifest
        self.chunk = chunk


class _State:
    """The digest of the first ``offset`` bytes of a session."""

    __slots__ = ("algorithm", "hash", "offset")

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self.hash: hashlib._Hash = digests.hasher(algorithm)
        self.offset = 0


class Uploads:
    """The sessions of a store."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self.limits = limits
        self._states: OrderedDict[str, _State] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, repository: str, algorithm: str = "sha256") -> str:
        """A new session for ``repository``; its id, a UUID. ``algorithm``: the digest that is computed along the way.

        Raises :class:`Refusal` for an unknown algorithm, :class:`Exhausted`.
        """
        if algorithm not in digests.LENGTHS:
            raise Refusal(DIGEST_INVALID, f"the digest algorithm {algorithm[:60]!r} is not sha256 or sha512")
        identity = self._identity(repository, os.urandom(8))
        try:
            os.close(
                os.open(self._path(identity), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            )
        except OSError as error:
            raise disk_error(error, "cannot begin an upload") from None
        self._remember(identity, _State(algorithm))
        return identity

    def offset(self, repository: str, identity: str) -> int:
        """How many bytes a session has. Raises :class:`Refusal` (``BLOB_UPLOAD_UNKNOWN``)."""
        try:
            return os.stat(self._checked(repository, identity)).st_size
        except FileNotFoundError:
            raise _unknown(identity) from None

    def open(self, repository: str, identity: str) -> UploadSession:
        """The session, for one writer. Raises :class:`Refusal`: unknown, or another request is writing (:class:`Busy`)."""
        path = self._checked(repository, identity)
        try:
            fd = _locked(path, identity)
            if os.fstat(fd).st_nlink > 1:
                # A server died between storing the blob and recording it. What is written now is not to get into that blob.
                fd = self._apart(path, identity, fd)
        except FileNotFoundError:
            raise _unknown(identity) from None
        return UploadSession(self, self._store, repository, identity, path, fd)

    def _apart(self, path: str, identity: str, fd: int) -> int:
        """Give a session a file of its own in place of one that is a blob by now, locked as ``fd`` is, which is closed."""
        try:
            own = OwnFile(self._store.uploads, "put.")
            try:
                position = 0
                while piece := os.pread(fd, CHUNK, position):
                    own.write(piece)
                    position += len(piece)
                os.rename(own.path, path)
            except BaseException:
                own.drop()
                raise
            own.keep()
            return _locked(path, identity)
        except OSError as error:
            raise disk_error(error, "cannot go on with the upload") from None
        finally:
            os.close(fd)

    def cancel(self, repository: str, identity: str) -> None:
        """End a session and forget what arrived. Raises :class:`Refusal` (``BLOB_UPLOAD_UNKNOWN``)."""
        try:
            os.unlink(self._checked(repository, identity))
        except FileNotFoundError:
            raise _unknown(identity) from None
        self._forget(identity)

    # --- what a session is ------------------------------------------------------------------------------------------

    def _identity(self, repository: str, chance: bytes) -> str:
        """The UUID of eight bytes by chance, whose sixth says the version, and eight that say whose it is."""
        made = bytearray(chance)
        made[6] = made[6] & 0x0F | 0x80
        made += self._store.sign("upload", repository, made.hex())[:8]
        made[8] = made[8] & 0x3F | 0x80
        return str(uuid.UUID(bytes=bytes(made)))

    def _checked(self, repository: str, identity: str) -> str:
        """The file of a session. Raises :class:`Refusal` for an id that was not made for ``repository``."""
        try:
            given = uuid.UUID(identity)
        except ValueError:
            raise _unknown(identity) from None
        if str(given) != identity:
            raise _unknown(identity)
        if not hmac.compare_digest(self._identity(repository, given.bytes[:8]), identity):
            raise _unknown(identity)
        return self._path(identity)

    def _path(self, identity: str) -> str:
        return f"{self._store.uploads}/{identity}"

    # --- digests on the way -----------------------------------------------------------------------------------------

    def _remember(self, identity: str, state: _State) -> None:
        with self._lock:
            self._states[identity] = state
            self._states.move_to_end(identity)
            if len(self._states) > _REMEMBERED:
                self._states.popitem(last=False)

    def _recall(self, identity: str) -> _State | None:
        with self._lock:
            return self._states.get(identity)

    def _forget(self, identity: str) -> None:
        with self._lock:
            self._states.pop(identity, None)


class UploadSession:
    """One writer's hold on an upload. A context manager; leaving it keeps what arrived for whoever continues.

    ``offset``: bytes that are here.
    """

    def __init__(
        self, uploads: Uploads, store: Store, repository: str, identity: str, path: str, fd: int
    ) -> None:
        self._uploads = uploads
        self._store = store
        self._repository = repository
        self.identity = identity
        self._path = path
        self._fd = fd
        self.offset = os.fstat(fd).st_size
        state = uploads._recall(identity)
        self._state = state if state is not None and state.offset == self.offset else None
        if self._state is None and self.offset == 0:
            self._state = _State("sha256")
        self._dry = ""
        self._length = 0
        self._hold: object = None

    def expect(self, digest: str) -> None:
        """The rest of this request completes ``digest``: what is here already is compared and not written a second time."""
        algorithm, _ = digests.split(digest)
        if self.offset:
            return
        if self._state is None or self._state.algorithm != algorithm:
            self._state = _State(algorithm)
        hold = self._store.holding(digest)
        hold.__enter__()
        self._hold = hold
        if self._store.content.has(digest):
            self._dry = digest

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append. Raises :class:`Refusal` for more than a blob may have, :class:`Exhausted` when the disk is full."""
        size = self.offset + self._length + len(data)
        if size > self._uploads.limits.blob:
            self.discard()
            raise Refusal(SIZE_INVALID, f"a blob may have {self._uploads.limits.blob} bytes here", status=413)
        if self._dry:
            assert self._state is not None
            self._state.hash.update(data)
            self._length += len(data)
            return
        view = memoryview(data)
        try:
            while view:
                done = os.pwrite(self._fd, view, self.offset)
                if self._state is not None:
                    self._state.hash.update(view[:done])
                    self._state.offset += done
                self.offset += done
                view = view[done:]
        except OSError as error:
            failure = disk_error(error, "cannot store the upload")
            if isinstance(failure, Exhausted):
                self.discard()  # partial data would only keep the disk full
            raise failure from None

    def finish(self, digest: str) -> int:
        """Verify, make durable, and let the repository have it; the blob's size. The session is over.

        Raises :class:`Refusal` (``DIGEST_INVALID``), :class:`Exhausted`.
        """
        algorithm, text = digests.split(digest)
        size = self.length
        with self._store.holding(digest):
            found = self._digest(algorithm)
            if found != text:
                self.discard()
                raise Refusal(
                    DIGEST_INVALID,
                    f"what arrived is {size} bytes with the digest {algorithm}:{found}, not {digest}",
                    detail=digest,
                )
            path = self._store.content.path(digest)
            # Who brought it a moment ago may not have synced its directory yet.
            directory = os.path.dirname(path)
            if not os.path.exists(path):
                if self._dry:  # a repair took away what it was compared with, and the session's file is empty
                    self.discard()
                    raise Refusal(
                        UNAVAILABLE, f"{digest} was removed meanwhile: push it again", detail=digest
                    )
                # The session keeps its file until the blob is recorded: whoever kills us here can go on with it.
                self._store.content.adopt(self._path, self._fd, digest, keep=True)
            self._store.link(self._repository, digest, size, directory)
            try:
                os.unlink(self._path)
            except FileNotFoundError:
                pass  # cancelled meanwhile
        self._state = None
        self._uploads._forget(self.identity)
        self.close()
        return size

    @property
    def length(self) -> int:
        """Bytes of the blob so far, also where they are only compared with what is here."""
        return self._length if self._dry else self.offset

    def rewind(self, offset: int) -> None:
        """Forget what arrived behind ``offset``."""
        self._length = 0
        self._state = None
        if not self._dry:
            os.ftruncate(self._fd, offset)
            self.offset = offset

    def _digest(self, algorithm: str) -> str:
        if self._state is not None and self._state.algorithm == algorithm:
            return self._state.hash.hexdigest()
        made, position = digests.hasher(algorithm), 0
        while piece := os.pread(self._fd, CHUNK, position):
            made.update(piece)
            position += len(piece)
        return made.hexdigest()

    def discard(self) -> None:
        """Forget what arrived and end the session."""
        self._unlink()
        self._state = None
        self._uploads._forget(self.identity)
        self.close()

    def _unlink(self) -> None:
        try:
            if self._fd >= 0 and os.fstat(self._fd).st_nlink == 1:
                os.ftruncate(self._fd, 0)
            os.unlink(self._path)
        except OSError:
            pass

    def close(self) -> None:
        """Let go, keeping what arrived."""
        if self._fd >= 0:
            if not self._dry and self._state is not None and os.fstat(self._fd).st_nlink:
                self._uploads._remember(self.identity, self._state)
            os.close(self._fd)
            self._fd = -1
        if self._hold is not None:
            hold, self._hold = self._hold, None
            hold.__exit__(None, None, None)  # type: ignore[attr-defined]

    def __enter__(self) -> UploadSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Busy(Refusal):
    """Another request is writing to this session."""

    def __init__(self, identity: str) -> None:
        super().__init__(
            BLOB_UPLOAD_INVALID,
            "another request is writing to this upload",
            status=409,
            detail=identity,
            headers={"Retry-After": "1"},
        )


def _locked(path: str, identity: str) -> int:
    """The file of a session, locked. Raises FileNotFoundError, :class:`Busy`."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except PermissionError:  # a blob by now, which even its owner only reads
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(fd), os.stat(path)):
            raise Busy(identity)
    except BlockingIOError:
        os.close(fd)
        raise Busy(identity) from None
    except BaseException:
        os.close(fd)
        raise
    return fd


def _unknown(identity: str) -> Refusal:
    return Refusal(BLOB_UPLOAD_UNKNOWN, "there is no such upload, or no more", detail=identity[:100])
