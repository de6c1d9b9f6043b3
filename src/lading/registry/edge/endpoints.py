"""One request: which endpoint, who asks, may they, what is the answer; and what the log and the counters say of it."""

from __future__ import annotations

from aiohttp import web

from lading.errors import LadingError
from lading.registry import words
from lading.registry.edge import answers, routes
from lading.registry.edge.reading import Reading
from lading.registry.edge.uploading import Uploading
from lading.registry.errors import NAME_UNKNOWN, UNSUPPORTED, Refusal
from lading.registry.manifests import Manifests
from lading.registry.referrers import Referrers
from lading.registry.repositories import Repositories
from lading.registry.uploads import Uploads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import Executor

    from lading.registry.settings import Settings
    from lading.registry.store import Store


class Endpoints:
    """The registry as a function from requests to answers."""

    def __init__(self, store: Store, settings: Settings, pool: Executor) -> None:
        limits = settings.limits
        self._delete = settings.delete
        self.uploads = Uploads(store, limits)
        self._uploading = Uploading(store, self.uploads, pool)
        self._reading = Reading(
            store,
            Manifests(store, limits.manifest),
            Repositories(store),
            Referrers(store),
            pool,
            largest_manifest=limits.manifest,
        )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; never raises for what a client does."""
        route = routes.find(request.path)
        try:
            answer = await self._answer(request, route)
        except LadingError as error:
            answer = answers.refused(answers.as_refusal(error))
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
        if route.name:
            words.repository(route.name)
        return await self._serve(request, route)

    async def _serve(self, request: web.BaseRequest, route: routes.Route) -> web.StreamResponse:
        method, name, rest = request.method, route.name, route.rest
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
            return await self._uploading.begin(request, name, lambda _: True)
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
        if route.kind == routes.REFERRERS:
            return await self._reading.referrers(request, name, rest)
        if route.kind == routes.CATALOG:
            return await self._reading.catalog(request, lambda _: True)
        return answers.plain(200, b"{}")

    def _may_delete(self) -> None:
        if not self._delete:
            raise Refusal(UNSUPPORTED, "deleting is switched off in this registry")
