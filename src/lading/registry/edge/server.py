"""A registry's server, from the first socket to the last answer.

SIGTERM and SIGINT end it when what is being answered is answered; SIGHUP reads certificates, passwords and rights again. A
service manager is told when it is ready (sd_notify(3)).
"""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from lading.errors import InvalidInput, LadingError
from lading.node.notifying import READY, STOPPING, notify
from lading.registry.edge.endpoints import Endpoints
from lading.registry.edge.listening import BACKLOG, Listener, open_all
from lading.registry.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.registry.settings import Settings, Tls

THREADS = 32
_BUFFER = 1 << 18


def run(settings: Settings, say: Callable[[str], None]) -> None:
    """Serve until a signal says to stop. ``say`` is told in a line where it listens. Raises :class:`LadingError`."""
    tls = _context(settings.tls) if settings.tls else None
    listeners = open_all(settings.listen, plain=settings.plain_http, encrypted=tls is not None)
    try:
        asyncio.run(_Server(settings, listeners, tls, say).run())
    finally:
        for listener in listeners:
            listener.close()


def _context(tls: Tls) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_3 if tls.minimum == "1.3" else ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    _load(made, tls)
    return made


def _load(context: ssl.SSLContext, tls: Tls) -> None:
    for path in (tls.certificate, tls.key):
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise InvalidInput(f"cannot read {path}: {error.strerror}") from None
    try:
        # A key with a passphrase would be asked for on a terminal that nobody watches.
        context.load_cert_chain(tls.certificate, tls.key, password=lambda: "")
    except (ssl.SSLError, ValueError) as error:
        why = getattr(error, "reason", None) or str(error)
        raise InvalidInput(f"{tls.certificate} and {tls.key} are no certificate and its key: {why}") from None


class _Server:
    def __init__(
        self,
        settings: Settings,
        listeners: list[Listener],
        tls: ssl.SSLContext | None,
        say: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._listeners = listeners
        self._tls = tls
        self._say = say

    async def run(self) -> None:
        settings = self._settings
        store = Store(settings.root)
        pool = ThreadPoolExecutor(THREADS, "registry")
        try:
            app = Endpoints(store, settings, pool)
            server = web.Server(
                app.handle,
                access_log=None,
                auto_decompress=False,
                read_bufsize=_BUFFER,
                keepalive_timeout=settings.idle,
                max_line_size=settings.header,
                max_field_size=settings.header,
                lingering_time=2.0,
            )
            runner = web.ServerRunner(server, shutdown_timeout=settings.grace)
            await runner.setup()
            for listener in self._listeners:
                await web.SockSite(runner, listener.socket, ssl_context=self._tls, backlog=BACKLOG).start()
                self._say(f"listening at {listener.shown}{' (TLS)' if self._tls else ''}")
            stop = asyncio.Event()
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stop.set)
            loop.add_signal_handler(signal.SIGHUP, self._reload, app)
            notify(READY)
            await stop.wait()
            notify(STOPPING)
            # A second signal does not wait.
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, sys.exit, 1)
            await runner.cleanup()
        finally:
            pool.shutdown()
            store.close()

    def _reload(self, app: Endpoints) -> None:
        notify("RELOADING=1")
        try:
            if self._tls is not None and self._settings.tls is not None:
                _load(self._tls, self._settings.tls)
            self._say("read certificates, passwords and rights again")
        except LadingError as error:
            self._say(f"what was read before stays in force: {error}")
        notify(READY)
