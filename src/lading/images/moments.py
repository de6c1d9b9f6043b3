"""When an image came, and when a container was last made of it: seconds since 1970.

Neither is written down for its own sake. An image came when its manifest did, or when the record of its name says so; the
record of an unpacked image (:mod:`lading.images.image`) is as old as the last container of it, or as itself.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.images import Images
    from lading.images.image import Image


def came(images: Images, image: Image) -> float:
    """When ``image`` came last; 0 when nobody knows any more."""
    return all_came(images, [image])[image.digest]


def all_came(images: Images, some: Sequence[Image]) -> dict[str, float]:
    """The same of several images, by their digests."""
    known: dict[str, int] = {}
    for alias in images.aliases.list():
        known[alias.target.digest] = max(alias.came, known.get(alias.target.digest, 0))
    return {
        image.digest: known[image.digest] / 1e9
        if image.digest in known
        else _age(images.content.path(image.digest))
        for image in some
    }


def used(images: Images, image: Image) -> float:
    """When a container was last made of ``image``; when it came, while there was none."""
    return _age(images.resolved.path(image.digest))


def _age(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0
