"""Manifests, blobs, lists and referrers over HTTP.

Source: distribution-spec, "Pull", "Pushing Manifests", "Content Discovery" and "Content Management".
"""

from __future__ import annotations

import asyncio

from lading.formats import digest as digests
from lading.formats import jsontext
from lading.formats.oci_image import OCI_INDEX
from lading.registry import words
from lading.registry.edge import answers
from lading.registry.edge.conditions import Conditions
from lading.registry.edge.receiving import small
from lading.registry.errors import MANIFEST_INVALID, MANIFEST_UNKNOWN, Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor

    from aiohttp import web

    from lading.registry.manifests import Manifests
    from lading.registry.referrers import Referrers
    from lading.registry.repositories import Repositories
    from lading.registry.store import Store

_MOST_TAGS = 100


class Reading:
    """The handlers of what is stored. The records are read in the loop's thread: that takes some microseconds."""

    def __init__(
        self,
        store: Store,
        manifests: Manifests,
        repositories: Repositories,
        referrers: Referrers,
        pool: Executor,
        *,
        largest_manifest: int,
        grace: float,
    ) -> None:
        self._store = store
        self._manifests = manifests
        self._repositories = repositories
        self._referrers = referrers
        self._pool = pool
        self._largest = largest_manifest
        self._stale = (
            grace / 4
        )  # a blob that is asked for by then counts as new: it is kept for who may be pushing

    # --- blobs ------------------------------------------------------------------------------------------------------

    async def blob(self, request: web.BaseRequest, repository: str, digest: str) -> web.StreamResponse:
        """GET and HEAD."""
        if request.method == "HEAD":
            words.digest(digest)
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._pool, self._store.touch, repository, digest, self._stale)
        fd, size = self._store.open(repository, words.digest(digest))
        return answers.content(request, fd, size, digest)

    async def remove_blob(self, repository: str, digest: str) -> web.StreamResponse:
        """DELETE."""
        await asyncio.get_running_loop().run_in_executor(
            self._pool, self._store.unlink, repository, words.digest(digest)
        )
        return answers.empty(202, {"Docker-Content-Digest": digest})

    # --- manifests --------------------------------------------------------------------------------------------------

    async def manifest(self, request: web.BaseRequest, repository: str, reference: str) -> web.StreamResponse:
        """GET and HEAD, by tag or digest."""
        try:
            stored = self._manifests.find(repository, reference)
        except Refusal as error:
            fallback = None
            if error.code == MANIFEST_UNKNOWN:
                fallback = self._referrers.fallback(repository, reference)
            if fallback is None:
                raise
            return _small(request, fallback, OCI_INDEX, digests.of(fallback))
        return _small(request, self._manifests.read(stored), stored.media_type, stored.digest)

    async def put_manifest(
        self, request: web.BaseRequest, repository: str, reference: str
    ) -> web.StreamResponse:
        """PUT, by tag, or by digest with further tags."""
        tags = request.query.getall("tag", [])
        if len(tags) > _MOST_TAGS:
            raise Refusal(MANIFEST_INVALID, f"more than {_MOST_TAGS} tags at once", status=414)
        if tags and ":" not in reference:
            raise Refusal(MANIFEST_INVALID, "further tags are for a manifest that is pushed by its digest")
        data = await small(request, self._largest, "a manifest")
        kind = request.headers.get("Content-Type", "")
        condition = _condition(request.headers)

        def put() -> tuple[str, str]:
            pushed = self._manifests.put(repository, reference, kind, data, tags=tags, condition=condition)
            return pushed.digest, pushed.subject

        digest, subject = await asyncio.get_running_loop().run_in_executor(self._pool, put)
        headers = {"Location": f"/v2/{repository}/manifests/{digest}", "Docker-Content-Digest": digest}
        headers["ETag"] = f'"{digest}"'  # what the next condition is about
        if subject:
            headers["OCI-Subject"] = subject
        if tags:
            headers["OCI-Tag"] = ", ".join(tags)
        return answers.empty(201, headers)

    async def remove_manifest(self, repository: str, reference: str) -> web.StreamResponse:
        """DELETE of a tag, or of a manifest and its tags."""
        tag, digest = words.reference(reference)
        loop = asyncio.get_running_loop()
        if tag:
            await loop.run_in_executor(self._pool, self._manifests.untag, repository, tag)
            return answers.empty(202, {})
        users = await loop.run_in_executor(self._pool, self._manifests.remove, repository, digest)
        warning = {"Warning": f'299 - "{len(users)} index still names {digest}: {users[0]}"'} if users else {}
        return answers.empty(202, warning)

    # --- lists ------------------------------------------------------------------------------------------------------

    async def tags(self, request: web.BaseRequest, repository: str) -> web.StreamResponse:
        """The tags of a repository."""
        count = words.number(request.query.get("n"), "n")
        page = self._repositories.tags(repository, count, request.query.get("last", ""))
        data = jsontext.dumps({"name": repository, "tags": page.names}).encode()
        return answers.plain(
            200, data, headers=answers.next_link(f"/v2/{repository}/tags/list", page.last, count)
        )

    async def catalog(self, request: web.BaseRequest, visible: Callable[[str], bool]) -> web.StreamResponse:
        """The repositories that the caller may see."""
        count = words.number(request.query.get("n"), "n")
        page = self._repositories.catalog(count, request.query.get("last", ""), visible)
        data = jsontext.dumps({"repositories": page.names}).encode()
        return answers.plain(200, data, headers=answers.next_link("/v2/_catalog", page.last, count))

    async def referrers(self, request: web.BaseRequest, repository: str, digest: str) -> web.StreamResponse:
        """Who refers to a manifest."""
        subject = words.digest(digest)
        kind = request.query.get("artifactType", "")
        answer = self._referrers.list(repository, subject, kind, request.query.get("last", ""))
        headers = {"OCI-Filters-Applied": "artifactType"} if kind else {}
        path = f"/v2/{repository}/referrers/{subject}"
        link = answers.next_link(path, answer.last, None)
        if link and kind:
            from urllib.parse import quote

            link["Link"] = link["Link"].replace("?", f"?artifactType={quote(kind, safe='')}&", 1)
        headers.update(link)
        return answers.plain(200, answer.data, OCI_INDEX, headers)


def _small(request: web.BaseRequest, data: bytes, media_type: str, digest: str) -> web.StreamResponse:
    headers = answers.described(digest, media_type)
    verdict = Conditions(request.headers, digest).verdict(request.method)
    if verdict:
        return answers.empty(verdict, headers)
    if request.method == "HEAD":
        headers["Content-Length"] = str(len(data))
        return answers.plain(200, b"", media_type, headers)
    return answers.plain(200, data, media_type, headers)


def _condition(headers: Mapping[str, str]) -> Callable[[str], bool] | None:
    """If-Match and If-None-Match: who maintains a list under a tag does not want to lose another's change."""
    if "If-Match" not in headers and "If-None-Match" not in headers:
        return None

    def holds(digest: str) -> bool:
        if not digest:  # nothing matches nothing
            return "If-Match" not in headers
        return not Conditions(headers, digest).verdict("PUT")

    return holds
