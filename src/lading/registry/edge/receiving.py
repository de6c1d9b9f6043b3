"""The body of a request on its way into an upload session: read, written and hashed at the same time."""

from __future__ import annotations

import asyncio

from lading.registry.errors import BLOB_UPLOAD_INVALID, SIZE_INVALID, Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import Executor

    from aiohttp import web

    from lading.registry.uploads import UploadSession

PIECE = 1 << 20
SLOW_SECONDS = 60.0
SLOWEST = 1024  # bytes a second; a client that sends less for SLOW_SECONDS is let go


async def receive(request: web.BaseRequest, session: UploadSession, pool: Executor) -> bytearray:
    """Write the body into ``session``, all but a last piece, which is returned: what ends the session writes it in one go.

    The blocking part is done in ``pool``. When the connection breaks, what arrived is written before the error is raised.
    Raises :class:`Refusal`, OSError.
    """
    loop = asyncio.get_running_loop()
    buffer = bytearray()
    writing: asyncio.Future[None] | None = None
    body = Body(request)
    try:
        while piece := await body.read():
            buffer += piece
            if len(buffer) >= PIECE:
                if writing is not None:
                    await writing
                writing = loop.run_in_executor(pool, session.write, buffer)
                buffer = bytearray()
        if writing is not None:
            await writing
    except BaseException:
        await asyncio.shield(_save(session, buffer, writing, pool))
        raise
    return buffer


async def _save(
    session: UploadSession, buffer: bytearray, writing: asyncio.Future[None] | None, pool: Executor
) -> None:
    try:
        if writing is not None:
            await writing
        if buffer:
            await asyncio.get_running_loop().run_in_executor(pool, session.write, buffer)
    except Exception:
        pass  # the error that brought us here is the one to tell


class Body:
    """The body of a request, piece by piece."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        # Of HTTP/1.0 an interim answer is no part (RFC 9110, 10.1.1).
        awaited = request.headers.get("Expect", "").lower() == "100-continue"
        self._awaited = awaited and request.version >= (1, 1)
        self._content = request.content
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self._count = 0

    async def read(self) -> bytes:
        """The next piece, empty at the end. Raises :class:`Refusal` (408) for a client that sends next to nothing."""
        if self._awaited:
            # RFC 9110, 10.1.1: the client waits for a word before it sends what would be refused anyway.
            self._awaited = False
            writer = self._request.writer
            await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            writer.output_size = 0  # nothing of the answer itself is out
        try:
            async with asyncio.timeout(SLOW_SECONDS):
                data = await self._content.readany()
        except TimeoutError:
            raise _too_slow() from None
        self._count += len(data)
        now = self._loop.time()
        if now - self._since > SLOW_SECONDS:
            if self._count < SLOWEST * SLOW_SECONDS:
                raise _too_slow()
            self._since, self._count = now, 0
        return data


def _too_slow() -> Refusal:
    return Refusal(
        BLOB_UPLOAD_INVALID,
        f"less than {SLOWEST} bytes a second arrived",
        status=408,
        headers={"Connection": "close"},
    )


async def small(request: web.BaseRequest, limit: int, what: str) -> bytes:
    """A body that is held in memory. Raises :class:`Refusal` (413) when it is larger than ``limit``."""
    length = request.content_length
    if length is not None and length > limit:
        raise too_large(what, limit)
    data = bytearray()
    body = Body(request)
    while piece := await body.read():
        data += piece
        if len(data) > limit:
            raise too_large(what, limit)
    return bytes(data)


def too_large(what: str, limit: int) -> Refusal:
    """More bytes than are taken."""
    return Refusal(
        SIZE_INVALID, f"{what} may have {limit} bytes here", status=413, headers={"Connection": "close"}
    )
