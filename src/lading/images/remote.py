"""One registry endpoint, in the distribution specification's words: manifests, blobs, uploads, tags, catalog.

A :class:`Remote` authorizes, follows redirects with the care they need, and repeats what may be repeated. What it returns
is not trusted any more for that: digests and sizes are checked by whoever asked.

Source: https://github.com/opencontainers/distribution-spec (spec.md, 1.1).
"""

from __future__ import annotations

import random
from urllib.parse import urljoin, urlsplit

from lading.errors import (
    Corrupt,
    Denied,
    InvalidInput,
    LadingError,
    NotFound,
    RemoteError,
    TimedOut,
    Unsupported,
)
from lading.formats import digest as digests
from lading.formats import jsontext
from lading.formats.oci_image import INDEXES, MANIFESTS
from lading.images.auth import ANONYMOUS, Credentials
from lading.images.auth_token import Authorizer, Busy, repository_scope
from lading.images.remote_http import STALL_SECONDS, BrokenConnection, Cancel, HttpPool, Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from lading.images.remote_config import Endpoint, Registries

MAX_MANIFEST = 4 << 20  # distribution-spec: registries should accept manifests up to this
MAX_REDIRECTS = 5
ATTEMPTS = 5
LONGEST_WAIT = 60.0  # seconds of Retry-After that are waited for
_MAX_ERROR = 1 << 16
_AGAIN = (408, 429, 500, 502, 503, 504)
_VAGUE = ("", "application/json", "text/plain", "application/octet-stream", "text/html")
_REFUSED = {
    "application/vnd.docker.distribution.manifest.v1+json": "Docker's schema 1",
    "application/vnd.docker.distribution.manifest.v1+prettyjws": "Docker's schema 1",
    "application/vnd.oci.artifact.manifest.v1+json": "the withdrawn OCI artifact manifest",
}


class Answered(RemoteError):
    """A registry answered with a ``status`` that is not good, and that says no more about the cause."""

    reason = "status"

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class RateLimited(RemoteError):
    """A registry wants fewer requests (429), for so many ``seconds``; 0 when it does not say."""

    reason = "rate-limited"

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message, hint="try later")
        self.seconds = seconds


class FetchedManifest:
    """A manifest or index as a registry sent it: exact ``data``, its ``media_type``, and the ``digest`` of ``data``."""

    __slots__ = ("data", "digest", "media_type")

    def __init__(self, data: bytes, media_type: str, digest: str) -> None:
        self.data = data
        self.media_type = media_type
        self.digest = digest


class Remote:
    """One endpoint, for ``repository`` (as the user knows it) with ``actions`` on it. Safe for many threads."""

    def __init__(
        self,
        endpoint: Endpoint,
        registries: Registries,
        repository: str = "",
        *,
        actions: str = "pull",
        credentials: Credentials = ANONYMOUS,
        cancel: Cancel | None = None,
        stall: float = STALL_SECONDS,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.repository = endpoint.prefix + repository
        self.cancel = cancel or Cancel()
        self.patience = LONGEST_WAIT
        self._registries = registries
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._pool = HttpPool(self._context, cancel=self.cancel, stall=stall, environ=environ)
        self._authorizer = Authorizer(endpoint, self._pool, credentials)
        self.scopes = [repository_scope(self.repository, actions)] if repository else []

    def _context(self, host_port: str) -> ssl.SSLContext:
        found = self._contexts.get(host_port)
        if found is None:
            found = self._registries.context(host_port, insecure=self.endpoint.insecure)
            self._contexts[host_port] = found
        return found

    def close(self) -> None:
        """Close kept connections."""
        self._pool.close()

    @property
    def base(self) -> str:
        """``scheme://host``, known after :meth:`connect`."""
        return f"{self.endpoint.scheme}://{self.endpoint.host}"

    # --- the connection ---------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Find out the scheme where plain HTTP is allowed. Nothing secret is sent. Raises what :meth:`HttpPool.request` does."""
        if self.endpoint.scheme:
            return
        # An unverified TLS connection is still better than none; on loopback there is nothing to protect, and asking
        # in plain text first spares reading the system's certificates.
        order = ("https", "http") if self.endpoint.insecure else ("http", "https")
        failure: LadingError | None = None
        for scheme in order:
            try:
                answer = self._pool.request("GET", f"{scheme}://{self.endpoint.host}/v2/", {})
            except (BrokenConnection, RemoteError) as error:
                # Of a server that speaks TLS alone, why it is not trusted says more than that it speaks no plain HTTP.
                failure = error if failure is None or error.reason == "certificate" else failure
                continue
            answer.drain()
            if scheme == "http" and answer.status not in (200, 401, 403, 404, 429) and answer.status < 500:
                continue  # a TLS server answers plain text with 400, some with a redirect to themselves
            self.endpoint.scheme = scheme
            return
        raise failure or RemoteError(f"{self.endpoint.host} is no registry", reason="not-a-registry")

    def ping(self) -> None:
        """Whether this is a registry that lets us in: ``GET /v2/``. Raises :class:`Denied`, :class:`RemoteError`."""
        with self.request("GET", "/v2/") as answer:
            answer.drain()

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | Callable[[], Iterable[bytes]] | None = None,
        *,
        length: int = -1,
        good: tuple[int, ...] = (200,),
        what: str = "",
        scopes: Iterable[str] = (),
        repeat: bool = True,
    ) -> Response:
        """Send a request to this endpoint (``target``: a path, or a whole URL from a Location header), return a good answer.

        ``what`` names the object in errors. ``body`` is all of it, or gives ``length`` bytes in pieces each time it is
        called. ``repeat``: it may be sent again after a failure that a server may recover from. Raises :class:`Denied`,
        :class:`NotFound`, :class:`RemoteError`, :class:`TimedOut`.
        """
        self.connect()
        what = what or f"{method} {target.partition('?')[0]}"
        url = urljoin(self.base, target)
        wanted = [*self.scopes, *scopes]
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = self._authorized(method, url, headers or {}, body, length, what, wanted)
            except (BrokenConnection, Busy, TimedOut):
                if not repeat or attempt >= ATTEMPTS:
                    raise
                self.cancel.sleep(backoff(attempt))
                continue
            if answer.status in good:
                return answer
            # Who wants fewer requests has not looked at this one.
            again = answer.status == 429 or (repeat and answer.status in _AGAIN)
            if again and attempt < ATTEMPTS:
                wait = retry_after(answer.header("Retry-After"))
                if wait <= self.patience:
                    answer.drain()
                    self.cancel.sleep(wait or backoff(attempt))
                    continue
            raise self._failure(answer, what)

    def _authorized(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Callable[[], Iterable[bytes]] | None,
        length: int,
        what: str,
        scopes: list[str],
    ) -> Response:
        ours = same_origin(url, self.base)
        authorization = self._authorizer.header(scopes) if ours else ""
        for refusals in range(3):
            sent = {**headers, "User-Agent": "lading"}
            if authorization:
                sent["Authorization"] = authorization
            answer = self._followed(method, url, sent, body, length, what)
            if answer.status != 401 or not same_origin(answer.url, self.base):
                return answer
            challenge = answer.header("WWW-Authenticate")
            answer.drain()
            if refusals == 2:
                break
            authorization = self._authorizer.refused(challenge, authorization, scopes, what)
        raise Denied(
            f"{what}: {self.endpoint.registry} refuses every token it hands out", reason="unauthorized"
        )

    def _followed(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: bytes | Callable[[], Iterable[bytes]] | None,
        length: int,
        what: str,
    ) -> Response:
        for _ in range(MAX_REDIRECTS + 1):
            pieces = body() if callable(body) else body
            answer = self._pool.request(method, url, headers, pieces, length=length)
            if answer.status not in (301, 302, 303, 307, 308) or method not in ("GET", "HEAD"):
                return answer
            location = answer.header("Location")
            answer.drain()
            following = self.location(url, location, what)
            if not same_origin(url, following):
                headers = {k: v for k, v in headers.items() if k != "Authorization"}
            url = following
        raise RemoteError(f"{what}: {self.endpoint.host} redirects in circles", reason="redirect")

    def location(self, url: str, location: str, what: str) -> str:
        """Where a Location header of the answer from ``url`` points, absolute.

        Raises :class:`RemoteError` for where we do not go.
        """
        return redirected(url, location, f"{what}: {self.endpoint.host}")

    def following(self, url: str, link: str, what: str) -> str:
        """The page behind the one that came from ``url`` with the header ``Link``, absolute; empty for none.

        Raises :class:`RemoteError` for one on another host.
        """
        target = next_link(link)
        if not target:
            return ""
        made = self.location(url, target, what)
        if not same_origin(made, self.base):
            raise RemoteError(f"{self.endpoint.host}: continues its list on another host", reason="redirect")
        return made

    def _failure(self, answer: Response, what: str) -> LadingError:
        """The error for an answer that is not good; reads the specification's error body."""
        said = ""
        try:
            said = error_text(answer.read(_MAX_ERROR))
        except LadingError:
            pass
        host, status = self.endpoint.host, answer.status
        more = f": {said}" if said else ""
        if status == 404:
            return NotFound(f"{what}: not found on {host}{more}")
        if status == 403:
            return Denied(
                f"{what}: {host} denies access{more}", hint=f"`lading login {self.endpoint.registry}`"
            )
        if status == 429:
            wait = retry_after(answer.header("Retry-After"))
            return RateLimited(f"{what}: {host} wants fewer requests{more}", wait)
        return Answered(f"{what}: {host} answered {status}{more}", status)

    # --- manifests --------------------------------------------------------------------------------------------------

    def manifest(self, target: str) -> FetchedManifest:
        """The manifest or index a tag or digest names. Verified when ``target`` is a digest.

        Raises :class:`NotFound`, :class:`Corrupt`, :class:`Unsupported` (a type that is not a container image's).
        """
        what = (
            f"manifest {self.repository}:{target}"
            if ":" not in target
            else f"manifest {self.repository}@{target}"
        )
        headers = {"Accept": ", ".join((*INDEXES, *MANIFESTS))}
        with self.request("GET", f"/v2/{self.repository}/manifests/{target}", headers, what=what) as answer:
            media_type = answer.header("Content-Type").partition(";")[0].strip().lower()
            claimed = answer.header("Docker-Content-Digest").strip()
            data = answer.read(MAX_MANIFEST)
        wanted = target if ":" in target else claimed
        if ":" in target or digests.is_digest(claimed):
            found = digests.of(data, wanted.partition(":")[0])
            if found != wanted:
                raise Corrupt(f"{what}: what arrived has the digest {found}", reason="digest-mismatch")
        else:
            found = digests.of(data)
        return FetchedManifest(data, check_type(media_type, data, what), found)

    def head_manifest(self, target: str) -> str:
        """The digest that a tag names now, empty when the registry has none. Costs no manifest."""
        headers = {"Accept": ", ".join((*INDEXES, *MANIFESTS))}
        path = f"/v2/{self.repository}/manifests/{target}"
        with self.request(
            "HEAD", path, headers, good=(200, 404), what=f"manifest {self.repository}:{target}"
        ) as answer:
            claimed = answer.header("Docker-Content-Digest").strip()
            return claimed if answer.status == 200 and digests.is_digest(claimed) else ""

    # --- blobs ------------------------------------------------------------------------------------------------------

    def blob(self, digest: str, size: int, offset: int = 0, *, url: str = "") -> BlobStream:
        """A blob from ``offset`` on, as it arrives. ``url``: where a foreign layer is, instead of this registry.

        Not verified here: the store does. Raises :class:`NotFound`, :class:`Corrupt` (an announced size that cannot be).
        """
        what = f"blob {digest}"
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        target = url or f"/v2/{self.repository}/blobs/{digest}"
        answer = self.request("GET", target, headers, good=(200, 206, 416), what=what)
        try:
            start = 0
            if answer.status == 416:
                answer.drain()
                answer = self.request("GET", target, {}, what=what)
            elif answer.status == 206:
                start = range_start(answer.header("Content-Range"))
                if start != offset:
                    raise RemoteError(
                        f"{what}: asked for byte {offset}, {self.endpoint.host} sends from {start}",
                        reason="range",
                    )
            if size >= 0 and answer.length >= 0 and start + answer.length != size:
                raise Corrupt(
                    f"{what}: {self.endpoint.host} announces {start + answer.length} bytes where the manifest says {size}",
                    reason="size-mismatch",
                )
        except BaseException:
            answer.close()
            raise
        return BlobStream(answer, start)

    def has_blob(self, digest: str, scopes: Iterable[str] = ()) -> bool:
        """Whether the repository has the blob (HEAD)."""
        path = f"/v2/{self.repository}/blobs/{digest}"
        with self.request("HEAD", path, good=(200, 404), what=f"blob {digest}", scopes=scopes) as answer:
            return answer.status == 200

    # --- lists ------------------------------------------------------------------------------------------------------

    def tags(self, *, limit: int = 100_000) -> list[str]:
        """All tags of the repository, at most ``limit``."""
        return self._list(f"/v2/{self.repository}/tags/list", "tags", limit)

    def catalog(self, *, limit: int = 100_000) -> list[str]:
        """All repositories the registry tells of, at most ``limit``; many registries do not."""
        return self._list("/v2/_catalog", "repositories", limit)

    def _list(self, path: str, key: str, limit: int) -> list[str]:
        found: list[str] = []
        target = f"{path}?n=1000"
        for _ in range(10_000):
            with self.request(
                "GET", target, what=f"{key} of {self.endpoint.host}/{self.repository}".rstrip("/")
            ) as answer:
                link = answer.header("Link")
                value = jsontext.loads(answer.read(MAX_MANIFEST), what=f"{key} of {self.endpoint.host}")
                names = (value.get(key) if type(value) is dict else None) or []
                url = answer.url
            if type(names) is not list or not all(type(n) is str for n in names):
                raise RemoteError(
                    f"{self.endpoint.host}: answered something that is no list of {key}", reason="garbage"
                )
            found += names
            target = self.following(url, link, key)
            if not target or not names or len(found) >= limit:
                break
        return found[:limit]


class BlobStream:
    """Bytes of a blob from ``start`` on, which may be less than what was asked for. A context manager."""

    def __init__(self, answer: Response, start: int) -> None:
        self._answer = answer
        self.start = start

    @property
    def length(self) -> int:
        """Bytes that are announced to come, -1 when nothing is."""
        return self._answer.length

    def __iter__(self) -> Iterator[bytes]:
        return self._answer.pieces()

    def __enter__(self) -> BlobStream:
        return self

    def __exit__(self, *_: object) -> None:
        self._answer.__exit__()


def check_type(media_type: str, data: bytes, what: str) -> str:
    """The type of a manifest, by its header and its own ``mediaType``, which must agree. Raises :class:`Unsupported`, …"""
    if media_type in _REFUSED:
        raise Unsupported(f"{what} is of {_REFUSED[media_type]}, which is not supported", reason="media-type")
    try:
        value = jsontext.loads(data, what=what)
    except InvalidInput as error:
        raise RemoteError(f"{error.message} (sent as {media_type[:80]!r})", reason="garbage") from None
    if type(value) is not dict:
        raise RemoteError(f"{what}: not a JSON object", reason="garbage")
    if value.get("schemaVersion") == 1 or "fsLayers" in value:
        raise Unsupported(f"{what} is of Docker's schema 1, which is not supported", reason="media-type")
    own = value.get("mediaType")
    own = own if type(own) is str else ""
    if own in _REFUSED:
        raise Unsupported(f"{what} is of {_REFUSED[own]}, which is not supported", reason="media-type")
    known = (*MANIFESTS, *INDEXES)
    if own and media_type not in _VAGUE and own != media_type:
        raise Corrupt(
            f"{what}: sent as {media_type[:100]!r} but calls itself {own[:100]!r}", reason="content-type"
        )
    chosen = own or (media_type if media_type not in _VAGUE else "")
    if not chosen:
        chosen = INDEXES[0] if "manifests" in value else MANIFESTS[0]
    if chosen not in known:
        raise Unsupported(f"{what} is of type {chosen[:100]!r}, not a container image's", reason="media-type")
    if (chosen in INDEXES and "layers" in value) or (chosen in MANIFESTS and "manifests" in value):
        raise Corrupt(f"{what}: is both a manifest and an index", reason="content-type")
    return chosen


def redirected(url: str, location: str, who: str, *, plain: bool = False) -> str:
    """Where the Location header of an answer from ``url`` points, absolute. ``plain``: also from https to http.

    Raises :class:`RemoteError` (reason ``redirect``) for where we do not go; ``who`` sent us there.
    """
    try:
        following = urljoin(url, location)
        parts = urlsplit(following)
        good = bool(location) and parts.scheme in ("http", "https") and bool(parts.hostname)
        good = good and parts.username is None and parts.port != 0
    except ValueError:  # brackets without an address, a port that is none
        good = False
    if not good:
        raise RemoteError(f"{who} points to {location[:200]!r}", reason="redirect")
    if parts.scheme == "http" and urlsplit(url).scheme == "https" and not plain:
        raise RemoteError(f"{who} points from https to plain http ({parts.hostname})", reason="redirect")
    return following


def same_origin(one: str, other: str) -> bool:
    """Whether two URLs have the same scheme, host and port."""
    a, b = urlsplit(one), urlsplit(other)
    default = {"http": 80, "https": 443}
    return (a.scheme, a.hostname, a.port or default.get(a.scheme)) == (
        b.scheme,
        b.hostname,
        b.port or default.get(b.scheme),
    )


def retry_after(header: str) -> float:
    """Seconds that a Retry-After header asks for; 0 when it says nothing we understand. RFC 9110, 10.2.3."""
    text = header.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    if not text:
        return 0.0
    import email.utils
    import time

    try:
        moment = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return max(0.0, moment - time.time())


def backoff(attempt: int) -> float:
    """Seconds to wait after failure number ``attempt`` (from 1), spread so that many clients do not come back at once."""
    return float(min(0.2 * 2 ** (attempt - 1), 10.0) * (0.5 + random.random()))


def range_start(header: str) -> int:
    """The first byte of ``bytes 10-99/100``, -1 for anything else."""
    unit, _, rest = header.strip().partition(" ")
    first = rest.partition("-")[0].strip()
    return int(first) if unit == "bytes" and first.isascii() and first.isdigit() and len(first) < 19 else -1


def next_link(header: str) -> str:
    """The target of ``<URL>; rel="next"`` (RFC 8288), empty when there is none."""
    for part in header.split(","):
        target, _, parameters = part.strip().partition(";")
        if (
            target.startswith("<")
            and target.endswith(">")
            and parameters.replace('"', "").strip() == "rel=next"
        ):
            return target[1:-1]
    return ""


def error_text(data: bytes) -> str:
    """What a registry's error body says, as one printable line."""
    try:
        errors = jsontext.loads(data)["errors"]
        parts = [f"{e.get('code', '')} {e.get('message', '')}".strip() for e in errors[:3]]
    except (LadingError, KeyError, TypeError, AttributeError):
        return ""
    return "".join(c for c in "; ".join(p for p in parts if p) if c.isprintable())[:300]
