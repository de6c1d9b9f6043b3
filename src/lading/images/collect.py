"""The collector: removes content that nothing refers to.

Reachable is what a name, a resolved image, a pin or a living lease leads to. It runs under the exclusive store lock, which every
change of names, records, pins and leases takes shared.
"""

from __future__ import annotations

import os

from lading.errors import Unsupported
from lading.formats.digest import is_digest
from lading.images import leases
from lading.images.files import remove_tree
from lading.images.oci import format_of
from lading.images.source import layer_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_image import Descriptor
    from lading.images import Images
    from lading.images.remove import RemoveReport


def reachable(images: Images) -> tuple[set[str], set[str]]:
    """Digests of blobs and keys of layers that must stay."""
    held, _ = leases.held(images.root)
    held.update(images.pins.held())
    blobs = {name for name in held if not name.startswith("layer:")}
    layers = {name[6:] for name in held if name.startswith("layer:")}
    targets: dict[str, Descriptor] = {}
    for _, named in images.names.list():
        targets[named.target.digest] = named.target
    for alias in images.aliases.list():
        targets[alias.target.digest] = alias.target
    for digest in images.resolved.list():
        image = images.resolved.get(digest)
        if image is not None:
            targets[digest] = image.descriptor
            blobs.add(image.id)
            layers.update(path.split("/")[-2] for path in image.layers)
    for target in targets.values():
        try:
            blobs.update(d.digest for d in format_of(target.media_type).references(images.content, target))
        except Unsupported:
            blobs.add(target.digest)
    # A layer that was made here is the only place where the archive of its name is (rendering.py).
    layers.update(layer_key(digest) for digest in blobs if is_digest(digest))
    return blobs, layers


def collect(images: Images, report: RemoveReport) -> None:
    """Remove what is not reachable; call under the exclusive store lock. Adds to ``report``."""
    blobs, layers = reachable(images)
    for digest, _ in list(images.content.list()):
        if digest not in blobs:
            report.freed += images.content.remove(digest)
            report.blobs.append(digest)
    for key in images.layers.list():
        if key not in layers:
            report.freed += remove_layer(images, key)
            report.layers.append(key)
    if os.path.isdir(images.root + "/pins/signature") or os.path.isdir(images.root + "/pins/verified"):
        from lading.images.signing import kept

        kept.sweep(images)


def remove_layer(images: Images, key: str) -> int:
    """Remove an unpacked layer; bytes of its files. It leaves its place by one rename, so that no half of one is ever found."""
    try:
        layer = images.layers.by_key(key)
        size = layer.size if layer is not None else 0
    except Exception:
        size = 0
    with images.layers.stage(locked=True) as staging:
        try:
            os.rename(f"{images.root}/layers/{key}", staging.path + "/gone")
        except FileNotFoundError:
            return 0
        remove_tree(staging.path + "/gone")
    return size
