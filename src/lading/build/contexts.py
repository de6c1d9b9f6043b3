"""Build contexts that are directories of this machine, and what their files contain.

A file is read once: its digest is remembered by inode, size and times, so that a build with nothing to do only looks at status
words. What changed too shortly before it was read is not remembered (the clock of file systems is coarse, git's "racy" rule).
"""

from __future__ import annotations

import os
import time

from lading.build.trees import Tree, content_of
from lading.build.workshop import selected_digest
from lading.errors import InvalidInput, LadingError, NotFound
from lading.formats import digest as digests
from lading.formats import jsontext
from lading.images.files import make_directories, read, write_atomically

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from lading.build.graph import CopyOp, Selection
    from lading.kernel import Kernel

    class Ignore(Protocol):
        """What an ignore file leaves out of a context."""

        def ignored(self, path: str) -> bool:
            """Whether ``path`` is left out."""

        def may_skip(self, directory: str) -> bool:
            """Whether ``directory`` is left out with everything below it."""


_RACY = 2_000_000_000  # nanoseconds
_MOST = 200_000  # remembered files of one context


class Remembered:
    """Digests of the files of one directory, kept in the file ``path`` between builds."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._known: dict[str, list[object]] | None = None
        self._seen: dict[str, list[object]] = {}
        self._changed = False

    def content(self, name: str, there: os.stat_result, open_: Callable[[], int]) -> str:
        """The SHA-256 of a file's content."""
        stamp: list[object] = [
            there.st_dev,
            there.st_ino,
            there.st_size,
            there.st_mtime_ns,
            there.st_ctime_ns,
        ]
        known = self._load().get(name)
        if known is not None and known[:5] == stamp:
            self._seen[name] = known
            return str(known[5])
        fd = open_()
        try:
            before = os.fstat(fd)
            digest = content_of(fd)
        finally:
            os.close(fd)
        if time.time_ns() - max(before.st_mtime_ns, before.st_ctime_ns) > _RACY:
            self._load()[name] = self._seen[name] = [*stamp, digest]
            self._changed = True
        return digest

    def _load(self) -> dict[str, list[object]]:
        if self._known is None:
            self._known = {}
            data = read(self._path)
            if data is not None:
                try:
                    value = jsontext.loads(data)
                    if isinstance(value, dict):
                        self._known = {
                            str(k): v for k, v in value.items() if isinstance(v, list) and len(v) == 6
                        }
                except LadingError:
                    pass  # it only spares reading
        return self._known

    def save(self) -> None:
        """Keep what was learned, of files that are still there. A full disk is no reason to fail."""
        if not self._changed or len(self._seen) > _MOST:
            return
        try:
            make_directories(os.path.dirname(self._path))
            write_atomically(self._path, jsontext.dumps(self._seen).encode("utf-8", "surrogateescape"))
        except (LadingError, OSError, ValueError):
            pass


class LocalContext:
    """A directory as a source of files. ``what``: how it is called in errors; ``remember``: a file for digests, or empty."""

    def __init__(
        self,
        kernel: Kernel,
        path: str,
        *,
        what: str = "the build context",
        ignore: Ignore | None = None,
        remember: str = "",
    ) -> None:
        self.path = path
        self.what = what
        self._kernel = kernel
        self._ignore = ignore
        self._remembered = Remembered(remember) if remember else None
        self._digests: dict[str, str] = {}

    @classmethod
    def at(cls, kernel: Kernel, path: str, *, what: str, ignore: Ignore | None, data: str) -> LocalContext:
        """The context at ``path``; digests are remembered below ``data``. Raises :class:`NotFound`, :class:`InvalidInput`."""
        try:
            there = os.stat(path)
        except FileNotFoundError:
            raise NotFound(f"{what}: {path!r} does not exist") from None
        except OSError as error:
            raise InvalidInput(f"{what}: {path!r}: {error.strerror}") from None
        if not os.path.isdir(path):
            raise InvalidInput(f"{what}: {path!r} is no directory")
        name = digests.of(f"{os.path.realpath(path)}\0{there.st_dev}".encode("utf-8", "surrogateescape"))
        return cls(
            kernel,
            path,
            what=what,
            ignore=ignore,
            remember=f"{data}/contexts/{name.partition(':')[2][:32]}",
        )

    def tree(self, kernel: Kernel) -> Tree:
        """See :class:`lading.build.workshop.Source`."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        ignore = self._ignore
        if ignore is None:
            return Tree(kernel, fd, what=self.what, own=False)

        def hidden(path: str, below: bool) -> bool:
            return ignore.may_skip(path) if below else ignore.ignored(path)

        return Tree(kernel, fd, what=self.what, own=False, hidden=hidden)

    def digest(self, selection: Selection, op: CopyOp | None) -> str:
        """The digest of what a copy takes. Raises :class:`NotFound`."""
        tree = self.tree(self._kernel)
        try:
            return self._digest(tree, selection, op)
        finally:
            os.close(tree.fd)

    def _digest(self, tree: Tree, selection: Selection, op: CopyOp | None) -> str:
        known = self._remembered.content if self._remembered is not None else None
        return selected_digest(tree, selection, op, known)

    def check(self, tree: Tree, selection: Selection, digest: str, op: CopyOp | None) -> None:
        """See :class:`lading.build.workshop.Source`."""
        if self._digest(tree, selection, op) != digest:
            raise InvalidInput(
                f"files in {self.what} changed while they were copied",
                hint="build again when nothing writes there",
                reason="changed",
            )

    def close(self) -> None:
        """Keep what was learned of the files."""
        if self._remembered is not None:
            self._remembered.save()
