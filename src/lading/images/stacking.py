"""From unpacked layers to the list of directories that overlayfs mounts.

Layers are unpacked apart from each other, so a layer may lack what only the layers below it know. Where it does, a small
mending layer goes on top of it, made once for that chain of layers.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.images.layers import Layer, LayerStore
    from lading.images.leases import Lease


def stack(store: LayerStore, layers: list[Layer], *, lease: Lease) -> list[str]:
    """Keys of the layer directories of an image, top-most first; ``layers`` are bottom first."""
    keys: list[str] = []
    for layer in layers:
        if layer.key in keys:
            keys.remove(layer.key)  # overlayfs refuses a directory twice; the upper occurrence decides
        keys.insert(0, layer.key)
    return keys


def root_owner(layers: list[Layer]) -> tuple[int, int, int]:
    """Mode, uid and gid of the root directory: the top-most layer that says so decides."""
    for layer in reversed(layers):
        if b"" not in layer.implicit:
            there = os.stat(layer.path)
            return stat.S_IMODE(there.st_mode), there.st_uid, there.st_gid
    return 0o755, 0, 0
