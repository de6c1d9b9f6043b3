"""Trees of files that steps take from: a context, a stage's files, what was downloaded. Nothing here ever leaves its root.

A tree may be changed by somebody while it is read, and may hold what a stranger put there: every look-up goes through
openat2(2) below the root's descriptor, and devices and the like are never opened.
"""

from __future__ import annotations

import os
import stat

from lading.build.matching import is_pattern, matches
from lading.errors import InvalidInput, KernelError, LadingError, NotFound
from lading.formats import digest as digests
from lading.images.unpacked import OWNER_XATTR
from lading.kernel.files import O_PATH
from lading.kernel.paths import open_inside, open_plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Protocol

    from lading.kernel import Kernel

    class Choice(Protocol):
        """What is left out, by paths like ``a/b``, without a ``/`` at either end."""

        def ignored(self, path: str) -> bool:
            """Whether ``path`` is left out."""

        def may_skip(self, directory: str) -> bool:
            """Whether ``directory`` is left out with everything below it."""

    #: What :meth:`Tree.facts` says of a file, given its path below the root, its status, and how to find out.
    Known = Callable[[str, os.stat_result, Callable[[], tuple[str, str]]], tuple[str, str]]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MISSING = (2, 20)
_ENXIO, _EACCES, _ELOOP = 6, 13, 40
_MAX_LINKS = 40
_DEEPEST = 400
_COMPARED = 1_000  # names of a directory that a missing one is held against
OWNER = OWNER_XATTR.decode()
_CHUNK = 1 << 20
_COPIED = ("user.", "security.capability", "system.posix_acl_")
_NOT_COPIED = "user.overlay."


class Below:
    """A :class:`Choice` whose paths begin at the directory ``base``."""

    def __init__(self, choice: Choice, base: str) -> None:
        self._choice = choice
        self._cut = len(base) + 1 if base else 0

    def ignored(self, path: str) -> bool:
        """See :class:`Choice`. The base itself always stays."""
        below = path[self._cut :]
        return bool(below) and self._choice.ignored(below)

    def may_skip(self, directory: str) -> bool:
        """See :class:`Choice`."""
        below = directory[self._cut :]
        return bool(below) and self._choice.may_skip(below)


class Found:
    """What a walk met. ``directory``: the descriptor it is in, open while the walk stands there; ``name``: its name there.

    ``path`` begins at the tree's root.
    """

    __slots__ = ("directory", "name", "path", "status")

    def __init__(self, directory: int, name: str, path: str, status: os.stat_result) -> None:
        self.directory = directory
        self.name = name
        self.path = path
        self.status = status

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.status.st_mode)

    def open(self) -> int:
        """A regular file, for reading. Raises OSError, also for another kind."""
        return open_plain(self.name, dir_fd=self.directory)

    def link(self) -> str:
        """What a link leads to."""
        return os.readlink(self.name, dir_fd=self.directory)


class _Frame:
    """A directory that is being walked. ``told``: it has been yielded."""

    __slots__ = ("fd", "found", "names", "path", "told")

    def __init__(self, fd: int, found: Found, told: bool) -> None:
        self.fd = fd
        self.found = found
        self.path = found.path
        self.told = told
        self.names = sorted(os.listdir(fd), reverse=True)


class Tree:
    """``fd``: the root's descriptor, the caller's to close. ``what``: how it is called in errors. ``own``: owners count.

    ``ignore``: what is not there for who copies (an ignore file).
    """

    __slots__ = ("fd", "ignore", "kernel", "own", "what")

    def __init__(
        self, kernel: Kernel, fd: int, *, what: str, own: bool, ignore: Choice | None = None
    ) -> None:
        self.kernel = kernel
        self.fd = fd
        self.what = what
        self.own = own
        self.ignore = ignore

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
                    raise InvalidInput(f"{path!r} in {self.what}: too many symbolic links", reason="loop")
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
            raise self._unreadable(path, error.errno) from None
        try:
            return os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(path, error.errno or 0) from None
        finally:
            os.close(fd)

    def _unreadable(self, path: str, errno: int) -> LadingError:
        return unreadable(path, self.what, OSError(errno, os.strerror(errno)))

    def link(self, path: str) -> str:
        """What the link at ``path`` leads to."""
        fd, name = self._parent(path)
        try:
            return os.readlink(name, dir_fd=fd)
        finally:
            os.close(fd)

    def names(self, path: str) -> list[str]:
        """What is in the directory at ``path``, sorted, without what is left out whole."""
        try:
            fd = open_inside(self.kernel, self.fd, path or ".", _DIRECTORY)
        except KernelError as error:
            if error.errno != _EACCES:
                raise
            raise self._unreadable(path, error.errno) from None
        try:
            found = sorted(os.listdir(fd))
        finally:
            os.close(fd)
        ignore = self.ignore
        if ignore is None:
            return found
        prefix = path + "/" if path else ""
        return [name for name in found if not ignore.may_skip(prefix + name)]

    def shown(self, path: str) -> bool:
        """Whether ``path`` is there for who copies: itself, or as a directory of something that is."""
        ignore = self.ignore
        return ignore is None or not path or not ignore.ignored(path) or not ignore.may_skip(path)

    def _near(self, parts: list[str]) -> str:
        """A hint at what is there under nearly the same name; empty without one."""
        from lading.flags import nearest

        for place in range(len(parts)):
            if self.real("/".join(parts[: place + 1])) is not None:
                continue
            try:
                known = self.names(self.real("/".join(parts[:place])) or "")
            except (LadingError, OSError):  # a file stands where a directory is wanted
                return ""
            parts = [*parts[:place], nearest(parts[place], known[:_COMPARED]), *parts[place + 1 :]]
            break
        found = "/".join(parts)
        return f"did you mean {found[:200]}?" if all(parts) and self.real(found) is not None else ""

    # -- what a copy takes ---------------------------------------------------------------------------------------------

    def select(self, path: str, *, wildcards: bool = True) -> list[tuple[str, str]]:
        """What a source of COPY names, sorted: each as it is called, and where it is when links are followed.

        Wildcards are held against the names of directories, without following links on the way.
        Raises :class:`NotFound` where one without wildcards is missing.
        """
        parts = [part for part in inside(path).split("/") if part]
        if not wildcards or not any(is_pattern(part) for part in parts):
            named = "/".join(parts)
            found = self.real(named)
            if found is None or not self.shown(found) or not self.shown(named):
                left_out = found is not None
                raise NotFound(
                    f"{path!r} is not in {self.what}"
                    + (": it is left out by its ignore file" if left_out else ""),
                    hint="" if left_out else self._near(parts),
                    reason="no-source",
                )
            return [(named, found)]
        plain = 0
        while not is_pattern(parts[plain]):
            plain += 1
        base = self.real("/".join(parts[:plain]))
        if base is None:
            return []
        chosen = []
        for name in sorted(self._matching(base, parts[plain:])):
            found = self.real(name)
            if found is not None and self.shown(found):
                chosen.append((name, found))
        return chosen

    def _matching(self, base: str, parts: list[str]) -> Iterator[str]:
        there = self.status(base)
        if there is None or not stat.S_ISDIR(there.st_mode):
            return
        part, rest = parts[0], parts[1:]
        for name in self.names(base):
            if matches(part, name):
                inner = f"{base}/{name}" if base else name
                if rest:
                    yield from self._matching(inner, rest)
                elif self.shown(inner):
                    yield inner

    def walk(self, path: str, choices: Sequence[Choice] = ()) -> Iterator[Found]:
        """``path`` and what is below it, parents first, sorted by name.

        What the tree's ignore file or ``choices`` leave out stays out, but for directories on the way to what does not.
        Raises OSError for what cannot be read, :class:`InvalidInput` for directories nested without end.
        """
        every = [*([self.ignore] if self.ignore is not None else []), *choices]
        head, _, name = path.rpartition("/")
        parent = open_inside(self.kernel, self.fd, head or ".", _DIRECTORY)
        frames: list[_Frame] = []
        try:
            status = os.stat(name or ".", dir_fd=parent, follow_symlinks=False)
            top = Found(parent, name or ".", path, status)
            if not stat.S_ISDIR(status.st_mode):
                yield top
                return
            told = not path or not any(choice.ignored(path) for choice in every)
            if told:
                yield top
            frames.append(_Frame(os.open(top.name, _DIRECTORY, dir_fd=parent), top, told))
            while frames:
                frame = frames[-1]
                if not frame.names:
                    os.close(frames.pop().fd)
                    continue
                name = frame.names.pop()
                below = f"{frame.path}/{name}" if frame.path else name
                yield from self._entry(frames, frame, name, below, every)
        finally:
            os.close(parent)
            for frame in frames:
                os.close(frame.fd)

    def _entry(
        self, frames: list[_Frame], frame: _Frame, name: str, path: str, every: Sequence[Choice]
    ) -> Iterator[Found]:
        left_out = any(choice.ignored(path) for choice in every) if every else False
        try:
            found = Found(frame.fd, name, path, os.stat(name, dir_fd=frame.fd, follow_symlinks=False))
        except FileNotFoundError:
            if left_out:
                return
            raise changed(path, self.what) from None
        is_directory = stat.S_ISDIR(found.status.st_mode)
        if left_out and (not is_directory or any(choice.may_skip(path) for choice in every)):
            return
        if not left_out:
            for above in frames:
                if not above.told:
                    above.told = True
                    yield above.found
            yield found
        if is_directory:
            if len(frames) >= _DEEPEST:
                raise InvalidInput(
                    f"{path[:80]}… in {self.what} lies deeper than {_DEEPEST} directories", reason="too-deep"
                )
            try:
                fd = os.open(name, _DIRECTORY, dir_fd=frame.fd)
            except (FileNotFoundError, NotADirectoryError):
                raise changed(path, self.what) from None
            frames.append(_Frame(fd, found, not left_out))

    def digest(self, path: str, name: str, choices: Sequence[Choice] = (), known: Known | None = None) -> str:
        """The digest of everything at ``path``, which is to be called ``name``.

        It tells kinds, modes, content, links, attributes, which names are one file, and owners if they count; no times.
        Raises :class:`LadingError` for what cannot be read.
        """
        made = digests.hasher("sha256")
        cut = len(path)
        links: dict[tuple[int, int], str] = {}
        found = None
        try:
            for found in self.walk(path, choices):
                made.update(self._line(name + found.path[cut:], found, links, known))
        except OSError as error:
            raise unreadable(found.path if found is not None else path, self.what, error) from None
        return made.hexdigest()

    def _line(
        self, shown: str, found: Found, links: dict[tuple[int, int], str], known: Known | None
    ) -> bytes:
        there = found.status
        mode = there.st_mode
        kind = stat.S_IFMT(mode)
        if kind == stat.S_IFSOCK:
            return b""
        told = [shown, f"{mode:o}", f"{there.st_uid}:{there.st_gid}" if self.own else ""]
        if kind == stat.S_IFREG:
            first = shown
            if there.st_nlink > 1:
                first = links.setdefault((there.st_dev, there.st_ino), shown)
            if first != shown:
                told.append("=" + first)
            elif known is not None:
                told += known(found.path, there, lambda: facts(found))
            else:
                told += facts(found)
        elif kind == stat.S_IFLNK:
            told.append(found.link())
        elif kind == stat.S_IFDIR:
            told.append(directory_attributes(found))
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            told.append(f"{there.st_rdev:x}")
        # No path has a NUL in it.
        return ("\0".join(told) + "\0\0").encode("utf-8", "surrogateescape")


def facts(found: Found) -> tuple[str, str]:
    """The SHA-256 of a file's content, and its attributes as text. Raises OSError."""
    fd = found.open()
    try:
        return content_of(fd), attributes_text(fd)
    finally:
        os.close(fd)


def content_of(fd: int) -> str:
    """The SHA-256 of what can be read from ``fd`` on."""
    made = digests.hasher("sha256")
    while piece := os.read(fd, _CHUNK):
        made.update(piece)
    return made.hexdigest()


def attributes(fd: int) -> dict[str, bytes]:
    """The extended attributes that a copy takes along: the user's, capabilities and access lists.

    Among them is the owner of a file that an ordinary user with a single id could not give it (:data:`OWNER`).
    Those of the machine (SELinux, overlayfs) stay behind.
    """
    try:
        names = os.listxattr(fd)
    except OSError:
        return {}
    found = {}
    for name in sorted(names):
        if name.startswith(_COPIED) and not name.startswith(_NOT_COPIED):
            try:
                found[name] = os.getxattr(fd, name)
            except OSError:
                pass  # taken away meanwhile
    return found


def attributes_text(fd: int) -> str:
    """:func:`attributes` as text that can stand in a key; empty for none."""
    return " ".join(f"{name}={value.hex()}" for name, value in attributes(fd).items())


def changed(path: str, what: str) -> InvalidInput:
    """The error for what went away or became something else while it was copied."""
    return InvalidInput(
        f"{path!r} in {what} changed while it was copied",
        hint="build again when nothing writes there",
        reason="changed",
    )


def unreadable(path: str, what: str, error: OSError) -> LadingError:
    """The error for what cannot be read."""
    named = error.filename if isinstance(error.filename, str) else path
    if error.errno in _MISSING or error.errno in (_ENXIO, _ELOOP):
        return changed(path or named, what)
    return LadingError(
        f"{path or named!r} in {what} cannot be read: {error.strerror}",
        hint="make it readable, or leave it out by an ignore file",
        reason="unreadable",
    )


def directory_attributes(found: Found) -> str:
    """:func:`attributes_text` of a directory. Raises OSError."""
    fd = os.open(found.name, _DIRECTORY, dir_fd=found.directory)
    try:
        return attributes_text(fd)
    finally:
        os.close(fd)


def inside(path: str) -> str:
    """``path`` from the root on. What would lead out of it leads to the root, as the Dockerfile reference has it."""
    done: list[str] = []
    for part in path.split("/"):
        if part == "..":
            done = done[:-1]
        elif part not in ("", "."):
            done.append(part)
    return "/".join(done)
