"""A cache of another registry: what clients ask for is fetched from there once, and kept.

A manifest by digest and a blob never change. A tag is asked for again after its time to live; while the upstream cannot be
reached, what is here is given instead. A blob belongs to a repository when the upstream has it there, never because another
repository brought it. Who reads a blob that is on its way reads along, up to its last byte, which waits until the digest of
the whole is known to be right.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from urllib.parse import quote

from lading.errors import Corrupt, Denied, LadingError, NotFound, RemoteError, TimedOut
from lading.formats import jsontext
from lading.formats.oci_image import OCI_INDEX
from lading.formats.reference import Reference
from lading.images.pull import PullOptions, remotes
from lading.images.remote import ATTEMPTS, MAX_MANIFEST, Remote, backoff, next_link
from lading.images.remote_http import BrokenConnection, Cancel
from lading.images.transfer import Pace
from lading.registry import words
from lading.registry.errors import BLOB_UNKNOWN, DENIED, MANIFEST_UNKNOWN, UNAVAILABLE, Refusal
from lading.registry.ledger import Change
from lading.registry.manifests import Manifests, Stored
from lading.registry.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.registry.settings import Upstream

_OPEN = 64
"""Repositories whose connections to the upstream are kept."""
_PAGES = 100
_DOWN = 30.0


class Found:
    """A manifest, and whether it is given without having been able to ask (``stale``)."""

    __slots__ = ("stale", "stored")

    def __init__(self, stored: Stored, stale: bool = False) -> None:
        self.stored = stored
        self.stale = stale


class Mirror:
    """The upstream of a store, of whose blobs those up to ``largest`` bytes are fetched.

    Its methods block, and may be called by many threads.
    """

    def __init__(self, store: Store, manifests: Manifests, upstream: Upstream, largest: int) -> None:
        self._store = store
        self._manifests = manifests
        self._upstream = upstream
        self._largest = largest
        self._cancel = Cancel()
        self._remotes: OrderedDict[str, list[Remote]] = OrderedDict()
        self._fetches: dict[tuple[str, str], Fetch] = {}
        self._asking: dict[str, tuple[threading.Lock, int]] = {}
        self._lock = threading.Lock()
        self._down_until = 0.0

    def close(self) -> None:
        """Stop what is being fetched; what arrived of it stays for the next time."""
        self._cancel.pull()

    # --- manifests --------------------------------------------------------------------------------------------------

    def manifest(self, repository: str, reference: str) -> Found:
        """A manifest, fetched when it is not here, or its tag was not asked for lately. Raises :class:`Refusal`."""
        tag, _ = words.reference(reference)
        with self._alone(f"{repository} {reference}"):
            try:
                here: Stored | None = self._manifests.find(repository, reference)
            except Refusal:
                here = None
            if here is not None and (not tag or self._fresh(repository, tag)):
                return Found(here)
            if here is not None and self._down():
                return Found(here, stale=True)
            try:
                return Found(self._ask(repository, reference, tag, here))
            except NotFound as error:
                if here is not None and tag:
                    self._manifests.untag(repository, tag)
                raise Refusal(MANIFEST_UNKNOWN, error.message, detail=reference[:200]) from None
            except LadingError as error:
                self._failed(error)
                if here is None or isinstance(error, Refusal):
                    raise _refusal(error) from None
                return Found(here, stale=True)

    def _down(self) -> bool:
        """Whether the upstream could not be reached a moment ago: who has an answer of our own is not made to wait again."""
        return time.monotonic() < self._down_until

    def _failed(self, error: LadingError) -> None:
        if isinstance(error, (BrokenConnection, TimedOut)):
            self._down_until = time.monotonic() + _DOWN

    def _ask(self, repository: str, reference: str, tag: str, here: Stored | None) -> Stored:
        failure: LadingError | None = None
        for remote in self._of(repository):
            try:
                if here is not None and remote.head_manifest(reference) == here.digest:
                    self._checked(repository, tag)
                    return here
                fetched = remote.manifest(reference)
            except (RemoteError, TimedOut, Denied, NotFound) as error:
                failure = error
                continue
            self._manifests.put(
                repository,
                tag or fetched.digest,
                fetched.media_type,
                fetched.data,
                complete=False,
            )
            return self._manifests.find(repository, reference)
        raise failure or NotFound(f"{self._upstream.host} has no manifest {repository}:{reference}")

    def _fresh(self, repository: str, tag: str) -> bool:
        row = self._store.ledger.row(
            "SELECT t.moved FROM tags t JOIN repositories r ON r.id = t.repository WHERE r.name = ? AND t.name = ?",
            repository,
            tag,
        )
        return row is not None and 0 <= time.time() - float(str(row[0])) < self._upstream.ttl

    def _checked(self, repository: str, tag: str) -> None:
        def change(made: Change) -> None:
            made.db.execute(
                "UPDATE tags SET moved = ? WHERE name = ? AND repository = (SELECT id FROM repositories WHERE name = ?)",
                (time.time(), tag, repository),
            )

        self._store.ledger.write(change)

    # --- blobs ------------------------------------------------------------------------------------------------------

    def blob(self, repository: str, digest: str, told: Callable[[], None]) -> Fetch | None:
        """See that ``repository`` has the blob: None when it is here, else how it comes. ``told`` is called as it does.

        Raises :class:`Refusal`.
        """
        if self._here(repository, digest):
            return None
        with self._lock:
            fetch = self._fetches.get((repository, digest))
            if fetch is not None:
                fetch.listen(told)
                return fetch
        if self._store.content.has(digest):
            with self._store.holding(digest):
                size = self.size(repository, digest)
                if self._store.content.has(digest) and size == self._store.content.size(digest):
                    self._store.link(repository, digest, size)
                    return None
        with self._lock:
            fetch = self._fetches.get((repository, digest))
            if fetch is None:
                if self._here(repository, digest):  # it has just come
                    return None
                sources = self._of(repository, locked=True)
                fetch = Fetch(self._store, sources, repository, digest, self._largest, self._over)
                self._fetches[repository, digest] = fetch
                threading.Thread(target=fetch.run, daemon=True, name="fetch").start()
            fetch.listen(told)
        return fetch

    def _here(self, repository: str, digest: str) -> bool:
        try:
            self._store.blob(repository, digest)
        except Refusal:
            return False
        return self._store.content.has(digest)

    def _over(self, fetch: Fetch) -> None:
        with self._lock:
            self._fetches.pop((fetch.repository, fetch.digest), None)

    def size(self, repository: str, digest: str) -> int:
        """How large the upstream says a blob is. Raises :class:`Refusal`."""
        failure: LadingError | None = None
        for remote in self._of(repository):
            try:
                path = f"/v2/{remote.repository}/blobs/{digest}"
                with remote.request("HEAD", path, good=(200,), what=f"blob {digest}") as answer:
                    length = answer.header("Content-Length").strip()
            except (RemoteError, TimedOut, Denied, NotFound) as error:
                failure = error
                continue
            return int(length) if length.isascii() and length.isdigit() and len(length) < 19 else -1
        raise _refusal(failure or NotFound("")) if failure else _unknown(digest)

    # --- lists ------------------------------------------------------------------------------------------------------

    def tags(self, repository: str) -> list[str] | None:
        """All tags that the upstream has, None while it cannot be reached. Raises :class:`Refusal` for what it denies."""
        for remote in () if self._down() else self._of(repository):
            try:
                return sorted(set(remote.tags()))
            except (RemoteError, TimedOut) as error:
                self._failed(error)
            except (NotFound, Denied) as error:
                raise _refusal(error, "NAME_UNKNOWN") from None
        return None

    def referrers(self, repository: str, digest: str, artifact_type: str) -> bytes | None:
        """The referrers that the upstream has, as an index; None while it cannot be reached or has no such API."""
        for remote in () if self._down() else self._of(repository):
            try:
                found = self._referrers(remote, digest, artifact_type)
            except LadingError as error:
                self._failed(error)
                continue
            if found is not None:
                return jsontext.dumps(
                    {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found}
                ).encode()
        return None

    def _referrers(self, remote: Remote, digest: str, artifact_type: str) -> list[object] | None:
        path = f"/v2/{remote.repository}/referrers/{digest}"
        if artifact_type:
            path += f"?artifactType={quote(artifact_type, safe='')}"
        found: list[object] = []
        for _ in range(_PAGES):
            with remote.request("GET", path, good=(200, 404), what=f"referrers of {digest}") as answer:
                if answer.status == 404:
                    answer.drain()
                    return None
                link = answer.header("Link")
                value = jsontext.loads(answer.read(MAX_MANIFEST), what="the referrers")
                url = answer.url
            entries = value.get("manifests") if isinstance(value, dict) else None
            if not isinstance(entries, list):
                return None
            found += [
                entry
                for entry in entries
                if isinstance(entry, dict)
                and (not artifact_type or entry.get("artifactType") == artifact_type)
            ]
            following = next_link(link)
            if not following:
                break
            path = remote.location(url, following, "referrers")
        return found

    # --- connections ------------------------------------------------------------------------------------------------

    def _of(self, repository: str, *, locked: bool = False) -> list[Remote]:
        if not locked:
            with self._lock:
                return self._of(repository, locked=True)
        found = self._remotes.get(repository)
        if found is None:
            options = PullOptions(config=self._upstream.config, insecure=self._upstream.insecure)
            reference = Reference(self._upstream.host, repository, "latest")
            found = self._remotes[repository] = remotes(reference, options, self._cancel)
            if len(self._remotes) > _OPEN:
                self._remotes.popitem(last=False)  # whoever uses them still does
        self._remotes.move_to_end(repository)
        return found

    def _alone(self, key: str) -> _Turn:
        return _Turn(self._asking, self._lock, key)


class _Turn:
    """One thread at a time for one key: the others find what the first has fetched."""

    def __init__(self, turns: dict[str, tuple[threading.Lock, int]], guard: threading.Lock, key: str) -> None:
        self._turns = turns
        self._guard = guard
        self._key = key

    def __enter__(self) -> None:
        with self._guard:
            lock, users = self._turns.get(self._key, (threading.Lock(), 0))
            self._turns[self._key] = lock, users + 1
        lock.acquire()

    def __exit__(self, *_: object) -> None:
        with self._guard:
            lock, users = self._turns[self._key]
            if users == 1:
                del self._turns[self._key]
            else:
                self._turns[self._key] = lock, users - 1
        lock.release()


class Fetch:
    """One blob on its way from the upstream. ``size`` is -1 until it is known; ``available`` bytes may be read.

    ``done``: it is over, well or with an ``error``.
    """

    def __init__(
        self,
        store: Store,
        sources: list[Remote],
        repository: str,
        digest: str,
        largest: int,
        over: Callable[[Fetch], None],
    ) -> None:
        self._store = store
        self._sources = sources
        self._largest = largest
        self._over = over
        self._listeners: list[Callable[[], None]] = []
        self._fd = -1
        self._guard = threading.Lock()
        self.repository = repository
        self.digest = digest
        self.size = -1
        self.available = 0
        self.done = False
        self.error: Refusal | None = None

    def listen(self, told: Callable[[], None]) -> None:
        """Call ``told`` when something changes."""
        self._listeners.append(told)

    def reader(self) -> int:
        """A descriptor to read the available bytes with, the caller's to close; -1 while there is none."""
        with self._guard:
            return os.dup(self._fd) if self._fd >= 0 else -1

    def run(self) -> None:
        """Fetch it; raises nothing."""
        try:
            with self._store.holding(self.digest), self._store.images.lease() as lease:
                with self._store.content.ingest(self.digest, lease=lease) as ingest:
                    self._fd = ingest.reader()
                    self._arrive(ingest)
                    size = ingest.offset
                    ingest.commit()
                self._store.link(self.repository, self.digest, size)
            self.available = self.size = size
        except LadingError as error:
            self.error = _refusal(error, BLOB_UNKNOWN)
        except Exception as error:
            self.error = Refusal(UNAVAILABLE, f"fetching failed: {type(error).__name__}: {error}")
        finally:
            self.done = True
            self._over(self)
            self._tell()
            with self._guard:
                if self._fd >= 0:
                    os.close(self._fd)
                self._fd = -1

    def _arrive(self, ingest: Ingest) -> None:
        failures = source = 0
        while True:
            remote = self._sources[source]
            reached = ingest.offset
            try:
                self._stream(remote, ingest)
                return
            except (NotFound, Denied, RemoteError, TimedOut, Corrupt) as error:
                failures = 0 if ingest.offset > reached else failures + 1
                passing = isinstance(error, (BrokenConnection, TimedOut)) and failures < ATTEMPTS
                if not passing:
                    source += 1
                    failures = 0
                    if source >= len(self._sources):
                        raise
                remote.cancel.sleep(backoff(failures + 1))

    def _stream(self, remote: Remote, ingest: Ingest) -> None:
        pace = Pace(f"blob {self.digest}")
        with remote.blob(self.digest, -1, ingest.offset) as stream:
            if stream.start != ingest.offset:  # an upstream that cannot resume begins again
                ingest.restart()
            if stream.length >= 0:
                self.size = ingest.size = stream.start + stream.length
            self._check_size(self.size, ingest)
            self._moved(ingest.offset)
            for piece in stream:
                pace.count(len(piece))
                self._check_size(ingest.offset + len(piece), ingest)
                ingest.write(piece)
                self._moved(ingest.offset)
                remote.cancel.check()
        if 0 <= ingest.offset < self.size:
            raise BrokenConnection(
                f"blob {self.digest}: {remote.endpoint.host} sent {ingest.offset} of {self.size} bytes"
            )

    def _check_size(self, size: int, ingest: Ingest) -> None:
        if size > self._largest:
            ingest.restart()  # nobody is going to continue it
            raise Refusal(
                UNAVAILABLE,
                f"the upstream's blob {self.digest} has more than the {self._largest} bytes that are taken here",
                status=502,
                detail=self.digest,
            )

    def _moved(self, offset: int) -> None:
        # The last byte waits for the digest.
        self.available = max(0, offset - 1)
        self._tell()

    def _tell(self) -> None:
        for told in list(self._listeners):
            told()


if TYPE_CHECKING:
    from lading.images.content import Ingest


def _unknown(digest: str) -> Refusal:
    return Refusal(BLOB_UNKNOWN, f"the upstream has no blob {digest}", detail=digest)


def _refusal(error: LadingError, code: str = MANIFEST_UNKNOWN) -> Refusal:
    """What a client of the mirror is told of what happened between it and the upstream."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, NotFound):
        return Refusal(code, error.message, status=404)
    if isinstance(error, Denied):
        return Refusal(DENIED, error.message)
    return Refusal(UNAVAILABLE, error.message, status=502)
