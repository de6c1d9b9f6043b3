"""Uploads over HTTP: begin, chunks, status, end, cancel, and mounting from another repository.

Source: distribution-spec, "Pushing blobs", "Cancel a blob upload" and "Mounting a blob from another repository".
"""

from __future__ import annotations

import asyncio

from lading.registry import words
from lading.registry.edge import answers
from lading.registry.edge.receiving import receive, too_large
from lading.registry.errors import BLOB_UPLOAD_INVALID, DIGEST_INVALID, SIZE_INVALID, TOOMANYREQUESTS, Refusal
from lading.registry.uploads import Busy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from aiohttp import web

    from lading.registry.store import Store
    from lading.registry.uploads import Uploads, UploadSession

_FORGOTTEN = 900.0  # seconds after which an upload does not count any more for how many a client has
_WAIT = 10.0
"""Seconds that a new request waits for one that still writes: its connection is broken, and the server has yet to notice."""


class Uploading:
    """The handlers of ``/v2/NAME/blobs/uploads/`` and of what is below."""

    def __init__(self, store: Store, uploads: Uploads, pool: Executor, *, each: int = 0) -> None:
        self._store = store
        self._uploads = uploads
        self._pool = pool
        self._each = each
        self._of: dict[str, dict[str, float]] = {}

    # --- beginning --------------------------------------------------------------------------------------------------

    async def begin(
        self, request: web.BaseRequest, repository: str, who: str, may_pull: Callable[[str], bool]
    ) -> web.StreamResponse:
        """POST: mount, take a whole blob, or begin a session for ``who``. ``may_pull``: whether they may read a repository."""
        query = request.query
        loop = asyncio.get_running_loop()
        if "mount" in query:
            digest = words.digest(query["mount"])
            source = query.get("from", "")
            candidates = [words.repository(source)] if source else self._store.homes(digest)
            for candidate in candidates:
                if may_pull(candidate) and await loop.run_in_executor(
                    self._pool, self._store.mount, repository, digest, candidate
                ):
                    return _created(repository, digest)
        elif "digest" in query:
            return await self._whole(request, repository, words.digest(query["digest"]))
        algorithm = query.get("digest-algorithm", "sha256")
        if self._each:
            self._count(who, repository)
        identity = self._uploads.begin(repository, algorithm)
        if self._each:
            self._of.setdefault(who, {})[f"{repository}\0{identity}"] = loop.time()
        headers = _where(repository, identity, 0)
        if self._uploads.limits.chunk:
            headers["OCI-Chunk-Min-Length"] = str(self._uploads.limits.chunk)
        return answers.empty(202, headers)

    def _count(self, who: str, repository: str) -> None:
        """Raise :class:`Refusal` (429) when a client has as many uploads as it may; those that are over do not count."""
        now = asyncio.get_running_loop().time()
        mine = self._of.get(who, {})
        if len(mine) < self._each:
            return
        for key, began in list(mine.items()):
            name, _, identity = key.partition("\0")
            try:
                self._uploads.offset(name, identity)
                over = now - began > _FORGOTTEN
            except Refusal:
                over = True
            if over:
                del mine[key]
        if len(mine) >= self._each:
            raise Refusal(
                TOOMANYREQUESTS,
                f"{len(mine)} uploads at once are open: finish or cancel one",
                detail=repository,
                headers={"Retry-After": "5"},
            )
        if not mine:
            self._of.pop(who, None)

    async def _whole(self, request: web.BaseRequest, repository: str, digest: str) -> web.StreamResponse:
        self._announced(request, 0)
        identity = self._uploads.begin(repository, digest.partition(":")[0])
        try:
            await self._complete(request, repository, identity, digest)
        except BaseException:
            try:
                self._uploads.cancel(repository, identity)  # nobody knows of it who could continue
            except Refusal:
                pass
            raise
        return _created(repository, digest)

    # --- going on ---------------------------------------------------------------------------------------------------

    async def chunk(self, request: web.BaseRequest, repository: str, identity: str) -> web.StreamResponse:
        """PATCH: the next bytes, which ``Content-Range`` may place."""
        session = await self._open(repository, identity)
        loop = asyncio.get_running_loop()
        with session:
            before = session.offset
            expected = self._placed(request, session, repository)
            rest = await receive(request, session, self._pool)
            if rest:
                await loop.run_in_executor(self._pool, session.write, rest)
            if expected >= 0 and session.offset - before != expected:
                came = session.offset - before
                session.rewind(before)
                raise Refusal(SIZE_INVALID, f"Content-Range is about {expected} bytes, and {came} arrived")
            headers = _where(repository, identity, session.offset)
        return answers.empty(202, headers)

    async def finish(self, request: web.BaseRequest, repository: str, identity: str) -> web.StreamResponse:
        """PUT: perhaps the last bytes, and the digest of the whole."""
        given = request.query.get("digest", "")
        if not given:
            raise Refusal(DIGEST_INVALID, "the digest of the whole blob is missing: ?digest=…")
        digest = words.digest(given)
        await self._complete(request, repository, identity, digest)
        return _created(repository, digest)

    async def _complete(self, request: web.BaseRequest, repository: str, identity: str, digest: str) -> None:
        loop = asyncio.get_running_loop()
        session = await self._open(repository, identity)
        with session:
            before = session.offset
            expected = self._placed(request, session, repository)
            if request.body_exists and not before:
                await loop.run_in_executor(self._pool, session.expect, digest)
            rest = await receive(request, session, self._pool)

            def end() -> None:
                if rest:
                    session.write(rest)
                if expected >= 0 and session.length - before != expected:
                    came = session.length - before
                    session.rewind(before)
                    raise Refusal(
                        SIZE_INVALID, f"Content-Range is about {expected} bytes, and {came} arrived"
                    )
                session.finish(digest)

            await loop.run_in_executor(self._pool, end)

    async def status(self, repository: str, identity: str) -> web.StreamResponse:
        """GET: how much is here."""
        return answers.empty(204, _where(repository, identity, self._uploads.offset(repository, identity)))

    async def cancel(self, repository: str, identity: str) -> web.StreamResponse:
        """DELETE: forget it."""
        self._uploads.cancel(repository, identity)
        return answers.empty(204, {})

    # --- what is said about the bytes -------------------------------------------------------------------------------

    async def _open(self, repository: str, identity: str) -> UploadSession:
        deadline = asyncio.get_running_loop().time() + _WAIT
        while True:
            try:
                return self._uploads.open(repository, identity)
            except Busy:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(0.05)

    def _announced(self, request: web.BaseRequest, offset: int) -> None:
        encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding != "identity":
            raise Refusal(
                BLOB_UPLOAD_INVALID, f"Content-Encoding {encoding[:40]!r} is not supported", status=415
            )
        limit = self._uploads.limits.blob
        if request.content_length is not None and offset + request.content_length > limit:
            raise too_large("a blob", limit)

    def _placed(self, request: web.BaseRequest, session: UploadSession, repository: str) -> int:
        """How many bytes ``Content-Range`` says come now, -1 where it says nothing. Raises :class:`Refusal` (416) for a gap."""
        self._announced(request, session.offset)
        header = request.headers.get("Content-Range")
        if header is None:
            return -1
        # The specification's form is START-END; some clients write HTTP's.
        text = header.strip().removeprefix("bytes").lstrip(" =").partition("/")[0]
        if text == f"{session.offset}-{session.offset - 1}" and request.content_length == 0:
            return 0  # how clients write that nothing comes
        first, dash, last = text.partition("-")
        if not dash or not all(w.isascii() and w.isdigit() and len(w) < 19 for w in (first, last)):
            raise Refusal(BLOB_UPLOAD_INVALID, f"Content-Range {header[:60]!r} is not START-END")
        start, end = int(first), int(last)
        length = request.content_length
        if length == 0 and request.method == "PUT":
            return 0
        if start != session.offset:
            raise Refusal(
                BLOB_UPLOAD_INVALID,
                f"the chunk begins at {start}, and {session.offset} bytes are here",
                status=416,
                headers=_where(repository, session.identity, session.offset),
            )
        if end < start or (length is not None and length != end - start + 1):
            raise Refusal(
                SIZE_INVALID,
                f"Content-Range {header[:60]!r} does not agree with a Content-Length of {length}",
            )
        return end - start + 1


def _where(repository: str, identity: str, offset: int) -> dict[str, str]:
    return {
        "Location": f"/v2/{repository}/blobs/uploads/{identity}",
        "Range": f"0-{max(offset - 1, 0)}",
        "Docker-Upload-UUID": identity,
    }


def _created(repository: str, digest: str) -> web.Response:
    return answers.empty(
        201,
        {"Location": f"/v2/{repository}/blobs/{digest}", "Docker-Content-Digest": digest},
    )
