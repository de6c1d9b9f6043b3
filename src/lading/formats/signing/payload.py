"""What is signed of an image: a small JSON document with the digest of its manifest and the name it claims.

Source: cosign, SIGNATURE_SPEC.md, "Simple Signing"; containers-signature(5), "JSON data format". Read as strictly as
containers/image reads it: whoever adds a field has made something else.
"""

from __future__ import annotations

from lading.errors import InvalidInput, LadingError
from lading.formats import digest as digests
from lading.formats import jsontext
from lading.formats.schema import Record

TYPE = "cosign container image signature"
MEDIA_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
LARGEST = 64 << 10


class _Identity(Record):
    _wire = {"docker_reference": "docker-reference"}
    _keep_empty = ("docker_reference",)
    docker_reference: str


class _Image(Record):
    _wire = {"docker_manifest_digest": "docker-manifest-digest"}
    docker_manifest_digest: str


class _Critical(Record):
    identity: _Identity
    image: _Image
    type: str


class _Payload(Record):
    critical: _Critical
    optional: object = None  # cosign writes null where nobody asked for annotations, but never nothing


class Payload:
    """``reference``: the name that the signer says the image has. ``digest``: its manifest's or index's.

    ``optional``: annotations, any JSON; cosign's ``-a`` makes texts of them.
    """

    __slots__ = ("digest", "optional", "reference")

    def __init__(self, reference: str, digest: str, optional: dict[str, object]) -> None:
        self.reference = reference
        self.digest = digest
        self.optional = optional

    def encode(self) -> bytes:
        """The bytes to sign; the same each time for the same values."""
        value = {
            "critical": {
                "identity": {"docker-reference": self.reference},
                "image": {"docker-manifest-digest": self.digest},
                "type": TYPE,
            },
            "optional": self.optional or None,
        }
        return jsontext.dumps(value, sort=True).encode()


def decode(data: bytes, *, what: str) -> Payload:
    """Read what was signed. Raises :class:`InvalidInput` (reason ``payload``)."""
    if len(data) > LARGEST:
        raise InvalidInput(
            f"{what}: {len(data)} bytes are too many for a signature's payload", reason="payload"
        )
    try:
        value = jsontext.loads(data, what=what)
        made = _Payload.decode(value, where=what)
        if "optional" not in value:
            raise InvalidInput(f"{what}.optional: required field is missing")
        digests.check(made.critical.image.docker_manifest_digest)
    except LadingError as error:
        raise InvalidInput(error.message, reason="payload") from None
    optional = made.optional
    if optional is not None and not isinstance(optional, dict):
        raise InvalidInput(f"{what}.optional: must be an object or null", reason="payload")
    if made.critical.type != TYPE:
        raise InvalidInput(
            f"{what}.critical.type: {made.critical.type[:80]!r} is no image signature of cosign's",
            reason="payload",
        )
    return Payload(
        made.critical.identity.docker_reference, made.critical.image.docker_manifest_digest, optional or {}
    )
