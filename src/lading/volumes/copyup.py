"""Fill an empty volume from an image: what stood at the mount point, with owners, modes, times, links and attributes.

The image's root exists on the host only as layers, so a forked child assembles it read-only in a mount namespace of its
own, copies, and is gone with its mounts. The path is resolved inside that root: a link in the image that points at the
host's files leads nowhere. Source: the behaviour of ``docker volume`` (docs.docker.com, "Populate a volume").
"""

from __future__ import annotations

import os
import stat

from lading.errors import Exhausted, KernelError, LadingError
from lading.kernel import mounts, namespaces, overlay
from lading.kernel.paths import open_inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.rootfs import Rootfs
    from lading.kernel import Kernel

_ENOENT, _ENOTDIR, _ENOTSUP, _EPERM, _ENOSPC = 2, 20, 95, 1, 28
_ENXIO = 6
#: copy_file_range(2) between file systems, or on one that cannot: EXDEV, EINVAL, ENOSYS, EOPNOTSUPP.
_BY_HAND = (18, 22, 38, 95)
_CHUNK = 8 << 20


def copy_up(kernel: Kernel, rootfs: Rootfs, path: str, target: str, marker: str = "") -> bool:
    """Copy the directory ``path`` of the image's root into the empty directory ``target``.

    Returns False, having done nothing, when ``target`` is not empty or the image has no directory there. A copy that
    fails leaves ``target`` empty, and one that is killed leaves the file ``marker``: then ``target`` is emptied before it is
    filled. Raises Exhausted when the disk is full, KernelError otherwise.
    """
    if marker and os.path.exists(marker):
        _empty(target)
    with os.scandir(target) as entries:
        if next(entries, None) is not None:
            return False
    if marker:
        os.close(os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    try:
        return _copied(kernel, rootfs, path, target)
    finally:
        if marker:
            os.unlink(marker)


def _copied(kernel: Kernel, rootfs: Rootfs, path: str, target: str) -> bool:
    read, write = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            os.close(read)
            os.write(write, _child(kernel, rootfs, path, target))
            status = 0
        except LadingError as error:
            os.write(write, str(error).encode()[:4000])
        except OSError as error:
            status = 28 if error.errno == _ENOSPC else 71
            os.write(write, str(error).encode()[:4000])
        except BaseException as error:
            os.write(write, repr(error).encode()[:4000])
        finally:
            os._exit(status)
    os.close(write)
    try:
        with open(read, "rb") as pipe:
            words = pipe.read()
    finally:
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == 0:
        return words == b"copied"
    _empty(target)
    if status == 28:
        raise Exhausted(
            f"volume at {path}: no space left on the disk for the image's content", hint="free some space"
        )
    raise LadingError(
        f"volume at {path}: copying the image's content failed: {words.decode(errors='replace')}"
    )


def _child(kernel: Kernel, rootfs: Rootfs, path: str, target: str) -> bytes:
    # Open the target before the mount namespace changes what its name means.
    into = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    kernel.unshare(namespaces.CLONE_NEWNS)
    kernel.mount("", "/", "", mounts.MS_REC | mounts.MS_PRIVATE)
    root = _assemble(kernel, rootfs)
    try:
        source = open_inside(kernel, root, path, os.O_RDONLY | os.O_DIRECTORY)
    except KernelError as error:
        if error.errno in (_ENOENT, _ENOTDIR):
            return b"absent"
        raise
    _copy_directory(source, into, _Links(into))
    return b"copied"


def _assemble(kernel: Kernel, rootfs: Rootfs) -> int:
    if not rootfs.lower:
        return os.open(rootfs.upper, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if len(rootfs.lower) == 1:
        return os.open(rootfs.lower[0], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    stack = overlay.Stack(rootfs.lower, userxattr=rootfs.userxattr, read_only=True)
    return overlay.mount(kernel, stack)


class _Links:
    """Hard links met so far: inode in the image → the name of its copy below the volume's root."""

    def __init__(self, root: int) -> None:
        self.root = root
        self.names: dict[tuple[int, int], str] = {}


def _copy_directory(source: int, target: int, links: _Links, prefix: str = "") -> None:
    for name in os.listdir(source):
        info = os.stat(name, dir_fd=source, follow_symlinks=False)
        kind = stat.S_IFMT(info.st_mode)
        if kind == stat.S_IFDIR:
            os.mkdir(name, 0o700, dir_fd=target)
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
            into = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=target)
            try:
                _copy_directory(below, into, links, f"{prefix}{name}/")
            finally:
                os.close(below)
                os.close(into)
            continue
        key = (info.st_dev, info.st_ino)
        if key in links.names:
            os.link(links.names[key], name, src_dir_fd=links.root, dst_dir_fd=target, follow_symlinks=False)
            continue
        if kind == stat.S_IFLNK:
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            os.chown(name, info.st_uid, info.st_gid, dir_fd=target, follow_symlinks=False)
        elif kind == stat.S_IFREG:
            _copy_file(source, target, name, info)
        else:
            os.mknod(name, info.st_mode, info.st_rdev, dir_fd=target)
            os.chown(name, info.st_uid, info.st_gid, dir_fd=target, follow_symlinks=False)
            os.chmod(name, stat.S_IMODE(info.st_mode), dir_fd=target)
        os.utime(name, ns=(info.st_atime_ns, info.st_mtime_ns), dir_fd=target, follow_symlinks=False)
        if info.st_nlink > 1:
            links.names[key] = prefix + name
    _copy_attributes(source, target, os.fstat(source))


def _copy_file(source: int, target: int, name: str, info: os.stat_result) -> None:
    reader = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
    try:
        writer = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=target)
        try:
            _copy_bytes(reader, writer, info.st_size)
            _copy_attributes(reader, writer, info)
        finally:
            os.close(writer)
    finally:
        os.close(reader)


def _copy_bytes(reader: int, writer: int, size: int) -> None:
    """The file's data; holes stay holes (lseek(2), SEEK_DATA)."""
    position = 0
    while position < size:
        try:
            start = os.lseek(reader, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno != _ENXIO:
                raise
            break  # a hole up to the end
        position = os.lseek(reader, start, os.SEEK_HOLE)
        _copy_range(reader, writer, start, position)
    os.ftruncate(writer, size)


def _copy_range(reader: int, writer: int, start: int, end: int) -> None:
    while start < end:
        count = min(_CHUNK, end - start)
        try:
            copied = os.copy_file_range(reader, writer, count, start, start)
        except OSError as error:
            if error.errno not in _BY_HAND:
                raise
            os.lseek(writer, start, os.SEEK_SET)
            copied = os.sendfile(writer, reader, start, count)
        if not copied:
            return
        start += copied


def _copy_attributes(source: int, target: int, info: os.stat_result) -> None:
    # Owner first: chown drops set-id bits and file capabilities.
    os.fchown(target, info.st_uid, info.st_gid)
    os.fchmod(target, stat.S_IMODE(info.st_mode))
    for name in os.listxattr(source):
        if name.startswith(("trusted.overlay.", "user.overlay.")):
            continue
        try:
            os.setxattr(target, name, os.getxattr(source, name))
        except OSError as error:
            if error.errno not in (_ENOTSUP, _EPERM):
                raise
    os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))


def _empty(directory: str) -> None:
    from lading.kernel import tree

    for name in os.listdir(directory):
        tree.remove(f"{directory}/{name}")
