"""Bearer tokens: asked for when a registry wants one, kept until they expire, shared by all threads of a transfer.

Sources: distribution's "Token Authentication Specification" and "Oauth2 Token Authentication"; RFC 6750.
"""

from __future__ import annotations

import threading
import time
from urllib.parse import quote, urlencode, urlsplit

from lading.errors import Denied, LadingError, RemoteError
from lading.formats import jsontext
from lading.images.auth import Credentials
from lading.images.auth_challenge import Challenge, parse
from lading.images.remote_proxy import is_loopback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from lading.images.remote_config import Endpoint
    from lading.images.remote_http import HttpPool

CLIENT = "lading"
_MAX_ANSWER = 1 << 20
_MARGIN = 10.0  # seconds before its end at which a token is not used any more
_SHORTEST = 60  # seconds a token lives at least, by the specification


class Busy(RemoteError):
    """A token service is in trouble or wants fewer requests: another attempt may go better."""

    reason = "token"


def repository_scope(repository: str, actions: str) -> str:
    """The scope of ``actions`` (``pull`` or ``pull,push``) on a repository."""
    return f"repository:{repository}:{actions}"


class Authorizer:
    """Authorization headers for one endpoint. Safe for many threads."""

    def __init__(self, endpoint: Endpoint, pool: HttpPool, credentials: Credentials) -> None:
        self._endpoint = endpoint
        self._pool = pool
        self._credentials = credentials
        self._lock = threading.Lock()
        self._challenge: Challenge | None = None
        self._tokens: dict[str, tuple[str, float]] = {}

    def header(self, scopes: Iterable[str]) -> str:
        """The Authorization header to send, empty when none is known to be needed yet."""
        if self._credentials.bearer:
            return f"Bearer {self._credentials.bearer}"
        with self._lock:
            challenge = self._challenge
            if challenge is None:
                return ""
            if challenge.scheme == "basic":
                return self._credentials.basic if self._credentials.user else ""
            return self._token(challenge, _joined(scopes))

    def refused(self, header: str, used: str, scopes: Iterable[str], what: str) -> str:
        """The answer was 401 with this ``WWW-Authenticate`` header: the Authorization to try next.

        ``used`` is what was sent. Raises :class:`Denied` when there is nothing better to offer.
        """
        challenge = _choose(parse(header))
        if challenge is None:
            raise Denied(
                f"{what}: the registry refuses and does not say how to log in", reason="unauthorized"
            )
        if self._credentials.bearer:
            raise self._denied(what)
        with self._lock:
            if challenge.scheme == "basic":
                if not self._credentials.user or used == self._credentials.basic:
                    raise self._denied(what)
                self._challenge = challenge
                return self._credentials.basic
            wanted = _joined(scopes)
            known = self._tokens.get(wanted)
            if known is not None and used == f"Bearer {known[0]}":
                del self._tokens[wanted]
            self._challenge = challenge
            return self._token(challenge, wanted)

    def _denied(self, what: str) -> Denied:
        name = self._endpoint.registry
        if self._credentials:
            return Denied(
                f"{what}: {name} does not accept the credentials",
                hint=f"log in again: `lading login {name}`",
                reason="unauthorized",
            )
        return Denied(f"{what}: {name} wants a log-in", hint=f"`lading login {name}`", reason="unauthorized")

    def _token(self, challenge: Challenge, wanted: str) -> str:
        known = self._tokens.get(wanted)
        if known is not None and time.monotonic() < known[1]:
            return f"Bearer {known[0]}"
        scope = wanted or challenge.parameters.get("scope", "")
        token, seconds = self._fetch(challenge, scope)
        self._tokens[wanted] = token, time.monotonic() + seconds - min(_MARGIN, seconds / 4)
        return f"Bearer {token}"

    def _fetch(self, challenge: Challenge, scope: str) -> tuple[str, int]:
        realm = challenge.parameters.get("realm", "")
        service = challenge.parameters.get("service", "")
        self._check_realm(realm)
        scopes = scope.split(" ") if scope else []
        credentials = self._credentials
        if credentials.identity_token:
            fields = {
                "grant_type": "refresh_token",
                "service": service,
                "client_id": CLIENT,
                "refresh_token": credentials.identity_token,
            }
            if scope:
                fields["scope"] = scope
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            answer = self._pool.request("POST", realm, headers, urlencode(fields).encode())
        else:
            query = [("service", service)] if service else []
            query += [("scope", one) for one in scopes]
            headers = {}
            if credentials.user:
                query.append(("account", credentials.user))
                headers["Authorization"] = credentials.basic
            joiner = "&" if urlsplit(realm).query else "?"
            answer = self._pool.request(
                "GET", realm + (joiner + urlencode(query, quote_via=quote) if query else ""), headers
            )
        with answer:
            return self._read(answer.status, answer.read(_MAX_ANSWER), realm)

    def _check_realm(self, realm: str) -> None:
        try:
            parts = urlsplit(realm)
            host = parts.hostname if parts.port != 0 and parts.username is None else ""
        except ValueError:  # brackets without an address, a port that is none
            host = ""
        if host and parts.scheme == "https":
            return
        plain = self._endpoint.scheme == "http"
        if host and parts.scheme == "http" and plain and (self._endpoint.insecure or is_loopback(host)):
            return
        raise RemoteError(
            f"registry {self._endpoint.registry} wants tokens from {realm[:200]!r}, which is not an https URL",
            reason="token-realm",
        )

    def _read(self, status: int, data: bytes, realm: str) -> tuple[str, int]:
        if status in (400, 401, 403):
            raise self._denied(f"the token service {_host(realm)} said {status}")
        if status in (408, 429) or status >= 500:
            raise Busy(f"the token service {_host(realm)} answered {status}")
        if status != 200:
            raise RemoteError(f"the token service {_host(realm)} answered {status}", reason="token")
        try:
            value = jsontext.loads(data)
            token = value.get("token") or value.get("access_token")
            seconds = value.get("expires_in") or _SHORTEST
        except (LadingError, AttributeError):
            token = seconds = None
        if (
            not isinstance(token, str)
            or not 0 < len(token) < 65536
            or not (token.isascii() and token.isprintable())
            or not isinstance(seconds, (int, float))
        ):
            raise RemoteError(
                f"the token service {_host(realm)} answered something that is no token", reason="token"
            )
        return token, int(min(max(seconds, 1), 86400))


def _choose(challenges: list[Challenge]) -> Challenge | None:
    """Bearer, else Basic; of a registry that offers both, Basic only where Bearer is malformed."""
    for challenge in challenges:
        if challenge.scheme == "bearer" and challenge.parameters.get("realm"):
            return challenge
    return next((c for c in challenges if c.scheme == "basic"), None)


def _joined(scopes: Iterable[str]) -> str:
    return " ".join(sorted(set(scopes)))


def _host(realm: str) -> str:
    return urlsplit(realm).hostname or "?"
