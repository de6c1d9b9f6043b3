"""A container's root as a private copy of its image's layers, for where overlayfs cannot be used (storage.py).

::

    DIRECTORY/copy        the whole root; it appears by one rename, so it is whole or absent
    DIRECTORY/copied      made when the copy was complete: what has not been touched since is the image's
    DIRECTORY/copy.part   a copy that was interrupted: the next start begins anew, and ``rm`` removes it

The copy is what the union of the layers shows: whiteouts and opaque directories are applied, and owners, modes, times,
extended attributes (file capabilities among them), hard links, holes and devices are kept. File systems that can share
data between files (btrfs, XFS) are asked to, so that a copy costs names only.
"""

from __future__ import annotations

import errno
import os
import stat

from lading.formats.rootfs import Rootfs
from lading.images import union
from lading.images.files import disk_error, remove_tree, sync_file_system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.images.image import Image

_FICLONE = 0x40049409  # ioctl_ficlone(2)
_CHUNK = 1 << 20
_NO_CLONE = (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.EPERM, errno.ETXTBSY)
_NO_RANGE = (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EPERM)
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def place(directory: str) -> str:
    """Where the copy of the container in ``directory`` is."""
    return directory + "/copy"


def rootfs(image: Image, directory: str, *, volatile: bool) -> Rootfs:
    """The private copy of ``image`` below ``directory``, made when it is not there.

    Raises :class:`Exhausted` when the disk is full, and other errors of the disk; nothing is left behind then.
    """
    copy = place(directory)
    if not os.path.isdir(copy):
        part = copy + ".part"
        remove_tree(part)
        try:
            try:
                copy_root(image, part)
                if not volatile:
                    fd = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                    try:
                        sync_file_system(fd)
                    finally:
                        os.close(fd)
                _mark(directory + "/copied")
                os.rename(part, copy)
            except BaseException:
                remove_tree(part)
                raise
        except OSError as error:
            raise disk_error(error, f"cannot copy image {image.short_id} below {directory}") from None
    return Rootfs(upper=copy, base=image.layers)


def _mark(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    os.close(os.open(path, _CREATE, 0o600))


def copy_root(image: Image, target: str) -> None:
    """Copy the whole root of ``image`` to ``target``, which is made. Raises :class:`OSError`, and leaves what it made."""
    os.makedirs(target, mode=0o700)
    root = os.fsencode(target)
    copier = _Copier(root)
    directories: list[tuple[bytes, bytes, os.stat_result]] = []
    for node in union.walk(image.layers):
        there = root + b"/" + node.name
        if stat.S_ISDIR(node.there.st_mode):
            os.mkdir(there, 0o700)
            directories.append((node.path, there, node.there))
        else:
            copier.one(node.path, there, node.there)
    # Times of directories last: making something in one changes them.
    for source, there, info in reversed(directories):
        copier.attributes(source, there, info)
    mode, uid, gid = image.owner
    if (uid, gid) != (os.geteuid(), os.getegid()) and os.geteuid() == 0:
        os.chown(root, uid, gid)
    os.chmod(root, mode)


class _Copier:
    """Copies one name after another, and knows what the file system refused before."""

    def __init__(self, root: bytes) -> None:
        self._root = root
        self._uid, self._gid = os.geteuid(), os.getegid()
        self._links: dict[tuple[int, int], bytes] = {}
        self._clone = self._range = True

    def one(self, source: bytes, target: bytes, there: os.stat_result) -> None:
        """Copy what is no directory."""
        if there.st_nlink > 1:
            first = self._links.setdefault((there.st_dev, there.st_ino), target)
            if first != target:
                os.link(first, target, follow_symlinks=False)
                return
        if stat.S_ISREG(there.st_mode):
            self._file(source, target, there)
        elif stat.S_ISLNK(there.st_mode):
            os.symlink(os.readlink(source), target)
        else:
            os.mknod(target, stat.S_IFMT(there.st_mode) | 0o600, there.st_rdev)
        self.attributes(source, target, there)

    def attributes(self, source: bytes, target: bytes, there: os.stat_result) -> None:
        """Owner, attributes, mode and times, in the order in which one does not undo another."""
        if (there.st_uid, there.st_gid) != (self._uid, self._gid):
            os.chown(target, there.st_uid, there.st_gid, follow_symlinks=False)
        for name in os.listxattr(source, follow_symlinks=False):
            if name.startswith(union.OVERLAY):
                continue
            try:
                os.setxattr(
                    target, name, os.getxattr(source, name, follow_symlinks=False), follow_symlinks=False
                )
            except OSError as error:
                # The machine's own labels are given by the machine.
                if error.errno != errno.ENOTSUP and not name.startswith("security.selinux"):
                    raise
        if not stat.S_ISLNK(there.st_mode):
            os.chmod(target, stat.S_IMODE(there.st_mode))
        os.utime(target, ns=(there.st_atime_ns, there.st_mtime_ns), follow_symlinks=False)

    def _file(self, source: bytes, target: bytes, there: os.stat_result) -> None:
        out = os.open(target, _CREATE, 0o600)
        try:
            if there.st_size:
                inside = os.open(source, _READ)
                try:
                    if not (self._clone and self._cloned(inside, out)):
                        self._data(inside, out, there)
                finally:
                    os.close(inside)
        finally:
            os.close(out)

    def _cloned(self, source: int, target: int) -> bool:
        import fcntl

        try:
            fcntl.ioctl(target, _FICLONE, source)
        except OSError as error:
            if error.errno not in _NO_CLONE:
                raise
            self._clone = False
            return False
        return True

    def _data(self, source: int, target: int, there: os.stat_result) -> None:
        parts: Sequence[tuple[int, int]] = ((0, there.st_size),)
        if there.st_blocks * 512 < there.st_size:
            from lading.images.pack import holes

            found = holes(source, there.st_size)
            parts = parts if found is None else found
        for offset, length in parts:
            self._part(source, target, offset, length)
        if there.st_size != (parts[-1][0] + parts[-1][1] if parts else 0):
            os.ftruncate(target, there.st_size)

    def _part(self, source: int, target: int, offset: int, length: int) -> None:
        while length and self._range:
            try:
                done = os.copy_file_range(source, target, length, offset, offset)
            except OSError as error:
                if error.errno not in _NO_RANGE:
                    raise
                self._range = False
                break
            if not done:
                break
            offset += done
            length -= done
        while length:
            data = os.pread(source, min(_CHUNK, length), offset)
            if not data:
                raise OSError(errno.EIO, "a layer's file is shorter than it was")
            view = memoryview(data)
            while view:
                done = os.pwrite(target, view, offset)
                view = view[done:]
                offset += done
                length -= done
