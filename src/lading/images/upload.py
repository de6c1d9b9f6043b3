"""One blob on its way to a registry: mounted from another repository, or uploaded and continued where it broke.

The first attempt is one request. After a broken connection the registry is asked how far it got, and the rest goes in
chunks. A registry that has forgotten the upload (Debian's drops one whose connection breaks, also within a chunk) is asked
for the blob, since only its answer may have been lost, and for a new upload then.

Source: distribution-spec, "Pushing blobs" and "Mounting a blob from another repository".
"""

from __future__ import annotations

import os

from lading.errors import Corrupt, LadingError, NotFound, RemoteError, TimedOut
from lading.images.auth_token import Busy, repository_scope
from lading.images.remote import ATTEMPTS, Answered, backoff
from lading.images.remote_http import BrokenConnection
from lading.images.transfer import DONE, EXISTS, MOUNTED, RETRYING, STEP, UPLOADING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lading.images.content import ContentStore
    from lading.images.remote import Remote
    from lading.images.remote_http import Response
    from lading.images.transfer import Progress

CHUNK = 16 << 20
_LARGEST_CHUNK = 1 << 30
_PIECE = 1 << 18
_SOURCES = 3  # repositories that are asked for a blob


class Upload:
    """The blob ``digest`` of ``content`` for the repository of ``remote``."""

    def __init__(self, remote: Remote, content: ContentStore, digest: str, progress: Progress) -> None:
        self._remote = remote
        self._content = content
        self._digest = digest
        self._size = content.size(digest)
        self._progress = progress
        self._cancel = remote.cancel
        self._what = f"upload of {digest}"
        self._uploads = f"/v2/{remote.repository}/blobs/uploads/"
        self._location = ""  # the newest that the registry named
        self._offset = 0  # bytes that the registry said it has
        self._chunk = CHUNK

    def run(self, sources: Sequence[str] = ()) -> None:
        """See that the registry has the blob. ``sources``: repositories there that are likely to have it.

        Raises :class:`Denied`, :class:`NotFound`, :class:`RemoteError`, :class:`TimedOut`, :class:`Corrupt`.
        """
        if self._remote.has_blob(self._digest):
            self._report(EXISTS, self._size)
        elif self._mount(sources):
            self._report(MOUNTED, self._size)
        else:
            try:
                self._persist()
            except BaseException:
                self._give_up()
                raise
            self._report(DONE, self._size)

    def _report(self, state: str, done: int) -> None:
        self._progress.layer(self._digest, state, done, self._size)

    # --- beginning --------------------------------------------------------------------------------------------------

    def _mount(self, sources: Sequence[str]) -> bool:
        """Let the registry take the blob from another repository; False begins an upload."""
        for source in sources[:_SOURCES]:
            path = f"{self._uploads}?mount={self._digest}&from={source}"
            try:
                scopes = [repository_scope(source, "pull")]
                answer = self._remote.request(
                    "POST", path, good=(201, 202), what=f"blob {self._digest}", scopes=scopes
                )
            except (LadingError, OSError):
                self._cancel.check()  # no right to read the other repository, or no mounting here: upload
                continue
            with answer:
                answer.drain()
                if answer.status == 201:
                    return True
                self._begun(answer)
                return False
        self._begin()
        return False

    def _begin(self) -> None:
        what = f"blob {self._digest}"
        with self._remote.request("POST", self._uploads, good=(202,), what=what) as answer:
            answer.drain()
            self._begun(answer)

    def _begun(self, answer: Response) -> None:
        self._moved(answer)
        self._offset = 0
        least = answer.header("OCI-Chunk-Min-Length").strip()
        if least.isascii() and least.isdigit() and len(least) < 19:
            self._chunk = min(max(CHUNK, int(least)), _LARGEST_CHUNK)

    def _moved(self, answer: Response) -> None:
        self._location = self._remote.location(answer.url, answer.header("Location"), self._what)

    # --- going on ---------------------------------------------------------------------------------------------------

    def _persist(self) -> None:
        failures = reached = 0  # failures in a row without progress
        last: LadingError | None = None
        while True:
            try:
                if last is None or not self._resume(last):
                    self._send()
                return
            except LadingError as error:
                self._cancel.check()
                failures = 1 if self._offset >= reached + STEP else failures + 1
                reached = max(reached, self._offset)
                if failures >= ATTEMPTS or not _passing(error):
                    raise
                self._report(RETRYING, self._offset)
                self._progress.say(f"{error.message}; trying again")
                self._cancel.sleep(backoff(failures))
                last = error

    def _resume(self, failure: LadingError) -> bool:
        """After a failure: how far the registry got, or a new upload; True when it has the blob."""
        if not isinstance(failure, (NotFound, Answered)):
            try:
                with self._remote.request("GET", self._location, good=(204, 202), what=self._what) as answer:
                    answer.drain()
                    if answer.header("Location"):
                        self._moved(answer)
                    self._offset = self._reached(answer, 0, self._size)
                return False
            except (NotFound, RemoteError) as error:
                if isinstance(error, BrokenConnection):
                    raise
        if self._remote.has_blob(self._digest):
            return True
        self._begin()
        return False

    def _send(self) -> None:
        if self._offset:
            while self._offset < self._size:
                self._patch(min(self._offset + self._chunk, self._size))
        offset = self._offset
        target = self._location + ("&" if "?" in self._location else "?") + f"digest={self._digest}"
        with self._remote.request(
            "PUT",
            target,
            {"Content-Type": "application/octet-stream"},
            self._pieces(offset, self._size),
            length=self._size - offset,
            good=(201, 204),
            what=self._what,
            repeat=False,
        ) as answer:
            claimed = answer.header("Docker-Content-Digest").strip()
            answer.drain()
        check_digest(self._remote, claimed, self._digest, self._what)

    def _patch(self, end: int) -> None:
        offset = self._offset
        headers = {"Content-Type": "application/octet-stream", "Content-Range": f"{offset}-{end - 1}"}
        with self._remote.request(
            "PATCH",
            self._location,
            headers,
            self._pieces(offset, end),
            length=end - offset,
            good=(202, 204),
            what=self._what,
            repeat=False,
        ) as answer:
            answer.drain()
            self._moved(answer)
            # A registry that says nothing has taken it all; one that has taken nothing would have us send it for ever.
            self._offset = self._reached(answer, offset, end) if answer.header("Range") else end
        if self._offset == offset:
            raise RemoteError(
                f"{self._what}: {self._remote.endpoint.host} takes nothing of a chunk", reason="range"
            )

    @staticmethod
    def _reached(answer: Response, least: int, most: int) -> int:
        """The first byte the registry does not have, from ``Range: 0-N``. Raises :class:`RemoteError` for nonsense."""
        header = answer.header("Range").strip().removeprefix("bytes=")
        first, _, last = header.partition("-")
        if not header or header == "0-0":  # registries say 0-0 for nothing and for one byte alike
            return least
        good = first == "0" and last.isascii() and last.isdigit() and len(last) < 19
        if not good or not least <= int(last) + 1 <= most:
            raise RemoteError(f"{answer.url}: the registry says it has {header[:40]!r}", reason="range")
        return int(last) + 1

    def _pieces(self, offset: int, end: int) -> Callable[[], Iterator[bytes]]:
        """The bytes from ``offset`` to ``end``, anew for every request that carries them."""

        def pieces() -> Iterator[bytes]:
            fd = self._content.open(self._digest)
            position = offset
            try:
                while position < end:
                    self._cancel.check()
                    piece = os.pread(fd, min(_PIECE, end - position), position)
                    if not piece:
                        raise Corrupt(f"content {self._digest} is shorter than it was")
                    self._report(UPLOADING, position)
                    position += len(piece)
                    yield piece
            finally:
                os.close(fd)

        return pieces

    def _give_up(self) -> None:
        """Tell the registry that an upload will not be finished; best effort, and only when there is still a connection."""
        if self._cancel.set or not self._location:
            return
        try:
            with self._remote.request("DELETE", self._location, good=(204, 202, 404), repeat=False) as answer:
                answer.drain()
        except LadingError:
            pass


def _passing(error: LadingError) -> bool:
    """Whether another attempt may go better: not where the registry has said no."""
    if isinstance(error, Answered):
        return error.status in (408, 416) or error.status >= 500
    if isinstance(error, RemoteError):
        return isinstance(error, (BrokenConnection, Busy)) or error.reason == "range"
    return isinstance(error, (NotFound, TimedOut))  # uploads are forgotten


def check_digest(remote: Remote, claimed: str, digest: str, what: str) -> None:
    """Compare what a registry says it stored with what was sent. Raises :class:`Corrupt`."""
    if claimed and claimed != digest and claimed.partition(":")[0] == digest.partition(":")[0]:
        raise Corrupt(
            f"{what}: {remote.endpoint.host} stored {claimed[:150]!r} where {digest} was sent",
            reason="digest-mismatch",
        )
