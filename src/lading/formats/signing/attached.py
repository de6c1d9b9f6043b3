"""Signatures as a registry keeps them: a manifest whose layers are payloads, and the signatures their annotations.

::

    REPOSITORY:sha256-HEX.sig      cosign's tag; one manifest holds every signature of the digest
    subject and artifactType       the same layers as a referrer, without a tag (OCI image-spec 1.1)

Source: cosign, SIGNATURE_SPEC.md, "Storage", and ``pkg/oci/remote/write.go`` for the referrer.
"""

from __future__ import annotations

import base64
import binascii

from lading.errors import InvalidInput, LadingError
from lading.formats import digest as digests
from lading.formats import jsontext
from lading.formats.oci_image import OCI_CONFIG, OCI_MANIFEST, Descriptor, Manifest
from lading.formats.signing.payload import LARGEST, MEDIA_TYPE

ANNOTATION = "dev.cosignproject.cosign/signature"
CERTIFICATE = "dev.sigstore.cosign/certificate"
ARTIFACT_TYPE = "application/vnd.dev.cosign.artifact.sig.v1+json"
MOST = 1000
"""Signatures in one manifest: cosign's own limit."""


class Signature:
    """A payload and a signature of it. Nothing of it is trusted.

    ``payload``      the signed bytes.
    ``signature``    base64, as it came.
    ``annotations``  of its layer: what cosign keeps beside the signature (a certificate, a log's answer).
    """

    __slots__ = ("annotations", "payload", "signature")

    def __init__(self, payload: bytes, signature: str, annotations: dict[str, str] | None = None) -> None:
        self.payload = payload
        self.signature = signature
        self.annotations = annotations or {}

    def raw(self) -> bytes:
        """The signature's bytes. Raises :class:`InvalidInput`."""
        try:
            return base64.b64decode(self.signature, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidInput("a signature is not base64", reason="payload") from None

    def descriptor(self) -> Descriptor:
        """The layer that stands for it."""
        return Descriptor(
            media_type=MEDIA_TYPE,
            digest=digests.of(self.payload),
            size=len(self.payload),
            annotations={**self.annotations, ANNOTATION: self.signature},
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Signature):
            return NotImplemented
        return (self.payload, self.signature) == (other.payload, other.signature)

    def __hash__(self) -> int:
        return hash((self.payload, self.signature))


def tag(digest: str) -> str:
    """The tag under which cosign keeps what signs ``digest``."""
    algorithm, text = digests.split(digest)
    return f"{algorithm}-{text}.sig"


class Layers:
    """A manifest of signatures, read: ``manifest`` whole, and ``layers``, those of its layers that are signatures."""

    __slots__ = ("layers", "manifest")

    def __init__(self, manifest: Manifest, layers: list[Descriptor]) -> None:
        self.manifest = manifest
        self.layers = layers


def decode(data: bytes, *, what: str) -> Layers:
    """Read a manifest of signatures. Other layers are kept, and no signatures. Raises :class:`InvalidInput` (``payload``)."""
    try:
        manifest = Manifest.decode(jsontext.loads(data, what=what), where=what, strict=False)
        if len(manifest.layers) > MOST:
            raise InvalidInput(f"{what}: has {len(manifest.layers)} signatures, {MOST} at most are read")
        found = [layer for layer in manifest.layers if layer.media_type == MEDIA_TYPE]
        for layer in found:
            digests.check(layer.digest)
            if not 0 <= layer.size <= LARGEST:
                raise InvalidInput(f"{what}: a payload of {layer.size} bytes is too large")
    except LadingError as error:
        raise InvalidInput(error.message, reason="payload") from None
    return Layers(manifest, [layer for layer in found if ANNOTATION in layer.annotations])


def of_layer(layer: Descriptor, payload: bytes) -> Signature:
    """The signature of a layer, whose content is ``payload``."""
    rest = {name: value for name, value in layer.annotations.items() if name != ANNOTATION}
    return Signature(payload, layer.annotations[ANNOTATION], rest)


def encode(signatures: list[Signature], before: Manifest | None = None) -> tuple[bytes, bytes]:
    """The configuration and the manifest with what ``before`` had, unchanged and first, and ``signatures`` after it.

    The configuration is that of an image of such layers, for that is what cosign makes of them.
    """
    layers = [*(before.layers if before is not None else []), *(s.descriptor() for s in signatures)]
    config = _config(layers)
    manifest = Manifest(
        media_type=OCI_MANIFEST,
        config=Descriptor(media_type=OCI_CONFIG, digest=digests.of(config), size=len(config)),
        layers=layers,
        annotations=before.annotations if before is not None else {},
    )
    return config, _text(manifest)


def encode_referrer(signatures: list[Signature], subject: Descriptor) -> tuple[bytes, bytes]:
    """The configuration and the manifest of ``signatures`` that points to what they sign."""
    layers = [s.descriptor() for s in signatures]
    config = _config(layers)
    manifest = Manifest(
        media_type=OCI_MANIFEST,
        artifact_type=ARTIFACT_TYPE,
        config=Descriptor(media_type=ARTIFACT_TYPE, digest=digests.of(config), size=len(config)),
        layers=layers,
        subject=Descriptor(media_type=subject.media_type, digest=subject.digest, size=subject.size),
    )
    return config, _text(manifest)


def _config(layers: list[Descriptor]) -> bytes:
    value = {
        "architecture": "",
        "config": {},
        "created": "0001-01-01T00:00:00Z",
        "history": [{"created": "0001-01-01T00:00:00Z"} for _ in layers],
        "os": "",
        "rootfs": {"diff_ids": [layer.digest for layer in layers], "type": "layers"},
    }
    return jsontext.dumps(value).encode()


def _text(manifest: Manifest) -> bytes:
    return jsontext.dumps(manifest.encode()).encode()
