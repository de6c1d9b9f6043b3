"""The layers of an image and of everything it depends on, out of stored envelopes."""

from __future__ import annotations

from lading.formats.appc import rendering
from lading.images.aci.envelope import Envelope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.formats.appc.image import ImageManifest
    from lading.images.aci.envelope import Pin
    from lading.images.content import ContentStore


def layers_of(
    content: ContentStore, image: ImageManifest, pins: Sequence[Pin]
) -> list[tuple[Envelope | None, frozenset[str] | None]]:
    """The layers of ``image``, bottom first: whose root each is (None: its own) and what is kept of it.

    Raises :class:`Exhausted` (too many), :class:`Corrupt` and :class:`NotFound` for dependencies that are not as they were.
    """
    read: dict[str, Envelope] = {}

    def look(digest: str) -> rendering.Described:
        if digest == image.name:
            return rendering.Described(image.whitelist(), [pin.envelope.digest for pin in pins])
        envelope = read[digest] = Envelope.read(content, digest)
        below = [pin.envelope.digest for pin in envelope.dependencies]
        return rendering.Described(envelope.image(content).whitelist(), below)

    # Inside, an image is called by its envelope's digest, which no name can be.
    return [(read.get(layer.image_id), layer.keep) for layer in rendering.order(image.name, look)]
