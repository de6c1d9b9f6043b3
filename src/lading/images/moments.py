"""When an image came, and when a container was last made of it: seconds since 1970.

Neither is written down for its own sake. An image came when its manifest did, or when the record of its name says so; the
record of an unpacked image (:mod:`lading.images.image`) is as old as the last container of it, or as itself.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.images import Images
    from lading.images.image import Image


def came(images: Images, image: Image) -> float:
    """When ``image`` came last; 0 when nobody knows any more."""
    known = [alias.came for alias in images.aliases.list() if alias.target.digest == image.digest]
    return max(known) / 1e9 if known else _age(images.content.path(image.digest))


def used(images: Images, image: Image) -> float:
    """When a container was last made of ``image``; when it came, while there was none."""
    return _age(images.resolved.path(image.digest))


def _age(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0
