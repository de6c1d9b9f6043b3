"""Whether a signature counts: made by one of these keys, of this digest, for this name, with these annotations.

Everything is looked at in that order, and nothing in the payload before the key has vouched for it.
"""

from __future__ import annotations

from lading.errors import Denied, LadingError
from lading.formats import digest as digests
from lading.formats.signing import payload as payloads
from lading.formats.signing.attached import CERTIFICATE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from lading.formats.signing.attached import Signature
    from lading.formats.signing.bundle import Bundle
    from lading.formats.signing.keys import PublicKey
    from lading.formats.signing.payload import Payload

_TELLING = ("annotations", "wrong-name", "wrong-digest", "payload", "wrong-key", "keyless", "unsigned")
"""Reasons, the one that came furthest first: of several signatures that do not count, its failure is the one to tell."""


class Accepted:
    """A signature that counts: ``key`` that made it, ``reference`` it claims ("" for a bundle), ``digest``, annotations."""

    __slots__ = ("annotations", "digest", "key", "reference")

    def __init__(
        self, key: PublicKey, reference: str, digest: str, annotations: Mapping[str, object]
    ) -> None:
        self.key = key
        self.reference = reference
        self.digest = digest
        self.annotations = annotations


def judge(
    signature: Signature,
    keys: Sequence[PublicKey],
    manifests: Collection[str],
    named: Callable[[str], bool],
    annotations: Mapping[str, str] | None = None,
) -> Accepted:
    """Why ``signature`` counts for an image whose manifest (or index) has one of these digests.

    ``named`` says whether the name that it claims is right. Raises :class:`Denied` with one of the reasons above,
    :class:`InvalidInput` (``payload``).
    """
    raw = signature.raw()
    key = next((key for key in keys if key.verifies(raw, signature.payload)), None)
    if key is None:
        if CERTIFICATE in signature.annotations:
            raise Denied(
                "the signature is by a certificate (keyless), and only keys are supported", reason="keyless"
            )
        raise Denied("the signature is by another key, or its payload was altered", reason="wrong-key")
    made: Payload = payloads.decode(signature.payload, what="the signed payload")
    if made.digest not in manifests:
        raise Denied(
            f"the signature is of another image, {digests.short(made.digest)}", reason="wrong-digest"
        )
    if not named(made.reference):
        raise Denied(f"the signature is for another name, {made.reference[:200]!r}", reason="wrong-name")
    _check_annotations(made.optional, annotations or {})
    return Accepted(key, made.reference, made.digest, made.optional)


def judge_bundle(
    bundle: Bundle,
    keys: Sequence[PublicKey],
    manifests: Collection[str],
    annotations: Mapping[str, str] | None = None,
) -> Accepted:
    """The same for a bundle, which claims no name."""
    key = next((k for k in keys if any(k.verifies(s, bundle.message) for s in bundle.signatures)), None)
    if key is None:
        raise Denied("the signature is by another key, or its statement was altered", reason="wrong-key")
    digest = next((d for d in bundle.digests if d in manifests), "")
    if not digest:
        shown = digests.short(bundle.digests[0]) if bundle.digests else "nothing"
        raise Denied(f"the signature is of another image, {shown}", reason="wrong-digest")
    _check_annotations(bundle.annotations, annotations or {})
    return Accepted(key, "", digest, bundle.annotations)


def _check_annotations(signed: Mapping[str, object], wanted: Mapping[str, str]) -> None:
    for name, value in wanted.items():
        if signed.get(name) != value:
            has = repr(signed[name])[:100] if name in signed else "nothing"
            raise Denied(f"the signature says {has} of {name!r}, not {value!r}", reason="annotations")


def most_telling(failures: Sequence[LadingError]) -> LadingError:
    """The failure that came furthest."""
    order = {reason: place for place, reason in enumerate(_TELLING)}
    return min(failures, key=lambda failure: order.get(failure.reason, len(order)))
