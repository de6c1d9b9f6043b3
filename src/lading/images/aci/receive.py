"""Bringing an archive into the store: one pass that hashes, checks and unpacks, then names, dependencies and the envelope.

Until the last step nothing refers to what came, and a failure leaves nothing.
"""

from __future__ import annotations

import time

from lading.errors import InvalidInput, NotFound, Unsupported
from lading.formats.appc.image import Dependency, ImageManifest
from lading.formats.appc.labels import mapping, match
from lading.formats.appc.values import image_id_of
from lading.formats.appc.wanted import Wanted
from lading.formats.oci_image import Descriptor
from lading.images.aci.envelope import ARCHIVE, MANIFEST, Envelope, Pin, described
from lading.images.aci.finding import KIND, candidates
from lading.images.aci.format import ACI
from lading.images.aci.rendered import layers_of
from lading.images.aliases import Alias
from lading.images.compression import sniff
from lading.images.layers import LayerUnpacker
from lading.images.newlayer import BlobWriter
from lading.images.source import ROOTFS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from lading.images import Images
    from lading.images.image import Image
    from lading.images.leases import Lease

_ENCRYPTED = (*(bytes([tag]) for tag in (0x84, 0x85, 0x8C, 0x8D, 0xC1, 0xC3)), b"-----BEGIN PGP MESSAGE")
"""How an OpenPGP message for a key or a passphrase begins (RFC 9580, sections 4.2 and 5). No tar archive begins so."""


def receive(
    images: Images, pieces: Iterable[bytes], *, what: str = "the archive", asked: Wanted | None = None
) -> Image:
    """The image of an archive whose bytes come in any ``pieces``. Its dependencies must be here.

    ``asked``: the name and labels that its manifest must have. Raises :class:`InvalidInput` (reasons ``hostile-archive``,
    ``duplicate-entry``, ``bad-layout``, ``no-manifest``, ``no-root``, ``other-name``), :class:`Corrupt`, :class:`Exhausted`,
    :class:`Unsupported`, :class:`NotFound` (``dependency``).
    """
    with images.lease() as lease, BlobWriter(images, lease=lease) as blob:
        unpacker = LayerUnpacker(images.layers, "sha512:", ROOTFS, lease=lease)
        try:
            for piece in pieces:
                if not blob.size:
                    check_compression(piece, what)
                blob.write(piece)
                unpacker.write(piece)
            image_id = image_id_of(unpacker.arrived())
            manifest = ImageManifest.parse(unpacker.manifest, what=f"{what}: manifest")
            if asked is not None:
                check_name(manifest, asked, what)
            pins = pin(images, manifest, lease)
            layers_of(
                images.content, manifest, pins
            )  # more than can be rendered is refused before anything is kept
            known = _known(images, manifest, image_id, pins, lease)
            if known is not None:
                return known
            unpacker.publish()
            digest, size = blob.commit()
            text = unpacker.manifest
            envelope = Envelope(
                image_id=image_id,
                aci=Descriptor(media_type=ARCHIVE, digest=digest, size=size),
                manifest=Descriptor(
                    media_type=MANIFEST, digest=images.content.put(text, lease=lease), size=len(text)
                ),
                dependencies=pins,
            )
            data = envelope.data()
            target = described(data, images.content.put(data, lease=lease))
            return images.register(target, (), lease=lease, alias=_alias(manifest, target))
        finally:
            unpacker.abort()


def check_compression(head: bytes, what: str) -> None:
    """Raise :class:`Unsupported` for a compression that image layers may have and these archives may not, and for encryption."""
    if sniff(head) == "zstd":
        raise Unsupported(
            f"{what} is compressed with zstd, which the specification does not have",
            hint="use gzip, bzip2 or xz",
            reason="compression",
        )
    if head.startswith(_ENCRYPTED):
        raise Unsupported(
            f"{what} is encrypted, and nobody is asked for its passphrase here",
            hint="decrypt it first: gpg --decrypt",
            reason="encrypted",
        )


def check_name(manifest: ImageManifest, asked: Wanted, what: str) -> None:
    """Raise :class:`InvalidInput` (reason ``other-name``) when the manifest is not of the name and labels asked for."""
    labels = mapping(manifest.labels)
    wrong = match(asked.labels, labels)
    if manifest.name == asked.name and not wrong:
        return
    found = str(Wanted(manifest.name, labels))
    raise InvalidInput(f"{what} is the image {found}, not {asked}", reason="other-name")


def pin(images: Images, manifest: ImageManifest, lease: Lease) -> list[Pin]:
    """The envelopes of an image's dependencies, in listed order, each held by ``lease`` with everything below it.

    Raises :class:`NotFound` (reason ``dependency``) for one that is not here.
    """
    pins = []
    for dependency in manifest.dependencies:
        found = _dependency(images, dependency, lease)
        if found is None:
            text = str(Wanted(dependency.image_name, mapping(dependency.labels)))
            by_id = f" with the ID {dependency.image_id[:19]}…" if dependency.image_id else ""
            raise NotFound(
                f"image {manifest.name} depends on {text}{by_id}, which is not here",
                hint="import that one first",
                reason="dependency",
            )
        pins.append(found)
    return pins


def _dependency(images: Images, dependency: Dependency, lease: Lease) -> Pin | None:
    for alias in candidates(images, Wanted(dependency.image_name, mapping(dependency.labels))):
        lease.add(alias.target.digest)
        if not images.content.has(alias.target.digest):
            continue
        image_id = Envelope.read(images.content, alias.target.digest).image_id
        if dependency.image_id in ("", image_id):
            lease.add(*(found.digest for found in ACI().references(images.content, alias.target)))
            return Pin(image_id=image_id, envelope=alias.target)
    return None


def _known(
    images: Images, manifest: ImageManifest, image_id: str, pins: list[Pin], lease: Lease
) -> Image | None:
    """The same image with the same dependencies, if it is here already: it has come again, compressed however it may be."""
    for alias in candidates(images, Wanted(manifest.name, mapping(manifest.labels))):
        lease.add(*(found.digest for found in ACI().references(images.content, alias.target)))
        image = images.resolved.get(alias.target.digest)
        if image is None or image_id_of(image.id) != image_id:
            continue
        envelope = Envelope.read(images.content, alias.target.digest)
        if envelope.dependencies == pins:
            return images.register(alias.target, (), lease=lease, alias=_alias(manifest, alias.target))
    return None


def _alias(manifest: ImageManifest, target: Descriptor) -> Alias:
    labels = mapping(manifest.labels)
    text = str(Wanted(manifest.name, labels))
    return Alias(KIND, manifest.name, text, labels, target, time.time_ns())
