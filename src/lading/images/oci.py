"""The OCI and Docker schema 2 image formats: from a descriptor to a configuration and layers.

Everything that knows manifests and indexes is here; the store around it knows :class:`ImageFormat`. Another format is
another module with the same methods, which :func:`format_of` finds by its media type.
Source: OCI image-spec 1.1; Docker's "Image Manifest Version 2, Schema 2".
"""

from __future__ import annotations

from lading.errors import Corrupt, InvalidInput, LadingError, NotFound, Unsupported
from lading.formats import digest as digests
from lading.formats import jsontext, platform
from lading.formats.oci_image import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    INDEXES,
    MANIFESTS,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    Descriptor,
    ImageConfig,
    Index,
    Manifest,
    Platform,
    RootFS,
)
from lading.images.others import other_format
from lading.images.source import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Protocol

    from lading.images import Images
    from lading.images.content import ContentStore
    from lading.images.image import Image
    from lading.images.leases import Lease

    class ImageFormat(Protocol):
        """What the store asks of an image format."""

        kind: str

        def choose(self, content: ContentStore, target: Descriptor, wanted: Platform) -> Descriptor:
            """The descriptor of the one image in ``target`` that suits ``wanted``."""

        def resolve(self, content: ContentStore, manifest: Descriptor) -> Resolved:
            """Configuration and layers of the image ``manifest``."""

        def references(self, content: ContentStore, target: Descriptor) -> Iterator[Descriptor]:
            """Everything below ``target`` that is in the store, for the collector."""

        def find(self, images: Images, text: str) -> Image | None:
            """The local image that ``text`` names in this format's own words, None when it names none."""

        def portable(self, images: Images, image: Image, lease: Lease) -> Resolved:
            """The same image as registries, archives and other engines take it: OCI's manifest, configuration and layers.

            They are in the content store, held by ``lease``, and not recorded as an image.
            """


MAX_MANIFEST = 4 << 20
MAX_CONFIG = 8 << 20
MAX_LAYERS = 512
_OTHER, _VERSION = "application/vnd.lading.image.", ".v1+json"
_NESTED = 4
_LAYER_TYPES = (OCI_LAYER, "application/vnd.oci.image.layer.nondistributable.v1.tar", DOCKER_LAYER)
_LAYER_SUFFIXES = ("", "+gzip", "+zstd", ".gzip", ".zstd")


class Resolved:
    """An image taken apart. ``sources`` are its layers, bottom first."""

    __slots__ = ("config", "descriptor", "id", "sources")

    def __init__(self, descriptor: Descriptor, id: str, config: ImageConfig, sources: list[Source]) -> None:
        self.descriptor = descriptor
        self.id = id
        self.config = config
        self.sources = sources


def format_of(media_type: str) -> ImageFormat:
    """The format that understands ``media_type``. Raises :class:`Unsupported`.

    ``application/vnd.lading.image.NAME.v1+json`` is understood by the module ``lading.images.NAME``, if that has a FORMAT.
    """
    if media_type in MANIFESTS or media_type in INDEXES:
        return OCI()
    if media_type.startswith(_OTHER) and media_type.endswith(_VERSION):
        found = other_format(media_type[len(_OTHER) : -len(_VERSION)])
        if found is not None:
            return found
    raise Unsupported(f"images of type {media_type[:100]!r} are not supported", reason="media-type")


class OCI:
    """OCI image-spec 1.1 and Docker schema 2, which differ in their media types only."""

    kind = "oci"

    def choose(self, content: ContentStore, target: Descriptor, wanted: Platform) -> Descriptor:
        """See :class:`ImageFormat`. Raises :class:`NotFound` (reason ``platform``) when nothing suits."""
        for _ in range(_NESTED):
            if target.media_type in MANIFESTS:
                return target
            index = decode_index(content.read(target.digest, limit=MAX_MANIFEST), target.digest)
            target = choose_from(index, wanted, target.digest)
        raise Unsupported(f"index {target.digest} is nested more than {_NESTED} deep")

    def resolve(self, content: ContentStore, manifest: Descriptor) -> Resolved:
        """See :class:`ImageFormat`."""
        decoded = decode_manifest(content.read(manifest.digest, limit=MAX_MANIFEST), manifest.digest)
        config = decode_config(content.read(decoded.config.digest, limit=MAX_CONFIG), decoded)
        pairs = zip(decoded.layers, config.rootfs.diff_ids, strict=True)
        return Resolved(manifest, decoded.config.digest, config, [Source(*pair) for pair in pairs])

    def references(self, content: ContentStore, target: Descriptor) -> Iterator[Descriptor]:
        """See :class:`ImageFormat`. Content that is absent or broken ends its branch: other platforms need not be here.

        Nothing comes twice: indexes that name each other many times would be a tree without end.
        """
        seen = set()
        waiting = [target]
        while waiting:
            found = waiting.pop()
            key = found.digest, found.media_type
            if key in seen:
                continue
            seen.add(key)
            yield found
            if found.media_type in INDEXES or found.media_type in MANIFESTS:
                waiting += reversed(self._below(content, found))

    def find(self, images: Images, text: str) -> Image | None:
        """See :class:`ImageFormat`. The store's own names are this format's."""
        return None

    def portable(self, images: Images, image: Image, lease: Lease) -> Resolved:
        """See :class:`ImageFormat`."""
        return self.resolve(images.content, image.descriptor)

    @staticmethod
    def _below(content: ContentStore, target: Descriptor) -> list[Descriptor]:
        if not content.has(target.digest):
            return []
        try:
            data = content.read(target.digest, limit=MAX_MANIFEST, verify=False)
            if target.media_type in INDEXES:
                return decode_index(data, target.digest).manifests
            # Not only an image's: attestations stand beside images in an index, and stay and go with it.
            what = f"manifest {target.digest}"
            manifest = Manifest.decode(jsontext.loads(data, what=what), where=what, strict=False)
            return [d for d in (manifest.config, *manifest.layers) if digests.is_digest(d.digest)]
        except LadingError:
            return []


def decode_index(data: bytes, digest: str) -> Index:
    """Parse an index or manifest list. Raises :class:`InvalidInput`."""
    what = f"index {digest}"
    index = Index.decode(jsontext.loads(data, what=what), where=what, strict=False)
    for entry in index.manifests:
        _check_descriptor(entry, what)
    return index


def choose_from(index: Index, wanted: Platform, digest: str) -> Descriptor:
    """The entry of ``index`` that suits ``wanted``. Raises :class:`NotFound` (reason ``platform``) naming what is offered."""
    offered = [m for m in index.manifests if m.media_type in MANIFESTS or m.media_type in INDEXES]
    found = platform.select([m.platform for m in offered], wanted)
    if found is None:
        names = sorted(
            {platform.text(m.platform) for m in offered if m.platform is not None and m.platform.architecture}
        )
        raise NotFound(
            f"index {digests.short(digest)} has no image for {platform.text(wanted)}",
            hint=f"it offers {', '.join(n for n in names if 'unknown' not in n) or 'nothing'}",
            reason="platform",
        )
    return offered[found]


def decode_manifest(data: bytes, digest: str) -> Manifest:
    """Parse and check a manifest: an image manifest of layers we can unpack. Raises :class:`InvalidInput` and others."""
    what = f"manifest {digest}"
    value = jsontext.loads(data, what=what)
    if type(value) is dict and ("fsLayers" in value or value.get("schemaVersion") == 1):
        raise Unsupported(f"{what} is of Docker's schema 1", hint="push the image again with a newer client")
    if type(value) is dict and "manifests" in value and "layers" not in value:
        raise InvalidInput(f"{what} is an index, not a manifest")
    manifest = Manifest.decode(value, where=what, strict=False)
    if manifest.schema_version != 2:
        raise Unsupported(f"{what} has schemaVersion {manifest.schema_version}")
    if manifest.config.media_type not in (OCI_CONFIG, DOCKER_CONFIG):
        kind = manifest.artifact_type or manifest.config.media_type
        raise Unsupported(f"{what} is not a container image but {kind[:100]!r}", reason="media-type")
    if len(manifest.layers) > MAX_LAYERS:
        raise InvalidInput(f"{what} has {len(manifest.layers)} layers, more than {MAX_LAYERS}")
    for descriptor in (manifest.config, *manifest.layers):
        _check_descriptor(descriptor, what)
    for layer in manifest.layers:
        if not any(layer.media_type == base + end for base in _LAYER_TYPES for end in _LAYER_SUFFIXES) and (
            layer.media_type != "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
        ):
            raise Unsupported(
                f"{what}: layers of type {layer.media_type[:100]!r} are not supported", reason="media-type"
            )
    return manifest


def manifest_type(content: ContentStore, digest: str) -> str:
    """The media type of a stored manifest by what it says, for want of a descriptor. Raises what reading and decoding do."""
    manifest = decode_manifest(content.read(digest, limit=MAX_MANIFEST), digest)
    if manifest.media_type in MANIFESTS:
        return manifest.media_type
    return DOCKER_MANIFEST if manifest.config.media_type == DOCKER_CONFIG else OCI_MANIFEST


def decode_config(data: bytes, manifest: Manifest) -> ImageConfig:
    """Parse an image configuration and check it against its manifest. Raises :class:`InvalidInput`."""
    what = f"image configuration {manifest.config.digest}"
    config = ImageConfig.decode(jsontext.loads(data, what=what), where=what, strict=False)
    if config.rootfs.type != "layers":
        raise Unsupported(f"{what}: rootfs.type {config.rootfs.type[:40]!r} is not supported")
    for diff_id in config.rootfs.diff_ids:
        digests.check(diff_id, what=f"{what}: diff-id")
    if len(config.rootfs.diff_ids) != len(manifest.layers):
        raise Corrupt(
            f"{what} lists {len(config.rootfs.diff_ids)} diff-ids and its manifest {len(manifest.layers)} layers",
            reason="layer-count",
        )
    return config


def _check_descriptor(descriptor: Descriptor, what: str) -> None:
    digests.check(descriptor.digest, what=f"{what}: digest")
    if descriptor.size < 0:
        raise InvalidInput(f"{what}: {descriptor.digest} has the size {descriptor.size}")


def new_image(
    config: ImageConfig, layers: Sequence[Descriptor], diff_ids: Sequence[str]
) -> tuple[bytes, bytes]:
    """Canonical bytes of an OCI configuration and its manifest, for an image made here (import, commit, bootstrap)."""
    config = config.replace(rootfs=RootFS(diff_ids=list(diff_ids)))
    config_data = jsontext.dumps(config.encode(), sort=True).encode()
    described = Descriptor(media_type=OCI_CONFIG, digest=digests.of(config_data), size=len(config_data))
    manifest = Manifest(media_type=MANIFESTS[0], config=described, layers=list(layers))
    return config_data, jsontext.dumps(manifest.encode(), sort=True).encode()
