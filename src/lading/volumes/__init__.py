"""Floor 2: named volumes. A directory (or tmpfs options) with a name, labels and a driver, that outlives containers.

:class:`Volumes` is the store, :class:`Volume` one of them, :func:`copy_up` fills an empty one from an image's root.
"""

from __future__ import annotations

from lading.volumes.store import Finding, Volume, Volumes

__all__ = ["Finding", "Volume", "Volumes"]
