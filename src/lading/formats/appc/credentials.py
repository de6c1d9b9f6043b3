"""Credentials for discovery pages, images and signatures, in the form of Rocket's ``auth.d`` files.

Source: Rocket's documentation, "configuration", kind ``auth`` version ``v1``. A domain here may also go on with a path, and the
longest one that fits a URL counts. Beside them stand files of the kind ``dockerAuth``, for registries.
"""

from __future__ import annotations

import base64

from lading.errors import InvalidInput, Unsupported
from lading.formats import jsontext
from lading.formats.appc import awssign
from lading.formats.appc.awssign import Keys
from lading.formats.appc.errors import bad, join, shown
from lading.formats.schema import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import TypeVar

    Known = TypeVar("Known", "Credential", "Login")

KINDS = ("auth", "dockerAuth")
"""Of the files in ``auth.d``."""


class Secrets(Record):
    """``user`` and ``password`` of ``basic``, ``token`` of ``oauth``, the others of ``aws``."""

    _wire = {"access_key_id": "accessKeyID"}

    user: str = ""
    password: str = ""
    token: str = ""
    access_key_id: str = ""
    secret_access_key: str = ""
    aws_region: str = ""

    def __repr__(self) -> str:
        return "Secrets(…)"


class AuthFile(Record):
    """One file."""

    rkt_kind: str
    rkt_version: str
    domains: list[str] = []
    type: str = ""
    credentials: Secrets | None = None


class RegistryFile(Record):
    """One file of the kind ``dockerAuth``."""

    rkt_kind: str
    rkt_version: str
    registries: list[str] = []
    credentials: Secrets | None = None


class Login:
    """Who we are at a registry (``HOST[:PORT]``)."""

    __slots__ = ("domain", "password", "user")

    def __init__(self, domain: str, user: str, password: str) -> None:
        self.domain = domain
        self.user = user
        self.password = password

    def __repr__(self) -> str:
        return f"Login({self.domain!r})"


class Credential:
    """Who we are at ``domain`` (``HOST[:PORT][/PATH]``).

    ``header`` is the value of ``Authorization``, or ``keys`` what makes one for each request.
    """

    __slots__ = ("domain", "header", "keys")

    def __init__(self, domain: str, header: str, keys: Keys | None = None) -> None:
        self.domain = domain
        self.header = header
        self.keys = keys

    def headers(self, url: str, now: float) -> dict[str, str]:
        """What a GET of ``url`` at ``now`` (Unix time) has to say who asks."""
        if self.keys is None:
            return {"Authorization": self.header}
        return awssign.headers(url, self.keys, now)

    def __repr__(self) -> str:
        # The header is a secret, and reprs end in logs.
        return f"Credential({self.domain!r})"


def parse(text: str | bytes, *, what: str) -> list[Credential]:
    """The credentials in one file; none for one of the kind ``dockerAuth``. ``what`` names it in errors.

    Raises :class:`InvalidInput`, :class:`Unsupported` (another version).
    """
    value = jsontext.loads(text, what=what)
    if kind_of(value, KINDS, what) != "auth":
        return []
    file = AuthFile.decode(value, where=what)
    if not file.domains:
        raise bad(join(what, "domains"), "must not be empty")
    keys = _keys(file, what) if file.type == "aws" else None
    header = "" if keys is not None else _header(file, what)
    return [
        Credential(_domain(domain, join(what, f"domains[{index}]")), header, keys)
        for index, domain in enumerate(file.domains)
    ]


def logins(text: str | bytes, *, what: str) -> list[Login]:
    """The same for registries, of a file of the kind ``dockerAuth``; none for one of the kind ``auth``."""
    value = jsontext.loads(text, what=what)
    if kind_of(value, KINDS, what) != "dockerAuth":
        return []
    file = RegistryFile.decode(value, where=what)
    secrets = file.credentials or Secrets()
    if not file.registries:
        raise bad(join(what, "registries"), "must not be empty")
    if secrets.token:
        raise bad(join(what, "credentials.token"), "means nothing for a registry: it has user and password")
    if not secrets.user or not secrets.password:
        raise bad(join(what, "credentials"), "needs user and password")
    return [
        Login(_domain(name, join(what, f"registries[{index}]")), secrets.user, secrets.password)
        for index, name in enumerate(file.registries)
    ]


def kind_of(value: object, kinds: Sequence[str], what: str) -> str:
    """The ``rktKind`` of a file in a directory for ``kinds``. Raises :class:`InvalidInput`, :class:`Unsupported` (version)."""
    if type(value) is not dict:
        raise bad(what, "is not an object")
    kind, version = value.get("rktKind"), value.get("rktVersion")
    if type(kind) is not str or kind not in kinds:
        found = "rktKind is missing" if not kind else f"rktKind {shown(str(kind))}"
        raise bad(what, f"{found}: files here are of the kind {' or '.join(kinds)}")
    if not version:
        raise bad(what, "rktVersion is missing")
    if version != "v1":
        raise Unsupported(f"{what}: rktVersion {shown(str(version))} is not supported; it is v1")
    return kind


def _domain(text: str, where: str) -> str:
    if not _is_domain(text):
        raise bad(where, f"{shown(text)} is not HOST, HOST:PORT or one of them with a path")
    return text.rstrip("/")


def _keys(file: AuthFile, what: str) -> Keys:
    secrets = file.credentials or Secrets()
    where = join(what, "credentials")
    if not secrets.access_key_id or not secrets.secret_access_key:
        raise bad(where, "needs accessKeyID and secretAccessKey")
    for name, text in (("accessKeyID", secrets.access_key_id), ("awsRegion", secrets.aws_region)):
        if not all(c.isascii() and (c.isalnum() or c in "-_") for c in text):
            raise bad(join(where, name), f"{shown(text)} is not a word of letters, digits and '-'")
    return Keys(secrets.access_key_id, secrets.secret_access_key, secrets.aws_region)


def _header(file: AuthFile, what: str) -> str:
    secrets = file.credentials or Secrets()
    where = join(what, "credentials")
    if file.type == "basic":
        if not secrets.user or not secrets.password:
            raise bad(where, "needs user and password")
        if ":" in secrets.user or not (secrets.user + secrets.password).isprintable():
            raise bad(where, "a user has no colon in it, and neither has a control character")
        return "Basic " + base64.b64encode(f"{secrets.user}:{secrets.password}".encode()).decode()
    if file.type == "oauth":
        # A header must not be torn apart by what is in a file.
        if (
            not secrets.token
            or not secrets.token.isascii()
            or not secrets.token.isprintable()
            or " " in secrets.token
        ):
            raise bad(join(where, "token"), "is missing or is not one word of ASCII")
        return "Bearer " + secrets.token
    raise bad(join(what, "type"), f"{shown(file.type)} is not 'basic', 'oauth' or 'aws'")


def _is_domain(text: str) -> bool:
    host, _, path = text.partition("/")
    name, colon, port = host.partition(":")
    return (
        bool(name)
        and "://" not in text
        and "@" not in text
        and text.isascii()
        and text.isprintable()
        and " " not in text
        and (not colon or (port.isdigit() and 0 < int(port) < 65536))
        and ".." not in path.split("/")
    )


def together(files: Iterable[tuple[str, Iterable[Known]]]) -> dict[str, Known]:
    """The credentials of one directory by domain. Two files for one domain are an error: their order would be chance.

    A directory that overrides another does so by ``{**system, **local}``. Raises :class:`InvalidInput`.
    """
    made: dict[str, Known] = {}
    owner: dict[str, str] = {}
    for name, credentials in files:
        for credential in credentials:
            if credential.domain in made:
                raise InvalidInput(
                    f"{name}: {owner[credential.domain]} has credentials for {credential.domain} already"
                )
            made[credential.domain] = credential
            owner[credential.domain] = name
    return made


def credential_for(url: str, known: Mapping[str, Credential]) -> Credential | None:
    """Who we are where a URL leads; None where nobody knows us, and for plain HTTP.

    A domain without a port fits the scheme's own port only.
    """
    scheme, colon, rest = url.partition("://")
    if not colon or scheme.lower() != "https":
        return None
    place, _, path = rest.partition("?")[0].partition("#")[0].partition("/")
    place = place.rpartition("@")[2].lower().removesuffix(":443")
    found = _at(known, place)
    parts = path.split("/")
    if any(part.lower().replace("%2e", ".") in (".", "..") for part in parts):
        return found  # a path that leads elsewhere than it says
    for part in parts:
        place += "/" + part
        found = _at(known, place) or found
    return found


def _at(known: Mapping[str, Credential], place: str) -> Credential | None:
    host, slash, path = place.partition("/")
    for domain, credential in known.items():
        other, other_slash, other_path = domain.partition("/")
        if other.lower().removesuffix(":443") == host and (other_slash, other_path) == (slash, path):
            return credential
    return None
