"""Small durable files: written whole, synced, renamed into place. Locks that die with their owner.

Everything the image store records goes through here, so that one place decides what survives a power cut.
"""

from __future__ import annotations

import errno
import os

from lading.errors import Exhausted, LadingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_FULL = (errno.ENOSPC, errno.EDQUOT)


def disk_error(error: OSError, doing: str) -> LadingError:
    """The error to raise for ``error`` while ``doing`` something: a full disk is said as such."""
    if error.errno in _FULL:
        return Exhausted(
            f"{doing}: the disk is full",
            hint="free some space, for example with `lading system prune`",
            reason="disk-full",
        )
    if error.errno == errno.EROFS:
        return LadingError(f"{doing}: the file system is read-only", reason="read-only")
    return LadingError(f"{doing}: {error.strerror or error}", reason="io")


def write_atomically(path: str, data: bytes, *, mode: int = 0o644, durable: bool = True) -> None:
    """Replace ``path`` by ``data``: after a crash it holds the old content or the new, never a mixture.

    Without ``durable`` that is so for a crash of processes, not of the machine.
    Raises what :func:`disk_error` says; nothing is left behind.
    """
    # Neither a tag's file (":v1.tmp" may be one) nor a repository begins with a dot.
    directory, name = os.path.split(path)
    temporary = f"{directory or '.'}/.{name}.{os.getpid()}-{os.urandom(4).hex()}.tmp"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except OSError as error:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise disk_error(error, f"cannot write {path}") from None
    if durable:
        sync_directory(directory or ".")


def is_temporary(name: str) -> bool:
    """Whether a file of this name is what :func:`write_atomically` left when it was killed."""
    return name.startswith(".") and name.endswith(".tmp")


def make_directories(path: str) -> None:
    """Make ``path`` and what is above it, durably: a synced file in a directory that a power cut takes is gone with it."""
    missing = []
    while path and not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for directory in reversed(missing):
        os.makedirs(directory, exist_ok=True)
        sync_directory(os.path.dirname(directory))


def sync_directory(path: str) -> None:
    """Make renames below ``path`` durable; a file system that cannot is left to its own devices."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.fsync(fd)
    except OSError:
        pass
    finally:
        os.close(fd)


def sync_file_system(fd: int) -> None:
    """syncfs(2): what was written to the file system of ``fd`` reaches the disk."""
    import ctypes

    if ctypes.CDLL(None, use_errno=True).syncfs(fd):
        number = ctypes.get_errno()
        raise disk_error(OSError(number, os.strerror(number)), "cannot sync the disk")


def read(path: str) -> bytes | None:
    """The whole content of a small file, None when there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        size = os.fstat(fd).st_size
        data = os.read(fd, size + 1)
        while len(data) < size:
            more = os.read(fd, size - len(data))
            if not more:
                break
            data += more
        return data
    finally:
        os.close(fd)


class Lock:
    """An advisory lock on a file: shared or exclusive, released when the holder dies. A context manager."""

    __slots__ = ("_exclusive", "_fd", "_path")

    def __init__(self, path: str, *, exclusive: bool) -> None:
        self._path = path
        self._exclusive = exclusive
        self._fd = -1

    def __enter__(self) -> Lock:
        import fcntl

        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._fd, fcntl.LOCK_EX if self._exclusive else fcntl.LOCK_SH)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
        self._fd = -1

    def wait(self) -> None:
        """Until those have let go who hold it now and would have to."""
        with self:
            pass


def try_lock(fd: int) -> bool:
    """Take an exclusive lock on an open file without waiting; False when somebody alive holds one."""
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class OwnFile:
    """A file of this process below ``directory``, locked while it lives: whoever finds it unlocked may remove it.

    ``path`` and ``fd``; :meth:`drop` removes it, :meth:`keep` only lets go (it was renamed to where it belongs).
    """

    __slots__ = ("fd", "path")

    def __init__(self, directory: str, prefix: str = "") -> None:
        os.makedirs(directory, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        while True:
            self.path = f"{directory}/{prefix}{os.getpid()}-{os.urandom(6).hex()}"
            self.fd = os.open(self.path, flags, 0o644)
            # Between creation and lock a cleaner may have taken it for a dead one's.
            if try_lock(self.fd) and os.fstat(self.fd).st_nlink:
                return
            os.close(self.fd)

    def write(self, data: bytes | memoryview) -> None:
        """Append all of ``data``. Raises OSError."""
        view = memoryview(data)
        while view:
            view = view[os.write(self.fd, view) :]

    def keep(self) -> None:
        """Let go of the lock and descriptor."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def drop(self) -> None:
        """Remove it; does nothing after :meth:`keep`."""
        if self.fd >= 0:
            try:
                os.unlink(self.path)
            except OSError:
                pass
            self.keep()


def remove_tree(path: str) -> None:
    """Remove a directory tree without ever following a symbolic link; absent is fine.

    Directories that deny their own owner (mode 0) are opened up first, as an ordinary user has to.
    """
    try:
        parent = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        remove_at(parent, os.path.basename(path))
    finally:
        os.close(parent)


def remove_at(parent: int, name: str | bytes) -> None:
    """Remove ``name`` in the directory ``parent``, whatever it is, with all below it."""
    try:
        os.unlink(name, dir_fd=parent)
        return
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        pass
    # Iterative: an archive may nest directories deeper than Python recurses, or than there are descriptors.
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    base = _open_directory(parent, name, flags)
    try:
        current = os.dup(base)
        path: list[str] = []
        try:
            while True:
                below = _unlink_files(current)
                if below:
                    child = _open_directory(current, below, flags)
                    os.close(current)
                    current = child
                    path.append(below)
                    continue
                if not path:
                    break
                above = os.open("..", flags, dir_fd=current)
                os.close(current)
                current = above
                os.rmdir(path.pop(), dir_fd=current)
        finally:
            os.close(current)
    finally:
        os.close(base)
    os.rmdir(name, dir_fd=parent)


def _open_directory(parent: int, name: str | bytes, flags: int) -> int:
    try:
        return os.open(name, flags, dir_fd=parent)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=parent)
        return os.open(name, flags, dir_fd=parent)


def _unlink_files(fd: int) -> str:
    """Unlink everything in a directory that is not one; the name of a directory found, or empty."""
    found = ""
    if not os.fstat(fd).st_mode & 0o200:
        os.fchmod(fd, 0o700)
    for name in os.listdir(fd):
        try:
            os.unlink(name, dir_fd=fd)
        except IsADirectoryError:
            found = name
        except PermissionError:
            # unlink(2) of a directory is EISDIR on Linux, but EPERM on some file systems.
            found = name
    return found


def walk_files(directory: str) -> Iterator[str]:
    """Absolute names of all files below ``directory``."""
    for base, _, names in os.walk(directory):
        for name in names:
            yield f"{base}/{name}"
