"""Which images may be used: the policy file of containers/image, ``policy.json``.

Source: containers-policy.json(5). As there, reading is strict (an unknown or doubled field, type or rule makes the whole file
unusable, and with it every operation that would have to obey it), the closest scope alone counts, and all of its
requirements have to be met. What the format has and Lading cannot check is read, kept, and met by no image.
"""

from __future__ import annotations

import base64
import binascii

from lading.errors import InvalidInput, LadingError
from lading.formats import jsontext
from lading.formats.schema import Record
from lading.formats.signing import identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.formats.reference import Reference
    from lading.formats.signing.identity import Identity

ACCEPT = "insecureAcceptAnything"
REJECT = "reject"
SIGNED_BY = "signedBy"
SIGSTORE = "sigstoreSigned"
BASE_LAYER = "signedBaseLayer"

DOCKER = "docker"
DOCKER_ARCHIVE = "docker-archive"
OCI_ARCHIVE = "oci-archive"
OCI = "oci"
_PATHS = ("dir", OCI, OCI_ARCHIVE, "sif")
_LARGEST = 4 << 20

_KEYS = ("keyPath", "keyPaths", "keyData", "keyDatas", "fulcio", "pki")
_REKOR = ("rekorPublicKeyPath", "rekorPublicKeyPaths", "rekorPublicKeyData", "rekorPublicKeyDatas")


class _Plain(Record):
    type: str


class _SignedBy(Record):
    type: str
    key_type: str
    key_path: str | None = None
    key_paths: list[str] | None = None
    key_data: str | None = None
    signed_identity: object = None


class _Sigstore(Record):
    _wire = {
        "rekor_public_key_path": "rekorPublicKeyPath",
        "rekor_public_key_paths": "rekorPublicKeyPaths",
        "rekor_public_key_data": "rekorPublicKeyData",
        "rekor_public_key_datas": "rekorPublicKeyDatas",
    }
    type: str
    key_path: str | None = None
    key_paths: list[str] | None = None
    key_data: str | None = None
    key_datas: list[str] | None = None
    fulcio: object = None
    pki: object = None
    rekor_public_key_path: str | None = None
    rekor_public_key_paths: list[str] | None = None
    rekor_public_key_data: str | None = None
    rekor_public_key_datas: list[str] | None = None
    signed_identity: object = None


class _BaseLayer(Record):
    type: str
    base_layer_identity: object


class _File(Record):
    default: list[object]
    transports: dict[str, dict[str, list[object]]] = {}


class Requirement:
    """One thing that has to be true of an image.

    ``kind``         its type in the file.
    ``paths``        files with public keys; a signature of any of them, or of any of ``data``, counts.
    ``data``         public keys that stand in the file itself.
    ``identity``     the rule for the name in the signature.
    ``unsupported``  what of it Lading cannot check, in words; empty when it can.
    """

    __slots__ = ("data", "identity", "kind", "paths", "unsupported", "value")

    def __init__(
        self,
        kind: str,
        *,
        value: object,
        paths: Sequence[str] = (),
        data: Sequence[bytes] = (),
        identity: Identity | None = None,
        unsupported: str = "",
    ) -> None:
        self.kind = kind
        self.value = value
        self.paths = list(paths)
        self.data = list(data)
        self.identity = identity
        self.unsupported = unsupported

    def encode(self) -> object:
        """As it stands in the file."""
        return self.value


class Rule:
    """The requirements that count for an image, and where they stand: ``default``, ``docker: quay.io/team``."""

    __slots__ = ("requirements", "scope")

    def __init__(self, scope: str, requirements: list[Requirement]) -> None:
        self.scope = scope
        self.requirements = requirements


class Policy:
    """A whole policy: ``default``, and by transport and scope what counts instead of it."""

    __slots__ = ("default", "transports")

    def __init__(
        self, default: list[Requirement], transports: dict[str, dict[str, list[Requirement]]] | None = None
    ) -> None:
        self.default = default
        self.transports = transports or {}

    def encode(self) -> dict[str, object]:
        """The file's JSON."""
        made: dict[str, object] = {"default": [r.encode() for r in self.default]}
        transports = {
            transport: {scope: [r.encode() for r in rows] for scope, rows in scopes.items()}
            for transport, scopes in self.transports.items()
            if scopes
        }
        return {**made, "transports": transports} if transports else made

    def rule(self, transport: str, scopes: Sequence[str]) -> Rule:
        """What counts for an image with these scopes, the closest first."""
        known = self.transports.get(transport, {})
        for scope in (*scopes, ""):
            if scope in known:
                return Rule(f"{transport}: {scope}".rstrip(" :"), known[scope])
        return Rule("default", self.default)

    def for_name(self, reference: Reference) -> Rule:
        """What counts for an image of a registry."""
        return self.rule(DOCKER, scopes_of_name(reference))

    def for_path(self, transport: str, path: str) -> Rule:
        """What counts for an archive or a directory; ``path`` absolute and without links, empty for a stream."""
        return self.rule(transport, scopes_of_path(path) if transport in _PATHS else [])


def scopes_of_name(reference: Reference) -> list[str]:
    """The scopes that a name is in, closest first: itself, its repository, namespaces, host, ``*.DOMAIN``."""
    name = reference.name
    suffix = f"@{reference.digest}" if reference.digest else f":{reference.tag}"
    found = [name + suffix]
    while True:
        found.append(name)
        name, slash, _ = name.rpartition("/")
        if not slash:
            break
    host = reference.registry
    if not host.startswith("["):
        host = host.partition(":")[0]
        while "." in host:
            host = host.partition(".")[2]
            found.append("*." + host)
    return found


def scopes_of_path(path: str) -> list[str]:
    """A path and the directories above it, the root apart."""
    found = []
    while path and path != "/":
        found.append(path)
        path = path.rpartition("/")[0]
    return found


def decode(data: bytes, *, where: str) -> Policy:
    """Read a policy file. Raises :class:`InvalidInput` (reason ``policy``) that names file, field and fault."""
    try:
        if len(data) > _LARGEST:
            raise InvalidInput(f"{where}: is larger than {_LARGEST} bytes")
        made = _File.decode(jsontext.loads(data, what=where), where=where)
        default = requirements(made.default, where=f"{where}: default")
        transports: dict[str, dict[str, list[Requirement]]] = {}
        for transport, scopes in made.transports.items():
            rows: dict[str, list[Requirement]] = {}
            transports[transport] = rows
            for scope, values in scopes.items():
                place = f"{where}: transports.{transport}[{scope!r}]"
                _check_scope(transport, scope, place)
                rows[scope] = requirements(values, where=place)
    except LadingError as error:
        raise InvalidInput(error.message, hint=error.hint, reason="policy") from None
    return Policy(default, transports)


def _check_scope(transport: str, scope: str, where: str) -> None:
    if transport in _PATHS and scope:
        parts = scope.split("/")
        if parts[0] or len(parts) < 2 or any(part in ("", ".", "..") for part in parts[1:]):
            raise InvalidInput(f"{where}: a scope must be an absolute path without . and .., not the root")
    if transport in (DOCKER_ARCHIVE, "tarball") and scope:
        raise InvalidInput(f'{where}: the only scope of {transport} is ""')


def requirements(values: list[object], *, where: str) -> list[Requirement]:
    """Read a list of requirements, which must not be empty. Raises :class:`InvalidInput`."""
    if not values:
        raise InvalidInput(
            f"{where}: a list of requirements must not be empty", hint=f'write {{"type": "{ACCEPT}"}}'
        )
    return [_requirement(value, f"{where}[{number}]") for number, value in enumerate(values)]


def _requirement(value: object, where: str) -> Requirement:
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(kind, str):
        raise InvalidInput(f"{where}: must be an object with a type")
    if kind in (ACCEPT, REJECT):
        _Plain.decode(value, where=where)
        return Requirement(kind, value=value)
    if kind == SIGNED_BY:
        return _signed_by(value, where)
    if kind == SIGSTORE:
        return _sigstore(value, where)
    if kind == BASE_LAYER:
        identity.decode(
            _BaseLayer.decode(value, where=where).base_layer_identity, where=f"{where}.baseLayerIdentity"
        )
        return Requirement(kind, value=value, unsupported="signatures of base layers cannot be checked")
    raise InvalidInput(f"{where}.type: {kind[:80]!r} is no requirement that is known")


def _signed_by(value: dict[str, object], where: str) -> Requirement:
    made = _SignedBy.decode(value, where=where)
    if made.key_type != "GPGKeys":
        raise InvalidInput(f"{where}.keyType: {made.key_type[:80]!r} is not GPGKeys")
    _one_of(value, ("keyPath", "keyPaths", "keyData"), where)
    return Requirement(
        SIGNED_BY,
        value=value,
        paths=_paths(made.key_path, made.key_paths, where),
        data=[_base64(made.key_data, f"{where}.keyData")] if made.key_data is not None else [],
        identity=_identity(value, made.signed_identity, where),
        unsupported="OpenPGP signatures (signedBy) of images cannot be checked, only sigstoreSigned",
    )


def _sigstore(value: dict[str, object], where: str) -> Requirement:
    made = _Sigstore.decode(value, where=where)
    source = _one_of(value, _KEYS, where)
    rekor = [name for name in _REKOR if name in value]
    if len(rekor) > 1:
        raise InvalidInput(f"{where}: {' and '.join(rekor)} exclude each other")
    if source == "fulcio" and not rekor:
        raise InvalidInput(f"{where}: fulcio needs the public key of a Rekor log (rekorPublicKeyPath)")
    if source == "pki" and rekor:
        raise InvalidInput(f"{where}: {rekor[0]} is not possible with pki")
    unsupported = ""
    if source in ("fulcio", "pki"):
        unsupported = f"certificates ({source}) cannot be checked, only keys"
    elif rekor:
        unsupported = f"entries of a transparency log ({rekor[0]}) cannot be checked"
    datas = ([made.key_data] if made.key_data is not None else []) + (made.key_datas or [])
    return Requirement(
        SIGSTORE,
        value=value,
        paths=_paths(made.key_path, made.key_paths, where),
        data=[_base64(text, f"{where}.{source}") for text in datas],
        identity=_identity(value, made.signed_identity, where),
        unsupported=unsupported,
    )


def _one_of(value: dict[str, object], names: Sequence[str], where: str) -> str:
    present = [name for name in names if name in value]
    if len(present) != 1:
        raise InvalidInput(f"{where}: needs exactly one of {', '.join(names)}")
    if value[present[0]] in (None, "", [], {}):
        raise InvalidInput(f"{where}.{present[0]}: is empty")
    return present[0]


def _paths(one: str | None, several: list[str] | None, where: str) -> list[str]:
    found = ([one] if one is not None else []) + (several or [])
    for path in found:
        if not path or "\0" in path:
            raise InvalidInput(f"{where}: {path[:80]!r} is no path of a key")
    return found


def _base64(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(f"{where}: is not base64") from None


def _identity(value: dict[str, object], stated: object, where: str) -> Identity:
    if "signedIdentity" not in value:
        return identity.Identity()
    return identity.decode(stated, where=f"{where}.signedIdentity")
