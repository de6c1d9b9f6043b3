"""Bearer tokens: who somebody is and what they may do for the next minutes, signed by the registry itself.

JSON Web Tokens (RFC 7519) with HMAC-SHA-256 (RFC 7518, HS256) and the ``access`` claim of Docker's token authentication. No
algorithm but that one is looked at, whatever a token says.
"""

from __future__ import annotations

import base64
import hmac
import os

from lading.errors import InvalidInput
from lading.formats import jsontext

LIFE = 300.0
REFRESH_LIFE = 90 * 86400.0
_LONGEST = 16384
_HEADER = base64.urlsafe_b64encode(b'{"typ":"JWT","alg":"HS256"}').rstrip(b"=")

Access = dict[str, frozenset[str]]
"""Repository → actions."""


class Claims:
    """``subject``: a user, empty for anonymous; ``access``: what was granted; ``catalog``: whether listing was."""

    __slots__ = ("access", "catalog", "mark", "subject")

    def __init__(self, subject: str, access: Access, *, catalog: bool = False, mark: str = "") -> None:
        self.subject = subject
        self.access = access
        self.catalog = catalog
        self.mark = mark


class Scopes:
    """What a client asks for: ``access`` per repository, and the ``catalog``."""

    __slots__ = ("access", "catalog")

    def __init__(self, access: dict[str, set[str]], catalog: bool) -> None:
        self.access = access
        self.catalog = catalog


class Tokens:
    """Makes and reads tokens for one ``service``, signed with ``key``."""

    def __init__(self, key: bytes, service: str) -> None:
        self._key = key
        self.service = service

    def issue(self, claims: Claims, now: float) -> str:
        """An access token that is good for :data:`LIFE` seconds from ``now``."""
        access: list[object] = [
            {"type": "repository", "name": name, "actions": sorted(actions)}
            for name, actions in claims.access.items()
            if actions
        ]
        if claims.catalog:
            access.append({"type": "registry", "name": "catalog", "actions": ["*"]})
        return self._signed("access", claims.subject, now, LIFE, {"access": access})

    def refresh(self, subject: str, mark: str, now: float) -> str:
        """A token to get others with, without the password; ``mark`` changes when that does."""
        return self._signed("refresh", subject, now, REFRESH_LIFE, {"mark": mark})

    def read(self, token: str, now: float) -> Claims:
        """What an access token says. Raises :class:`InvalidInput` when it is not ours, or too old."""
        value = self._checked(token, "access", now)
        access: Access = {}
        catalog = False
        entries = value.get("access")
        for entry in entries if isinstance(entries, list) else []:
            if entry["type"] == "registry":
                catalog = True
            else:
                access[str(entry["name"])] = frozenset(str(action) for action in entry["actions"])
        return Claims(str(value["sub"]), access, catalog=catalog)

    def read_refresh(self, token: str, now: float) -> Claims:
        """Whose refresh token it is, with its mark. Raises :class:`InvalidInput`."""
        value = self._checked(token, "refresh", now)
        return Claims(str(value["sub"]), {}, mark=str(value["mark"]))

    def _signed(self, use: str, subject: str, now: float, life: float, more: dict[str, object]) -> str:
        value: dict[str, object] = {
            "iss": self.service,
            "aud": self.service,
            "sub": subject,
            "use": use,
            "iat": int(now),
            "nbf": int(now) - 5,
            "exp": int(now + life),
            "jti": os.urandom(8).hex(),
            **more,
        }
        body = _HEADER + b"." + _encoded(jsontext.dumps(value).encode())
        return (body + b"." + _encoded(self._signature(body))).decode()

    def _signature(self, body: bytes) -> bytes:
        return hmac.digest(self._key, b"token\0" + body, "sha256")

    def _checked(self, token: str, use: str, now: float) -> dict[str, object]:
        if len(token) > _LONGEST or not token.isascii():
            raise _bad("it is no token")
        body, _, signature = token.encode().rpartition(b".")
        # The header is part of what is signed, and nobody else has the key: what it says need not be asked.
        if not hmac.compare_digest(_encoded(self._signature(body)), signature):
            raise _bad("its signature is not this registry's")
        value = jsontext.loads(base64.urlsafe_b64decode(body.partition(b".")[2] + b"=="), what="the token")
        if value.get("use") != use or value.get("aud") != self.service:
            raise _bad("it is for something else")
        if not value["nbf"] <= now < value["exp"]:
            raise _bad("it has expired")
        assert isinstance(value, dict)
        return value


def scopes(texts: list[str]) -> Scopes:
    """What ``scope`` parameters ask for: ``repository:NAME:pull,push`` and ``registry:catalog:*``; others ask for nothing here.

    Source: Docker's token authentication specification, "Resource scope".
    """
    access: dict[str, set[str]] = {}
    catalog = False
    for text in " ".join(texts).split():
        kind, _, rest = text.partition(":")
        name, _, actions = rest.rpartition(":")
        if kind == "registry" and name == "catalog":
            catalog = True
        if kind == "repository" and name:
            wanted = access.setdefault(name, set())
            for action in actions.split(","):
                wanted.update(("pull", "push", "delete") if action == "*" else (action,))
    return Scopes(access, catalog)


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _bad(why: str) -> InvalidInput:
    return InvalidInput(f"the token is refused: {why}", reason="token")
