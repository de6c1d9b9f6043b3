"""Build contexts that are directories of this machine: the user's own, or one that was filled for this build."""

from __future__ import annotations

import os

from lading.build import taking
from lading.build.remembered import Remembered
from lading.build.trees import Tree
from lading.errors import InvalidInput, NotFound
from lading.formats import digest as digests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.build.graph import CopyOp, Selection
    from lading.build.trees import Choice
    from lading.kernel import Kernel


class LocalContext:
    """A directory as a source of files.

    ``what``      how it is called in errors. ``ignore``: what is left out, or None.
    ``remember``  a file for digests, or empty. ``own``: owners are kept (files that came in an archive).
    ``done``      called when the build is over.
    """

    def __init__(
        self,
        kernel: Kernel,
        path: str,
        *,
        what: str = "the build context",
        ignore: Choice | None = None,
        remember: str = "",
        own: bool = False,
        done: Callable[[], None] | None = None,
    ) -> None:
        self.path = path
        self.what = what
        self.own = own
        self.ignore = ignore
        self._kernel = kernel
        self._remembered = Remembered(remember) if remember else None
        self._done = done

    @classmethod
    def at(cls, kernel: Kernel, path: str, *, what: str, ignore: Choice | None, data: str) -> LocalContext:
        """The context at ``path``; digests are remembered below ``data``. Raises :class:`NotFound`, :class:`InvalidInput`."""
        there = checked(path, what)
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
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise NotFound(f"{self.what}: {self.path!r}: {error.strerror}", reason="no-context") from None
        return Tree(kernel, fd, what=self.what, own=self.own, ignore=self.ignore)

    def digest(self, selection: Selection, op: CopyOp | None) -> str:
        """The digest of what a copy takes. Raises :class:`NotFound`."""
        tree = self.tree(self._kernel)
        try:
            return self._digest(tree, selection, op)
        finally:
            os.close(tree.fd)

    def _digest(self, tree: Tree, selection: Selection, op: CopyOp | None) -> str:
        known = self._remembered.facts if self._remembered is not None else None
        return taking.digest_of(tree, selection, op, known)

    def check(self, tree: Tree, selection: Selection, digest: str, op: CopyOp | None) -> None:
        """See :class:`lading.build.workshop.Source`."""
        if self._digest(tree, selection, op) != digest:
            raise InvalidInput(
                f"files in {self.what} changed while they were copied",
                hint="build again when nothing writes there",
                reason="changed",
            )

    def release(self) -> None:
        """See :class:`lading.build.workshop.Source`."""

    def close(self) -> None:
        """Keep what was learned of the files, and let go of those that were made for this build."""
        if self._remembered is not None:
            self._remembered.save()
        if self._done is not None:
            self._done()
            self._done = None


def checked(path: str, what: str) -> os.stat_result:
    """The status of a directory. Raises :class:`NotFound`, :class:`InvalidInput` for what is none or cannot be entered."""
    try:
        there = os.stat(path)
    except FileNotFoundError:
        raise NotFound(f"{what}: {path!r} does not exist", reason="no-context") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "a path has no NUL in it"
        raise InvalidInput(f"{what}: {path!r}: {why}", reason="no-context") from None
    if not os.path.isdir(path):
        raise InvalidInput(f"{what}: {path!r} is no directory", reason="no-context")
    return there
