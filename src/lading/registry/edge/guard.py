"""Who asks, and whether they may: passwords (RFC 7617) and bearer tokens (RFC 6750) over the rights of the core.

Source of the token flow: Docker's token authentication specification, which clients of every kind follow.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time

from lading.errors import InvalidInput
from lading.formats import duration, jsontext
from lading.registry import rights, tokens
from lading.registry.damping import Damping
from lading.registry.edge import answers
from lading.registry.edge.receiving import small
from lading.registry.errors import DENIED, TOOMANYREQUESTS, UNAUTHORIZED, Refusal
from lading.registry.passwords import Passwords

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import Executor

    from aiohttp import web

    from lading.registry.settings import Settings
    from lading.registry.store import Store

_AT_ONCE = 2
"""Passwords that are computed at the same time: guessing is not to take every processor."""
_LARGEST_FORM = 1 << 16


class Caller:
    """Who asks: ``user`` is empty for anonymous; ``claims`` where a token speaks for them; ``address`` of the client."""

    __slots__ = ("address", "claims", "user")

    def __init__(self, user: str, claims: tokens.Claims | None, address: str) -> None:
        self.user = user
        self.claims = claims
        self.address = address


class Guard:
    """Lets callers in or not, by the files that ``settings`` name."""

    def __init__(self, store: Store, settings: Settings, pool: Executor) -> None:
        self._settings = settings
        self._pool = pool
        self._passwords = Passwords(settings.htpasswd) if settings.htpasswd else None
        self._rights = self._load()
        self._tokens = tokens.Tokens(store.sign("tokens"), settings.service) if settings.tokens else None
        self._damping = Damping()
        self._turn = asyncio.Semaphore(_AT_ONCE)

    def _load(self) -> rights.Rights:
        if self._settings.rights:
            return rights.load(self._settings.rights)
        return rights.USERS if self._passwords is not None else rights.EVERYTHING

    def reload(self) -> None:
        """Read passwords and rights again. Raises :class:`LadingError`; what is broken leaves all as it was."""
        fresh = self._load()
        if self._passwords is not None:
            self._passwords.reload()
        self._rights = fresh

    # --- who --------------------------------------------------------------------------------------------------------

    async def caller(self, request: web.BaseRequest) -> Caller:
        """Who asks. Raises :class:`Refusal`: a wrong password, a bad token, too many of them."""
        address = address_of(request)
        header = request.headers.get("Authorization", "")
        if not header or (self._passwords is None and self._tokens is None):
            return Caller(rights.ANONYMOUS, None, address)
        scheme, _, rest = header.partition(" ")
        if scheme.lower() == "basic" and self._passwords is not None:
            user, password = _basic(rest)
            await self._check(user, password, address)
            return Caller(user, None, address)
        if scheme.lower() == "bearer" and self._tokens is not None:
            try:
                claims = self._tokens.read(rest.strip(), time.time())
            except InvalidInput as error:
                raise self._challenge(request, error.message, error="invalid_token") from None
            return Caller(claims.subject, claims, address)
        raise self._challenge(request, f"Authorization by {scheme[:20]!r} is not supported here")

    async def _check(self, user: str, password: str, address: str) -> None:
        assert self._passwords is not None
        if self._passwords.known(user, password):
            return
        key = f"{address} {user}"
        self._check_guesses(key)
        async with self._turn:
            # Again: what was asked at the same time, by a client with many connections or by a guesser, has been answered since.
            if self._passwords.known(user, password):
                return
            self._check_guesses(key)
            loop = asyncio.get_running_loop()
            right = await loop.run_in_executor(self._pool, self._passwords.check, user, password)
            if right:
                self._damping.succeeded(key)
            else:
                self._damping.failed(key, loop.time())
        if not right:
            raise Refusal(
                UNAUTHORIZED,
                "the user name or the password is wrong",
                headers={"WWW-Authenticate": f'Basic realm="{self._settings.service}"'},
            )

    def _check_guesses(self, key: str) -> None:
        wait = self._damping.wait(key, asyncio.get_running_loop().time())
        if wait:
            raise Refusal(
                TOOMANYREQUESTS,
                "too many wrong passwords from this address",
                headers={"Retry-After": str(int(wait) + 1)},
            )

    # --- whether ----------------------------------------------------------------------------------------------------

    def may(self, caller: Caller, repository: str, action: str) -> bool:
        """Whether ``caller`` may do ``action`` in ``repository``."""
        if caller.claims is not None and action not in caller.claims.access.get(repository, ()):
            return False
        return self._rights.allows(caller.user, repository, action)

    def sees(self, caller: Caller, repository: str) -> bool:
        """Whether ``repository`` stands in the catalog that ``caller`` gets."""
        return self._rights.allows(caller.user, repository, rights.PULL)

    def demand(self, request: web.BaseRequest, caller: Caller, repository: str, *actions: str) -> None:
        """Raise :class:`Refusal` unless ``caller`` may do all ``actions``: 401 who may become somebody else, 403 the others."""
        if all(self.may(caller, repository, action) for action in actions):
            return
        what = f"{' and '.join(actions)} in {repository}"
        if (caller.user and caller.claims is None) or self._passwords is None:
            who = caller.user or "everybody"
            raise Refusal(DENIED, f"{who} may not {what}", detail=repository)
        wanted = ("pull", "push") if "push" in actions else actions
        scope = f"repository:{repository}:{','.join(wanted)}"
        error = "insufficient_scope" if caller.claims is not None else ""
        raise self._challenge(request, f"who may {what}?", scope=scope, error=error)

    def demand_source(self, request: web.BaseRequest, caller: Caller, repository: str, source: str) -> None:
        """Ask for a token that also allows reading ``source``, where a blob is to be mounted from, if the caller can have one.

        Raises :class:`Refusal` (401) with both scopes, as clients expect it; without the right the mount becomes an upload.
        """
        if caller.claims is None or "pull" in caller.claims.access.get(source, ()):
            return
        if self._rights.allows(caller.user, source, rights.PULL):
            scope = f"repository:{repository}:pull,push repository:{source}:pull"
            raise self._challenge(
                request, f"who may pull in {source}?", scope=scope, error="insufficient_scope"
            )

    def demand_name(self, request: web.BaseRequest, caller: Caller) -> None:
        """Raise :class:`Refusal` unless the caller has a name, where there are names; a token for nobody is none."""
        if self._passwords is not None and not caller.user:
            raise self._challenge(request, "who asks?")

    def demand_somebody(self, request: web.BaseRequest, caller: Caller, *, catalog: bool = False) -> None:
        """The same, but who may see something comes in with a token for nobody, and without one for the ``catalog``."""
        if self._passwords is None or caller.user:
            if catalog and caller.claims is not None and not caller.claims.catalog:
                raise self._challenge(
                    request, "who asks?", scope="registry:catalog:*", error="insufficient_scope"
                )
            return
        if (caller.claims is not None or catalog) and self._rights.open:
            return
        raise self._challenge(request, "who asks?", scope="registry:catalog:*" if catalog else "")

    def _challenge(
        self, request: web.BaseRequest, message: str, *, scope: str = "", error: str = ""
    ) -> Refusal:
        service = self._settings.service
        if self._tokens is None:
            value = f'Basic realm="{service}"'
        else:
            value = f'Bearer realm="{_origin(request)}/token",service="{service}"'
            if scope:
                value += f',scope="{scope}"'
            if error:
                value += f',error="{error}"'
        return Refusal(UNAUTHORIZED, message, headers={"WWW-Authenticate": value})

    # --- tokens -----------------------------------------------------------------------------------------------------

    async def token(self, request: web.BaseRequest) -> web.StreamResponse:
        """The token endpoint: GET with a password, or OAuth 2's POST with one or a refresh token."""
        if self._tokens is None:
            raise Refusal("UNSUPPORTED", "this registry gives no tokens", status=404)
        address = address_of(request)
        now = time.time()
        asked = request.query
        if request.method == "POST":
            data = await small(request, _LARGEST_FORM, "a form")
            asked = _form(data)
            user = await self._granted(asked, address, now)
            offline = asked.get("access_type") == "offline"
        else:
            caller = await self.caller(request)
            if caller.claims is not None:
                raise Refusal(UNAUTHORIZED, "a token is had with a password")
            user = caller.user
            offline = asked.get("offline_token", "").lower() in ("1", "true")
        service = asked.get("service", self._tokens.service)
        if service != self._tokens.service:
            raise Refusal(DENIED, f"there is no service {service[:80]!r} here", status=400)
        wanted = tokens.scopes(asked.getall("scope", []))
        access = {
            name: frozenset(a for a in actions if self._rights.allows(user, name, a))
            for name, actions in wanted.access.items()
        }
        claims = tokens.Claims(user, access, catalog=wanted.catalog)
        token = self._tokens.issue(claims, now)
        answer: dict[str, object] = {
            "token": token,
            "access_token": token,
            "expires_in": int(tokens.LIFE),
            "issued_at": duration.rfc3339(now),
        }
        if offline and user and self._passwords is not None:
            answer["refresh_token"] = self._tokens.refresh(user, self._passwords.mark(user), now)
        return answers.plain(200, jsontext.dumps(answer).encode(), headers={"Cache-Control": "no-store"})

    async def _granted(self, asked: Form, address: str, now: float) -> str:
        """The user that an OAuth 2 grant is for (RFC 6749, sections 4.3 and 6)."""
        assert self._tokens is not None
        kind = asked.get("grant_type", "")
        if kind == "password" and self._passwords is not None:
            user = asked.get("username", "")
            await self._check(user, asked.get("password", ""), address)
            return user
        if kind == "refresh_token" and self._passwords is not None:
            try:
                claims = self._tokens.read_refresh(asked.get("refresh_token", ""), now)
            except InvalidInput as error:
                raise Refusal(UNAUTHORIZED, error.message) from None
            if claims.mark != self._passwords.mark(claims.subject):
                raise Refusal(UNAUTHORIZED, "the password was changed since: log in again")
            return claims.subject
        raise Refusal(UNAUTHORIZED, f"grant_type {kind[:40]!r} is not password or refresh_token", status=400)


if TYPE_CHECKING:
    from multidict import MultiMapping

    Form = MultiMapping[str]


def _form(data: bytes) -> Form:
    from urllib.parse import parse_qsl

    from multidict import MultiDict

    try:
        return MultiDict(parse_qsl(data.decode(), max_num_fields=100))
    except ValueError:
        raise Refusal("UNSUPPORTED", "the body is no form", status=400) from None


def _basic(text: str) -> tuple[str, str]:
    """User and password of RFC 7617; bytes that are no UTF-8 stay distinct."""
    try:
        decoded = base64.b64decode(text.strip(), validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        raise Refusal(UNAUTHORIZED, "the Authorization header is not base64", status=400) from None
    user, colon, password = decoded.partition(":")
    if not colon:
        raise Refusal(UNAUTHORIZED, "the Authorization header has no password", status=400)
    return user, password


def _origin(request: web.BaseRequest) -> str:
    """Where the client reached us: a proxy in front says so (``X-Forwarded-Proto``), and lies to nobody but its own client."""
    forwarded = request.headers.get("X-Forwarded-Proto", "").strip().lower()
    scheme = forwarded if forwarded in ("http", "https") else ("https" if request.secure else "http")
    host = request.headers.get("Host", "")
    safe = all(c.isascii() and (c.isalnum() or c in ".-:[]_") for c in host)
    return f"{scheme}://{host if safe and host else 'localhost'}"


def address_of(request: web.BaseRequest) -> str:
    """The client's address; ``unix`` over a Unix socket."""
    transport = request.transport
    peer = transport.get_extra_info("peername") if transport is not None else None
    return str(peer[0]) if isinstance(peer, tuple) else "unix"
