"""Mounts: the old calls and the new API by descriptor (mount(2), fsopen(2), open_tree(2), mount_setattr(2)).

The new API is the one to use: a mount is made detached, gets its attributes, and is then attached to a descriptor
that was opened inside the root. No path is looked up twice, so nothing can be swapped in between.
"""

from __future__ import annotations

import _struct as struct
import os

from lading.errors import KernelError
from lading.kernel.libc import buffer, call

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
AT_SYMLINK_NOFOLLOW = 0x100

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_MOVE = 0x2000
MS_REC = 0x4000
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR_ATIME = 0x70
MOUNT_ATTR_RELATIME = 0x0
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_IDMAP = 0x100000
MOUNT_ATTR_NOSYMFOLLOW = 0x200000

#: ``MOUNT_ATTR_*`` and what mount(2) calls it.
_OLD_FLAGS = (
    (MOUNT_ATTR_NOSUID, MS_NOSUID),
    (MOUNT_ATTR_NODEV, MS_NODEV),
    (MOUNT_ATTR_NOEXEC, MS_NOEXEC),
    (MOUNT_ATTR_NOATIME, 1 << 10),
    (MOUNT_ATTR_NODIRATIME, 1 << 11),
    (MOUNT_ATTR_STRICTATIME, 1 << 24),
)
_PLAIN = (
    MOUNT_ATTR_NOSUID
    | MOUNT_ATTR_NODEV
    | MOUNT_ATTR_NOEXEC
    | MOUNT_ATTR_NOATIME
    | MOUNT_ATTR_NODIRATIME
    | MOUNT_ATTR_STRICTATIME
)

OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
_MOVE_EMPTY = 0x4 | 0x40  # MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
FSOPEN_CLOEXEC = 1
FSMOUNT_CLOEXEC = 1
_SET_FLAG, _SET_STRING, _SET_FD, _CREATE, _RECONFIGURE = 0, 1, 5, 6, 7

PROC_SUPER_MAGIC = 0x9FA0
SYSFS_MAGIC = 0x62656572
TMPFS_MAGIC = 0x01021994
CGROUP_SUPER_MAGIC = 0x27E0EB
CGROUP2_SUPER_MAGIC = 0x63677270
OVERLAYFS_SUPER_MAGIC = 0x794C7630


def unescape(point: str) -> str:
    """A path as ``/proc/PID/mountinfo`` writes it, without its escapes. Source: proc(5)."""
    if "\\" not in point:
        return point
    for code, letter in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(code, letter)
    return point


class Mounts:
    """Mount calls. Descriptors returned are close-on-exec; every failure is a :class:`KernelError`."""

    def mount(self, source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
        """mount(2). ``data`` is limited to one page by the kernel."""
        call(
            "mount",
            os.fsencode(source) or None,
            os.fsencode(target),
            fstype.encode() or None,
            flags,
            os.fsencode(data) if data else None,
            about=target,
        )

    def mount_on(
        self,
        target_fd: int,
        fstype: str,
        source: str,
        options: list[tuple[str, str | None]],
        attributes: int,
        name: str = "",
    ) -> bool:
        """A new ``fstype`` on the directory behind ``target_fd``, or on ``name`` in it, in a single mount(2).

        A tenth of the calls of :meth:`new_filesystem`, for who needs no descriptor of the mount. ``attributes`` are
        ``MOUNT_ATTR_*`` without RDONLY, which mount(2) would make the file system's and not the mount's. ``/proc`` must be
        known to be the real one. False when nothing was mounted: the other way can do more, and says why not.
        """
        if attributes & ~_PLAIN or any(
            "," in f"{key}{value}" or "\\" in f"{value}" for key, value in options
        ):
            return False
        flags = 0
        for attribute, flag in _OLD_FLAGS:
            if attributes & attribute:
                flags |= flag
        data = ",".join(key if value is None else f"{key}={value}" for key, value in options)
        place = f"/proc/self/fd/{target_fd}/{name}" if name else f"/proc/self/fd/{target_fd}"
        try:
            self.mount(source, place, fstype, flags, data)
        except KernelError:
            return False
        return True

    def umount(self, target: str, flags: int = 0) -> None:
        """umount2(2)."""
        call("umount2", os.fsencode(target), flags, about=target)

    def pivot_root(self, new_root: str, put_old: str) -> None:
        """pivot_root(2); ``(".", ".")`` stacks the old root on the new one, to be unmounted right after."""
        call("pivot_root", os.fsencode(new_root), os.fsencode(put_old), about=new_root)

    def open_tree(self, path: str, flags: int = OPEN_TREE_CLONE, *, dirfd: int = AT_FDCWD) -> int:
        """open_tree(2): with ``OPEN_TREE_CLONE`` a detached copy (``AT_RECURSIVE`` for all below).

        An empty ``path`` means ``dirfd`` itself.
        """
        if not path:
            flags |= AT_EMPTY_PATH
        return call("open_tree", dirfd, os.fsencode(path), flags | OPEN_TREE_CLOEXEC, about=path or dirfd)

    def move_mount(self, mount_fd: int, target_fd: int) -> None:
        """Attach a detached mount (or move an attached one) onto the object that ``target_fd`` refers to."""
        call("move_mount", mount_fd, b"", target_fd, b"", _MOVE_EMPTY, about=f"onto descriptor {target_fd}")

    def mount_setattr(
        self,
        fd: int,
        path: str = "",
        *,
        set_: int = 0,
        clear: int = 0,
        propagation: int = 0,
        userns_fd: int = -1,
        recursive: bool = False,
    ) -> None:
        """mount_setattr(2) on ``path`` below ``fd``, or on the mount of ``fd`` itself for an empty path.

        ``set_`` and ``clear`` are ``MOUNT_ATTR_*``; ``propagation`` is one ``MS_*`` type; ``userns_fd`` with
        ``MOUNT_ATTR_IDMAP`` gives the mapping.
        """
        attr = struct.pack("QQQQ", set_, clear, propagation, userns_fd if userns_fd >= 0 else 0)
        flags = (0 if path else AT_EMPTY_PATH) | (AT_RECURSIVE if recursive else 0)
        call("mount_setattr", fd, os.fsencode(path), flags, attr, len(attr), about=path or fd)

    def fsopen(self, fstype: str) -> int:
        """fsopen(2): a configuration context for a new file system."""
        return call("fsopen", fstype.encode(), FSOPEN_CLOEXEC, about=fstype)

    def fsconfig_string(self, fd: int, key: str, value: str) -> None:
        """Set one ``key=value``; a value is limited to 255 bytes by the kernel."""
        call(
            "fsconfig",
            fd,
            _SET_STRING,
            key.encode(),
            os.fsencode(value),
            0,
            about=f"{key}={value}",
        )

    def fsconfig_flag(self, fd: int, key: str) -> None:
        """Set an option that has no value."""
        call("fsconfig", fd, _SET_FLAG, key.encode(), None, 0, about=key)

    def fsconfig_fd(self, fd: int, key: str, value: int) -> None:
        """Set an option to a descriptor."""
        call("fsconfig", fd, _SET_FD, key.encode(), None, value, about=key)

    def fsconfig_create(self, fd: int) -> None:
        """Make the file system. The kernel's own words about a refusal are in :meth:`fs_log`."""
        call("fsconfig", fd, _CREATE, None, None, 0)

    def fs_log(self, fd: int) -> str:
        """What the kernel had to say about the last refusal in this context; empty when nothing."""
        lines: list[str] = []
        try:
            while len(lines) < 8:
                lines.append(os.read(fd, 1024).decode(errors="replace").strip())
        except OSError:
            pass
        return "; ".join(line[2:] if line[1:2] == " " else line for line in lines)

    def fsmount(self, fd: int, attributes: int = 0) -> int:
        """fsmount(2): a detached mount of the file system made in this context, with ``MOUNT_ATTR_*``."""
        return call("fsmount", fd, FSMOUNT_CLOEXEC, attributes)

    def new_filesystem(
        self, fstype: str, source: str, options: list[tuple[str, str | None]], attributes: int
    ) -> int:
        """A detached mount of a new ``fstype``; ``options`` are its own, a value of None is a flag.

        The error carries the kernel's explanation where it gave one.
        """
        context = self.fsopen(fstype)
        try:
            if source:
                self.fsconfig_string(context, "source", source)
            for key, value in options:
                if value is None:
                    self.fsconfig_flag(context, key)
                else:
                    self.fsconfig_string(context, key, value)
            self.fsconfig_create(context)
            return self.fsmount(context, attributes)
        except KernelError as error:
            raise KernelError(f"{fstype}: {error.call}", error.errno, hint=self.fs_log(context)) from None
        finally:
            os.close(context)

    def fs_type(self, fd: int) -> int:
        """The magic number of the file system that ``fd`` lies on (fstatfs(2))."""
        data = buffer(256)
        call("fstatfs", fd, data)
        return int(struct.unpack_from("l", data.raw)[0])
