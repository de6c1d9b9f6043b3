"""Image formats beside OCI's: a module of this package each, with a ``FORMAT`` in it."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.images.oci import ImageFormat


def other_format(name: str) -> ImageFormat | None:
    """The format of the module ``lading.images.NAME``; None when there is no such module, or no format in it."""
    if not name.isidentifier():
        return None
    module = f"lading.images.{name}"
    try:
        __import__(module)
    except ModuleNotFoundError:
        return None
    found: ImageFormat | None = getattr(sys.modules[module], "FORMAT", None)
    return found
