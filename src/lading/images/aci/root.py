"""Taking stored images out of the store: an archive as it came, or a root with everything it depends on."""

from __future__ import annotations

import os

from lading.errors import InvalidInput
from lading.images.aci.envelope import Envelope
from lading.images.aci.finding import KIND
from lading.images.beside import Making
from lading.images.copied import copy_root
from lading.images.files import disk_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lading.images import Images
    from lading.images.image import Image


def envelope_of(images: Images, image: Image) -> Envelope:
    """Raises :class:`InvalidInput` (reason ``other-format``) for an image that is not of this format."""
    if image.kind != KIND:
        raise InvalidInput(
            f"image {image.short_id} is not an App Container image",
            hint="`lading aci build --image` makes one of it",
            reason="other-format",
        )
    return Envelope.read(images.content, image.digest)


def archive_of(images: Images, image: Image) -> Iterator[bytes]:
    """The archive of ``image`` as it was received, in pieces."""
    return images.content.chunks(envelope_of(images, image).aci.digest)


def manifest_of(images: Images, image: Image) -> bytes:
    """The manifest as it is in the archive."""
    return images.content.read(envelope_of(images, image).manifest.digest)


def render(
    images: Images,
    image: Image,
    directory: str,
    *,
    root_only: bool,
    text: bytes = b"",
    overwrite: bool = False,
) -> None:
    """Write the root of ``image``, dependencies and all, into a new directory: below ``rootfs``, beside ``manifest``.

    ``text``: the manifest, when it is not the one in its archive; then the image may be of any format. Raises
    :class:`InvalidInput` for a directory that is there, unless ``overwrite`` says that it goes, :class:`Exhausted`; then nothing
    is left.
    """
    text = text or manifest_of(images, image)
    with images.lease() as lease, Making(directory, overwrite=overwrite) as made:
        lease.add(image.digest, *("layer:" + path.split("/")[-2] for path in image.layers))
        try:
            if root_only:
                os.rmdir(made.path)
            copy_root(image, made.path if root_only else made.path + "/rootfs")
            if not root_only:
                made.write_manifest(text)
        except OSError as error:
            raise disk_error(error, f"cannot render {image.short_id}") from None
