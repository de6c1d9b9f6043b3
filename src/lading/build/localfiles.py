"""``type=local``: what was built as plain files of the caller's, merged into a directory that may have others already.

As BuildKit does: everything belongs to whoever asked for it, times and modes are kept, and what is in the way of a file is
replaced. A file appears whole, by a rename. No link that stands in the directory is followed: each name is opened from the one
above it.
"""

from __future__ import annotations

import errno
import os
import stat

from lading.errors import Denied, InvalidInput
from lading.images import union
from lading.images.files import disk_error, remove_at
from lading.images.tarentry import show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.images.union import Node

_CHUNK = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LOST = (errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.EINVAL)


def write_files(directories: Sequence[str], path: str, *, latest: int | None = None) -> tuple[int, int]:
    """Write the union of ``directories`` (top-most first) below ``path``, which is made.

    ``latest``: nothing is younger (seconds since 1970). Returns how many files were written, and how
    many extended attributes could not be.
    Raises :class:`Denied` for a device that the caller may not make, :class:`InvalidInput` where ``path`` is no directory.
    """
    try:
        os.makedirs(path, exist_ok=True)
        root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileExistsError, NotADirectoryError):
        raise InvalidInput(f"--output {path}: is no directory") from None
    except OSError as error:
        raise disk_error(error, f"--output {path}") from None
    writer = _Writer(root, latest)
    try:
        for node in union.walk(directories):
            try:
                writer.add(node)
            except OSError as error:
                raise disk_error(error, f"--output {path}: cannot write {show(node.name)}") from None
        writer.finish()
    finally:
        writer.close()
    return writer.count, writer.lost


class _Writer:
    def __init__(self, root: int, latest: int | None) -> None:
        self._latest = None if latest is None else latest * 1_000_000_000
        self._open: list[tuple[bytes, int, Node | None]] = [(b"", root, None)]
        self._links: dict[tuple[int, int], bytes] = {}
        self.count = 0
        self.lost = 0

    def close(self) -> None:
        while self._open:
            os.close(self._open.pop()[1])

    def finish(self) -> None:
        """Give the directories that are open still their times."""
        while len(self._open) > 1:
            self._leave()

    def add(self, node: Node) -> None:
        parent, _, name = node.name.rpartition(b"/")
        while self._open[-1][0] != parent:
            self._leave()
        above = self._open[-1][1]
        if stat.S_ISSOCK(node.there.st_mode):
            return
        if stat.S_ISDIR(node.there.st_mode):
            self._enter(node, above, name)
            return
        self.count += 1
        temporary = b".%d-%s.part" % (os.getpid(), os.urandom(4).hex().encode())
        try:
            self._make(node, above, temporary)
            self._replace(above, temporary, name)
        except BaseException:
            try:
                os.unlink(temporary, dir_fd=above)
            except OSError:
                pass
            raise

    def _enter(self, node: Node, above: int, name: bytes) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=above)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
                remove_at(above, name)
                os.mkdir(name, 0o700, dir_fd=above)
        self._open.append((node.name, os.open(name, _DIRECTORY, dir_fd=above), node))

    def _leave(self) -> None:
        """A directory's own mode and time, once nothing is written to it any more."""
        _, fd, node = self._open.pop()
        try:
            assert node is not None
            self._attributes(node, fd)
            os.fchmod(fd, stat.S_IMODE(node.there.st_mode))
            os.utime(fd, ns=(self._time(node),) * 2)
        finally:
            os.close(fd)

    def _replace(self, above: int, temporary: bytes, name: bytes) -> None:
        try:
            os.rename(temporary, name, src_dir_fd=above, dst_dir_fd=above)
        except (IsADirectoryError, FileExistsError):
            remove_at(above, name)
            os.rename(temporary, name, src_dir_fd=above, dst_dir_fd=above)

    def _time(self, node: Node) -> int:
        return node.there.st_mtime_ns if self._latest is None else min(node.there.st_mtime_ns, self._latest)

    def _make(self, node: Node, above: int, name: bytes) -> None:
        there = node.there
        if there.st_nlink > 1:
            first = self._links.setdefault((there.st_dev, there.st_ino), node.name)
            if first != node.name:
                os.link(first, name, src_dir_fd=self._open[0][1], dst_dir_fd=above, follow_symlinks=False)
                return
        if stat.S_ISLNK(there.st_mode):
            os.symlink(os.readlink(node.path), name, dir_fd=above)
            os.utime(name, ns=(self._time(node),) * 2, dir_fd=above, follow_symlinks=False)
            return
        if not stat.S_ISREG(there.st_mode):
            try:
                os.mknod(name, there.st_mode, there.st_rdev, dir_fd=above)
            except PermissionError:
                raise Denied(
                    f"{show(node.name)} is a device, which you may not make", hint="use type=tar"
                ) from None
            os.chmod(name, stat.S_IMODE(there.st_mode), dir_fd=above)
            os.utime(name, ns=(self._time(node),) * 2, dir_fd=above)
            return
        self._regular(node, above, name)

    def _regular(self, node: Node, above: int, name: bytes) -> None:
        there = node.there
        source = os.open(node.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            target = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=above)
            try:
                _copy(source, target, there.st_size)
                self._attributes(node, target)
                os.fchmod(target, stat.S_IMODE(there.st_mode))
                os.utime(target, ns=(self._time(node),) * 2)
            finally:
                os.close(target)
        finally:
            os.close(source)

    def _attributes(self, node: Node, fd: int) -> None:
        for key, value in (union.xattrs(node.path) or {}).items():
            try:
                os.setxattr(fd, key, value)
            except OSError as error:
                if error.errno not in _LOST:
                    raise
                self.lost += 1


def _copy(source: int, target: int, size: int) -> None:
    done = 0
    while done < size:
        try:
            count = os.copy_file_range(source, target, min(size - done, 1 << 30))
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            while piece := os.read(source, _CHUNK):
                view = memoryview(piece)
                while view:
                    view = view[os.write(target, view) :]
            return
        if not count:
            return
        done += count
