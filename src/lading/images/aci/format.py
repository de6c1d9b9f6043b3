"""App Container as a format of the image store."""

from __future__ import annotations

from lading.errors import InvalidInput, LadingError
from lading.formats.appc import rendering
from lading.formats.appc.convert import to_oci
from lading.formats.appc.labels import match, platform_labels
from lading.formats.appc.strings import Wanted, wanted
from lading.formats.appc.values import digest_of, id_prefix
from lading.formats.platform import host
from lading.images.aci.envelope import ENVELOPE, KIND, Envelope
from lading.images.oci import Resolved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lading.formats.appc.image import ImageManifest
    from lading.formats.oci_image import Descriptor, Platform
    from lading.images import Images
    from lading.images.aci.envelope import Pin
    from lading.images.aliases import Alias
    from lading.images.content import ContentStore
    from lading.images.image import Image
    from lading.images.leases import Lease


class ACI:
    """See :class:`lading.images.oci.ImageFormat`."""

    kind = KIND

    def choose(self, content: ContentStore, target: Descriptor, wanted: Platform) -> Descriptor:
        """An envelope is of one image; the name's labels have chosen it."""
        return target

    def resolve(self, content: ContentStore, manifest: Descriptor) -> Resolved:
        """The image's configuration in OCI's terms, and its layers: dependencies below, each as far as whitelists let it."""
        top = Envelope.read(content, manifest.digest)
        image = top.image(content)
        layers = layers_of(content, image, top.dependencies)
        sources = [(envelope or top).source(keep) for envelope, keep in layers]
        return Resolved(manifest, digest_of(top.image_id), to_oci(image).config, sources)

    def references(self, content: ContentStore, target: Descriptor) -> Iterator[Descriptor]:
        """Envelopes with their archives and manifests, each once; what is absent or broken ends its branch."""
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
        """The image of the ID ``sha512-…``, whole or shortened, or the newest of a name with the labels given.

        Of several that differ in what was not asked for, those for this machine come first. Raises :class:`InvalidInput`
        for the beginning of more than one ID.
        """
        digits = id_prefix(text)
        if digits is not None:
            return _by_id(images, digits)
        try:
            asked = wanted(text)
        except InvalidInput:
            return None
        return find(images, asked)

    def portable(self, images: Images, image: Image, lease: Lease) -> Resolved:
        """See :class:`lading.images.oci.ImageFormat`: its rendered layers, packed anew."""
        from lading.images.aci.convert import to_layers

        return to_layers(images, image, lease)


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


def find(images: Images, asked: Wanted) -> Image | None:
    """The newest local image of that name and those labels; None when there is none."""
    aliases = candidates(images, asked)
    return images.resolved.get(aliases[0].target.digest) if aliases else None


def candidates(images: Images, asked: Wanted) -> list[Alias]:
    """The aliases of that name and those labels: for this machine first, the newest first of each."""
    here = platform_labels(host())
    found = [a for a in images.aliases.named(KIND, asked.name) if not match(asked.labels, a.labels)]
    found.sort(key=lambda alias: alias.came, reverse=True)
    found.sort(key=lambda alias: any(alias.labels.get(name, value) != value for name, value in here.items()))
    return found


def _by_id(images: Images, digits: str) -> Image | None:
    found: dict[str, list[str]] = {}
    for digest in images.resolved.list():
        image = images.resolved.get(digest)
        if image is not None and image.kind == KIND and image.id.partition(":")[2].startswith(digits):
            found.setdefault(image.id, []).append(digest)
    if len(found) > 1:
        raise InvalidInput(
            f"image ID sha512-{digits[:32]} is ambiguous: {len(found)} images begin with it",
            reason="ambiguous",
        )
    same = next(iter(found.values()), [])
    if len(same) < 2:
        return images.resolved.get(same[0]) if same else None
    # One archive, fetched when its dependencies were others: the one that came last is meant.
    came = {alias.target.digest: alias.came for alias in images.aliases.list()}
    return images.resolved.get(max(same, key=lambda digest: came.get(digest, 0)))
