"""A cache of another registry: what clients ask for is fetched from there once, and kept.

A manifest by digest and a blob never change. A tag is asked for again after its time to live; while the upstream cannot be
reached, what is here is given instead. A blob belongs to a repository when the upstream has it there, never because another
repository brought it. Who reads a blob that is on its way reads along, up to its last byte, which waits until the digest of
the whole is known to be right (:mod:`~lading.registry.fetch`). An upstream that wants fewer requests (429) is left alone for as
long as it says: what is here is given, and clients that want more are told how long.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from urllib.parse import quote

from lading.errors import Denied, Exhausted, LadingError, NotFound, RemoteError, TimedOut
from lading.formats import jsontext
from lading.formats.oci_image import OCI_INDEX
from lading.formats.reference import Reference
from lading.images.pull import PullOptions, remotes
from lading.images.remote import MAX_MANIFEST, RateLimited, Remote
from lading.images.remote_http import BrokenConnection, Cancel
from lading.registry import words
from lading.registry.errors import BLOB_UNKNOWN, MANIFEST_UNKNOWN, Refusal
from lading.registry.eviction import Eviction
from lading.registry.fetch import Fetch, refusal_of, too_many
from lading.registry.ledger import Change
from lading.registry.manifests import Manifests, Stored
from lading.registry.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.registry.counters import Counters
    from lading.registry.settings import Upstream

_OPEN = 64
"""Repositories whose connections to the upstream are kept."""
_PAGES = 100
_DOWN = 30.0
_PATIENCE = 10.0
"""Seconds of Retry-After that are waited for on behalf of a client; it is told of longer ones."""
_LIMITED = 30.0  # seconds that an upstream is left alone that does not say how long it wants to be
_LONGEST_LIMIT = 3600.0
_LEAST = 1 << 20  # bytes that go at once when the disk is full
_GRAIN = 60.0
"""Seconds within which using something again is not written down again."""

HIT, REVALIDATED, MISS, STALE, ERROR = "hit", "revalidated", "miss", "stale", "error"
_REQUESTS = "lading_registry_mirror_requests_total"
_FETCHED = "lading_registry_mirror_fetched_bytes_total"
_LIMITS = "lading_registry_mirror_rate_limited_total"


class Found:
    """A manifest, and ``how`` it was had: one of the words above."""

    __slots__ = ("how", "stored")

    def __init__(self, stored: Stored, how: str) -> None:
        self.stored = stored
        self.how = how

    @property
    def stale(self) -> bool:
        """Whether it is given without having been able to ask."""
        return self.how == STALE


class Mirror:
    """The upstream of a store, of whose blobs those up to ``largest`` bytes are fetched.

    Its methods block, and may be called by many threads.
    """

    def __init__(
        self, store: Store, manifests: Manifests, upstream: Upstream, largest: int, counters: Counters
    ) -> None:
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
        self._limited_until: dict[str, float] = {}
        self._counters = counters
        self.eviction = Eviction(store, upstream.size, upstream.age, counters)
        self._grain = min(_GRAIN, upstream.age / 10) if upstream.age else _GRAIN
        counters.declare(_REQUESTS, "counter", "Requests for manifests and blobs, by what came of them.")
        counters.declare(_FETCHED, "counter", "Bytes of blobs that were fetched from the upstream.")
        counters.declare(_LIMITS, "counter", "How often the upstream wanted fewer requests.")
        counters.add(_FETCHED, 0)
        counters.add(_LIMITS, 0)
        up = "lading_registry_mirror_upstream_up"
        counters.declare(up, "gauge", "0 for some seconds after the upstream could not be reached, else 1.")
        counters.ask(up, lambda: float(not self._down()))

    def close(self) -> None:
        """Stop what is being fetched; what arrived of it stays for the next time."""
        self._cancel.pull()

    # --- manifests --------------------------------------------------------------------------------------------------

    def kept(self, repository: str, reference: str, *, anyway: bool = False) -> Found | None:
        """A manifest that is here and need not be asked for, or cannot be at the moment; None where it has to be.

        ``anyway``: the upstream does not answer, and what is here is better than nothing.
        """
        tag, _ = words.reference(reference)
        found = self._kept(repository, reference, tag)
        if found is None and anyway:
            here = self._find(repository, reference)
            found = None if here is None else Found(here, STALE)
        if found is not None:
            self._count("manifest", found.how)
            self._used(repository, found.stored.digest)
        return found

    def _kept(self, repository: str, reference: str, tag: str) -> Found | None:
        here = self._find(repository, reference)
        if here is not None and (not tag or self._fresh(repository, tag)):
            return Found(here, HIT)
        if here is not None and (self._down() or self._limited("manifests")):
            return Found(here, STALE)
        return None

    def _find(self, repository: str, reference: str) -> Stored | None:
        try:
            return self._manifests.find(repository, reference)
        except Refusal:
            return None

    def manifest(self, repository: str, reference: str) -> Found:
        """A manifest, fetched when it is not here, or its tag was not asked for lately. Raises :class:`Refusal`."""
        tag, _ = words.reference(reference)
        try:
            with self._alone(f"{repository} {reference}"):
                found = self._found(repository, reference, tag)
        except LadingError:
            self._count("manifest", ERROR)
            raise
        self._count("manifest", found.how)
        if found.how != MISS:
            self._used(repository, found.stored.digest)
        return found

    def _found(self, repository: str, reference: str, tag: str) -> Found:
        kept = self._kept(repository, reference, tag)  # somebody else may just have asked
        if kept is not None:
            return kept
        here = self._find(repository, reference)
        self._check_limit("manifests")
        try:
            return self._ask(repository, reference, tag, here)
        except NotFound as error:
            if here is not None and tag:
                self._manifests.untag(repository, tag)
            raise Refusal(MANIFEST_UNKNOWN, error.message, detail=reference[:200]) from None
        except LadingError as error:
            self._failed(error, "manifests")
            if here is None or isinstance(error, Refusal):
                raise refusal_of(error) from None
            return Found(here, STALE)

    def _used(self, repository: str, digest: str) -> None:
        """Somebody wanted a manifest: it counts as new. The blobs of it say so themselves."""
        now = time.time()
        where = "digest = ? AND pushed < ? AND repository = (SELECT id FROM repositories WHERE name = ?)"
        values = (digest, now - self._grain, repository)
        if self._store.ledger.row(f"SELECT 1 FROM manifests WHERE {where}", *values) is None:
            return

        def change(made: Change) -> None:
            made.db.execute(f"UPDATE manifests SET pushed = ? WHERE {where}", (now, *values))

        self._store.ledger.write(change)

    def _count(self, kind: str, result: str) -> None:
        self._counters.add(_REQUESTS, 1, kind=kind, result=result)

    def _down(self) -> bool:
        """Whether the upstream could not be reached a moment ago: who has an answer of our own is not made to wait again."""
        return time.monotonic() < self._down_until

    def _limited(self, what: str) -> float:
        """Seconds for which the upstream wants to be asked for no ``what``: ``manifests`` or ``blobs``."""
        return max(0.0, self._limited_until.get(what, 0.0) - time.monotonic())

    def _check_limit(self, what: str) -> None:
        wait = self._limited(what)
        if wait:
            raise too_many(f"{self._upstream.host} wants fewer requests", wait)

    def _failed(self, error: LadingError, what: str) -> None:
        if isinstance(error, (BrokenConnection, TimedOut)):
            self._down_until = time.monotonic() + _DOWN
        elif isinstance(error, RateLimited):
            self._counters.add(_LIMITS)
            wait = min(error.seconds or _LIMITED, _LONGEST_LIMIT)
            self._limited_until[what] = time.monotonic() + wait

    def _ask(self, repository: str, reference: str, tag: str, here: Stored | None) -> Found:
        failure: LadingError | None = None
        for remote in self._of(repository):
            try:
                if here is not None and remote.head_manifest(reference) == here.digest:
                    self._checked(repository, tag)
                    return Found(here, REVALIDATED)
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
            return Found(self._manifests.find(repository, reference), MISS)
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

    def has(self, repository: str, digest: str) -> bool:
        """Whether ``repository`` has the blob here, which counts as used then."""
        if not self._here(repository, digest):
            return False
        self._store.touch(repository, digest, self._grain)
        self._count("blob", HIT)
        return True

    def blob(self, repository: str, digest: str, told: Callable[[], None]) -> Fetch | None:
        """See that ``repository`` has the blob: None when it is here, else how it comes. ``told`` is called as it does.

        Raises :class:`Refusal`.
        """
        try:
            fetch = self._blob(repository, digest, told)
        except LadingError:
            self._count("blob", ERROR)
            raise
        self._count("blob", HIT if fetch is None else MISS)
        return fetch

    def _blob(self, repository: str, digest: str, told: Callable[[], None]) -> Fetch | None:
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
        self._check_limit("blobs")
        with self._lock:
            fetch = self._fetches.get((repository, digest))
            if fetch is None:
                if self._here(repository, digest):  # it has just come
                    return None
                sources = self._of(repository, locked=True)
                fetch = Fetch(self._store, sources, repository, digest, self._largest, self._over)
                self._fetches[repository, digest] = fetch
                threading.Thread(target=self._fetch, args=(fetch,), daemon=True, name="fetch").start()
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

    def _fetch(self, fetch: Fetch) -> None:
        fetch.run()
        try:
            if isinstance(fetch.failure, Exhausted):
                self.eviction.run(least=max(fetch.size, _LEAST))  # for whoever asks again
            elif fetch.failure is not None:
                self._failed(fetch.failure, "blobs")
            elif fetch.error is None:
                self._counters.add(_FETCHED, fetch.size)
                self.eviction.arrived(fetch.digest, fetch.size)
        except (LadingError, OSError):
            pass  # the collector tries it again, and says why it cannot

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
        raise refusal_of(failure or NotFound("")) if failure else _unknown(digest)

    # --- lists ------------------------------------------------------------------------------------------------------

    def tags(self, repository: str) -> list[str] | None:
        """All tags that the upstream has, None while it cannot be reached. Raises :class:`Refusal` for what it denies."""
        for remote in () if self._down() or self._limited("manifests") else self._of(repository):
            try:
                return sorted(set(remote.tags()))
            except (RemoteError, TimedOut) as error:
                self._failed(error, "manifests")
            except (NotFound, Denied) as error:
                raise refusal_of(error, "NAME_UNKNOWN") from None
        return None

    def referrers(self, repository: str, digest: str, artifact_type: str) -> bytes | None:
        """The referrers that the upstream has, as an index; None while it cannot be reached or has no such API."""
        for remote in () if self._down() or self._limited("manifests") else self._of(repository):
            try:
                found = self._referrers(remote, digest, artifact_type)
            except LadingError as error:
                self._failed(error, "manifests")
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
            path = remote.following(url, link, "referrers")
            if not path:
                break
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
            for remote in found:
                remote.patience = _PATIENCE
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


def _unknown(digest: str) -> Refusal:
    return Refusal(BLOB_UNKNOWN, f"the upstream has no blob {digest}", detail=digest)
