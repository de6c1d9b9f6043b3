"""From the result of a build to an image: configuration with its history, blobs of the layers, manifest, name."""

from __future__ import annotations

from lading.build.cache import Result
from lading.errors import Corrupt, NotFound
from lading.formats.oci_image import Descriptor, History, ImageConfig
from lading.images import snapshots
from lading.images.register import create

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from lading.build.frontend import Built
    from lading.build.progress import Progress
    from lading.images import Images
    from lading.images.image import Image
    from lading.images.leases import Lease

_COMMENT = "lading.dockerfile"
_BLOBS = "layer-blob"
"""The kind of pins that say which blob a layer made here became: compressing it again would be for nothing."""


class Output:
    """How layers are stored. ``compression`` and ``level`` as :class:`lading.images.newlayer.LayerWriter` has them."""

    __slots__ = ("compression", "level")

    def __init__(self, compression: str = "gzip", level: int | None = None) -> None:
        self.compression = compression
        self.level = level


def configuration(built: Built, result: Result, *, moment: str = "") -> ImageConfig:
    """The image's configuration, with a line of history for each instruction and each layer's moment.

    What changes no files is told at the moment of the layer before it, so that the same build gives the same image whenever it is
    made. ``moment`` is the time of an image that has no layer of its own.
    """
    made = built.config
    base = list(built.base.config.history)
    told = sum(not step.empty_layer for step in base)
    untold = len(built.base.op.diff_ids) - told
    history = [*base, *(History(comment="not told") for _ in range(untold))]
    own = iter(result.layers[len(built.base.op.diff_ids) :])
    last = built.base.config.created or moment
    for step in built.steps:
        if step.vertex >= 0:
            last = next(own).created or last
        history.append(
            History(created=last, created_by=step.created_by, comment=_COMMENT, empty_layer=step.vertex < 0)
        )
    return made.replace(created=last or moment, history=history)


def blobs(
    images: Images, built: Built, result: Result, output: Output, progress: Progress, *, lease: Lease
) -> list[Descriptor]:
    """A blob for each layer: a base image's own, one that was made before, or a new one."""
    found: list[Descriptor] = []
    for layer in result.layers:
        known = built.blobs.get(layer.diff_id) or _known(images, layer.diff_id, output, lease)
        if known is None:
            progress.phase(f"store {layer.diff_id[7:19]}", "started", 0, layer.size)
            known = snapshots.blob(images, layer.diff_id, output.compression, output.level, lease=lease)
            images.pins.put(
                _BLOBS,
                _name(layer.diff_id, output),
                holds=[known.digest, f"layer:{snapshots.key_of(layer.diff_id)}"],
                about={"blob": known.encode()},
            )
            progress.phase(f"store {layer.diff_id[7:19]}", "done", layer.size, layer.size)
        found.append(known)
    return found


def _name(diff_id: str, output: Output) -> str:
    level = "" if output.level is None else f"-{output.level}"
    return f"{diff_id.partition(':')[2]}-{output.compression}{level}"


def _known(images: Images, diff_id: str, output: Output, lease: Lease) -> Descriptor | None:
    name = _name(diff_id, output)
    try:
        pin = images.pins.get(_BLOBS, name)
        if pin is None:
            return None
        lease.add(*pin.holds)
        images.pins.use(_BLOBS, name)
        return Descriptor.decode(pin.about["blob"], strict=False)
    except (Corrupt, NotFound, KeyError):
        return None


def store(
    images: Images,
    built: Built,
    result: Result,
    names: Collection[str],
    output: Output,
    progress: Progress,
    *,
    moment: str,
    lease: Lease,
) -> Image:
    """The image in the store, with its names."""
    layers = blobs(images, built, result, output, progress, lease=lease)
    config = configuration(built, result, moment=moment)
    return create(images, config, layers, result.diff_ids, names, lease=lease)
