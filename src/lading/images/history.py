"""How an image was made, as its configuration tells it."""

from __future__ import annotations

from lading.errors import LadingError
from lading.images.oci import format_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.images import Images
    from lading.images.image import Image


class HistoryLine:
    """One step: ``created`` (RFC 3339), ``created_by`` (a command), ``comment``, ``size`` in bytes; ``id`` on the newest only."""

    __slots__ = ("comment", "created", "created_by", "id", "size")

    def __init__(self, id: str, created: str, created_by: str, comment: str, size: int) -> None:
        self.id = id
        self.created = created
        self.created_by = created_by
        self.comment = comment
        self.size = size


def history(images: Images, image: Image) -> list[HistoryLine]:
    """Newest first. Layers beyond what the history tells are shown as steps without a command."""
    sizes = _sizes(images, image)
    lines = []
    left = iter(sizes)
    for step in image.config.history:
        size = 0 if step.empty_layer else next(left, 0)
        lines.append(HistoryLine("", step.created, step.created_by, step.comment, size))
    lines += [HistoryLine("", "", "", "", size) for size in left]
    lines.reverse()
    if lines:
        lines[0].id = image.id
    return lines


def _sizes(images: Images, image: Image) -> list[int]:
    """Of its layers, bottom first; 0 for what cannot be read."""
    try:
        form = format_of(image.descriptor.media_type)
        sources = form.resolve(images.content, image.descriptor).sources
    except LadingError:
        return [0] * len(image.diff_ids)
    sizes = []
    for source in sources:
        try:
            layer = images.layers.get(source)
        except LadingError:
            layer = None
        sizes.append(layer.size if layer is not None else 0)
    return sizes
