"""App Container as a format of the image store. Finding an image is fast; what else it does is imported when it does it."""

from __future__ import annotations

from lading.errors import LadingError
from lading.images.aci import finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lading.formats.oci_image import Descriptor, Platform
    from lading.images import Images
    from lading.images.content import ContentStore
    from lading.images.image import Image
    from lading.images.leases import Lease
    from lading.images.oci import Resolved


class ACI:
    """See :class:`lading.images.oci.ImageFormat`."""

    kind = finding.KIND

    def choose(self, content: ContentStore, target: Descriptor, wanted: Platform) -> Descriptor:
        """An envelope is of one image; the name's labels have chosen it."""
        return target

    def resolve(self, content: ContentStore, manifest: Descriptor) -> Resolved:
        """The image's configuration in OCI's terms, and its layers: dependencies below, each as far as whitelists let it."""
        from lading.formats.appc.convert import to_oci
        from lading.formats.appc.values import digest_of
        from lading.images.aci.envelope import Envelope
        from lading.images.aci.rendered import layers_of
        from lading.images.oci import Resolved

        top = Envelope.read(content, manifest.digest)
        image = top.image(content)
        layers = layers_of(content, image, top.dependencies)
        sources = [(envelope or top).source(keep) for envelope, keep in layers]
        return Resolved(manifest, digest_of(top.image_id), to_oci(image).config, sources)

    def references(self, content: ContentStore, target: Descriptor) -> Iterator[Descriptor]:
        """Envelopes with their archives and manifests, each once; what is absent or broken ends its branch."""
        from lading.images.aci.envelope import ENVELOPE, Envelope

        seen = set()
        waiting = [target]
        while waiting:
            found = waiting.pop()
            if found.digest in seen:
                continue
            seen.add(found.digest)
            yield found
            if found.media_type != ENVELOPE:
                continue
            try:
                envelope = Envelope.read(content, found.digest)
            except LadingError:
                continue
            pins = [pin.envelope for pin in envelope.dependencies]
            waiting += [*reversed(pins), envelope.manifest, envelope.aci]

    def find(self, images: Images, text: str) -> Image | None:
        """See :func:`lading.images.aci.finding.find`."""
        return finding.find(images, text)

    def portable(self, images: Images, image: Image, lease: Lease) -> Resolved:
        """See :class:`lading.images.oci.ImageFormat`: its rendered layers, packed anew."""
        from lading.images.aci.convert import to_layers

        return to_layers(images, image, lease)
