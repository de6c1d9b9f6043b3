"""Images made here: out of a plain tar of files, and out of what a container changed."""

from __future__ import annotations

import os

from lading.errors import InvalidInput
from lading.formats import digest as digests
from lading.formats import platform as platforms
from lading.formats.oci_image import History, ImageConfig, RunConfig
from lading.images import differences, instructions
from lading.images.compression import decompress
from lading.images.limits import Limits
from lading.images.newlayer import LayerWriter, OwnLayer
from lading.images.oci import Resolved, format_of
from lading.images.pack import pack_changes, packed_changes
from lading.images.register import create
from lading.images.source import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import BinaryIO

    from lading.formats.oci_image import Descriptor
    from lading.formats.rootfs import Rootfs
    from lading.images import Images
    from lading.images.image import Image
    from lading.images.leases import Lease
    from lading.images.pack import Owner

_CHUNK = 1 << 20


def now() -> str:
    """The time of creation, RFC 3339: ``SOURCE_DATE_EPOCH`` when set, for reproducible images."""
    import time

    return rfc3339(source_date(int(time.time())))


def source_date(otherwise: int) -> int:
    """``SOURCE_DATE_EPOCH`` in seconds, or ``otherwise`` where it is not set. Raises :class:`InvalidInput`.

    Source: reproducible-builds.org, SOURCE_DATE_EPOCH specification.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if text and not (text.isascii() and text.isdigit() and len(text) < 12):
        raise InvalidInput(f"SOURCE_DATE_EPOCH={text!r} is not a whole number of seconds")
    return int(text) if text else otherwise


def rfc3339(seconds: int) -> str:
    """Seconds since 1970 as images write times."""
    import time

    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def import_tar(
    images: Images,
    source: BinaryIO,
    *,
    changes: Sequence[str] = (),
    names: Collection[str] = (),
    message: str = "",
    platform: str = "",
) -> Image:
    """See :meth:`Images.import_`."""
    wanted = platforms.parse(platform)
    run = instructions.apply(RunConfig(), changes)
    limits = images.layers.limits or Limits.from_environment()
    read = getattr(source, "read1", None) or source.read

    def pieces() -> object:
        while piece := read(_CHUNK):
            yield piece

    with images.lease() as lease, OwnLayer(images, lease=lease) as layer:
        total = 0
        for piece in decompress(pieces(), what="the archive"):  # type: ignore[arg-type]
            total += len(piece)
            if total > limits.bytes:
                from lading.errors import Exhausted

                raise Exhausted(f"the archive holds more than {limits.bytes} bytes", reason="too-large")
            layer.write(piece)
        if not total:
            raise InvalidInput("the archive is empty")
        descriptor, diff_id = layer.finish()
        time = now()
        config = ImageConfig(
            created=time,
            os=wanted.os,
            architecture=wanted.architecture,
            variant=wanted.variant,
            config=run,
            history=[History(created=time, created_by="lading import", comment=message)],
        )
        return create(images, config, [descriptor], [diff_id], names, lease=lease)


def commit(
    images: Images,
    parent: Image,
    *,
    rootfs: Rootfs,
    config: RunConfig | None = None,
    changes: Sequence[str] = (),
    author: str = "",
    message: str = "",
    created_by: str = "",
    names: Collection[str] = (),
    owner: Owner | None = None,
) -> Image:
    """See :meth:`Images.commit`."""
    run = instructions.apply(config if config is not None else parent.config.config, changes)
    with images.lease() as lease:
        lease.add(parent.digest)
        base = format_of(parent.descriptor.media_type).portable(images, parent, lease)
        lease.add(*(source.blob.digest for source in base.sources))
        descriptor, diff_id = _layer(images, rootfs, owner, lease)
        time = now()
        made = base.config.replace(
            created=time,
            author=author or base.config.author,
            config=run,
            history=[
                *_whole_history(base),
                History(
                    created=time, author=author, created_by=created_by or "lading commit", comment=message
                ),
            ],
        )
        sources = [*base.sources, Source(descriptor, diff_id)]
        return create(
            images, made, [s.blob for s in sources], [s.diff_id for s in sources], names, lease=lease
        )


def _layer(images: Images, rootfs: Rootfs, owner: Owner | None, lease: Lease) -> tuple[Descriptor, str]:
    """What a container changed as a layer: kept once, where its files can be packed to the same archive again."""
    if not rootfs.base and os.geteuid() == 0:  # whoever else cannot give links to others
        plain = digests.hasher("sha256")
        with OwnLayer(images, lease=lease) as own:

            def take(data: bytes) -> None:
                plain.update(data)
                own.write(data)

            packed = packed_changes(rootfs.upper, take, owner=owner, lower=rootfs.lower)
            made = own.adopt(packed, f"sha256:{plain.hexdigest()}")
        if made is not None:
            return made
    with LayerWriter(images, lease=lease) as layer:
        if rootfs.base:
            differences.pack(rootfs, layer.write, owner=owner)
        else:
            pack_changes(rootfs.upper, layer.write, owner=owner, lower=rootfs.lower)
        return layer.finish()


def _whole_history(parent: Resolved) -> list[History]:
    """The parent's history with a step for each layer that it does not tell of, so that ours stands beside our layer."""
    steps = parent.config.history
    told = sum(not step.empty_layer for step in steps)
    return [*steps, *(History(comment="not told") for _ in range(len(parent.sources) - told))]
