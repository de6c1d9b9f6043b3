"""Sigstore's bundle, as cosign 3 makes of an image's signature: an in-toto statement about the digest in a DSSE envelope.

It says which digest was signed and with which annotations, and no name: where a name must be right, it does not count.

Source: cosign, BUNDLE_SPEC.md; sigstore, ``sigstore_bundle.proto`` (0.3); DSSE, protocol.md; in-toto, statement v1.
"""

from __future__ import annotations

import base64
import binascii

from lading.errors import InvalidInput, LadingError, Unsupported
from lading.formats import digest as digests
from lading.formats import jsontext
from lading.formats.oci_image import OCI_EMPTY, OCI_MANIFEST, Descriptor, Manifest
from lading.formats.schema import Record

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PREFIX = "application/vnd.dev.sigstore.bundle"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://sigstore.dev/cosign/sign/v1"
LARGEST = 1 << 20
_EMPTY = b"{}"


class _Sig(Record):
    sig: str
    keyid: str = ""


class _Envelope(Record):
    payload: str
    payload_type: str
    signatures: list[_Sig] = []


class _Bundle(Record):
    media_type: str
    verification_material: dict[str, object] = {}
    dsse_envelope: _Envelope | None = None
    message_signature: object = None


class _Subject(Record):
    digest: dict[str, str] = {}
    annotations: dict[str, object] = {}


class _Statement(Record):
    _wire = {"type": "_type"}
    type: str
    subject: list[_Subject] = []
    predicate_type: str


class Bundle:
    """A bundle that signs an image, read and not trusted.

    ``message`` is what ``signatures`` sign. ``digests`` and ``annotations`` are what the statement says.
    """

    __slots__ = ("annotations", "digests", "message", "signatures")

    def __init__(
        self, message: bytes, signatures: list[bytes], digests: list[str], annotations: dict[str, object]
    ) -> None:
        self.message = message
        self.signatures = signatures
        self.digests = digests
        self.annotations = annotations


def message_of(payload: bytes) -> bytes:
    """What is signed of a payload: DSSE's "pre-authentication encoding"."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def statement(digest: str, annotations: dict[str, object]) -> bytes:
    """The statement that ``digest`` is signed."""
    algorithm, text = digests.split(digest)
    subject: dict[str, object] = {"digest": {algorithm: text}}
    if annotations:
        subject["annotations"] = annotations
    value = {"_type": STATEMENT, "subject": [subject], "predicateType": PREDICATE, "predicate": {}}
    return jsontext.dumps(value).encode()


def encode(payload: bytes, signature: bytes, hint: str) -> bytes:
    """The bundle of a statement and its signature. ``hint``: the base64 SHA-256 of the public key, to find it by."""
    value = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": hint}},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signature).decode()}],
        },
    }
    return jsontext.dumps(value).encode()


def encode_manifest(bundle: bytes, subject: Descriptor, created: str) -> tuple[bytes, bytes]:
    """The (empty) configuration and the manifest that says what the bundle is about. ``created``: RFC 3339."""
    manifest = Manifest(
        media_type=OCI_MANIFEST,
        artifact_type=MEDIA_TYPE,
        config=Descriptor(media_type=OCI_EMPTY, digest=digests.of(_EMPTY), size=len(_EMPTY)),
        layers=[Descriptor(media_type=MEDIA_TYPE, digest=digests.of(bundle), size=len(bundle))],
        subject=Descriptor(media_type=subject.media_type, digest=subject.digest, size=subject.size),
        annotations={
            "org.opencontainers.image.created": created,
            "dev.sigstore.bundle.content": "dsse-envelope",
            "dev.sigstore.bundle.predicateType": PREDICATE,
        },
    )
    return _EMPTY, jsontext.dumps(manifest.encode()).encode()


def decode(data: bytes, *, what: str) -> Bundle | None:
    """Read a bundle; None for one that is about something else (an attestation).

    Raises :class:`InvalidInput` (reason ``payload``), :class:`Unsupported` (``keyless``, ``payload``).
    """
    try:
        if len(data) > LARGEST:
            raise InvalidInput(f"{what}: {len(data)} bytes are too many for a bundle")
        made = _Bundle.decode(jsontext.loads(data, what=what), where=what, strict=False)
        if not made.media_type.startswith(PREFIX):
            raise InvalidInput(f"{what}: is {made.media_type[:80]!r}, not a sigstore bundle")
        envelope = made.dsse_envelope
        if envelope is None or envelope.payload_type != PAYLOAD_TYPE:
            return None
        payload = _raw(envelope.payload, what)
        stated = _Statement.decode(jsontext.loads(payload, what=what), where=what, strict=False)
        signatures = [_raw(s.sig, what) for s in envelope.signatures]
    except LadingError as error:
        raise InvalidInput(error.message, reason="payload") from None
    if stated.type != STATEMENT or stated.predicate_type != PREDICATE:
        return None
    if "certificate" in made.verification_material or "x509CertificateChain" in made.verification_material:
        raise Unsupported(
            f"{what}: is signed with a certificate, and only keys are supported", reason="keyless"
        )
    if len(stated.subject) != 1:
        raise Unsupported(f"{what}: signs {len(stated.subject)} things at once", reason="payload")
    subject = stated.subject[0]
    found = [f"{algorithm}:{text}" for algorithm, text in subject.digest.items()]
    return Bundle(
        message_of(payload), signatures, [d for d in found if digests.is_digest(d)], subject.annotations
    )


def _raw(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(f"{what}: is not base64") from None
