"""``/dev``: the nodes every container has, those its configuration adds, and the usual links."""

from __future__ import annotations

import os
import stat

from lading.errors import InvalidInput, KernelError
from lading.kernel.files import O_PATH
from lading.kernel.mounts import MOUNT_ATTR_RDONLY, OPEN_TREE_CLONE
from lading.kernel.paths import make_directory_inside, make_file_inside, open_inside, parent_inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_runtime import Device
    from lading.kernel import Kernel

#: runtime-spec, config-linux.md, "Default Devices": name → (major, minor).
DEFAULTS = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
}
LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}
NULL = os.makedev(1, 3)
_EPERM, _EEXIST = 1, 17
_KINDS = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}


def populate(kernel: Kernel, root_fd: int, extra: list[Device], *, bind: bool) -> None:
    """Make the default nodes, ``extra`` and the links below ``/dev``.

    ``bind``: mknod(2) is not ours to call (a user namespace), so the host's own nodes are bound instead. The same
    happens when the kernel answers EPERM.
    """
    wanted = {device.path.rstrip("/") for device in extra}
    dev = make_directory_inside(kernel, root_fd, "dev")  # an image need not have one
    mask = kernel.umask(
        0
    )  # a node is born with its mode: chmod(2) by name would follow what was swapped in meanwhile
    for name, (major, minor) in DEFAULTS.items():
        if f"/dev/{name}" in wanted:
            continue
        bind = _default(kernel, root_fd, dev, name, os.makedev(major, minor), bind)
    own_terminals = _exists(kernel, root_fd, "dev/pts/ptmx")
    for device in extra:
        if not (
            own_terminals and device.path.rstrip("/") == "/dev/ptmx"
        ):  # asked for beside the default: the same
            _extra(kernel, root_fd, device, bind)
    for name, target in LINKS.items():
        _link(kernel, dev, name, target)
    if own_terminals:
        _ptmx(kernel, dev)
    kernel.umask(mask)
    kernel.close(dev)


def _default(kernel: Kernel, root_fd: int, dev: int, name: str, device: int, bind: bool) -> bool:
    if not bind:
        try:
            kernel.mknodat(dev, name, stat.S_IFCHR | 0o666, device)
            return False
        except KernelError as error:
            if error.errno == _EEXIST and _is_device(kernel, dev, name, stat.S_IFCHR, device):
                return False
            if error.errno not in (_EPERM, _EEXIST):
                raise
            bind = error.errno == _EPERM
    _bind(kernel, root_fd, f"/dev/{name}", stat.S_IFCHR, device)
    return bind


def _is_device(kernel: Kernel, dirfd: int, name: str, kind: int, device: int, mode: int = -1) -> bool:
    """Whether the node that is there already is the wanted one; it then gets ``mode``, by descriptor."""
    fd = kernel.open(name, O_PATH | os.O_NOFOLLOW, dirfd=dirfd)
    try:
        found = kernel.fstat(fd)
        if stat.S_IFMT(found.st_mode) != kind or found.st_rdev != device:
            return False
        if mode >= 0:
            kernel.chmodat(fd, f"/proc/self/fd/{fd}", mode)
        return True
    finally:
        kernel.close(fd)


def _bind(kernel: Kernel, root_fd: int, path: str, kind: int, device: int) -> None:
    source = host_device(kernel, path, kind, device)
    target = make_file_inside(kernel, root_fd, path)
    kernel.move_mount(source, target)
    kernel.close(target)
    kernel.close(source)


def host_device(kernel: Kernel, path: str, kind: int, device: int) -> int:
    """A detached mount of the host's node at ``path``, checked to be that very device.

    Read-only: it can be written to all the same, but nobody changes the mode, the owner or the times of the host's node.
    """
    mount = kernel.open_tree(path, OPEN_TREE_CLONE)
    found = kernel.fstat(mount)
    if stat.S_IFMT(found.st_mode) != kind or found.st_rdev != device:
        kernel.close(mount)
        raise InvalidInput(f"{path} on the host is not the device {os.major(device)}:{os.minor(device)}")
    kernel.mount_setattr(mount, set_=MOUNT_ATTR_RDONLY)
    return mount


def _extra(kernel: Kernel, root_fd: int, device: Device, bind: bool) -> None:
    kind = _KINDS.get(device.type)
    if kind is None:
        raise InvalidInput(f"linux.devices: {device.path}: type {device.type!r} is none of c, b, u, p")
    number = 0 if device.type == "p" else os.makedev(device.major, device.minor)
    if bind and device.type != "p":
        _bind(kernel, root_fd, device.path, kind, number)
        return
    mode = 0o666 if device.file_mode is None else device.file_mode & 0o7777
    parent, name = parent_inside(kernel, root_fd, device.path)
    try:
        kernel.mknodat(parent, name, kind | mode, number)
    except KernelError as error:
        if error.errno == _EPERM:
            _bind(kernel, root_fd, device.path, kind, number)
            return
        if error.errno != _EEXIST or not _is_device(kernel, parent, name, kind, number, mode):
            raise
    kernel.chownat(parent, name, device.uid or 0, device.gid or 0)
    kernel.close(parent)


def _link(kernel: Kernel, dev: int, name: str, target: str) -> None:
    try:
        kernel.symlinkat(target, dev, name)
    except KernelError as error:
        if error.errno != _EEXIST:
            raise


def _ptmx(kernel: Kernel, dev: int) -> None:
    """``/dev/ptmx`` leads to the container's own terminals, whatever the image had there."""
    try:
        kernel.unlinkat(dev, "ptmx")
    except KernelError as error:
        if error.errno != 2:
            raise
    kernel.symlinkat("pts/ptmx", dev, "ptmx")


def _exists(kernel: Kernel, root_fd: int, path: str) -> bool:
    try:
        kernel.close(open_inside(kernel, root_fd, path))
    except KernelError:
        return False
    return True
