"""Snapshots: file systems on their way to become images. A chain of unpacked layers, known by their diff-ids alone.

A build makes one after each step that changes files. What a step wrote becomes a layer by one rename (:func:`adopt`): its tar is
read through once for the diff-id, and neither compressed nor stored before an image travels (travelling.py). Until a pin or
an image holds the layers, the caller's lease does; and before one does, :meth:`LayerStore.settle` waits for the disk.
"""

from __future__ import annotations

import os

from lading.errors import Corrupt
from lading.formats import digest as digests
from lading.formats.oci_image import Descriptor, ImageConfig, RunConfig
from lading.images import differences
from lading.images.files import disk_error, remove_tree
from lading.images.image import STEP, Image
from lading.images.oci import format_of
from lading.images.pack import pack_changes, packed_changes
from lading.images.register import unpack_all
from lading.images.source import Source, layer_key
from lading.images.stacking import root_owner, stack
from lading.images.unpacked import Tar, Unpacked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from lading.formats.rootfs import Rootfs
    from lading.images import Images
    from lading.images.layers import Layer
    from lading.images.leases import Lease

_STEP_TYPE = "application/vnd.lading.step.v1+json"
EMPTY_LAYER = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
"""The diff-id of a tar with nothing in it: 1,024 zero bytes."""


class Snapshot:
    """``diff_ids``, bottom first; ``directories`` of its layers, top-most first; ``owner`` and ``size`` as an image has them."""

    __slots__ = ("diff_ids", "directories", "owner", "size")

    def __init__(
        self, diff_ids: list[str], directories: list[str], owner: tuple[int, int, int], size: int
    ) -> None:
        self.diff_ids = diff_ids
        self.directories = directories
        self.owner = owner
        self.size = size


def of_image(images: Images, image: Image, *, lease: Lease) -> list[Source]:
    """The layers of a local image as OCI has them, unpacked, bottom first: what a snapshot of it begins with."""
    lease.add(image.digest)
    resolved = format_of(image.descriptor.media_type).portable(images, image, lease)
    lease.add(*(source.blob.digest for source in resolved.sources))
    unpack_all(images, resolved.sources, lease)
    return resolved.sources


def of_layers(images: Images, diff_ids: Sequence[str], *, lease: Lease) -> Snapshot:
    """The snapshot of these layers, bottom first, which must be unpacked. Raises :class:`Corrupt` when one is not."""
    keys = [layer_key(diff_id) for diff_id in diff_ids]
    lease.add(*(f"layer:{key}" for key in keys))
    layers: list[Layer] = []
    for key, diff_id in zip(keys, diff_ids, strict=True):
        layer = images.layers.by_key(key)
        if layer is None:
            raise Corrupt(f"layer {diff_id} is not here", hint="run `lading check --repair` and build again")
        layers.append(layer)
    stacked = stack(images.layers, layers, lease=lease)
    return Snapshot(
        list(diff_ids),
        [images.layers.directory(key) for key in stacked],
        root_owner(layers),
        sum(layer.size for layer in layers),
    )


def image_of(images: Images, snapshot: Snapshot, *, os_: str, architecture: str, variant: str = "") -> Image:
    """The snapshot as something that containers can be made of; nobody sees it in a list of images.

    Its configuration says nothing but the platform. :func:`record` writes it down.
    """
    config = ImageConfig(os=os_, architecture=architecture, variant=variant, config=RunConfig())
    platform = f"{os_}/{architecture}" + (f"/{variant}" if variant else "")
    digest = step_digest(snapshot.diff_ids, platform)
    return Image(
        id=digest,
        descriptor=Descriptor(media_type=_STEP_TYPE, digest=digest, size=0),
        kind=STEP,
        config=config,
        layers=snapshot.directories,
        diff_ids=snapshot.diff_ids,
        size=snapshot.size,
        owner=snapshot.owner,
        find_names=lambda _: {},
    )


def step_digest(diff_ids: Sequence[str], platform: str) -> str:
    """What :func:`image_of` gives for these layers and ``OS/ARCHITECTURE[/VARIANT]`` is called by."""
    return digests.of("\0".join([platform, *diff_ids]).encode())


def record(images: Images, image: Image, *, lease: Lease) -> None:
    """Write an image of :func:`image_of` down, for :meth:`Images.get` by its digest. :func:`forget` it afterwards."""
    lease.add(image.digest)
    images.resolved.put(image)


def forget(images: Images, steps: Collection[str]) -> None:
    """Forget images of :func:`image_of`, but those that a living process has in a lease. Close one's own before."""
    from lading.images.leases import held
    from lading.images.remove import Removing

    there = [digest for digest in steps if os.path.lexists(images.resolved.path(digest))]
    if not there:
        return
    with Removing(images.root):
        leased = held(images.root)[0]
        for digest in there:
            if digest not in leased:
                images.resolved.remove(digest)


class Made:
    """A layer that :func:`adopt` made. ``size``: bytes of its files; ``skipped``: sockets, which archives cannot hold."""

    __slots__ = ("diff_id", "key", "size", "skipped")

    def __init__(self, diff_id: str, key: str, size: int, skipped: list[str]) -> None:
        self.diff_id = diff_id
        self.key = key
        self.size = size
        self.skipped = skipped


def adopt(images: Images, rootfs: Rootfs, *, lease: Lease) -> Made:
    """Make what was written to ``rootfs`` a layer. Its writable directory is taken away; nothing may be mounted of it any more.

    Raises what packing raises (a name that no archive can hold), :class:`Exhausted`; then nothing is left of the layer.
    """
    if rootfs.base:
        return _packed(images, lambda out: differences.pack(rootfs, out), lease)
    plain = digests.hasher("sha256")
    packed = packed_changes(rootfs.upper, plain.update, lower=rootfs.lower)
    diff_id = f"sha256:{plain.hexdigest()}"
    key = layer_key(diff_id)
    lease.add(f"layer:{key}")
    found = images.layers.by_key(key)
    if found is not None:
        remove_tree(rootfs.upper)
        return Made(diff_id, key, found.size, packed.skipped)
    with images.layers.stage() as staging:
        try:
            os.rmdir(staging.fs)
            os.rename(rootfs.upper, staging.fs)
        except OSError as error:
            import errno

            if error.errno != errno.EXDEV:
                raise disk_error(error, f"cannot store layer {diff_id}") from None
            return _packed(images, lambda out: pack_changes(rootfs.upper, out, lower=rootfs.lower), lease)
        _drop_all_but(os.fsencode(staging.fs), packed.kept)
        contents = Unpacked()
        contents.size, contents.entries = sum(packed.kept.values()), len(packed.kept)
        contents.implicit = [b""]  # no layer of differences says anything of the root itself
        layer = staging.publish(key, diff_id, contents, durable=False, tar=Tar(packed.size, packed.holes))
    return Made(diff_id, key, layer.size, packed.skipped)


def _packed(images: Images, pack: Callable[[Callable[[bytes], object]], list[str]], lease: Lease) -> Made:
    """The same for files that cannot be taken over as they are: through the bytes of the tar."""
    from lading.images.layers import LayerUnpacker

    unpacker = LayerUnpacker(images.layers, "sha256:", lease=lease)
    try:
        skipped = pack(lambda data: unpacker.write(bytes(data)))
        unpacker.arrived()
        layer = unpacker.publish()
    finally:
        unpacker.abort()
    return Made(layer.diff_id, layer.key, layer.size, skipped)


def _drop_all_but(root: bytes, kept: dict[bytes, int]) -> None:
    """Remove what did not come into the archive: sockets, and what only the runtime made to mount over."""
    pending = [b""]
    while pending:
        name = pending.pop()
        path = root + b"/" + name if name else root
        for entry in os.scandir(path):
            inner = name + b"/" + entry.name if name else entry.name
            if inner not in kept:
                remove_tree(os.fsdecode(entry.path))
            elif entry.is_dir(follow_symlinks=False):
                pending.append(inner)


def key_of(diff_id: str) -> str:
    """The name of an unpacked layer that is one of differences."""
    return layer_key(diff_id)
