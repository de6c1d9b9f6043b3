"""What may be mounted on ``/proc`` and below it: procfs itself, and the few files that lxcfs answers for.

Masks, labels and sysctls rely on ``/proc`` being what it says; an image or a volume that lies over a part of it can redirect
them (CVE-2019-16884, CVE-2019-19921, CVE-2023-27561). Engines and pods know the same exceptions from runc, and nothing else
is let through. A name is judged before anything is made (:func:`by_name`), what it really leads to when it is mounted
(:func:`check_target`).
"""

from __future__ import annotations

import os

from lading.errors import InvalidInput
from lading.kernel.mounts import PROC_SUPER_MAGIC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_runtime import Mount
    from lading.kernel import Kernel

#: lxcfs' files, and two sysctls that test suites and FIPS hosts replace.
FILES = frozenset(
    "/proc/cpuinfo /proc/diskstats /proc/meminfo /proc/stat /proc/swaps /proc/uptime /proc/loadavg /proc/slabinfo "
    "/proc/sys/kernel/ns_last_pid /proc/sys/crypto/fips_enabled".split()
)
_ROOT_INODE = 1


def by_name(destination: str, *, proc: bool) -> str:
    """Why nothing may be mounted at ``destination``, or nothing to say. ``proc``: it is procfs, or may turn out to be."""
    place = os.path.normpath("/" + destination.lstrip("/"))
    if place == "/proc":
        return "" if proc else f"{destination} can only be a proc file system"
    if place.startswith("/proc/") and place not in FILES:
        return f"{destination} lies inside /proc"
    return ""


def check_target(kernel: Kernel, root_fd: int, mount: Mount, target: int, bound: int = -1) -> None:
    """The same of the opened ``target``, to which a link of the image may have led; ``bound`` is what a bind shows.

    Raises :class:`InvalidInput` naming the destination.
    """
    if refused := by_name(mount.destination, proc=mount.type == "proc" or bound >= 0):
        raise InvalidInput(f"mount on {refused}", reason="proc-mount")
    place = os.path.normpath("/" + mount.destination.lstrip("/"))
    if place == "/proc" and bound >= 0:
        if kernel.fs_type(bound) != PROC_SUPER_MAGIC or kernel.fstat(bound).st_ino != _ROOT_INODE:
            raise InvalidInput(
                f"mount on {mount.destination}: {mount.source} is not a proc file system", reason="proc-mount"
            )
    elif place not in FILES and kernel.fs_type(target) == PROC_SUPER_MAGIC:
        found = _inside(root_fd, target)
        # A procfs that the container has somewhere else (the host's, say, at /host/proc) is not its own.
        if found.startswith("/proc/") or found == "/proc" != place:
            raise InvalidInput(
                f"mount on {mount.destination}: it leads to {found}, inside /proc", reason="proc-mount"
            )


def _inside(root_fd: int, target: int) -> str:
    """Where ``target`` is in the root; empty when that cannot be told."""
    try:
        root, path = (os.readlink(f"/proc/self/fd/{fd}") for fd in (root_fd, target))
    except OSError:
        return ""
    root = root.rstrip("/")
    return path[len(root) :] if path.startswith(root + "/") else ""
