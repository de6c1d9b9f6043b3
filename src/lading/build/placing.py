"""COPY, ADD and WORKDIR as steps: what they take, where they put it, and whose it is then."""

from __future__ import annotations

import os

from lading.build.copying import Attributes, Place
from lading.build.graph import FilesOp
from lading.build.workshop import selected
from lading.errors import InvalidInput, Unsupported
from lading.formats.dockerfile.permissions import Permissions
from lading.images.snapshots import Snapshot
from lading.node import layered, users

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.build.cache import Result
    from lading.build.copying import Excluded, Modes
    from lading.build.graph import CopyOp, DirectoryOp, Op, Selection
    from lading.build.trees import Tree
    from lading.build.workshop import Workshop
    from lading.images.snapshots import Made

_EMPTY = (0o755, 0, 0)


def owner_of(text: str, layers: list[str]) -> tuple[int, int]:
    """The numbers of ``USER[:GROUP]`` in a root made of ``layers``, top-most first.

    A user's name without a group is in the group that ``/etc/passwd`` says, a number in the group of that number.
    Raises :class:`InvalidInput` for a name that the root does not know.
    """
    name, colon, _ = text.partition(":")
    identity = users.resolve(text, lambda path: layered.read(layers, path))
    if not colon and users.is_number(name):
        return identity.uid, identity.uid
    return identity.uid, identity.gid


def directory(workshop: Workshop, op: DirectoryOp, inputs: Sequence[Result]) -> Made:
    """Carry out WORKDIR."""
    snapshot = workshop.snapshot(inputs[0])
    owner = owner_of(op.owner, snapshot.directories) if op.owner else (0, 0)
    with workshop.root(snapshot) as root:
        place = Place(workshop.kernel, root.fd, Attributes(owner, moment=workshop.settings.moment))
        os.close(place.directory(op.path))
        return workshop.adopt(root)


def copy(workshop: Workshop, op: CopyOp, inputs: Sequence[Result], given: Sequence[Op]) -> Made:
    """Carry out COPY or ADD."""
    below = workshop.snapshot(inputs[0])
    owner: tuple[int, int] | None = None
    if op.owner:
        if op.link and not all(users.is_number(part) for part in op.owner.split(":") if part):
            raise InvalidInput(
                f"--chown={op.owner} with --link: a name means nothing to a layer that looks at nothing below it",
                hint="give numbers, or leave --link out",
            )
        owner = owner_of(op.owner, [] if op.link else below.directories)
    snapshot = Snapshot([], [], _EMPTY, 0) if op.link else below
    with workshop.root(snapshot) as root:
        for selection in op.selections:
            _take(workshop, op, selection, inputs, given, root.fd, owner)
        return workshop.adopt(root)


def _take(
    workshop: Workshop,
    op: CopyOp,
    selection: Selection,
    inputs: Sequence[Result],
    given: Sequence[Op],
    fd: int,
    owner: tuple[int, int] | None,
) -> None:
    modes = _modes(Permissions.parse(op.mode)) if op.mode else None
    moment = workshop.settings.moment
    if selection.input < 0:
        place = Place(workshop.kernel, fd, Attributes(owner or (0, 0), modes, moment))
        for inline in selection.inline:
            place.write(
                inline.name,
                inline.content.encode("latin-1"),
                op.destination,
                into=op.destination.endswith("/"),
                mode=0o644,
            )
        return
    from_outside = isinstance(given[selection.input], FilesOp)
    attributes = Attributes(owner or ((0, 0) if from_outside else None), modes, moment)
    place = Place(workshop.kernel, fd, attributes)
    with workshop.tree(given[selection.input], inputs[selection.input]) as tree:
        found = selected(tree, selection, op)
        try:
            _put(place, tree, found, selection, op)
        finally:
            place.close()
        source = given[selection.input]
        if isinstance(source, FilesOp):
            workshop.sources[source.source].check(tree, selection, source.digest, op)


def _modes(permissions: Permissions) -> Modes:
    return lambda mode, directory: permissions.applied(mode, directory=directory)


def _put(place: Place, tree: Tree, found: list[str], selection: Selection, op: CopyOp) -> None:
    into = op.destination.endswith("/") or sum(_count(s) for s in op.selections) > 1 or len(found) > 1
    left_out = excluded(op.exclude)
    for name in found:
        if selection.unpack:
            from lading.build.unpacking import unpack

            if unpack(place, tree, name, op.destination):
                continue
        destination = op.destination
        inside = into
        if op.parents and name:
            destination, inside = _below(op, selection, name), True
        place.copy(tree, name, destination, excluded=left_out, into=inside)


def _count(selection: Selection) -> int:
    return len(selection.paths) + len(selection.inline)


def _below(op: CopyOp, selection: Selection, name: str) -> str:
    """Where a source goes with ``--parents``: its directories come along, from the pivot ``/./`` on where there is one."""
    base = ""
    for path in selection.paths:
        before, pivot, _ = path.partition("/./")
        if pivot and name.startswith(before.strip("/") + "/"):
            base = before.strip("/") + "/"
            break
    rest = name[len(base) :]
    return f"{op.destination.rstrip('/')}/{rest.rpartition('/')[0]}"


def excluded(patterns: Sequence[str]) -> Excluded | None:
    """What ``--exclude`` leaves out; None where nothing is."""
    if not patterns:
        return None
    raise Unsupported("--exclude is not supported")
