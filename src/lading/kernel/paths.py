"""Paths inside a root that somebody hostile may be changing at the same time.

Every look-up goes through openat2(2) with ``RESOLVE_IN_ROOT``: links are followed as if the root were ``/``, ``..`` stops
there, and the result is a descriptor: nothing is ever looked up by name a second time.
"""

from __future__ import annotations

import os
import stat

from lading.errors import InvalidInput, KernelError
from lading.kernel.files import O_PATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, Files

_INSIDE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
_ENOENT, _ENXIO, _EEXIST, _ELOOP = 2, 6, 17, 40
_LINKS = 40


def open_inside(kernel: Files, root_fd: int, path: str, flags: int = O_PATH, mode: int = 0) -> int:
    """Open ``path`` (absolute or relative, both below ``root_fd``); links are resolved inside the root."""
    return kernel.openat2(root_fd, path.lstrip("/") or ".", flags, _INSIDE, mode)


def open_plain(path: str | bytes, *, dir_fd: int | None = None) -> int:
    """A regular file, for reading; what is another kind is not opened. Raises OSError, for that one ENXIO, for a link ELOOP.

    Somebody hostile may have put a device there, and to open one is an act: a tape rewinds, a watchdog starts.
    """
    found = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        return _reopened(found)
    finally:
        os.close(found)


def open_plain_inside(kernel: Files, root_fd: int, path: str) -> int:
    """The same below a root, links resolved inside it. Raises KernelError and OSError."""
    found = open_inside(kernel, root_fd, path)
    try:
        return _reopened(found)
    finally:
        kernel.close(found)


def _reopened(fd: int) -> int:
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        error = _ELOOP if stat.S_ISLNK(mode) else _ENXIO
        raise OSError(error, os.strerror(error))
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)


def make_directory_inside(kernel: Files, root_fd: int, path: str, mode: int = 0o755) -> int:
    """``mkdir -p`` inside the root; an ``O_PATH`` descriptor of the last directory.

    A link to a missing directory is followed and its target made, all inside the root. Raises :class:`KernelError`
    (ENOTDIR) when something on the way is no directory.
    """
    try:
        return open_inside(kernel, root_fd, path, O_PATH | os.O_DIRECTORY)
    except KernelError as error:
        if error.errno != _ENOENT:
            raise
    return _walk(kernel, root_fd, [p for p in path.split("/") if p not in ("", ".")], mode, _LINKS)


def _walk(kernel: Files, root_fd: int, parts: list[str], mode: int, links: int) -> int:
    done: list[str] = []
    current = kernel.openat2(root_fd, ".", O_PATH | os.O_DIRECTORY, _INSIDE)
    for index, part in enumerate(parts):
        if part == "..":
            done = done[:-1]
            kernel.close(current)
            current = open_inside(kernel, root_fd, "/".join(done), O_PATH | os.O_DIRECTORY)
            continue
        try:
            after = open_inside(kernel, root_fd, "/".join([*done, part]), O_PATH | os.O_DIRECTORY)
        except KernelError as error:
            if error.errno != _ENOENT:
                kernel.close(current)
                raise
            try:
                kernel.mkdirat(current, part, mode)
            except KernelError as error:
                if error.errno != _EEXIST:
                    kernel.close(current)
                    raise
                # A link whose target does not exist yet (or somebody was faster): continue at its target.
                target = _link(kernel, current, part)
                if target is not None:
                    kernel.close(current)
                    if not links:
                        raise KernelError(f"mkdir({'/'.join(parts)})", 40) from None
                    ahead = [p for p in target.split("/") if p not in ("", ".")]
                    start = [] if target.startswith("/") else done
                    return _walk(kernel, root_fd, [*start, *ahead, *parts[index + 1 :]], mode, links - 1)
            after = kernel.openat2(current, part, O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, _INSIDE)
        kernel.close(current)
        current = after
        done.append(part)
    return current


def _link(kernel: Files, dirfd: int, name: str) -> str | None:
    try:
        return kernel.readlinkat(dirfd, name)
    except KernelError:
        return None


def parent_inside(kernel: Files, root_fd: int, path: str, mode: int = 0o755) -> tuple[int, str]:
    """The directory of ``path`` (made if missing) as a descriptor, and the last name."""
    head, _, name = path.rstrip("/").rpartition("/")
    if name in ("", ".", ".."):
        raise InvalidInput(f"path {path!r} does not end in a name")
    return make_directory_inside(kernel, root_fd, head, mode), name


def make_file_inside(
    kernel: Files, root_fd: int, path: str, mode: int = 0o644, *, links: int = _LINKS
) -> int:
    """An ``O_PATH`` descriptor of the file at ``path``, made empty when missing; an existing one is left alone.

    A dangling link is followed and what it points to made, inside the root.
    """
    try:
        return open_inside(kernel, root_fd, path)
    except KernelError as error:
        if error.errno != _ENOENT:
            raise
    directory, name = parent_inside(kernel, root_fd, path)
    try:
        kernel.mknodat(directory, name, stat.S_IFREG | mode)
    except KernelError as error:
        if error.errno != _EEXIST:
            raise
        target = _link(kernel, directory, name)
        if target is not None:
            if not links:
                raise KernelError(f"create({path})", 40) from None
            head = "" if target.startswith("/") else path.rpartition("/")[0] + "/"
            return make_file_inside(kernel, root_fd, head + target, mode, links=links - 1)
    finally:
        kernel.close(directory)
    return open_inside(kernel, root_fd, path)
