"""A client's connection, of which it may close its own half when it has asked for all it wants.

Such a client waits for answers (RFC 9112, 9.6, says of a server how it closes; TCP has a half-closed connection as an open one).
aiohttp takes the end of what comes for the end of everything. With TLS it is: asyncio has no half-closed connection there.
"""

from __future__ import annotations

from aiohttp import web

TYPE_CHECKING = False
if TYPE_CHECKING:
    from aiohttp.streams import StreamReader


class Connection(web.RequestHandler):
    """``ended``: no more requests come than those that are here."""

    _newest: StreamReader | None = None
    """The body of the request that came last."""
    ended = False

    def data_received(self, data: bytes) -> None:
        """Bytes of requests."""
        super().data_received(data)
        if self._messages:
            self._newest = self._messages[-1][1]

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """No more bytes: True keeps the connection for the answers that are owed."""
        idle = self._waiter is not None and not self._waiter.done()
        whole = self._newest is not None and self._newest.is_eof()
        encrypted = self.transport is None or self.transport.get_extra_info("sslcontext") is not None
        if idle or not whole or encrypted:
            return None
        self.ended = True
        if not self._messages:
            self.close()  # with the answer that is under way
        return True

    @property
    def last(self) -> bool:
        """Whether the connection ends with the answer to the request that is under way."""
        return self.ended and not self._messages


class Server(web.Server):
    """Connections of this kind."""

    def __call__(self) -> Connection:
        """A new one."""
        return Connection(self, loop=self._loop, **self._kwargs)
