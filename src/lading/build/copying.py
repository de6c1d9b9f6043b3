"""COPY, ADD and WORKDIR: files into a step's root.

The root is a descriptor (an overlay that is attached nowhere, node and kernel never see it by name); the destination is
resolved inside it by openat2(2), so that a link in a base image leads nowhere else.

Source: docs.docker.com/reference/dockerfile, COPY and ADD; where it is silent, what BuildKit does.
"""

from __future__ import annotations

import os
import stat

from lading.build.trees import OWNER, attributes, changed, unreadable
from lading.errors import Exhausted, InvalidInput, KernelError, LadingError, Unsupported
from lading.kernel.files import O_PATH
from lading.kernel.paths import open_inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lading.build.trees import Choice, Found, Tree
    from lading.kernel import Kernel

    #: A mode and whether it is a directory's, to the mode it gets.
    Modes = Callable[[int, bool], int]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 20
_SMALL = 1 << 16
_ENOENT, _ENOTDIR, _ENOSPC, _EDQUOT = 2, 20, 28, 122
_MAX_LINKS = 40
_NOT_OURS = (1, 22)  # EPERM, EINVAL: an id that the user namespace has not


class Attributes:
    """What copied files get. ``owner``: uid and gid of all that is made, or None to keep the source's; ``modes``: likewise.

    ``moment``: the time of directories that are made on the way (seconds since 1970), None for now; ``made``: their mode.
    """

    __slots__ = ("made", "modes", "moment", "owner")

    def __init__(
        self,
        owner: tuple[int, int] | None,
        modes: Modes | None = None,
        moment: int | None = None,
        made: int = 0o755,
    ) -> None:
        self.owner = owner
        self.modes = modes
        self.moment = moment
        self.made = made


class Place:
    """Where a step's files go. ``fd``: the root's descriptor, the caller's to close."""

    def __init__(self, kernel: Kernel, fd: int, attributes: Attributes) -> None:
        self._kernel = kernel
        self._fd = fd
        self.attributes = attributes
        self._links: dict[tuple[int, int, int], tuple[int, str]] = {}
        #: Sockets, which no archive can hold.
        self.skipped: list[str] = []
        #: Sentences about what could not be kept of archives.
        self.notes: list[str] = []

    # -- destinations --------------------------------------------------------------------------------------------------

    def resolved(self, path: str) -> str:
        """``path`` with every link followed inside the root; what is not there is taken as it is called.

        Raises :class:`InvalidInput` for links without end.
        """
        done: list[str] = []
        ahead = [part for part in path.split("/") if part not in ("", ".")]
        links = 0
        while ahead:
            part = ahead.pop(0)
            if part == "..":
                done = done[:-1]
                continue
            target = self._link("/".join([*done, part]))
            if target is None:
                done.append(part)
                continue
            links += 1
            if links > _MAX_LINKS:
                raise InvalidInput(f"{path!r}: too many symbolic links", reason="loop")
            if target.startswith("/"):
                done = []
            ahead = [p for p in target.split("/") if p not in ("", ".")] + ahead
        return "/" + "/".join(done)

    def _link(self, path: str) -> str | None:
        """What the link at ``path`` leads to; None for anything else."""
        try:
            fd = open_inside(self._kernel, self._fd, path, O_PATH | os.O_NOFOLLOW)
        except KernelError:
            return None
        try:
            return os.readlink("", dir_fd=fd) if stat.S_ISLNK(os.fstat(fd).st_mode) else None
        finally:
            os.close(fd)

    def directory(self, path: str, *, mode: int = 0) -> int:
        """The directory at ``path``, made with its parents where missing; a descriptor. Raises :class:`InvalidInput`."""
        try:
            return open_inside(self._kernel, self._fd, path, _DIRECTORY)
        except KernelError as error:
            if error.errno == _ENOTDIR:
                raise _no_directory(path) from None
            if error.errno != _ENOENT:
                raise
        current = os.dup(self._fd)
        made: list[int] = []
        try:
            for part in self.resolved(path).split("/")[1:]:
                after = self._step(current, part, made)
                os.close(current)
                current = after
            # From the last one on, so that the times of those above are not touched again.
            for fd in reversed(made):
                self._finish_made(fd, mode or self.attributes.made)
            return os.dup(current)
        except NotADirectoryError:
            raise _no_directory(path) from None
        except OSError as error:
            raise failed(path, error) from None
        finally:
            for fd in (current, *made):
                os.close(fd)

    @staticmethod
    def _step(directory: int, name: str, made: list[int]) -> int:
        """The directory ``name``, added to ``made`` as well when it was missing."""
        try:
            return os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
        except FileNotFoundError:
            os.mkdir(name, 0o755, dir_fd=directory)
        fd = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
        made.append(os.dup(fd))
        return fd

    def _finish_made(self, fd: int, mode: int) -> None:
        """What a directory gets that no source speaks of."""
        own(fd, *(self.attributes.owner or (0, 0)))
        os.fchmod(fd, mode)
        if self.attributes.moment is not None:
            os.utime(fd, (self.attributes.moment,) * 2)

    def is_directory(self, path: str) -> bool:
        """Whether a directory is at ``path``, links followed inside the root."""
        try:
            os.close(open_inside(self._kernel, self._fd, path, O_PATH | os.O_DIRECTORY))
        except KernelError:
            return False
        return True

    def target(self, destination: str, name: str, *, into: bool) -> tuple[int, str]:
        """Where a file called ``name`` goes: an open directory, and its name there."""
        if not into and not self.is_directory(destination):
            head, _, name = self.resolved(destination).rpartition("/")
            return self.directory(head or "/"), name
        return self.directory(destination), name

    # -- copying -------------------------------------------------------------------------------------------------------

    def copy(
        self,
        tree: Tree,
        source: str,
        destination: str,
        *,
        name: str = "",
        choices: Sequence[Choice] = (),
        into: bool,
    ) -> None:
        """Copy the file or directory ``source`` of ``tree``, a path without links. ``into``: ``destination`` is a directory.

        A directory gives what is in it, without what ``choices`` leave out; a file goes into a destination that is a
        directory, there or not, as ``name`` (empty: its own), or gets the destination's name.
        """
        there = tree.status(source)
        if there is None:
            raise changed(source, tree.what)
        if stat.S_ISDIR(there.st_mode):
            self._directory(tree, source, destination, choices)
            return
        directory, name = self.target(destination, name or source.rpartition("/")[2], into=into)
        try:
            for found in tree.walk(source):
                self._one(tree, found, directory, name)
        except OSError as error:
            raise unreadable(source, tree.what, error) from None
        finally:
            os.close(directory)

    def _directory(self, tree: Tree, source: str, destination: str, choices: Sequence[Choice]) -> None:
        """Copy what is in a directory."""
        cut = len(source) + 1 if source else 0
        stack: list[_Open] = []
        found = None
        try:
            for found in tree.walk(source, choices):
                if not stack:
                    # The destination keeps what it has, but for its time.
                    stack.append(_Open(self.directory(destination), found, fresh=False))
                    continue
                depth = found.path.count("/", cut) + 1
                while len(stack) > depth:
                    self._finish(stack.pop(), tree)
                if stat.S_ISDIR(found.status.st_mode):
                    path = f"{destination}/{found.path[cut:]}"
                    stack.append(_Open(self._inner(tree, found, stack[-1].fd, path), found))
                else:
                    self._one(tree, found, stack[-1].fd, found.name)
            while stack:
                self._finish(stack.pop(), tree)
        except OSError as error:
            raise unreadable(found.path if found is not None else source, tree.what, error) from None
        finally:
            for opened in stack:
                os.close(opened.fd)

    def _inner(self, tree: Tree, found: Found, directory: int, path: str) -> int:
        """The directory at ``path`` that ``found`` is copied to, made where it is missing. A link there is followed."""
        name = found.name
        refuse_mark(name, f"{found.path!r} in {tree.what}")
        try:
            try:
                os.mkdir(name, 0o700, dir_fd=directory)
            except FileExistsError:
                there = os.stat(name, dir_fd=directory, follow_symlinks=False)
                if stat.S_ISLNK(there.st_mode):
                    return self.directory(path)
                if not stat.S_ISDIR(there.st_mode):
                    raise InvalidInput(
                        f"{found.path!r} is a directory in {tree.what}, and a file at the destination",
                        hint="remove the file before, or copy to another place",
                        reason="not-a-directory",
                    ) from None
            return os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
        except OSError as error:
            raise failed(found.path, error) from None

    def _finish(self, opened: _Open, tree: Tree) -> None:
        """Owner, mode, attributes and time of a directory, after everything in it has been written."""
        fd, there = opened.fd, opened.status
        attributes = self.attributes
        moment = there.st_mtime_ns
        try:
            if opened.fresh:
                own(fd, *(attributes.owner or (there.st_uid, there.st_gid)))
                mode = stat.S_IMODE(there.st_mode)
                os.fchmod(fd, attributes.modes(mode, True) if attributes.modes else mode)
                self._give(fd, opened.attributes)
            os.utime(fd, ns=(moment, moment))
        except OSError as error:
            raise failed(opened.path, error) from None
        finally:
            os.close(fd)

    def _one(self, tree: Tree, found: Found, directory: int, name: str) -> None:
        """Copy what is no directory."""
        refuse_mark(name, f"{found.path!r} in {tree.what}")
        there = found.status
        kind = stat.S_IFMT(there.st_mode)
        if kind == stat.S_IFREG:
            if there.st_nlink > 1 and self._linked(tree, found, directory, name):
                return
            self._file(tree, found, directory, name)
            if there.st_nlink > 1:
                self._links[there.st_dev, there.st_ino, id(tree)] = (os.dup(directory), name)
            return
        if kind == stat.S_IFSOCK:
            self.skipped.append(found.path)
            return
        if kind == stat.S_IFCHR and not there.st_rdev:
            raise Unsupported(
                f"{found.path!r} in {tree.what}: overlayfs takes the device 0:0 for a deletion",
                hint="leave it out (--exclude, the ignore file)",
                reason="whiteout-name",
            )
        target = found.link() if kind == stat.S_IFLNK else ""
        attributes = self.attributes
        try:
            clear(directory, name)
            if kind == stat.S_IFLNK:
                os.symlink(target, name, dir_fd=directory)
            else:
                os.mknod(name, kind | 0o600, there.st_rdev, dir_fd=directory)
            owner = attributes.owner or (there.st_uid, there.st_gid)
            try:
                os.chown(name, *owner, dir_fd=directory, follow_symlinks=False)
            except OSError as error:
                if error.errno not in _NOT_OURS:
                    raise
                self.notes.append(f"{found.path} belongs to root: this user has no other ids to give")
            if kind != stat.S_IFLNK:
                mode = stat.S_IMODE(there.st_mode)
                os.chmod(name, attributes.modes(mode, False) if attributes.modes else mode, dir_fd=directory)
            os.utime(name, ns=(there.st_mtime_ns,) * 2, dir_fd=directory, follow_symlinks=False)
        except OSError as error:
            raise failed(found.path, error) from None

    def _linked(self, tree: Tree, found: Found, directory: int, name: str) -> bool:
        """Make another name of a file that was copied before; whether it was."""
        first = self._links.get((found.status.st_dev, found.status.st_ino, id(tree)))
        if first is None:
            return False
        try:
            clear(directory, name)
            os.link(first[1], name, src_dir_fd=first[0], dst_dir_fd=directory, follow_symlinks=False)
        except OSError as error:
            raise failed(found.path, error) from None
        return True

    def _file(self, tree: Tree, found: Found, directory: int, name: str) -> None:
        read = found.open()
        try:
            there = os.fstat(read)
            kept = attributes(read)
            try:
                self._written(read, there, kept, directory, name)
            except OSError as error:
                raise failed(found.path, error) from None
        finally:
            os.close(read)

    def _written(
        self, read: int, there: os.stat_result, kept: dict[str, bytes], directory: int, name: str
    ) -> None:
        wanted = self.attributes
        mode = stat.S_IMODE(there.st_mode)
        write = created(directory, name)
        try:
            transfer(read, write, there.st_size)
            own(write, *(wanted.owner or (there.st_uid, there.st_gid)))
            os.fchmod(write, wanted.modes(mode, False) if wanted.modes else mode)
            self._give(write, kept)
            os.utime(write, ns=(there.st_mtime_ns,) * 2)
        finally:
            os.close(write)

    def _give(self, fd: int, kept: dict[str, bytes]) -> None:
        """The attributes of the source. Its owner is one of them where it could not be given otherwise."""
        for name, value in kept.items():
            if name != OWNER or self.attributes.owner is None:
                os.setxattr(fd, name, value)

    def write(self, name: str, data: bytes, destination: str, *, into: bool, mode: int) -> None:
        """A file whose content stands in the step itself."""
        wanted = self.attributes
        directory, name = self.target(destination, name, into=into)
        try:
            fd = created(directory, name)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(fd, view) :]
                own(fd, *(wanted.owner or (0, 0)))
                os.fchmod(fd, wanted.modes(mode, False) if wanted.modes else mode)
                if wanted.moment is not None:
                    os.utime(fd, (wanted.moment,) * 2)
            finally:
                os.close(fd)
        except OSError as error:
            raise failed(name, error) from None
        finally:
            os.close(directory)

    def close(self) -> None:
        """Let go of what hard links were remembered by."""
        for fd, _ in self._links.values():
            os.close(fd)
        self._links.clear()


class _Open:
    """A directory that is being copied to, by its descriptor. ``fresh``: it gets the source's attributes at the end."""

    __slots__ = ("attributes", "fd", "fresh", "path", "status")

    def __init__(self, fd: int, found: Found, *, fresh: bool = True) -> None:
        self.fd = fd
        self.path = found.path
        self.status = found.status
        self.fresh = fresh
        self.attributes: dict[str, bytes] = {}
        if fresh:
            source = os.open(found.name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=found.directory)
            try:
                self.attributes = attributes(source)
            finally:
                os.close(source)


def own(fd: int, uid: int, gid: int) -> None:
    """Give a file or directory its owner; an ordinary user with a single id writes it into an attribute. Raises OSError."""
    try:
        os.fchown(fd, uid, gid)
    except OSError as error:
        if error.errno not in _NOT_OURS:
            raise
        os.setxattr(fd, OWNER, f"{uid}:{gid}".encode())


def created(directory: int, name: str) -> int:
    """A new file, open for writing, in place of a file or link of this name. Raises OSError, :class:`InvalidInput`."""
    try:
        return os.open(name, _NEW, 0o600, dir_fd=directory)
    except FileExistsError:
        clear(directory, name)
        return os.open(name, _NEW, 0o600, dir_fd=directory)


def clear(directory: int, name: str) -> None:
    """Take away a file or link of this name. Raises OSError, :class:`InvalidInput` for a directory."""
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


def refuse_mark(name: str, what: str) -> None:
    """Raise :class:`Unsupported` for a name that would be a deletion's in a layer (OCI image-spec, layer.md, "Whiteouts")."""
    if name.startswith(".wh."):
        raise Unsupported(
            f"{what}: a file whose name begins with .wh. cannot be in a layer",
            hint="give it another name, or leave it out (--exclude, the ignore file)",
            reason="whiteout-name",
        )


def failed(what: str, error: OSError) -> LadingError:
    """The error for something that cannot be written."""
    if error.errno in (_ENOSPC, _EDQUOT):
        return Exhausted(
            f"copying {what!r}: the disk is full",
            hint="free some space, for example with `lading builder prune`",
            reason="disk-full",
        )
    return LadingError(f"copying {what!r}: {error.strerror}", reason="io")


def _no_directory(path: str) -> InvalidInput:
    return InvalidInput(
        f"{path!r} cannot be a directory: something on the way to it is a file", reason="not-a-directory"
    )


def transfer(read: int, write: int, size: int) -> None:
    """The file's content, shared where the file system can (reflinks), and holes kept."""
    from lading.images.pack import holes

    if size <= _SMALL:
        while piece := os.read(read, _SMALL):
            view = memoryview(piece)
            while view:
                view = view[os.write(write, view) :]
        return
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
