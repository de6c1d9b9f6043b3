"""Base images out of Debian packages, for a machine without a registry."""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats.reference import Reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.images import Images
    from lading.images.image import Image


def bootstrap(images: Images, name: str, *, include: list[str], progress: Callable[[str], None]) -> Image:
    """See :meth:`Images.bootstrap`."""
    reference = Reference.parse(name, default_tag="")
    if reference.name == "docker.io/library/busybox":
        from lading.images.bootstrap_busybox import bootstrap_busybox

        if include:
            raise InvalidInput("busybox takes no --include", hint="bootstrap debian:SUITE to add packages")
        return bootstrap_busybox(images, reference.with_tag(reference.tag or "latest"), progress)
    if reference.name == "docker.io/library/debian":
        from lading.images.bootstrap_debian import bootstrap_debian

        return bootstrap_debian(images, reference, include, progress)
    raise InvalidInput(
        f"cannot bootstrap {name!r}", hint="bootstrap busybox or debian:SUITE, for example debian:bookworm"
    )
