"""What a name of an App Container image leads to: a small document that pins the archive, its manifest and its dependencies.

It plays the part of an OCI manifest. An archive alone says by name what it depends on; the envelope says by digest what that
was when the image came, so that it renders the same tomorrow. Envelopes of dependencies are pinned in it: a Merkle DAG.
"""

from __future__ import annotations

from lading.errors import Corrupt, InvalidInput
from lading.formats import digest as digests
from lading.formats import jsontext
from lading.formats.appc.image import ImageManifest
from lading.formats.appc.record import LARGEST
from lading.formats.appc.values import check_image_id, digest_of
from lading.formats.oci_image import Descriptor
from lading.formats.schema import Record
from lading.images.source import ROOTFS, Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.images.content import ContentStore

ENVELOPE = "application/vnd.lading.image.aci.v1+json"
ARCHIVE = "application/vnd.lading.image.aci.archive.v1"
MANIFEST = "application/vnd.lading.image.aci.manifest.v1+json"
_LARGEST_ENVELOPE = 1 << 20


class Pin(Record):
    """A dependency: its image ID and its own envelope."""

    _wire = {"image_id": "imageID"}
    image_id: str
    envelope: Descriptor


class Envelope(Record):
    """``aci`` is the archive as it was received, ``manifest`` the file of that name in it, both in the content store."""

    _wire = {"image_id": "imageID"}
    media_type: str = ENVELOPE
    image_id: str
    aci: Descriptor
    manifest: Descriptor
    dependencies: list[Pin] = []

    @classmethod
    def read(cls, content: ContentStore, digest: str) -> Envelope:
        """The stored envelope. Raises :class:`NotFound`, :class:`Corrupt`."""
        data = content.read(digest, limit=_LARGEST_ENVELOPE)
        what = f"image envelope {digest}"
        try:
            made = cls.decode(jsontext.loads(data, what=what), where=what)
            check_image_id(made.image_id, f"{what}: imageID")
            for described in (made.aci, made.manifest, *(pin.envelope for pin in made.dependencies)):
                digests.check(described.digest, what=what)
        except InvalidInput as error:
            raise Corrupt(str(error)) from None
        return made

    def data(self) -> bytes:
        """Its canonical bytes."""
        return jsontext.dumps(self.encode(), sort=True).encode()

    def image(self, content: ContentStore) -> ImageManifest:
        """The image's manifest. Raises :class:`NotFound`, :class:`InvalidInput`."""
        text = content.read(self.manifest.digest, limit=LARGEST)
        return ImageManifest.parse(text, what=f"manifest of {self.image_id[:19]}")

    def source(self, keep: frozenset[str] | None) -> Source:
        """Its own root, or what is to be kept of it, as a layer."""
        return Source(self.aci, digest_of(self.image_id), ROOTFS, keep)


def described(data: bytes, digest: str) -> Descriptor:
    """The descriptor of a stored envelope."""
    return Descriptor(media_type=ENVELOPE, digest=digest, size=len(data))
