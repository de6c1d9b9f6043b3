"""The places that every container mounts something on, as one more layer below all those of its image.

Without it each container would make the ones that its image lacks in its own writable layer: a dozen changes to a disk,
and as many again when it is removed. The layer is the lowest, so whatever the image has or has deleted there counts; and
it is only stacked under what runs, never under what is compared, committed, or copied from.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.rootfs import Rootfs

#: Part of the directory's name: raise it when the places change, for what is there is in use and stays as it is.
_VERSION = 1
_DIRECTORIES = ("proc", "sys", "dev", "etc")
_FILES = ("etc/hosts", "etc/hostname", "etc/resolv.conf")
#: A kernel before 6.8 takes all layers in one page of text.
_LAYERS = 40


def below(rootfs: Rootfs, data: str) -> Rootfs:
    """``rootfs`` with the layer below it; the layer is made below the directory ``data`` where it is missing."""
    if not rootfs.upper or not rootfs.lower or len(rootfs.lower) > _LAYERS:
        return rootfs
    path = f"{data}/mountpoints-{_VERSION}"
    if not os.path.isdir(path):
        _make(path)
    return rootfs.replace(lower=[*rootfs.lower, path])


def _make(path: str) -> None:
    """Make the layer elsewhere and give it its name when it is whole; somebody else may be faster."""
    from lading.kernel import tree

    part = f"{os.path.dirname(path)}/.mountpoints-{os.urandom(8).hex()}"
    os.mkdir(part, 0o700)
    try:
        os.chmod(part, 0o755)
        for name in _DIRECTORIES:
            os.mkdir(f"{part}/{name}")
            os.chmod(f"{part}/{name}", 0o755)
        for name in _FILES:
            fd = os.open(f"{part}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC)
            os.fchmod(fd, 0o644)
            os.close(fd)
        os.rename(part, path)
    except OSError:
        tree.remove(part)
        if not os.path.isdir(path):
            raise
