"""One blob on its way from the upstream of a mirror into its store, read along by whoever waits for it."""

from __future__ import annotations

import os
import threading

from lading.errors import Corrupt, Denied, Exhausted, LadingError, NotFound, RemoteError, TimedOut
from lading.images.remote import ATTEMPTS, RateLimited, Remote, backoff
from lading.images.remote_http import BrokenConnection
from lading.images.transfer import Pace
from lading.registry.errors import (
    BLOB_UNKNOWN,
    DENIED,
    MANIFEST_UNKNOWN,
    TOOMANYREQUESTS,
    UNAVAILABLE,
    Refusal,
)
from lading.registry.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.images.content import Ingest


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
        self.failure: LadingError | None = None
        """What the error came of."""

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
            self.failure = error
            self.error = refusal_of(error, BLOB_UNKNOWN)
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


def refusal_of(error: LadingError, code: str = MANIFEST_UNKNOWN) -> Refusal:
    """What a client of the mirror is told of what happened between it and the upstream."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, NotFound):
        return Refusal(code, error.message, status=404)
    if isinstance(error, RateLimited):
        return too_many(error.message, error.seconds)
    if isinstance(error, Exhausted):
        return Refusal(UNAVAILABLE, error.message, status=507 if error.reason == "disk-full" else 503)
    if isinstance(error, Denied):
        return Refusal(DENIED, error.message)
    return Refusal(UNAVAILABLE, error.message, status=502)


def too_many(message: str, seconds: float) -> Refusal:
    """The upstream wants fewer requests: what a client is told to do about it."""
    wait = {"Retry-After": str(max(1, int(seconds + 0.999)))}
    return Refusal(TOOMANYREQUESTS, message, headers=wait)
