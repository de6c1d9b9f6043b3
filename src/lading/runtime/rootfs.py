"""The container's root: assembled, attached and made ``/``, all inside its own mount namespace."""

from __future__ import annotations

import os

from lading.errors import InvalidInput, KernelError
from lading.kernel import overlay
from lading.kernel.files import O_PATH
from lading.kernel.mounts import (
    AT_RECURSIVE,
    MNT_DETACH,
    MOUNT_ATTR_RDONLY,
    MS_MOVE,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_SLAVE,
    OPEN_TREE_CLONE,
    unescape,
)
from lading.kernel.namespaces import CLONE_NEWNS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.rootfs import Rootfs
    from lading.kernel import Kernel


def make(kernel: Kernel, rootfs: Rootfs | None, path: str, users: int = -1) -> int:
    """A detached mount of the root: the layers of ``rootfs`` stacked, or without them the directory ``path``.

    A plain directory is copied with all mounts below it and becomes a mount because pivot_root(2) wants one. ``users`` is the
    container's user namespace, for a ``rootfs`` that is mapped.
    """
    if rootfs is not None:
        return assemble(kernel, rootfs, users if rootfs.mapped else -1)
    try:
        return kernel.open_tree(path, OPEN_TREE_CLONE | AT_RECURSIVE)
    except KernelError as error:
        if error.errno in (2, 20):
            raise InvalidInput(f"root.path {path!r} does not exist") from None
        raise


def place(kernel: Kernel, rootfs: Rootfs | None, path: str, anchor: str) -> int:
    """A descriptor of the directory that the root will be attached over: ``path``, or with ``rootfs`` the ``anchor``."""
    name = path if rootfs is None else anchor
    try:
        return kernel.open(name, O_PATH | os.O_DIRECTORY)
    except KernelError as error:
        if error.errno in (2, 20):
            raise InvalidInput(f"root.path {name!r} is not a directory") from None
        raise


def attach(kernel: Kernel, rootfs: Rootfs | None, path: str, target: int, *, mount: int = -1) -> int:
    """Attach the root in this mount namespace, over :func:`place`'s ``target``, and return a descriptor of its top.

    Only this namespace sees it. ``mount`` is a root that :func:`make` made before, with more power.
    """
    if mount < 0:
        mount = make(kernel, rootfs, path)
    kernel.mount_setattr(mount, propagation=MS_PRIVATE)
    kernel.move_mount(mount, target)
    kernel.close(target)
    return mount


def assemble(kernel: Kernel, rootfs: Rootfs, users: int = -1) -> int:
    """A detached mount of ``rootfs``: overlay, or a plain directory when there is nothing to stack.

    ``users`` is the user namespace whose mapping it is seen by, or -1.
    """
    if not rootfs.lower:
        if not rootfs.upper:
            raise InvalidInput("rootfs has neither layers nor an upper directory")
        return _directory(kernel, rootfs.upper, users)
    if not rootfs.upper and len(rootfs.lower) == 1:
        mount = _directory(kernel, rootfs.lower[0], users)
        kernel.mount_setattr(mount, set_=MOUNT_ATTR_RDONLY)
        return mount
    stack = overlay.Stack(
        rootfs.lower,
        rootfs.upper,
        rootfs.work,
        userxattr=rootfs.userxattr,
        volatile=rootfs.volatile,
        users=users,
    )
    return overlay.mount(kernel, stack)


def _directory(kernel: Kernel, path: str, users: int) -> int:
    mount = kernel.open_tree(path, OPEN_TREE_CLONE)
    if users >= 0:
        from lading.kernel import idmap

        try:
            idmap.show(kernel, mount, users, f"root {path}")
        except BaseException:
            kernel.close(mount)
            raise
    return mount


def _let_go_of_windows(kernel: Kernel, root_fd: int) -> None:
    kernel.mount("", "/", "", MS_SLAVE | MS_REC)  # the host must not hear of it
    inside = os.readlink(f"/proc/self/fd/{root_fd}").rstrip("/") + "/"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        rows = [line.split() for line in file]
    points = []
    for row in rows:
        kind = row[row.index("-") + 1]
        point = unescape(row[4])
        if kind in ("proc", "sysfs") and not f"{point}/".startswith(inside):
            points.append(point)
    for point in reversed(points):
        try:
            kernel.umount(point, MNT_DETACH)
        except KernelError as error:
            if error.errno not in (
                2,
                22,
            ):  # gone with the one above it; locked by a user namespace: covered instead
                raise
            if error.errno == 22:
                kernel.mount("tmpfs", point, "tmpfs", MS_RDONLY)


def pivot(kernel: Kernel, root_fd: int) -> None:
    """Make ``root_fd`` the root of this namespace and let the old one go (pivot_root(2), the ``(".", ".")`` form).

    Whoever called us may live in a chroot. The namespace's root is then another one, above, which would stay its root: ``exec``,
    by setns(2), would come out there. So this process first goes to where setns(2) leads.
    """
    own = kernel.open("/proc/self/ns/mnt", os.O_RDONLY)
    kernel.setns(own, CLONE_NEWNS)
    kernel.close(own)
    old = kernel.open("/", os.O_DIRECTORY | O_PATH)
    kernel.fchdir(root_fd)
    kernel.pivot_root(".", ".")
    kernel.fchdir(old)
    # The host must not hear of the unmount below.
    kernel.mount("", ".", "", MS_SLAVE | MS_REC)
    kernel.umount(".", MNT_DETACH)
    kernel.chdir("/")
    kernel.close(old)


def move(kernel: Kernel, root_fd: int) -> None:
    """The way without pivot_root, for a root on an initramfs: move the mount over ``/`` and chroot.

    The host's tree stays below. Its procfs and sysfs are let go first: in a new user namespace one may mount those only if a
    mount without masks is there already (mount_namespaces(7), ``mount_too_revealing``), and the host's would be that.
    """
    _let_go_of_windows(kernel, root_fd)
    kernel.fchdir(root_fd)
    kernel.mount(".", "/", "", MS_MOVE)
    kernel.chroot(".")
    kernel.chdir("/")
