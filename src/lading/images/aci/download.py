"""One file of the web on the disk: continued where it broke, in this process or the next.

::

    ingest/web-HASH         what has arrived of the file, HASH: of its URL; locked by whoever is at it
    ingest/web-HASH-etag    which version of the file that is; without one it is begun anew

What arrives is believed by nobody before its signature was checked; a part of another version is thrown away with the rest.
"""

from __future__ import annotations

import errno
import os

from lading.errors import LadingError, RemoteError, TimedOut
from lading.formats import digest as digests
from lading.images.aci.web import failure
from lading.images.files import OwnFile, disk_error, read, try_lock, write_atomically
from lading.images.remote import ATTEMPTS, backoff, range_start
from lading.images.remote_http import BrokenConnection
from lading.images.transfer import DOWNLOADING, RETRYING, STEP, Pace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lading.images.aci.web import Web
    from lading.images.transfer import Progress

LARGEST = 64 << 30
"""Bytes of an archive."""
_LONGEST_TAG = 256
_CHUNK = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Partial:
    """What is here of one URL. ``fd`` is open for reading and writing, ``size`` bytes have arrived. A context manager.

    Leaving it keeps what is there for the next attempt; :meth:`drop` does not.
    """

    def __init__(self, directory: str, url: str) -> None:
        self._own: OwnFile | None = None
        self._path = f"{directory}/web-{digests.of(url.encode()).partition(':')[2][:40]}"
        try:
            os.makedirs(directory, exist_ok=True)
            self.fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if not try_lock(self.fd) or not _is_at(self.fd, self._path):
                # Somebody else is at it: both go on, apart from each other.
                os.close(self.fd)
                self._own = OwnFile(directory, "web.")
                self.fd = self._own.fd
            self.size = os.fstat(self.fd).st_size
        except OSError as error:
            raise disk_error(error, f"cannot store {url}") from None
        self.url = url

    @property
    def version(self) -> str:
        """The entity tag of what is here, empty when there is none."""
        if self._own is not None or not self.size:
            return ""
        return (read(f"{self._path}-etag") or b"").decode("latin-1")

    def restart(self, version: str) -> None:
        """Forget what is here, and begin with another version (empty: one that cannot be told from others)."""
        os.ftruncate(self.fd, 0)
        self.size = 0
        if self._own is not None:
            return
        if version:
            write_atomically(f"{self._path}-etag", version.encode("latin-1"), mode=0o600)
        else:
            _unlink(f"{self._path}-etag")

    def write(self, data: bytes) -> None:
        """Append. Raises :class:`Exhausted` when the disk is full, and then nothing stays."""
        view = memoryview(data)
        try:
            while view:
                done = os.pwrite(self.fd, view, self.size)
                self.size += done
                view = view[done:]
        except OSError as error:
            if error.errno in _FULL:
                self.drop()
            raise disk_error(error, f"cannot store {self.url}") from None

    def drop(self) -> None:
        """Keep nothing of it."""
        os.ftruncate(self.fd, 0)
        self.size = 0
        if self._own is None:
            _unlink(self._path)
            _unlink(f"{self._path}-etag")

    def __enter__(self) -> Partial:
        return self

    def __exit__(self, *_: object) -> None:
        if self._own is not None:
            self._own.drop()
        elif self.fd >= 0:
            if not self.size and _is_at(self.fd, self._path):
                self.drop()
            os.close(self.fd)
        self.fd = -1


def pieces(fd: int) -> Iterator[bytes]:
    """An open file from its beginning."""
    position = 0
    while piece := os.pread(fd, _CHUNK, position):
        position += len(piece)
        yield piece


def download(web: Web, partial: Partial, progress: Progress, *, what: str, limit: int = LARGEST) -> None:
    """Bring ``partial`` to its end. ``what`` names it in errors; ``limit`` in bytes.

    Raises :class:`NotFound`, :class:`Denied`, :class:`RemoteError` (reasons ``too-large``, ``status``),
    :class:`TimedOut`, :class:`Exhausted`.
    """
    label = "url:" + partial.url.rpartition("/")[2]
    barren = 0
    while True:
        before = partial.size
        try:
            _attempt(web, partial, progress, what, limit, label)
            return
        except (BrokenConnection, TimedOut) as error:
            barren = 0 if partial.size >= before + STEP else barren + 1
            if barren >= ATTEMPTS:
                raise
            progress.layer(label, RETRYING, partial.size, -1)
            progress.say(f"{error.message}; trying again")
            web.cancel.sleep(backoff(barren + 1))


def _attempt(web: Web, partial: Partial, progress: Progress, what: str, limit: int, label: str) -> None:
    version = partial.version
    headers = {}
    if partial.size and version:
        headers = {"Range": f"bytes={partial.size}-", "If-Range": version}
    with web.get(partial.url, headers, what=what) as answer:
        total = _total(answer.header("Content-Range"))
        if answer.status == 416 and headers:
            if total == partial.size:
                return  # all of it was here
            partial.restart("")
            raise BrokenConnection(f"{what}: {partial.url} has another size now")
        if answer.status == 206 and headers:
            tag = answer.header("ETag")
            if range_start(answer.header("Content-Range")) != partial.size or (tag and tag != version):
                partial.restart("")
                raise BrokenConnection(f"{what}: {partial.url} answers with another part than asked for")
        elif answer.status == 200:
            partial.restart(_strong(answer.header("ETag")))
            total = answer.length
        else:
            raise failure(answer, what)
        if max(total, answer.length) > limit:
            raise _too_large(what, partial, limit)
        pace = Pace(what)
        for piece in answer.pieces():
            pace.count(len(piece))
            if partial.size + len(piece) > limit:
                raise _too_large(what, partial, limit)
            partial.write(piece)
            progress.layer(label, DOWNLOADING, partial.size, total)
        if partial.size < total:
            raise BrokenConnection(f"{what}: {partial.url} sent {partial.size} of {total} bytes")


def _too_large(what: str, partial: Partial, limit: int) -> LadingError:
    partial.drop()
    return RemoteError(f"{what}: {partial.url} sends more than {limit} bytes", reason="too-large")


def _strong(tag: str) -> str:
    """An entity tag that tells every version from every other (RFC 9110, 8.8.3), empty for another."""
    good = tag[:1] == '"' == tag[-1:] and 2 < len(tag) <= _LONGEST_TAG and tag.isascii() and tag.isprintable()
    return tag if good else ""


def _total(header: str) -> int:
    """The size of the whole file in ``bytes 10-99/100`` and ``bytes */100``, -1 where it is not said."""
    size = header.rpartition("/")[2].strip()
    return int(size) if size.isascii() and size.isdigit() and len(size) < 19 else -1


def _is_at(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
