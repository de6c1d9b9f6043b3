"""Whether the name that a signature claims is one for the image that was asked for.

Source: containers-policy.json(5), "signedIdentity".
"""

from __future__ import annotations

from lading.errors import InvalidInput, LadingError
from lading.formats.reference import Reference
from lading.formats.schema import Record

MATCH_EXACT = "matchExact"
MATCH_DIGEST_OR_EXACT = "matchRepoDigestOrExact"
MATCH_REPOSITORY = "matchRepository"
EXACT_REFERENCE = "exactReference"
EXACT_REPOSITORY = "exactRepository"
REMAP = "remapIdentity"


class _Plain(Record):
    type: str


class _Reference(Record):
    type: str
    docker_reference: str


class _Repository(Record):
    type: str
    docker_repository: str


class _Remap(Record):
    type: str
    prefix: str
    signed_prefix: str


class Identity:
    """A rule for names. ``name`` and ``signed`` are what the rule's kind makes of them: a reference, a repository, prefixes."""

    __slots__ = ("kind", "name", "signed")

    def __init__(self, kind: str = MATCH_DIGEST_OR_EXACT, name: str = "", signed: str = "") -> None:
        self.kind = kind
        self.name = name
        self.signed = signed

    def matches(self, asked: Reference, claimed: str) -> bool:
        """Whether a signature for ``claimed`` (untrusted text) is one for ``asked``."""
        try:
            signed = Reference.parse(claimed, default_tag="")
        except LadingError:
            return False
        if self.kind == MATCH_EXACT:
            return _exact(asked, signed)
        if self.kind == MATCH_REPOSITORY:
            return asked.name == signed.name
        if self.kind == EXACT_REFERENCE:
            return _exact(Reference.parse(self.name, default_tag=""), signed)
        if self.kind == EXACT_REPOSITORY:
            return Reference.parse(self.name, default_tag="").name == signed.name
        if self.kind == REMAP:
            try:
                return _digest_or_exact(self._remapped(asked), signed)
            except LadingError:
                return False
        return _digest_or_exact(asked, signed)

    def _remapped(self, asked: Reference) -> Reference:
        if asked.name != self.name and not asked.name.startswith(self.name + "/"):
            return asked
        return Reference.parse(self.signed + asked.canonical[len(self.name) :], default_tag="")

    def encode(self) -> dict[str, object]:
        """As it stands in a policy."""
        if self.kind == EXACT_REFERENCE:
            return {"type": self.kind, "dockerReference": self.name}
        if self.kind == EXACT_REPOSITORY:
            return {"type": self.kind, "dockerRepository": self.name}
        if self.kind == REMAP:
            return {"type": self.kind, "prefix": self.name, "signedPrefix": self.signed}
        return {"type": self.kind}


def _exact(asked: Reference, signed: Reference) -> bool:
    return bool(asked.target and signed.target) and asked == signed


def _digest_or_exact(asked: Reference, signed: Reference) -> bool:
    if asked.name != signed.name or not signed.target:
        return False
    # Content asked for by its digest is what it is; which tag it was signed under does not change it.
    return bool(asked.digest) if not asked.tag else asked == signed


def decode(value: object, *, where: str) -> Identity:
    """Read a rule. Raises :class:`InvalidInput`: unknown kinds and fields, and names that are none."""
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str):
        raise InvalidInput(f"{where}: must be an object with a type", reason="policy")
    if kind in (MATCH_EXACT, MATCH_DIGEST_OR_EXACT, MATCH_REPOSITORY):
        _Plain.decode(value, where=where)
        return Identity(kind)
    if kind == EXACT_REFERENCE:
        name = _Reference.decode(value, where=where).docker_reference
        if not _parsed(name, f"{where}.dockerReference").target:
            raise InvalidInput(
                f"{where}.dockerReference: {name[:200]!r} has neither a tag nor a digest", reason="policy"
            )
        return Identity(kind, name)
    if kind == EXACT_REPOSITORY:
        name = _Repository.decode(value, where=where).docker_repository
        if _parsed(name, f"{where}.dockerRepository").target:
            raise InvalidInput(
                f"{where}.dockerRepository: {name[:200]!r} has a tag or digest", reason="policy"
            )
        return Identity(kind, name)
    if kind == REMAP:
        made = _Remap.decode(value, where=where)
        _prefix(made.prefix, f"{where}.prefix")
        _prefix(made.signed_prefix, f"{where}.signedPrefix")
        return Identity(kind, made.prefix, made.signed_prefix)
    raise InvalidInput(f"{where}.type: {kind[:80]!r} is no kind of signedIdentity", reason="policy")


def _parsed(text: str, where: str) -> Reference:
    try:
        return Reference.parse(text, default_tag="")
    except LadingError as error:
        raise InvalidInput(f"{where}: {error.message}", reason="policy") from None


def _prefix(text: str, where: str) -> None:
    """A host, a namespace or a repository in its whole form: no tag, no digest, nothing left out."""
    try:
        whole = text + "/x/x"  # docker.io alone puts library/ before what stands alone
        parsed = Reference.parse(whole, default_tag="")
        good = parsed.name == whole and not parsed.target
    except LadingError:
        good = False
    if not good:
        raise InvalidInput(
            f"{where}: {text[:200]!r} is no prefix of whole names", hint="HOST or HOST/PATH", reason="policy"
        )
