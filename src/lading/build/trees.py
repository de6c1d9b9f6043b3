"""Trees of files that steps take from: a context, a stage's files, what was downloaded. Nothing here ever leaves its root.

A tree may be changed by somebody while it is read, and may hold what a stranger put there: every look-up goes through
openat2(2) below the root's descriptor, and devices and the like are never opened.
"""

from __future__ import annotations

import os
import stat

from lading.build.matching import is_pattern, matches
from lading.errors import InvalidInput, KernelError, NotFound
from lading.formats import digest as digests
from lading.kernel.files import O_PATH
from lading.kernel.paths import open_inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lading.kernel import Kernel

    #: Whether a path below the root (``a/b``, without a ``/`` at either end) is left out; and whether all below it is.
    Hidden = Callable[[str, bool], bool]
    #: The SHA-256 of a file's content, given its path below the root, its status, and a way to open it.
    Known = Callable[[str, os.stat_result, Callable[[], int]], str]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MISSING = (2, 20)
_MAX_LINKS = 40
_CHUNK = 1 << 20
CAPABILITY = "security.capability"


class Tree:
    """``fd``: the root's descriptor, the caller's to close. ``what``: how it is called in errors. ``own``: owners count.

    ``hidden``: what is not there for who copies (an ignore file).
    """

    __slots__ = ("fd", "hidden", "kernel", "own", "what")

    def __init__(
        self, kernel: Kernel, fd: int, *, what: str, own: bool, hidden: Hidden | None = None
    ) -> None:
        self.kernel = kernel
        self.fd = fd
        self.what = what
        self.own = own
        self.hidden = hidden

    def real(self, path: str) -> str | None:
        """``path`` with every link in it followed inside the root, without a ``/`` at its begin; None when nothing is there.

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
            here = "/".join([*done, part])
            there = self.status(here)
            if there is None:
                return None
            if stat.S_ISLNK(there.st_mode):
                links += 1
                if links > _MAX_LINKS:
                    raise InvalidInput(f"{self.what}: {path}: too many symbolic links", reason="loop")
                target = self.link(here)
                if target.startswith("/"):
                    done = []
                ahead = [p for p in target.split("/") if p not in ("", ".")] + ahead
                continue
            if ahead and not stat.S_ISDIR(there.st_mode):
                return None
            done.append(part)
        return "/".join(done)

    def _parent(self, path: str) -> tuple[int, str]:
        head, _, name = path.rpartition("/")
        return open_inside(self.kernel, self.fd, head or ".", O_PATH | os.O_DIRECTORY), name

    def status(self, path: str) -> os.stat_result | None:
        """lstat(2) of a path whose directories are no links; None when nothing is there."""
        if not path:
            return os.fstat(self.fd)
        try:
            fd, name = self._parent(path)
        except KernelError as error:
            if error.errno in _MISSING:
                return None
            raise
        try:
            return os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        finally:
            os.close(fd)

    def link(self, path: str) -> str:
        """What the link at ``path`` leads to."""
        fd, name = self._parent(path)
        try:
            return os.readlink(name, dir_fd=fd)
        finally:
            os.close(fd)

    def names(self, path: str) -> list[str]:
        """What is in the directory at ``path``, sorted, without what is hidden."""
        fd = open_inside(self.kernel, self.fd, path or ".", _DIRECTORY)
        try:
            found = sorted(os.listdir(fd))
        finally:
            os.close(fd)
        hidden = self.hidden
        if hidden is None:
            return found
        prefix = path + "/" if path else ""
        return [name for name in found if not hidden(prefix + name, True)]

    def shown(self, path: str) -> bool:
        """Whether nothing hides ``path`` itself."""
        return self.hidden is None or not path or not self.hidden(path, False)

    def open(self, path: str) -> int:
        """A regular file, for reading. Raises OSError for another kind, KernelError."""
        from lading.kernel.paths import open_plain_inside

        return open_plain_inside(self.kernel, self.fd, path)

    # -- what a copy takes ---------------------------------------------------------------------------------------------

    def select(self, path: str, *, wildcards: bool = True, deep: bool = False) -> list[str]:
        """The paths that a source of COPY names, sorted; wildcards are followed component by component.

        ``deep``: ``**`` stands for any number of directories. Raises :class:`NotFound` where one without wildcards is missing.
        """
        parts = [part for part in _inside(path, self.what).split("/") if part not in ("", ".")]
        if not wildcards or not any(is_pattern(part) for part in parts):
            found = self.real("/".join(parts))
            if found is None or not self.shown(found):
                hidden = found is not None
                raise NotFound(
                    f"{path!r} is not in {self.what}"
                    + (": it is left out by its ignore file" if hidden else ""),
                    reason="no-source",
                )
            return [found]
        chosen: dict[str, None] = {}
        for name in self._matching("", parts, deep):
            chosen.setdefault(name)
        return sorted(chosen)

    def _matching(self, base: str, parts: list[str], deep: bool) -> Iterator[str]:
        if not parts:
            if self.shown(base):
                yield base
            return
        part, rest = parts[0], parts[1:]
        real = self.real(base)
        there = self.status(real) if real is not None else None
        if real is None or there is None or not stat.S_ISDIR(there.st_mode):
            return
        if part == "**" and deep:
            yield from self._matching(real, rest, deep)
            for name in self.names(real):
                inner = f"{real}/{name}" if real else name
                below = self.status(inner)
                if below is not None and stat.S_ISDIR(below.st_mode):
                    yield from self._matching(inner, parts, deep)
            return
        if not is_pattern(part):
            inner = f"{real}/{part}" if real else part
            followed = self.real(inner)
            if followed is not None:
                yield from self._matching(followed, rest, deep)
            return
        for name in self.names(real):
            if matches(part, name):
                inner = f"{real}/{name}" if real else name
                followed = self.real(inner)
                if followed is not None:
                    yield from self._matching(inner if not rest else followed, rest, deep)

    def walk(self, path: str) -> Iterator[tuple[str, os.stat_result]]:
        """``path`` and what is below it, parents first, sorted. What is hidden stays out, and directories that hiding empties."""
        there = self.status(path)
        if there is None:
            return
        yield from self._walk(path, there)

    def _walk(self, path: str, there: os.stat_result) -> Iterator[tuple[str, os.stat_result]]:
        if not stat.S_ISDIR(there.st_mode):
            yield path, there
            return
        pending: list[tuple[str, os.stat_result]] = [(path, there)]
        told: set[str] = set()
        while pending:
            name, status = pending.pop()
            if not stat.S_ISDIR(status.st_mode):
                for above in _above(name, path, told):
                    found = self.status(above)
                    if found is not None:
                        yield above, found
                yield name, status
                continue
            if name == path or self.shown(name):
                for above in _above(name, path, told):
                    found = self.status(above)
                    if found is not None:
                        yield above, found
                told.add(name)
                yield name, status
            inner = []
            for entry in self.names(name):
                below = f"{name}/{entry}" if name else entry
                found = self.status(below)
                if found is not None and (stat.S_ISDIR(found.st_mode) or self.shown(below)):
                    inner.append((below, found))
            pending.extend(reversed(inner))

    def digest(self, paths: Sequence[str], known: Known | None = None) -> str:
        """The digest of everything at ``paths``: kinds, modes, content, links, capabilities, owners if they count; no times."""
        made = digests.hasher("sha256")
        for path in paths:
            base = len(path.rpartition("/")[0])
            for name, there in self.walk(path):
                shown = name[base:].lstrip("/")
                made.update(self._line(shown, name, there, known).encode("utf-8", "surrogateescape"))
        return made.hexdigest()

    def _line(self, shown: str, name: str, there: os.stat_result, known: Known | None) -> str:
        kind = stat.S_IFMT(there.st_mode)
        told = [shown, f"{there.st_mode:o}", str(kind)]
        if self.own:
            told.append(f"{there.st_uid}:{there.st_gid}")
        if kind == stat.S_IFREG:
            told.append(known(name, there, lambda: self.open(name)) if known else self.content(name))
            told.append(self.capability(name))
        elif kind == stat.S_IFLNK:
            told.append(self.link(name))
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            told.append(f"{there.st_rdev:x}")
        # No path has a NUL in it.
        return "\0".join(told) + "\0\0"

    def content(self, path: str) -> str:
        """The SHA-256 of a file's content."""
        fd = self.open(path)
        try:
            return content_of(fd)
        finally:
            os.close(fd)

    def capability(self, path: str) -> str:
        """The file's capabilities as the kernel stores them, in hexadecimal; empty for none."""
        fd = self.open(path)
        try:
            return os.getxattr(fd, CAPABILITY).hex()
        except OSError:
            return ""
        finally:
            os.close(fd)


def content_of(fd: int) -> str:
    """The SHA-256 of what can be read from ``fd`` on."""
    made = digests.hasher("sha256")
    while piece := os.read(fd, _CHUNK):
        made.update(piece)
    return made.hexdigest()


def _above(name: str, base: str, told: set[str]) -> list[str]:
    """The directories between ``base`` and ``name`` that were not told yet, top-most first."""
    missing = []
    while "/" in name:
        name = name.rpartition("/")[0]
        if name in told or len(name) < len(base):
            break
        missing.append(name)
        told.add(name)
    return missing[::-1]


def _inside(path: str, what: str) -> str:
    """``path`` from the root on. Raises :class:`InvalidInput` for one that leads out of it."""
    done: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if not done:
                raise InvalidInput(
                    f"{path!r} leads out of {what}", hint="name a path in it", reason="outside-context"
                )
            done.pop()
        elif part not in ("", "."):
            done.append(part)
    return "/".join(done)
