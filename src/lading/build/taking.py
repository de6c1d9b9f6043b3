"""What a copy takes of a tree: its sources, found and with what is left out below them. The same for keys and for copying."""

from __future__ import annotations

from lading.build.matching import is_pattern
from lading.build.trees import Below, inside
from lading.errors import NotFound
from lading.formats import digest as digests
from lading.formats.dockerfile.ignore import Ignore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lading.build.graph import CopyOp, Selection
    from lading.build.trees import Choice, Known, Tree


class Taken:
    """One source. ``name``: its path as the file calls it; ``real``: where it is, links followed; ``choices``: what goes.

    ``whole``: it is the directory whose contents ``--parents`` chooses from.
    """

    __slots__ = ("choices", "name", "real", "whole")

    def __init__(self, name: str, real: str, choices: Sequence[Choice] = (), *, whole: bool = False) -> None:
        self.name = name
        self.real = real
        self.choices = choices
        self.whole = whole

    @property
    def base(self) -> str:
        """What it is called at a destination that is a directory."""
        return self.name.rpartition("/")[2]


def taken(tree: Tree, selection: Selection, op: CopyOp | None) -> list[Taken]:
    """The sources of a copy (or of a mount, without ``op``), in the order of the file; wildcards may give none.

    Raises :class:`NotFound` for one without wildcards that is missing, :class:`DockerfileError` for a broken pattern.
    """
    found: list[Taken] = []
    leaving = Ignore(op.exclude, "--exclude") if op is not None and op.exclude else None
    for path in selection.paths:
        if op is not None and op.parents:
            found += _with_parents(tree, path, leaving)
            continue
        for name, real in tree.select(path, wildcards=selection.wildcards):
            # A file that a source names is held against the patterns by its own name.
            own = name.rpartition("/")[2]
            if leaving is not None and leaving.ignored(own) and not _is_directory(tree, real):
                continue
            found.append(Taken(name, real, [Below(leaving, real)] if leaving is not None else ()))
    return found


def _is_directory(tree: Tree, path: str) -> bool:
    import stat

    there = tree.status(path)
    return there is not None and stat.S_ISDIR(there.st_mode)


def _with_parents(tree: Tree, path: str, leaving: Ignore | None) -> Iterator[Taken]:
    """``--parents``: what a pattern names below the pivot ``/./`` (or the root), with its directories. Links are not followed."""
    before, pivot, after = path.partition("/./")
    if not pivot:
        before, after = "", path
    pattern = inside(after)
    base = inside(before)
    for name, real in tree.select(base or "/", wildcards=True):
        if not _is_directory(tree, real):
            continue
        if not any(is_pattern(part) for part in (base + "/" + pattern).split("/")):
            wanted = f"{real}/{pattern}" if real else pattern
            if tree.status(wanted.strip("/")) is None or not tree.shown(wanted.strip("/")):
                raise NotFound(f"{path!r} is not in {tree.what}", reason="no-source")
        choices: list[Choice] = []
        if pattern:
            choices.append(Below(Ignore(["**", "!" + pattern], "--parents"), real))
        if leaving is not None:
            choices.append(Below(leaving, real))
        yield Taken(name, real, choices, whole=True)


def digest_of(tree: Tree, selection: Selection, op: CopyOp | None, known: Known | None = None) -> str:
    """The digest of what is taken, with the names it gets; ``known`` as in :meth:`Tree.digest`. Raises what :func:`taken` does.

    What a directory itself is called matters as little as its own mode: its contents are what is copied.
    """
    told = []
    for source in taken(tree, selection, op):
        told.append(tree.digest(source.real, source.base, source.choices, known))
    return digests.of("\0".join(told).encode()).partition(":")[2] if len(told) != 1 else told[0]
