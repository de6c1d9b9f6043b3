"""Remove a directory tree that somebody else filled: by descriptor, never following a link. ``shutil`` costs 5 ms to import."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ENOENT, _ENOTDIR, _ENAMETOOLONG, _ELOOP = 2, 20, 36, 40
#: How many directories are held open at once, one inside the other.
_DEEPEST = 100


def sweep(path: str, directories: Sequence[str], files: Sequence[str]) -> None:
    """Remove ``path`` where it holds nothing but some of these names, which are looked up in nobody's hands but ours.

    ``directories`` stand inner ones first and must be empty by then. It is a sixth of the system calls of :func:`remove`,
    which does what is left.
    """
    try:
        fd = os.open(path, _DIRECTORY)
    except OSError:
        return
    try:
        for name in files:
            try:
                os.unlink(name, dir_fd=fd)
            except OSError:
                pass
        for name in directories:
            try:
                os.rmdir(name, dir_fd=fd)
            except OSError:
                pass
    finally:
        os.close(fd)


def remove(path: str) -> None:
    """Remove ``path`` and everything below it; nothing is an error when it is gone already. Raises OSError."""
    try:
        os.rmdir(path)
        return
    except FileNotFoundError:
        return
    except OSError:
        pass  # not empty, or no directory
    parent, _, name = path.rstrip("/").rpartition("/")
    try:
        fd = os.open(parent or "/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        _remove(fd, name, -1, _DEEPEST)
    finally:
        os.close(fd)


def _remove(parent: int, name: str, top: int, deeper: int) -> None:
    """Remove ``name``. What is nested ``deeper`` levels below is lifted into ``top`` (-1: into ``name``), where its turn comes.

    A container may nest directories deeper than Python recurses, and than a process may have descriptors.
    """
    try:
        fd = os.open(name, _DIRECTORY, dir_fd=parent)
    except OSError as error:
        if error.errno == _ENOENT:
            return
        if error.errno not in (_ENOTDIR, _ELOOP):
            raise
        _unlink(parent, name)
        return
    try:
        while True:
            # The names first: a directory that is emptied while it is read may hide entries.
            with os.scandir(fd) as entries:
                found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
            for inner, is_directory in found:
                if not is_directory:
                    _unlink(fd, inner)
                elif deeper:
                    _remove(fd, inner, fd if top < 0 else top, deeper - 1)
                else:
                    os.rename(inner, f".{os.urandom(8).hex()}", src_dir_fd=fd, dst_dir_fd=top)
            if top >= 0 or not any(is_directory for _, is_directory in found):
                break
    finally:
        os.close(fd)
    try:
        os.rmdir(name, dir_fd=parent)
    except FileNotFoundError:
        pass


def _unlink(parent: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        pass


def size(path: str) -> int:
    """Bytes in the files below ``path``, as ``docker ps -s`` counts: a file with several names once, a directory nothing.

    What is nested deeper than a path can name is not counted.
    """
    total = 0
    linked: set[tuple[int, int]] = set()
    waiting = [path]
    while waiting:
        directory = waiting.pop()
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    try:
                        info = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                        continue
                    if info.st_nlink > 1:
                        if (info.st_dev, info.st_ino) in linked:
                            continue
                        linked.add((info.st_dev, info.st_ino))
                    total += info.st_size
        except OSError as error:
            if error.errno not in (_ENOENT, _ENAMETOOLONG):
                raise
    return total
