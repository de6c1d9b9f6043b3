"""What a container may not see or change: masked paths, read-only paths, sysctl values.

Everything here is done by descriptors that were checked to be the real thing, because the root belongs to an image:
the null device is the host's, verified by number (CVE-2025-31133); values go to a real procfs (CVE-2025-52881).
"""

from __future__ import annotations

import os
import stat

from lading.errors import InvalidInput, KernelError, Unsupported
from lading.kernel.files import (
    O_PATH,
    RESOLVE_BENEATH,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
)
from lading.kernel.mounts import AT_RECURSIVE, MOUNT_ATTR_RDONLY, OPEN_TREE_CLONE, PROC_SUPER_MAGIC
from lading.kernel.paths import open_inside
from lading.runtime import devices
from lading.runtime.sysctls import sysctl_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.kernel import Kernel

_ABSENT = (2, 20)  # ENOENT, ENOTDIR
_PROC_ROOT_INODE = 1
_STRICT = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV


def open_proc(kernel: Kernel) -> int:
    """The host's ``/proc`` as a descriptor, checked to be the root of a procfs. Taken before the root is changed."""
    fd = kernel.open("/proc", O_PATH | os.O_DIRECTORY)
    if kernel.fs_type(fd) != PROC_SUPER_MAGIC or kernel.fstat(fd).st_ino != _PROC_ROOT_INODE:
        kernel.close(fd)
        raise Unsupported("/proc is not a proc file system here", hint="mount one before starting containers")
    return fd


def write_proc(kernel: Kernel, proc_fd: int, path: str, value: bytes) -> None:
    """Write one value to a file of the procfs behind ``proc_fd``; no link, no other mount on the way."""
    fd = kernel.openat2(proc_fd, path, os.O_WRONLY, _STRICT)
    try:
        if kernel.fs_type(fd) != PROC_SUPER_MAGIC:
            raise KernelError(f"/proc/{path} is not on procfs", 40)
        kernel.write(fd, value)
    finally:
        kernel.close(fd)


def set_sysctls(kernel: Kernel, proc_fd: int, values: dict[str, str]) -> None:
    """Write sysctls; they were checked with :func:`lading.runtime.sysctls.check_sysctl`."""
    for name, value in values.items():
        path = sysctl_path(name)
        if ".." in path.split("/"):
            raise InvalidInput(f"linux.sysctl: {name}: not a name")
        try:
            write_proc(kernel, proc_fd, "sys/" + path, value.encode())
        except KernelError as error:
            raise KernelError(f"sysctl {name}={value}", error.errno) from None


#: Where the kernel's own windows are mounted, and nearly every path that is protected lies in one.
WINDOWS = ("/proc", "/sys")


class Guard:
    """Covers paths or makes them read-only, before the host's root is let go.

    ``windows``: descriptors of what was mounted on ``/proc`` and ``/sys``. Paths below are looked up from there, not by
    name from the root: somebody who shares the image's directory could rename ``proc`` with the mount on it, put a
    directory of his own in its place, and would find the real one unprotected under the other name.
    """

    __slots__ = ("_empty", "_null", "kernel", "root_fd", "windows")

    def __init__(self, kernel: Kernel, root_fd: int, windows: dict[str, int]) -> None:
        self.kernel = kernel
        self.root_fd = root_fd
        self.windows = windows
        self._empty = -1
        self._null = -1

    def _find(self, path: str) -> int:
        """The descriptor of ``path``, -1 when there is none."""
        clean = os.path.normpath("/" + path.lstrip("/"))
        start, tail = self.root_fd, clean
        for window, fd in self.windows.items():
            if clean == window or clean.startswith(window + "/"):
                start, tail = fd, clean[len(window) :] or "."
        try:
            return open_inside(self.kernel, start, tail)
        except KernelError as error:
            if error.errno in _ABSENT:
                return -1
            raise

    def make_readonly(self, path: str) -> None:
        """Bind ``path`` onto itself read-only with all below it. A missing path is fine."""
        kernel = self.kernel
        target = self._find(path)
        if target < 0:
            return
        copy = kernel.open_tree("", OPEN_TREE_CLONE | AT_RECURSIVE, dirfd=target)
        kernel.mount_setattr(copy, set_=MOUNT_ATTR_RDONLY, recursive=True)
        kernel.move_mount(copy, target)
        kernel.close(copy)
        kernel.close(target)

    def mask(self, path: str) -> None:
        """Cover a file with the null device, a directory with an empty read-only one. A missing path is fine."""
        kernel = self.kernel
        target = self._find(path)
        if target < 0:
            return
        directory = stat.S_ISDIR(kernel.fstat(target).st_mode)
        cover = self._empty_directory() if directory else self._null_device()
        kernel.move_mount(cover, target)
        kernel.close(cover)
        kernel.close(target)

    def _null_device(self) -> int:
        kernel = self.kernel
        if self._null < 0:
            made = devices.host_device(kernel, "/dev/null", stat.S_IFCHR, devices.NULL)
            self._null = kernel.dup_above(made, 3)
            return made
        return kernel.open_tree(
            "", OPEN_TREE_CLONE, dirfd=self._null
        )  # attached by now, and so it can be copied

    def _empty_directory(self) -> int:
        kernel = self.kernel
        if self._empty < 0:
            options: list[tuple[str, str | None]] = [("nr_inodes", "1"), ("mode", "755")]
            made = kernel.new_filesystem("tmpfs", "tmpfs", options, MOUNT_ATTR_RDONLY)
            self._empty = kernel.dup_above(made, 3)
            return made
        return kernel.open_tree("", OPEN_TREE_CLONE, dirfd=self._empty)
