"""Images as pods of apps name them: each by an image ID, a name with labels, and a manifest.

An App Container image has all three. An OCI image has none, and gets them from what it has: its ID is the SHA-512 of its
manifest's digest (a text, ``sha256:HEX``), its name and version are those of its first reference, its manifest is its
configuration in App Container's terms.
"""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats import digest as digests
from lading.formats.appc.image import ImageManifest
from lading.formats.appc.values import id_prefix, image_id_of
from lading.images.aci.finding import KIND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lading.formats.pod import Container
    from lading.images import Images
    from lading.images.image import Image


class AppImage:
    """An image of the store.

    ``id``        ``sha512-HEX``.
    ``image``     what the engine runs.
    ``manifest``  how an app of it is executed.
    ``original``  the bytes of the manifest as it is in the archive.
    """

    __slots__ = ("id", "image", "manifest", "original")

    def __init__(self, id: str, image: Image, manifest: ImageManifest, original: bytes) -> None:
        self.id = id
        self.image = image
        self.manifest = manifest
        self.original = original

    @property
    def name(self) -> str:
        """What it is called, as `image list` has it; empty for an image without a name."""
        return shown_names(self.image)[0]

    def __repr__(self) -> str:
        return f"AppImage({self.id[:19]}, {self.manifest.name})"


def shown_names(image: Image) -> list[str]:
    """Its names, each once; one that is empty where it has none. Labels but the version are the name's business."""
    return list(dict.fromkeys(name.partition(",")[0] for name in image.names)) or [""]


def id_of(image: Image) -> str:
    """The ID by which pods name ``image``, whatever its format."""
    if image.kind == KIND:
        return image_id_of(image.id)
    return image_id_of(digests.of(image.digest.encode(), "sha512"))


def app_image(images: Images, image: Image) -> AppImage:
    """``image`` as pods name it. Raises :class:`Corrupt`, :class:`InvalidInput` (a name that no image can have)."""
    if image.kind == KIND:
        from lading.formats.appc.record import LARGEST
        from lading.images.aci.envelope import Envelope

        envelope = Envelope.read(images.content, image.digest)
        original = images.content.read(envelope.manifest.digest, limit=LARGEST)
        what = f"manifest of {envelope.image_id[:19]}"
        return AppImage(envelope.image_id, image, ImageManifest.parse(original, what=what), original)
    from lading.formats.appc.convert import to_aci

    name, version = _called(image)
    labels = {"version": version} if version else {}
    manifest = to_aci(image.config, name=name, labels=labels).manifest
    return AppImage(id_of(image), image, manifest, manifest.text().encode())


def expect(container: Container, image: AppImage) -> None:
    """What an image of this format may expect of who executes it, and one of a registry does not.

    Source: spec/aci.md, ``user``, ``group``, ``workingDirectory``; spec/ace.md, "Volume Setup"; spec/OS-SPEC.md, "Devices and
    File Systems", "Common Files".
    """
    ours = image.image.kind == KIND
    extras = container.extras
    extras.numeric_names = extras.must_have_directory = extras.keep_hosts = extras.console = ours
    extras.make_way = ours


def _called(image: Image) -> tuple[str, str]:
    """A name and a version for an OCI image: those of its first reference, or of its ID when it has none."""
    from lading.formats.appc.names import suggest_identifier
    from lading.formats.reference import Reference

    for text in image.names:
        try:
            reference = Reference.parse(text)
        except InvalidInput:
            continue
        name = suggest_identifier(reference.name)
        if name:
            return name, reference.tag
    return "image/" + image.short_id, ""


def find_id(images: Images, text: str) -> Image | None:
    """The image of the ID ``sha512-…``, whole or shortened; None when it is not here or ``text`` is no image ID.

    Raises :class:`InvalidInput` (reason ``ambiguous``) for the beginning of more than one ID.
    """
    digits = id_prefix(text)
    if digits is None:
        return None
    from lading.images.aci.finding import find

    archive = find(images, text)
    others = [image for image in _of_oci(images) if id_of(image)[7:].startswith(digits)]
    if len(others) + (archive is not None) > 1:
        raise InvalidInput(
            f"image ID {text[:39]} is ambiguous: more than one image begins with it", reason="ambiguous"
        )
    return archive if archive is not None else others[0] if others else None


def _of_oci(images: Images) -> Iterator[Image]:
    for digest in images.resolved.list():
        if not digests.is_digest(digest):
            continue
        image = images.resolved.get(digest)
        if image is not None and image.kind != KIND:
            yield image
