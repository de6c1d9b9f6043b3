"""A registry's server, from the first socket to the last answer.

SIGTERM and SIGINT end it when what is being answered is answered; SIGHUP reads certificates, passwords and rights again. A
service manager is told when it is ready (sd_notify(3)).
"""

from __future__ import annotations

import asyncio
import functools
import logging
import resource
import signal
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from lading.errors import InvalidInput, LadingError
from lading.node.notifying import READY, STOPPING, notify
from lading.registry.edge.connection import Server
from lading.registry.edge.endpoints import Endpoints
from lading.registry.edge.listening import BACKLOG, Listener, open_all
from lading.registry.edge.watching import Watch
from lading.registry.garbage import Collector
from lading.registry.store import Store, mirror_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.registry.settings import Settings, Tls

_quiet = logging.getLogger("lading.registry")  # aiohttp's own words about broken clients go nowhere
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False

THREADS = 32
_BUFFER = 1 << 18


def run(settings: Settings, say: Callable[[str], None]) -> None:
    """Serve until a signal says to stop. ``say`` is told in a line where it listens. Raises :class:`LadingError`."""
    _allow_connections()
    tls = _context(settings.tls) if settings.tls else None
    listeners = open_all(settings.listen, plain=settings.plain_http, encrypted=tls is not None)
    try:
        asyncio.run(_Server(settings, listeners, tls, say).run())
    finally:
        for listener in listeners:
            listener.close()


def _allow_connections() -> None:
    """Each connection is a descriptor, and 1,024 of them are soon used up."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (OSError, ValueError):
        pass


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
        upstream = settings.upstream
        store = Store(settings.root, mirror_name(upstream.host) if upstream else "registry")
        pool = ThreadPoolExecutor(THREADS, "registry")
        try:
            watch = Watch(settings.access_log)
            watch.store(store, read_only=settings.read_only)
            app = Endpoints(store, settings, pool, watch)
            server = Server(
                app.handle,
                access_log_class=watch.logger(),
                access_log=_quiet,
                logger=_quiet,
                auto_decompress=False,
                read_bufsize=_BUFFER,
                keepalive_timeout=settings.idle,
                max_line_size=settings.header,
                max_field_size=settings.header,
                lingering_time=2.0,
            )
            runner = web.ServerRunner(server, shutdown_timeout=1.0)
            await runner.setup()
            sites = []
            for listener in self._listeners:
                site = web.SockSite(runner, listener.socket, ssl_context=self._tls, backlog=BACKLOG)
                await site.start()
                sites.append(site)
                self._say(f"listening at {listener.shown}{' (TLS)' if self._tls else ''}")
            stop = asyncio.Event()
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stop.set)
            loop.add_signal_handler(signal.SIGHUP, self._hangup, app)
            notify(READY)
            collecting = asyncio.create_task(self._collect(store, pool, watch, app))
            await stop.wait()
            notify(STOPPING)
            # A second signal does not wait.
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, sys.exit, 1)
            collecting.cancel()
            app.close()
            # aiohttp's own way out takes no more bytes of bodies that are under way.
            app.closing = True
            for site in sites:
                await site.stop()
            deadline = loop.time() + settings.grace
            while watch.flying and loop.time() < deadline:
                await asyncio.sleep(0.05)
            await runner.cleanup()
            await watch.flush()
        finally:
            pool.shutdown()
            store.close()

    async def _collect(self, store: Store, pool: ThreadPoolExecutor, watch: Watch, app: Endpoints) -> None:
        """Collect garbage now and then, as long as the server lives."""
        if not self._settings.gc_interval:
            return
        collector = Collector(store, self._settings.gc_grace)
        # What a mirror has can be had again: there a manifest without a tag is one whose tag has moved.
        collect = functools.partial(collector.run, mirror=self._settings.upstream is not None)
        loop = asyncio.get_running_loop()
        while True:
            try:
                if app.eviction is not None:
                    await loop.run_in_executor(pool, app.eviction.run)
            except (LadingError, OSError) as error:
                self._say(f"the mirror stays as large as it is: {error}")
            await asyncio.sleep(self._settings.gc_interval)
            if self._settings.read_only or store.frozen():
                continue
            try:
                report = await loop.run_in_executor(pool, collect)
                if report is not None:
                    watch.collected(report)
            except (LadingError, OSError) as error:  # what goes wrong now may go well the next time
                watch.collected(None)
                self._say(f"garbage stays: {error}")

    def _hangup(self, app: Endpoints) -> None:
        self._reloading = asyncio.ensure_future(self._reload(app))

    async def _reload(self, app: Endpoints) -> None:
        notify("RELOADING=1")
        try:
            if self._tls is not None and self._settings.tls is not None:
                _load(self._tls, self._settings.tls)
            await asyncio.get_running_loop().run_in_executor(None, app.guard.reload)
            self._say("read certificates, passwords and rights again")
        except LadingError as error:
            self._say(f"what was read before stays in force: {error}")
        notify(READY)
