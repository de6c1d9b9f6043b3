"""COPY, ADD and WORKDIR as steps: what they take, where they put it, and whose it is then."""

from __future__ import annotations

import os

from lading.build.copying import Attributes, Place
from lading.build.graph import FilesOp
from lading.build.taking import taken
from lading.build.unpacking import unpack
from lading.errors import InvalidInput
from lading.formats.dockerfile.permissions import Permissions
from lading.images.snapshots import Snapshot
from lading.node import layered, users

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.build.cache import Result
    from lading.build.copying import Modes
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
    permissions = Permissions.parse(op.mode) if op.mode else None
    modes = _modes(permissions) if permissions is not None else None
    made_mode = permissions.octal & 0o777 if permissions is not None and permissions.octal >= 0 else 0o755
    skipped: list[str] = []
    with workshop.root(snapshot) as root:
        for selection in op.selections:
            outside = selection.input < 0 or isinstance(given[selection.input], FilesOp)
            whose = owner or ((0, 0) if outside and not _keeps_owners(workshop, given, selection) else None)
            attributes = Attributes(whose, modes, workshop.settings.moment, made_mode)
            place = Place(workshop.kernel, root.fd, attributes)
            try:
                if selection.input < 0:
                    _write(place, op, selection)
                else:
                    _take(workshop, op, selection, inputs, given, place)
            finally:
                place.close()
            skipped += place.skipped
            workshop.notes += place.notes
        made = workshop.adopt(root)
    made.skipped += skipped
    return made


def _keeps_owners(workshop: Workshop, given: Sequence[Op], selection: Selection) -> bool:
    if selection.input < 0:
        return False
    op = given[selection.input]
    return isinstance(op, FilesOp) and workshop.sources[op.source].own


def _write(place: Place, op: CopyOp, selection: Selection) -> None:
    """Files that stand in the step itself."""
    into = op.destination.endswith("/") or _several(op)
    for inline in selection.inline:
        data = inline.content.encode("latin-1")
        place.write(inline.name, data, op.destination, into=into, mode=0o644)


def _take(
    workshop: Workshop,
    op: CopyOp,
    selection: Selection,
    inputs: Sequence[Result],
    given: Sequence[Op],
    place: Place,
) -> None:
    source = given[selection.input]
    with workshop.tree(source, inputs[selection.input]) as tree:
        put(place, tree, selection, op)
        if isinstance(source, FilesOp):
            workshop.sources[source.source].check(tree, selection, source.digest, op)


def put(place: Place, tree: Tree, selection: Selection, op: CopyOp) -> None:
    """Copy what ``selection`` takes of ``tree`` to the destination. Raises what :func:`taken` and :meth:`Place.copy` do."""
    found = taken(tree, selection, op)
    into = op.destination.endswith("/") or _several(op) or len(found) > 1
    for one in found:
        if selection.unpack and unpack(place, tree, one, op):
            continue
        place.copy(
            tree,
            one.real,
            op.destination,
            name=selection.name or one.base,
            choices=one.choices,
            into=into or one.whole,
        )


def _several(op: CopyOp) -> bool:
    return sum(len(selection.paths) + len(selection.inline) for selection in op.selections) > 1


def _modes(permissions: Permissions) -> Modes:
    return lambda mode, directory: permissions.applied(mode, directory=directory)
