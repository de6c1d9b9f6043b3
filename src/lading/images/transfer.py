"""What pulls and pushes share: progress, work in parallel that stops as one, and a blob that survives a broken connection."""

from __future__ import annotations

import queue
import threading
import time

from lading.errors import Corrupt, LadingError, NotFound, RemoteError, TimedOut
from lading.images.remote import ATTEMPTS, backoff
from lading.images.remote_http import BrokenConnection, Cancel, Cancelled, split_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from lading.images.remote import Remote

    class Sink(Protocol):
        """Where a blob goes: :class:`LayerSink`, or the content store's :class:`Ingest` for what is not unpacked."""

        @property
        def offset(self) -> int: ...
        def write(self, data: bytes) -> None: ...
        def commit(self) -> None: ...
        def __enter__(self) -> Sink: ...
        def __exit__(self, *error: object) -> None: ...


# States of one layer, in the order they come.
WAITING = "waiting"
EXISTS = "exists"  # here (or there) already
DOWNLOADING = "downloading"
RETRYING = "retrying"  # after a failure; ``done`` is kept
UNPACKING = "unpacking"  # all bytes are here, the rest of the pipeline is not finished
UPLOADING = "uploading"
MOUNTED = "mounted"  # taken from another repository of the registry
DONE = "done"

SLOWEST = 1024  # bytes a second; less for SLOW_SECONDS is a stall
SLOW_SECONDS = 60.0
STEP = 1 << 16  # bytes that an attempt has to bring to count as progress


class Progress:
    """Where a transfer tells how it goes; a face overrides what it shows. Called from several threads.

    The methods must return quickly and raise nothing.
    """

    def layer(self, digest: str, state: str, done: int, total: int) -> None:
        """Layer ``digest`` is in ``state`` with ``done`` of ``total`` bytes (-1: unknown) moved."""

    def say(self, text: str) -> None:
        """Something worth a line: a mirror that failed, an attempt that is repeated."""


def run_parallel(jobs: Sequence[Callable[[], None]], workers: int, cancel: Cancel) -> None:
    """Run all jobs, at most ``workers`` at once. The first failure, or Ctrl-C, stops all others and is raised."""
    failures: list[BaseException] = []
    waiting = list(reversed(jobs))
    lock = threading.Lock()
    ended: queue.SimpleQueue[None] = queue.SimpleQueue()

    def work() -> None:
        try:
            work_on()
        finally:
            ended.put(None)

    def work_on() -> None:
        while True:
            with lock:
                if not waiting or cancel.set:
                    return
                job = waiting.pop()
            try:
                job()
            except BaseException as error:
                with lock:
                    failures.append(error)
                cancel.pull()
                return

    # Never in this thread, and not waited for by join(): on Ctrl-C, Thread.join of Python 3.11 takes a running thread for
    # a finished one (bpo-45274), and what it was making would be left behind.
    running = min(workers, len(jobs))
    for _ in range(running):
        threading.Thread(target=work, daemon=True).start()
    try:
        while running:
            ended.get()
            running -= 1
    except BaseException:
        cancel.pull()
        for _ in range(running):
            try:
                ended.get(timeout=5.0)
            except queue.Empty:
                break
        raise
    # What failed first is the cause; the others were only told to stop.
    for failure in failures:
        if not isinstance(failure, Cancelled):
            raise failure
    if failures:
        raise failures[0]
    cancel.check()


class Pace:
    """Notices a source that is alive but gives next to nothing (slow loris)."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._since = time.monotonic()
        self._bytes = 0

    def count(self, size: int) -> None:
        """``size`` more bytes came. Raises :class:`TimedOut` when too few came for too long."""
        self._bytes += size
        now = time.monotonic()
        if now - self._since >= SLOW_SECONDS:
            if self._bytes < SLOWEST * SLOW_SECONDS:
                raise TimedOut(
                    f"{self._what}: the server sends less than {SLOWEST} bytes a second", reason="stalled"
                )
            self._since, self._bytes = now, 0


class Download:
    """One blob from one of several endpoints into a sink, continued where it broke."""

    def __init__(
        self, remotes: Sequence[Remote], digest: str, size: int, progress: Progress, urls: Sequence[str] = ()
    ) -> None:
        self._remotes = list(remotes)
        self._digest = digest
        self._size = size
        self._progress = progress
        self._urls = [u for u in urls if u.startswith("https://") and _askable(u)]

    def run(self, open_sink: Callable[[], Sink | None]) -> None:
        """Fetch the blob into what ``open_sink`` gives (None: it is here). A sink is opened again after a failed attempt.

        Raises :class:`Corrupt` (the same wrong content twice), :class:`NotFound`, :class:`RemoteError`, :class:`TimedOut`.
        """
        barren = 0  # failures in a row without progress worth the name
        wrong = 0
        source = 0
        reached = 0
        while True:
            remote, url = self._source(source)
            sink = open_sink()
            if sink is None:
                self._progress.layer(self._digest, EXISTS, self._size, self._size)
                return
            try:
                with sink:
                    self._fetch(remote, url, sink)
                    self._progress.layer(self._digest, UNPACKING, self._size, self._size)
                    sink.commit()
                self._progress.layer(self._digest, DONE, self._size, self._size)
                return
            except Corrupt as error:
                # A mirror may be broken, and so may what an earlier process left here: once more, from another place.
                wrong += 1
                if error.reason not in ("digest-mismatch", "size-mismatch") or wrong > 1:
                    raise
                source += 1
                self._again(remote, error)
            except (NotFound, BrokenConnection, TimedOut, RemoteError) as error:
                moved = sink.offset >= reached + STEP
                reached = sink.offset if moved else reached
                barren = 0 if moved else barren + 1
                last = source + 1 >= len(self._remotes) + len(self._urls)
                if not isinstance(error, (BrokenConnection, TimedOut)) or barren >= ATTEMPTS:
                    if last:
                        raise
                    source, barren = source + 1, 0
                self._again(remote, error)
                remote.cancel.sleep(backoff(barren + 1) if not moved else 0.05)

    def _source(self, number: int) -> tuple[Remote, str]:
        if number < len(self._remotes):
            return self._remotes[number], ""
        urls = self._urls
        return self._remotes[-1], urls[(number - len(self._remotes)) % len(urls)] if urls else ""

    def _again(self, remote: Remote, error: LadingError) -> None:
        remote.cancel.check()
        self._progress.layer(self._digest, RETRYING, 0, self._size)
        self._progress.say(f"{error.message}; trying again")

    def _fetch(self, remote: Remote, url: str, sink: Sink) -> None:
        total = self._size
        report = self._progress.layer
        if 0 <= total == sink.offset:
            return
        report(self._digest, DOWNLOADING, sink.offset, total)
        pace = Pace(f"blob {self._digest}")
        with remote.blob(self._digest, total, sink.offset, url=url) as stream:
            skip = sink.offset - stream.start  # a server that cannot resume begins at 0
            for piece in stream:
                pace.count(len(piece))
                if skip:
                    piece, skip = piece[skip:], max(0, skip - len(piece))
                    if not piece:
                        continue
                sink.write(piece)
                report(self._digest, DOWNLOADING, sink.offset, total)
                remote.cancel.check()
        if 0 <= sink.offset < total:
            raise BrokenConnection(f"blob {self._digest}: the server sent {sink.offset} of {total} bytes")


def _askable(url: str) -> bool:
    try:
        split_url(url)
    except LadingError:
        return False
    return True
