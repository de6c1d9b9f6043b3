"""One request: which endpoint, who asks, may they, what is the answer."""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web

from lading.errors import LadingError
from lading.registry import counters, words
from lading.registry.edge import answers, routes
from lading.registry.edge.connection import Connection
from lading.registry.edge.guard import Caller, Guard
from lading.registry.edge.mirroring import Mirroring
from lading.registry.edge.reading import Reading
from lading.registry.edge.uploading import Uploading
from lading.registry.edge.watching import ROUTE, USER, Watch
from lading.registry.errors import BLOB_UPLOAD_INVALID, NAME_UNKNOWN, UNAVAILABLE, UNSUPPORTED, Refusal
from lading.registry.manifests import Manifests
from lading.registry.mirror import Mirror
from lading.registry.referrers import Referrers
from lading.registry.repositories import Repositories
from lading.registry.uploads import Uploads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import Executor

    from lading.registry.eviction import Eviction
    from lading.registry.settings import Settings
    from lading.registry.store import Store

_READS = frozenset(("GET", "HEAD"))
_SOON = "30"  # seconds after which a client tries again to change what is frozen


class Endpoints:
    """The registry as a function from requests to answers."""

    def __init__(self, store: Store, settings: Settings, pool: Executor, watch: Watch) -> None:
        limits = settings.limits
        self._store = store
        self._delete = settings.delete
        self._read_only = settings.read_only
        self._pool = pool
        self._watch = watch
        self.closing = False
        """Whether connections end with the answer that is being given."""
        self.guard = Guard(store, settings, pool)
        self.uploads = Uploads(store, limits)
        self._uploading = Uploading(store, self.uploads, pool, each=settings.uploads_each)
        manifests = Manifests(store, limits.manifest, sparse=settings.sparse)
        self._reading = Reading(
            store,
            manifests,
            Repositories(store),
            Referrers(store),
            pool,
            largest_manifest=limits.manifest,
            grace=settings.gc_grace,
        )
        self._mirroring: Mirroring | None = None
        if settings.upstream is not None:
            self.mirror = Mirror(store, manifests, settings.upstream, limits.blob, watch.counters)
            self._mirroring = Mirroring(self.mirror, self._reading, pool, settings.upstream.host)

    @property
    def eviction(self) -> Eviction | None:
        """What keeps a mirror in its bounds."""
        return self.mirror.eviction if self._mirroring is not None else None

    def close(self) -> None:
        """Stop what goes on by itself."""
        if self._mirroring is not None:
            self._mirroring.close()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; never raises for what a client does."""
        route = routes.find(request.path)
        request[ROUTE] = route.kind
        self._watch.flying += 1
        answer: web.StreamResponse | None = None
        try:
            answer = await self._answer(request, route)
        except LadingError as error:
            refusal = answers.as_refusal(error)
            if refusal.status >= 500:
                _complain(f"{request.method} {request.path[:200]!r}: {error}")
            answer = answers.refused(refusal)
        except (web.RequestPayloadError, ConnectionError) as error:
            # Nobody may be there to read it.
            answer = answers.refused(Refusal(BLOB_UPLOAD_INVALID, f"the body broke off: {error}", status=400))
            answer.force_close()
        except Exception as error:
            _complain(f"{request.method} {request.path[:200]!r}: {type(error).__name__}: {error}")
            answer = answers.refused(Refusal("UNAVAILABLE", "the registry failed", status=500))
        finally:
            if isinstance(answer, answers.FromFile):
                answer.over = self._watch.landed
            else:
                self._watch.landed()
        if self.closing or (isinstance(request.protocol, Connection) and request.protocol.last):
            answer.force_close()
        answer.headers[answers.VERSION[0]] = answers.VERSION[1]
        answer.headers["Server"] = "lading"
        return answer

    async def _answer(self, request: web.BaseRequest, route: routes.Route) -> web.StreamResponse:
        methods = routes.METHODS.get(route.kind)
        if methods is None:
            raise Refusal(NAME_UNKNOWN, "there is nothing at this path")
        if request.method not in methods:
            raise Refusal(
                UNSUPPORTED,
                f"{request.method[:20]} is not for this path",
                headers={"Allow": ", ".join(methods)},
            )
        if route.kind == routes.TOKEN:
            return await self.guard.token(request)
        if route.kind == routes.HEALTH:
            return answers.plain(200, b"ok\n", "text/plain")
        caller = await self.guard.caller(request)
        request[USER] = caller.user
        if route.kind in routes.WITHOUT_NAME:
            return await self._about_all(request, route, caller)
        words.repository(route.name)
        self.guard.demand(request, caller, route.name, self._action(request.method, route.kind))
        if self._mirroring is not None:
            return await self._mirrored(request, route, self._mirroring)
        return await self._serve(request, route, caller)

    def _action(self, method: str, kind: str) -> str:
        if kind in (routes.UPLOADS, routes.UPLOAD):
            return "push"
        if method in _READS:
            return "pull"
        return "delete" if method == "DELETE" else "push"

    async def _about_all(
        self, request: web.BaseRequest, route: routes.Route, caller: Caller
    ) -> web.StreamResponse:
        if route.kind == routes.CATALOG:
            self.guard.demand_somebody(request, caller, catalog=True)
            return await self._reading.catalog(request, lambda name: self.guard.sees(caller, name))
        if route.kind == routes.METRICS:
            self.guard.demand_name(request, caller)
            loop = asyncio.get_running_loop()
            text = await loop.run_in_executor(self._pool, self._watch.counters.text)
            return answers.plain(200, text.encode(), counters.CONTENT_TYPE)
        self.guard.demand_somebody(request, caller)
        return answers.plain(200, b"{}")

    async def _serve(
        self, request: web.BaseRequest, route: routes.Route, caller: Caller
    ) -> web.StreamResponse:
        method, name, rest = request.method, route.name, route.rest
        if method not in _READS:
            self._may_change()
        if route.kind == routes.BLOB:
            if method != "DELETE":
                return await self._reading.blob(request, name, rest)
            self._may_delete()
            return await self._reading.remove_blob(name, rest)
        if route.kind == routes.MANIFEST:
            if method == "PUT":
                return await self._reading.put_manifest(request, name, rest)
            if method != "DELETE":
                return await self._reading.manifest(request, name, rest)
            self._may_delete()
            return await self._reading.remove_manifest(name, rest)
        if route.kind == routes.UPLOADS:
            source = request.query.get("from", "")
            if source and "mount" in request.query:
                self.guard.demand_source(request, caller, name, words.repository(source))
            who = f"{caller.user}@{caller.address}"
            return await self._uploading.begin(
                request, name, who, lambda source: self.guard.may(caller, source, "pull")
            )
        if route.kind == routes.UPLOAD:
            if method == "PATCH":
                return await self._uploading.chunk(request, name, rest)
            if method == "PUT":
                return await self._uploading.finish(request, name, rest)
            if method == "DELETE":
                return await self._uploading.cancel(name, rest)
            return await self._uploading.status(name, rest)
        if route.kind == routes.TAGS:
            return await self._reading.tags(request, name)
        return await self._reading.referrers(request, name, rest)

    async def _mirrored(
        self, request: web.BaseRequest, route: routes.Route, mirroring: Mirroring
    ) -> web.StreamResponse:
        if request.method not in _READS or route.kind in (routes.UPLOADS, routes.UPLOAD):
            raise mirroring.refuse()
        if route.kind == routes.BLOB:
            return await mirroring.blob(request, route.name, route.rest)
        if route.kind == routes.MANIFEST:
            return await mirroring.manifest(request, route.name, route.rest)
        if route.kind == routes.TAGS:
            return await mirroring.tags(request, route.name)
        return await mirroring.referrers(request, route.name, route.rest)

    def _may_change(self) -> None:
        if self._read_only:
            raise Refusal(UNSUPPORTED, "this registry is read-only")
        reason = self._store.frozen()
        if reason:
            message = f"this registry is read-only for the moment: {reason}"
            raise Refusal(UNAVAILABLE, message, headers={"Retry-After": _SOON})

    def _may_delete(self) -> None:
        if not self._delete:
            raise Refusal(UNSUPPORTED, "deleting is switched off in this registry")


def _complain(text: str) -> None:
    print(f"lading registry: {text}", file=sys.stderr, flush=True)
