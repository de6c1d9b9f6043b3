"""Answers: plain ones, errors in the specification's form, and content straight from its file."""

from __future__ import annotations

import asyncio
import os
from urllib.parse import quote

from aiohttp import web

from lading.errors import Denied, Exhausted, InvalidInput, LadingError
from lading.formats import jsontext
from lading.registry.edge.conditions import Conditions, unsatisfiable
from lading.registry.errors import UNAVAILABLE, Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp.abc import AbstractStreamWriter

VERSION = ("Docker-Distribution-Api-Version", "registry/2.0")
_SLICE = 1 << 20
_LARGEST_SLICE = 64 << 20
SLOWEST = 16 << 10  # bytes a second of a reader that is waited for
_PIECE = 1 << 18
SLICE_SECONDS = 120.0
"""The least time that a reader has for a slice of a blob."""


def plain(
    status: int,
    data: bytes = b"",
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """An answer that is whole in memory."""
    made = dict(headers or {})
    made["Content-Type"] = content_type
    return web.Response(status=status, body=data, headers=made)


def empty(status: int, headers: Mapping[str, str]) -> web.Response:
    """An answer without a body."""
    return web.Response(
        status=status, headers={"Content-Length": "0", **headers} if status != 204 else headers
    )


def refused(error: Refusal) -> web.Response:
    """The specification's JSON form of an error."""
    entries = []
    for detail in error.details or [""]:
        entry: dict[str, object] = {"code": error.code, "message": error.message}
        if detail:
            entry["detail"] = detail
        entries.append(entry)
    data = jsontext.dumps({"errors": entries}).encode(errors="replace")
    return plain(error.status, data, headers=error.headers)


def as_refusal(error: LadingError) -> Refusal:
    """What a client is told of a failure inside; the log has the whole of it."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, Exhausted):
        full = error.reason == "disk-full"
        return Refusal(
            UNAVAILABLE, "the disk is full" if full else error.message, status=507 if full else 503
        )
    if isinstance(error, InvalidInput):
        return Refusal("UNSUPPORTED", error.message, status=400)
    if isinstance(error, Denied):
        return Refusal("DENIED", error.message)
    return Refusal(UNAVAILABLE, f"the registry failed: {error.reason}", status=500)


def next_link(path: str, last: str, count: int | None) -> dict[str, str]:
    """The Link header to the next page (RFC 5988), nothing where there is none."""
    if not last:
        return {}
    number = "" if count is None else f"n={count}&"
    return {"Link": f'<{path}?{number}last={quote(last, safe="")}>; rel="next"'}


class FromFile(web.StreamResponse):
    """An answer whose body comes out of ``fd``, which this takes over; what and how is :meth:`_send`'s."""

    def __init__(self, status: int, headers: Mapping[str, str], fd: int, length: int) -> None:
        super().__init__(status=status, headers=dict(headers))
        self.content_length = length
        self._open_fd = fd
        self.sent = 0
        """Bytes of the content that are out so far."""
        self.over: Callable[[], None] | None = None
        """Called when it has been sent, or cannot be."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the headers and the content."""
        try:
            writer = await super().prepare(request)
            if writer is not None:
                await self._send(request, writer)
            return writer
        except (TimeoutError, OSError) as error:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError(f"sending stopped: {error or 'too slow'}") from None
        finally:
            os.close(self._open_fd)
            self._open_fd = -1
            if self.over is not None:
                self.over()

    async def _send(self, request: web.BaseRequest, writer: AbstractStreamWriter) -> None:
        raise NotImplementedError


class Content(FromFile):
    """A blob, or one range of it. Sent by sendfile(2) where the connection is not encrypted."""

    def __init__(self, status: int, headers: Mapping[str, str], fd: int, start: int, length: int) -> None:
        super().__init__(status, headers, fd, length)
        self._first = start
        self._count = length

    async def _send(self, request: web.BaseRequest, writer: AbstractStreamWriter) -> None:
        if not self._count:
            return
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        encrypted = transport.get_extra_info("sslcontext") is not None
        await (self._copy(writer) if encrypted else self._sendfile(transport))

    async def _sendfile(self, transport: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        with os.fdopen(self._open_fd, "rb", buffering=0, closefd=False) as file:
            position, end, slice = self._first, self._first + self._count, _SLICE
            while position < end:
                size = min(slice, end - position)
                async with asyncio.timeout(max(SLICE_SECONDS, size / SLOWEST)):
                    sent = await loop.sendfile(transport, file, position, size)
                if not sent:
                    raise ConnectionResetError("the content is shorter than it was")
                position += sent
                self.sent += sent
                slice = min(slice * 4, _LARGEST_SLICE)  # each costs some turns of the loop

    async def _copy(self, writer: AbstractStreamWriter) -> None:
        position, end = self._first, self._first + self._count
        while position < end:
            piece = os.pread(self._open_fd, min(_PIECE, end - position), position)
            if not piece:
                raise ConnectionResetError("the content is shorter than it was")
            async with asyncio.timeout(SLICE_SECONDS):
                await writer.write(piece)
            position += len(piece)
            self.sent += len(piece)


def content(
    request: web.BaseRequest, fd: int, size: int, digest: str, media_type: str = "application/octet-stream"
) -> web.StreamResponse:
    """Answer GET or HEAD of a blob from ``fd``, which this takes over: whole, one range, not modified, or not satisfiable."""
    headers = described(digest, media_type)
    headers["Accept-Ranges"] = "bytes"
    wanted = Conditions(request.headers, digest)
    verdict = wanted.verdict(request.method)
    if verdict:
        os.close(fd)
        return empty(verdict, headers)
    span = wanted.span(size)
    if span is None:
        os.close(fd)
        return refused(unsatisfiable(size))
    start, length = span
    partial = (start, length) != (0, size) or wanted.ranged
    if partial:
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{size}"
    if request.method == "HEAD":
        os.close(fd)
        headers["Content-Length"] = str(length)
        return web.Response(status=206 if partial else 200, headers=headers)
    return Content(206 if partial else 200, headers, fd, start, length)


def described(digest: str, media_type: str) -> dict[str, str]:
    """The headers that say what content it is."""
    return {"Docker-Content-Digest": digest, "ETag": f'"{digest}"', "Content-Type": media_type}
