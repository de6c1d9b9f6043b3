"""COPY, ADD and WORKDIR: files into a step's root.

The root is a descriptor (an overlay that is attached nowhere, node and kernel never see it by name); the destination is
resolved inside it by openat2(2), so that a link in a base image leads nowhere else.

Source: docs.docker.com/reference/dockerfile, COPY and ADD; where it is silent, what BuildKit does.
"""

from __future__ import annotations

import os
import stat

from lading.build.trees import CAPABILITY, Tree
from lading.errors import Exhausted, InvalidInput, KernelError, LadingError
from lading.kernel.files import O_PATH
from lading.kernel.paths import make_directory_inside, open_inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.kernel import Kernel

    #: What ``--exclude`` leaves out: of a path below the source, whether it goes.
    Excluded = Callable[[str], bool]
    #: A mode and whether it is a directory's, to the mode it gets.
    Modes = Callable[[int, bool], int]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 20
_ENOENT, _ENOTDIR, _ENOSPC, _EDQUOT = 2, 20, 28, 122


class Attributes:
    """``owner``: uid and gid of everything that is made, or None to keep the source's; ``modes``: likewise.

    ``moment``: the time of directories that are made on the way (seconds since 1970); None for now.
    """

    __slots__ = ("modes", "moment", "owner")

    def __init__(
        self, owner: tuple[int, int] | None, modes: Modes | None = None, moment: int | None = None
    ) -> None:
        self.owner = owner
        self.modes = modes
        self.moment = moment


class Place:
    """Where a step's files go. ``fd``: the root's descriptor, the caller's to close."""

    def __init__(self, kernel: Kernel, fd: int, attributes: Attributes) -> None:
        self._kernel = kernel
        self._fd = fd
        self._attributes = attributes
        self._links: dict[tuple[int, int, int], tuple[int, str]] = {}

    # -- directories -----------------------------------------------------------------------------------------------------

    def directory(self, path: str) -> int:
        """The directory at ``path``, made with its parents where missing; a descriptor. Raises :class:`InvalidInput`."""
        try:
            return open_inside(self._kernel, self._fd, path, _DIRECTORY)
        except KernelError as error:
            if error.errno == _ENOTDIR:
                raise _no_directory(path) from None
            if error.errno != _ENOENT:
                raise
        return self._make(path)

    def _make(self, path: str) -> int:
        parts = [part for part in path.split("/") if part not in ("", ".")]
        missing = list(range(len(parts)))
        # What is made now belongs to whom the step says; what was there stays as it is.
        known = 0
        for index in missing:
            try:
                os.close(open_inside(self._kernel, self._fd, "/".join(parts[: index + 1]), O_PATH))
                known = index + 1
            except KernelError:
                break
        try:
            os.close(make_directory_inside(self._kernel, self._fd, path))
        except KernelError as error:
            if error.errno == _ENOTDIR:
                raise _no_directory(path) from None
            raise
        for index in reversed(range(known, len(parts))):
            fd = open_inside(self._kernel, self._fd, "/".join(parts[: index + 1]), _DIRECTORY)
            try:
                if self._attributes.owner is not None:
                    os.fchown(fd, *self._attributes.owner)
                if self._attributes.moment is not None:
                    os.utime(fd, (self._attributes.moment,) * 2)
            finally:
                os.close(fd)
        return open_inside(self._kernel, self._fd, path, _DIRECTORY)

    def is_directory(self, path: str) -> bool:
        """Whether a directory is at ``path``, links followed inside the root."""
        try:
            os.close(open_inside(self._kernel, self._fd, path, O_PATH | os.O_DIRECTORY))
        except KernelError:
            return False
        return True

    # -- copying ---------------------------------------------------------------------------------------------------------

    def copy(
        self, tree: Tree, source: str, destination: str, *, excluded: Excluded | None = None, into: bool
    ) -> None:
        """Copy the file or directory ``source`` of ``tree``. ``into``: ``destination`` is a directory, there or not.

        A directory gives what is in it; a file goes into a destination that is a directory, or gets its name.
        """
        there = tree.status(source)
        if there is None:
            raise InvalidInput(f"{source!r} in {tree.what} went away while it was copied", reason="changed")
        if stat.S_ISDIR(there.st_mode):
            self._tree(tree, source, there, destination, excluded)
            return
        name = source.rpartition("/")[2]
        if into or self.is_directory(destination):
            directory = self.directory(destination)
        else:
            head, _, name = destination.rstrip("/").rpartition("/")
            directory = self.directory(head or "/")
        try:
            self._one(tree, source, there, directory, name)
        finally:
            os.close(directory)

    def _tree(
        self,
        tree: Tree,
        source: str,
        there: os.stat_result,
        destination: str,
        excluded: Excluded | None,
    ) -> None:
        if not self.is_directory(destination):
            os.close(self.directory(destination))
            fresh = open_inside(self._kernel, self._fd, destination, _DIRECTORY)
            try:
                self._finish_directory(fresh, there)
            finally:
                os.close(fresh)
        base = len(source) + 1 if source else 0
        made: list[tuple[str, os.stat_result]] = []
        for name, status in tree.walk(source):
            if name == source:
                continue
            below = name[base:]
            if excluded is not None and excluded(below):
                continue
            inner = f"{destination.rstrip('/')}/{below}"
            head, _, last = inner.rpartition("/")
            directory = self.directory(head or "/")
            try:
                if stat.S_ISDIR(status.st_mode):
                    if self._directory(directory, last):
                        made.append((inner, status))
                else:
                    self._one(tree, name, status, directory, last)
            finally:
                os.close(directory)
        for inner, status in reversed(made):
            fd = open_inside(self._kernel, self._fd, inner, _DIRECTORY)
            try:
                self._finish_directory(fd, status)
            finally:
                os.close(fd)

    def _directory(self, directory: int, name: str) -> bool:
        """Make a directory; whether it gets the source's attributes. A link there is followed by whoever opens it."""
        try:
            there = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            os.mkdir(name, 0o755, dir_fd=directory)
            return True
        if stat.S_ISDIR(there.st_mode):
            return True
        if stat.S_ISLNK(there.st_mode):
            return False
        raise InvalidInput(
            f"{name!r} is a directory in the source and a file at the destination",
            hint="remove the file before, or copy to another place",
            reason="not-a-directory",
        )

    def _finish_directory(self, fd: int, there: os.stat_result) -> None:
        attributes = self._attributes
        mode = stat.S_IMODE(there.st_mode)
        os.fchown(fd, *(attributes.owner or (there.st_uid, there.st_gid)))
        os.fchmod(fd, attributes.modes(mode, True) if attributes.modes else mode)
        os.utime(fd, ns=(there.st_mtime_ns, there.st_mtime_ns))

    def _one(self, tree: Tree, source: str, there: os.stat_result, directory: int, name: str) -> None:
        try:
            self._place(tree, source, there, directory, name)
        except OSError as error:
            if error.errno in (_ENOSPC, _EDQUOT):
                raise Exhausted(
                    f"copying {source}: the disk is full",
                    hint="free some space, for example with `lading builder prune`",
                    reason="disk-full",
                ) from None
            raise LadingError(f"copying {source}: {error.strerror}", reason="io") from None

    def _place(self, tree: Tree, source: str, there: os.stat_result, directory: int, name: str) -> None:
        attributes = self._attributes
        kind = stat.S_IFMT(there.st_mode)
        _clear(directory, name)
        owner = attributes.owner or (there.st_uid, there.st_gid)
        mode = stat.S_IMODE(there.st_mode)
        if kind != stat.S_IFLNK and attributes.modes:
            mode = attributes.modes(mode, False)
        if kind == stat.S_IFREG:
            key = (there.st_dev, there.st_ino, id(tree))
            if there.st_nlink > 1 and key in self._links:
                first, known = self._links[key]
                os.link(known, name, src_dir_fd=first, dst_dir_fd=directory, follow_symlinks=False)
                return
            self._file(tree, source, directory, name, owner, mode)
            if there.st_nlink > 1:
                self._links[key] = (os.dup(directory), name)
            return
        if kind == stat.S_IFLNK:
            os.symlink(tree.link(source), name, dir_fd=directory)
        elif kind == stat.S_IFSOCK:
            raise InvalidInput(
                f"{source!r} is a socket, which no image can hold", hint="leave it out by an ignore file"
            )
        else:
            os.mknod(name, kind | 0o600, there.st_rdev, dir_fd=directory)
        os.chown(name, *owner, dir_fd=directory, follow_symlinks=False)
        if kind != stat.S_IFLNK:
            os.chmod(name, mode, dir_fd=directory)
        os.utime(name, ns=(there.st_mtime_ns,) * 2, dir_fd=directory, follow_symlinks=False)

    def _file(
        self, tree: Tree, source: str, directory: int, name: str, owner: tuple[int, int], mode: int
    ) -> None:
        read = tree.open(source)
        try:
            there = os.fstat(read)
            write = os.open(name, _NEW, 0o600, dir_fd=directory)
            try:
                _transfer(read, write, there.st_size)
                os.fchown(write, *owner)
                os.fchmod(write, mode)
                self._attributes_of(read, write)
                os.utime(write, ns=(there.st_mtime_ns,) * 2)
            finally:
                os.close(write)
        finally:
            os.close(read)

    @staticmethod
    def _attributes_of(read: int, write: int) -> None:
        """Capabilities stay with a file; attributes of the host's own (SELinux, overlay) do not come along."""
        try:
            value = os.getxattr(read, CAPABILITY)
        except OSError:
            return
        os.setxattr(write, CAPABILITY, value)

    def write(self, name: str, data: bytes, destination: str, *, into: bool, mode: int) -> None:
        """A file whose content stands in the step itself."""
        if into or self.is_directory(destination):
            directory = self.directory(destination)
        else:
            head, _, name = destination.rstrip("/").rpartition("/")
            directory = self.directory(head or "/")
        try:
            _clear(directory, name)
            fd = os.open(name, _NEW, 0o600, dir_fd=directory)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(fd, view) :]
                if self._attributes.owner is not None:
                    os.fchown(fd, *self._attributes.owner)
                os.fchmod(fd, self._attributes.modes(mode, False) if self._attributes.modes else mode)
                if self._attributes.moment is not None:
                    os.utime(fd, (self._attributes.moment,) * 2)
            finally:
                os.close(fd)
        finally:
            os.close(directory)

    def close(self) -> None:
        """Let go of what hard links were remembered by."""
        for fd, _ in self._links.values():
            os.close(fd)
        self._links.clear()


def _transfer(read: int, write: int, size: int) -> None:
    """The file's content, shared where the file system can (reflinks), and holes kept."""
    from lading.images.pack import holes

    parts = holes(read, size) if size > _CHUNK else None
    if parts is None:
        while True:
            try:
                if not os.copy_file_range(read, write, 64 * _CHUNK):
                    break
            except OSError:
                # Between some file systems the kernel cannot; then by hand, from where it stopped.
                while piece := os.read(read, _CHUNK):
                    view = memoryview(piece)
                    while view:
                        view = view[os.write(write, view) :]
                break
        return
    for offset, length in parts:
        os.lseek(read, offset, os.SEEK_SET)
        os.lseek(write, offset, os.SEEK_SET)
        while length:
            piece = os.read(read, min(_CHUNK, length))
            if not piece:
                break
            view = memoryview(piece)
            while view:
                view = view[os.write(write, view) :]
            length -= len(piece)
    os.ftruncate(write, size)


def _clear(directory: int, name: str) -> None:
    """Take away a file or link of this name. Raises :class:`InvalidInput` for a directory."""
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass
    except OSError:
        there = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISDIR(there.st_mode):
            raise InvalidInput(
                f"cannot copy a file over the directory {name!r}",
                hint="write the destination with a / at its end to copy into it",
                reason="is-a-directory",
            ) from None
        raise


def _no_directory(path: str) -> InvalidInput:
    return InvalidInput(
        f"{path!r} cannot be a directory: something on the way to it is a file", reason="not-a-directory"
    )
