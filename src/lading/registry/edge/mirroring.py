"""A mirror over HTTP: what is here as any registry gives it, and what is on its way while it comes."""

from __future__ import annotations

import asyncio
import functools
import os
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from lading.formats import jsontext
from lading.formats.oci_image import OCI_INDEX
from lading.registry import words
from lading.registry.edge import answers
from lading.registry.edge.conditions import Conditions
from lading.registry.errors import BLOB_UNKNOWN, MANIFEST_UNKNOWN, UNSUPPORTED, Refusal
from lading.registry.repositories import MOST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import Executor

    from aiohttp.abc import AbstractStreamWriter

    from lading.registry.edge.reading import Reading
    from lading.registry.fetch import Fetch
    from lading.registry.mirror import Found, Mirror

_STALE = {"Warning": '299 - "the upstream cannot be asked now: this may be out of date"'}
_PIECE = 1 << 18
_AGAIN = 3
"""How often something is fetched that went, to make room, before it could be given."""


_THREADS = 64
"""Of those that wait for the upstream: who wants what is here does not wait for them."""
_PATIENCE = 5.0
"""Seconds after which what is here is given where the upstream has not answered whether it is up to date."""


class Mirroring:
    """The handlers of a mirror; ``reading`` answers what is here."""

    def __init__(self, mirror: Mirror, reading: Reading, pool: Executor, upstream: str) -> None:
        self._mirror = mirror
        self._reading = reading
        self._pool = pool
        self._asking = ThreadPoolExecutor(_THREADS, "upstream")
        self._upstream = upstream

    def close(self) -> None:
        """Wait for no upstream any more."""
        self._mirror.close()
        self._asking.shutdown(wait=False, cancel_futures=True)

    def refuse(self) -> Refusal:
        """The answer to pushes and deletions."""
        return Refusal(UNSUPPORTED, f"this registry is a mirror of {self._upstream}: push and delete there")

    async def manifest(self, request: web.BaseRequest, repository: str, reference: str) -> web.StreamResponse:
        """GET and HEAD."""
        try:
            words.reference(reference)
        except Refusal as error:
            raise Refusal(MANIFEST_UNKNOWN, error.message, detail=reference[:200]) from None
        for attempt in range(_AGAIN):
            found = await self._found(repository, reference)
            try:
                answer = await self._reading.manifest(request, repository, reference)
            except Refusal as error:
                if error.code != MANIFEST_UNKNOWN or attempt == _AGAIN - 1:
                    raise
                continue
            break
        if found.stale:
            answer.headers.update(_STALE)
        return answer

    async def _found(self, repository: str, reference: str) -> Found:
        loop = asyncio.get_running_loop()
        kept = await loop.run_in_executor(self._pool, self._mirror.kept, repository, reference)
        if kept is not None:
            return kept
        asking = loop.run_in_executor(self._asking, self._mirror.manifest, repository, reference)
        await asyncio.wait((asking,), timeout=_PATIENCE)
        if not asking.done():
            anyway = functools.partial(self._mirror.kept, repository, reference, anyway=True)
            kept = await loop.run_in_executor(self._pool, anyway)
            if kept is not None:
                asking.add_done_callback(_heard)  # for whoever asks next
                return kept
        return await asking

    async def blob(self, request: web.BaseRequest, repository: str, digest: str) -> web.StreamResponse:
        """GET and HEAD. A range of what is not here yet waits for the whole."""
        words.digest(digest)
        for _ in range(_AGAIN - 1):
            try:
                return await self._blob(request, repository, digest)
            except _Gone:
                continue
        return await self._blob(request, repository, digest)

    async def _blob(self, request: web.BaseRequest, repository: str, digest: str) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        moved = _Moved(loop)
        if request.method == "HEAD":
            try:
                return await self._reading.blob(request, repository, digest)
            except Refusal:
                size = await loop.run_in_executor(self._asking, self._mirror.size, repository, digest)
            headers = answers.described(digest, "application/octet-stream")
            return web.Response(headers={**headers, "Content-Length": str(size)} if size >= 0 else headers)
        if await loop.run_in_executor(self._pool, self._mirror.has, repository, digest):
            return await self._here(request, repository, digest)
        fetch = await loop.run_in_executor(self._asking, self._mirror.blob, repository, digest, moved.told)
        if fetch is None:
            return await self._here(request, repository, digest)
        conditions = Conditions(request.headers, digest)
        whole = "Range" not in request.headers and not conditions.verdict(request.method)
        while not fetch.done and not (whole and fetch.size >= 0 and fetch.available):
            await moved.wait()
        if fetch.error is not None:
            raise fetch.error
        fd = -1 if fetch.done else fetch.reader()
        if fd < 0:
            return await self._here(request, repository, digest)
        return Arriving(answers.described(digest, "application/octet-stream"), fetch, fd, moved)

    async def _here(self, request: web.BaseRequest, repository: str, digest: str) -> web.StreamResponse:
        try:
            return await self._reading.blob(request, repository, digest)
        except Refusal as error:
            if error.code == BLOB_UNKNOWN:  # it was here a moment ago
                raise _Gone(error.code, error.message, detail=digest) from None
            raise

    async def tags(self, request: web.BaseRequest, repository: str) -> web.StreamResponse:
        """The upstream's tags; while it cannot be reached, those that are here."""
        loop = asyncio.get_running_loop()
        names = await loop.run_in_executor(self._asking, self._mirror.tags, repository)
        if names is None:
            answer = await self._reading.tags(request, repository)
            answer.headers.update(_STALE)
            return answer
        count = words.number(request.query.get("n"), "n")
        last = request.query.get("last", "")
        rest = [name for name in names if name > last]
        wanted = MOST if count is None else min(count, MOST)
        page, more = rest[:wanted], len(rest) > wanted > 0
        data = jsontext.dumps({"name": repository, "tags": page}).encode()
        link = answers.next_link(f"/v2/{repository}/tags/list", page[-1] if more else "", count)
        return answers.plain(200, data, headers=link)

    async def referrers(self, request: web.BaseRequest, repository: str, digest: str) -> web.StreamResponse:
        """The upstream's referrers, or those that are here."""
        subject = words.digest(digest)
        kind = request.query.get("artifactType", "")
        loop = asyncio.get_running_loop()
        data = await loop.run_in_executor(self._asking, self._mirror.referrers, repository, subject, kind)
        if data is None:
            return await self._reading.referrers(request, repository, digest)
        return answers.plain(200, data, OCI_INDEX, {"OCI-Filters-Applied": "artifactType"} if kind else {})


def _heard(asking: asyncio.Future[Found]) -> None:
    """Nobody waits for an answer any more, nor for an error."""
    if not asking.cancelled():
        asking.exception()


class _Gone(Refusal):
    """What was to be given has just gone."""


class _Moved:
    """Wakes a coroutine when a thread says that something changed."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._event = asyncio.Event()

    def told(self) -> None:
        """Called by the thread."""
        try:
            self._loop.call_soon_threadsafe(self._event.set)
        except RuntimeError:
            pass  # the server has ended

    async def wait(self) -> None:
        """Until something has changed since the last time."""
        await self._event.wait()
        self._event.clear()


class Arriving(answers.FromFile):
    """A blob that is still being fetched, sent as it comes."""

    def __init__(self, headers: dict[str, str], fetch: Fetch, fd: int, moved: _Moved) -> None:
        super().__init__(200, headers, fd, fetch.size)
        self._fetch = fetch
        self._moved = moved

    async def _send(self, request: web.BaseRequest, writer: AbstractStreamWriter) -> None:
        fetch, size = self._fetch, self._fetch.size
        while self.sent < size:
            while fetch.available <= self.sent:
                if fetch.done:
                    raise ConnectionResetError("the upstream's content is not what its digest says")
                await self._moved.wait()
            end = min(fetch.available, self.sent + _PIECE)
            piece = os.pread(self._open_fd, end - self.sent, self.sent)
            if not piece:
                raise ConnectionResetError("what was fetched is gone")
            async with asyncio.timeout(answers.SLICE_SECONDS):
                await writer.write(piece)
            self.sent += len(piece)
