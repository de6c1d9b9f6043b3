"""Removing a directory of ours in which somebody may have mounted something: what is mounted there is not ours to delete."""

from __future__ import annotations

import os

from lading.errors import KernelError
from lading.kernel import tree
from lading.kernel.mounts import MNT_DETACH, UMOUNT_NOFOLLOW, unescape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.kernel import Kernel


def mounted_below(path: str, mountinfo: str = "/proc/self/mountinfo") -> list[str]:
    """Where something is mounted at ``path`` or below it, the last mounted first. Source: proc(5)."""
    inside = os.path.realpath(path) + "/"
    with open(mountinfo, encoding="utf-8", errors="surrogateescape") as file:
        points = [line.split(" ", 5)[4] for line in file]
    return [point for point in map(unescape, reversed(points)) if f"{point}/".startswith(inside)]


def clear(kernel: Kernel, path: str) -> None:
    """Remove ``path`` with everything in it, once nothing is mounted there any more: a mount's content stays where it is.

    Raises OSError, and :class:`KernelError` for what cannot be unmounted, with nothing removed.
    """
    if not os.path.lexists(path):
        return
    for point in mounted_below(path):
        try:
            kernel.umount(point, MNT_DETACH | UMOUNT_NOFOLLOW)
        except KernelError as error:
            error.hint = f"something is mounted at {point}, which has to be unmounted first"
            raise
    tree.remove(path)
