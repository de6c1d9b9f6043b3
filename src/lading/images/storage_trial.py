"""Trying overlayfs out: a tiny layer is mounted where nobody sees it, changed, and looked at.

What the kernel says when it is mounted is not enough: some file systems let it mount and then keep no whiteouts.
"""

from __future__ import annotations

import os
import stat

from lading.errors import KernelError
from lading.images.layers import LayerStore
from lading.images.union import is_whiteout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.kernel import Kernel

_EPERM, _ENOSYS = 1, 38
_LONGEST = 240  # fsconfig(2) takes 255 bytes a word
_OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")


def overlay_problem(root: str, kernel: Kernel | None, *, userxattr: bool) -> str | None:
    """Mount overlayfs on a tiny layer, attached nowhere: empty when all is well, else what is not.

    None when we may not mount at all, or nothing can be written now: then nothing was learnt.
    """
    if kernel is None:
        from lading.kernel import Kernel

        kernel = Kernel()
    with LayerStore(root).stage() as staging:
        base = staging.fs
        if len(base) > _LONGEST:
            return None
        os.makedirs(base + "/lower/directory")
        os.close(os.open(base + "/lower/file", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
        os.mkdir(base + "/upper")
        os.mkdir(base + "/work")
        options: list[tuple[str, str | None]] = [
            ("lowerdir", base + "/lower"),
            ("upperdir", base + "/upper"),
            ("workdir", base + "/work"),
        ]
        if userxattr:
            options.append(("userxattr", None))
        try:
            os.mknod(base + "/whiteout", stat.S_IFCHR, 0)
        except OSError as error:
            return f"no whiteouts can be made below {root}: {error.strerror}"
        try:
            mount = kernel.new_filesystem("overlay", "overlay", options, 0)
        except KernelError as error:
            if error.errno == _ENOSYS or (error.errno == _EPERM and not _may_mount(kernel)):
                return None
            return f"overlayfs cannot be used below {root}: {error.hint or os.strerror(error.errno)}"
        try:
            return _used(mount, base)
        except OSError as error:
            return f"overlayfs cannot be used below {root}: {error.strerror}"
        finally:
            os.close(mount)


def _may_mount(kernel: Kernel) -> bool:
    """Whether we may mount anything at all: then it is overlayfs that this user namespace refuses (Linux before 5.11)."""
    try:
        os.close(kernel.new_filesystem("tmpfs", "tmpfs", [], 0))
    except KernelError:
        return False
    return True


def _used(mount: int, base: str) -> str:
    """Delete a file and replace a directory in the mount, and look whether the upper layer can say so."""
    os.unlink("file", dir_fd=mount)
    os.rmdir("directory", dir_fd=mount)
    os.mkdir("directory", dir_fd=mount)
    if not is_whiteout(os.lstat(base + "/upper/file")):
        return f"the file system of {base} keeps no whiteouts"
    for name in _OPAQUE:
        try:
            if os.getxattr(base + "/upper/directory", name):
                return ""
        except OSError:
            continue
    return f"the file system of {base} keeps no extended attributes"
