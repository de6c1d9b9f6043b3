"""From unpacked layers to the list of directories that overlayfs mounts.

Layers are unpacked apart from each other, so a layer may lack what only the layers below it know:

* An archive need not contain the parents of its entries. A directory made up for them would hide the attributes (a sticky
  ``/tmp``!) of the real one below, or a symbolic link below that the archive's maker went through.
* A hard link's target may be in a layer below.

Where that is so, a small *mending layer* goes on top of the layer, made once for that chain of layers: directories with
the right attributes, and links to the inodes of the layers below. A layer that went through a symbolic link is replaced
by one with its entries where the link leads. Neither copies any data.
"""

from __future__ import annotations

import os
import stat

from lading.errors import Corrupt, InvalidInput
from lading.formats import digest as digests
from lading.images.tarentry import show
from lading.images.union import is_opaque, is_whiteout, marked
from lading.images.unpacked import Unpacked, hostile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.images.layers import Layer, LayerStore
    from lading.images.leases import Lease

_LINKS = 40


def stack(store: LayerStore, layers: list[Layer], *, lease: Lease) -> list[str]:
    """Keys of the layer directories of an image, top-most first; ``layers`` are bottom first.

    Raises :class:`Corrupt` when a hard link's target is in no layer.
    """
    below: list[Layer] = []  # top-most first
    for layer in layers:
        if is_opaque(os.fsencode(layer.path)):
            # ".wh..wh..opq" at the root hides all layers below; overlayfs does not look at the roots it is given.
            below.clear()
        implicit = [name for name in layer.implicit if name]
        if layer.links or (implicit and below):
            below = _mended(store, layer, implicit, below, lease) + below
        else:
            below.insert(0, layer)
    keys: list[str] = []
    for layer in below:
        if layer.key not in keys:  # overlayfs refuses a directory twice; the upper occurrence decides
            keys.append(layer.key)
    return keys


def root_owner(layers: list[Layer]) -> tuple[int, int, int]:
    """Mode, uid and gid of the root directory: the top-most layer that says so decides."""
    for layer in reversed(layers):
        if b"" not in layer.implicit:
            there = os.stat(layer.path)
            return stat.S_IMODE(there.st_mode), there.st_uid, there.st_gid
    return 0o755, 0, 0


def _mended(
    store: LayerStore, layer: Layer, implicit: list[bytes], below: list[Layer], lease: Lease
) -> list[Layer]:
    """``layer`` as it has to stand on ``below``: itself with a mending layer on top, or a rearranged copy."""
    chain = "\n".join([layer.key, *(lower.key for lower in below)]).encode()
    # An image that is laid over others as a whole replaces a link below, and its entries never go through one.
    moves = {} if layer.dialect else _moves(implicit, below)
    key = ("r" if moves else "m") + digests.of(chain).partition(":")[2][:31]
    lease.add("layer:" + key)
    made = store.by_key(key)
    if moves:
        if made is None:
            made = _rearrange(store, layer, moves, key)
        implicit = [name for name in made.implicit if name]
        return _mended(store, made, implicit, below, lease) if implicit or made.links else [made]
    if made is None:
        made = _mend(store, layer, implicit, below, key)
    return [made, layer] if made.entries else [layer]


def _look(
    layers: Sequence[Layer], name: bytes, *, explicit: bool = False
) -> tuple[bytes, os.stat_result] | None:
    """What ``name`` is in the union of ``layers`` (top-most first): its path on the host and its status.

    ``explicit`` passes over directories that their layer made up. Links are not followed; through one, nothing is found.
    """
    parts = name.split(b"/")
    for layer in layers:
        path = os.fsencode(layer.path)
        last = False  # an opaque directory ends the search with this layer
        for index, part in enumerate(parts):
            path += b"/" + part
            try:
                there = os.lstat(path)
            except FileNotFoundError:
                last = last or marked(path.rpartition(b"/")[0], part)
                break
            if is_whiteout(there):
                return None
            if index < len(parts) - 1 and not stat.S_ISDIR(there.st_mode):
                return None
            if stat.S_ISDIR(there.st_mode):
                last = last or is_opaque(path) or marked(path.rpartition(b"/")[0], part)
        else:
            if not (explicit and stat.S_ISDIR(there.st_mode) and name in layer.implicit):
                return path, there
        if last:
            return None
    return None


def _moves(implicit: list[bytes], below: list[Layer]) -> dict[bytes, bytes]:
    """Made-up directories that are symbolic links below → where those lead."""
    moves: dict[bytes, bytes] = {}
    for name in implicit:
        found = _look(below, name)
        if found is not None and stat.S_ISLNK(found[1].st_mode):
            target = _follow(below, name)
            if target is not None and target != name:
                moves[name] = target
    return moves


def _follow(layers: list[Layer], name: bytes) -> bytes | None:
    """Resolve symbolic links in the union, ``..`` stopping at its root; None when that leads to nothing or to a file."""
    todo = name.split(b"/")[::-1]
    done: list[bytes] = []
    followed = 0
    while todo:
        part = todo.pop()
        if part in (b"", b"."):
            continue
        if part == b"..":
            done[-1:] = []
            continue
        found = _look(layers, b"/".join([*done, part]))
        if found is None:
            return None
        path, there = found
        if stat.S_ISLNK(there.st_mode):
            followed += 1
            if followed > _LINKS:
                raise hostile(f"{show(name)}: too many symbolic links on the way")
            target = os.readlink(path)
            if target[:1] == b"/":
                done = []
            todo += target.split(b"/")[::-1]
            continue
        if not stat.S_ISDIR(there.st_mode):
            return None
        done.append(part)
    return b"/".join(done)


def _mend(store: LayerStore, layer: Layer, implicit: list[bytes], below: list[Layer], key: str) -> Layer:
    """The layer that goes on top of ``layer``: attributes of made-up directories, and hard links into layers below."""
    contents = Unpacked()
    with store.stage() as staging:
        root = os.fsencode(staging.fs)
        made: dict[bytes, bytes] = {}

        def directory(name: bytes) -> bytes:
            """The directory ``name`` in the mending layer, with its parents, each to get the attributes the union gives it."""
            for part in _prefixes(name):
                if part not in made:
                    _make_directory(root, part)
                    found = _look([layer, *below], part, explicit=True) or _look([layer, *below], part)
                    made[part] = found[0] if found is not None else b""
            return root + b"/" + name if name else root

        for name in implicit:
            found = _look(below, name, explicit=True)
            if found is not None and stat.S_ISDIR(found[1].st_mode):
                directory(name)
        for name, target in layer.links:
            found = _look([layer, *below], target)
            if found is None or stat.S_ISDIR(found[1].st_mode):
                raise Corrupt(
                    f"layer {layer.diff_id or layer.key}: {show(name)} is a hard link to {show(target)}, which no layer has",
                    reason="bad-link",
                )
            for link in (target, name):
                above, _, last = link.rpartition(b"/")
                try:
                    os.link(found[0], directory(above) + b"/" + last, follow_symlinks=False)
                except FileExistsError:
                    pass
            contents.entries += 1
        for name in sorted(made, reverse=True):
            contents.entries += 1
            copy_directory_attributes(made[name], root + b"/" + name)
        contents.implicit = [b""]
        return staging.publish(key, "", contents)


def _rearrange(store: LayerStore, layer: Layer, moves: dict[bytes, bytes], key: str) -> Layer:
    """A copy of ``layer`` (links, no data) with what is below each directory in ``moves`` where that leads."""
    contents = Unpacked()
    source_root = os.fsencode(layer.path)

    def moved(name: bytes) -> bytes:
        for prefix in sorted(moves, key=len, reverse=True):
            if name == prefix or name.startswith(prefix + b"/"):
                return (moves[prefix] + name[len(prefix) :]).lstrip(b"/")
        return name

    with store.stage() as staging:
        root = os.fsencode(staging.fs)
        explicit: dict[bytes, bytes] = {}
        implicit: set[bytes] = set()

        def directory(name: bytes) -> bytes:
            for part in _prefixes(name):
                if _make_directory(root, part):
                    implicit.add(part)
            return root + b"/" + name if name else root

        pending = [b""]
        while pending:
            here = pending.pop()
            base = source_root + b"/" + here if here else source_root
            target = moved(here)
            above = directory(target)
            if here not in moves and here not in layer.implicit:
                explicit[target] = base
                implicit.discard(target)
            for name in os.listdir(base):
                if stat.S_ISDIR(os.lstat(base + b"/" + name).st_mode):
                    pending.append(here + b"/" + name if here else name)
                    continue
                place = above + b"/" + name
                try:
                    os.unlink(place)
                except FileNotFoundError:
                    pass
                except (IsADirectoryError, PermissionError):
                    raise _contradiction(target + b"/" + name) from None
                os.link(base + b"/" + name, place, follow_symlinks=False)
        for name in sorted(explicit, reverse=True):
            copy_directory_attributes(explicit[name], root + b"/" + name if name else root)
        for path in (root + b"/" + n for n in implicit):
            os.chmod(path, 0o755)
        contents.size, contents.entries = layer.size, layer.entries
        contents.implicit = sorted(implicit | ({b""} if b"" in layer.implicit else set()))
        contents.links = [(moved(n), moved(t)) for n, t in layer.links]
        return staging.publish(key, "", contents)


def _make_directory(root: bytes, name: bytes) -> bool:
    """Make the directory ``name`` of a layer that is being put together; whether it was not there.

    Raises :class:`InvalidInput` (reason ``hostile-archive``) where the layer has put something else: a symbolic link in a
    layer must never be gone through here, because it would lead into the machine instead of into the image.
    """
    path = root + b"/" + name
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            raise _contradiction(name) from None
        return False
    return True


def _contradiction(name: bytes) -> InvalidInput:
    return hostile(f"{show(name)}: a layer replaces the directory that its own entries are in")


def _prefixes(name: bytes) -> list[bytes]:
    """``a/b/c`` → ``a``, ``a/b``, ``a/b/c``."""
    parts = name.split(b"/") if name else []
    return [b"/".join(parts[: n + 1]) for n in range(len(parts))]


def copy_directory_attributes(source: bytes, target: bytes) -> None:
    """Owner, mode, extended attributes (overlayfs's own excepted) and times; an empty ``source`` gives the plain ones."""
    if not source:
        os.chmod(target, 0o755)
        return
    there = os.lstat(source)
    if (there.st_uid, there.st_gid) != (os.geteuid(), os.getegid()):
        os.chown(target, there.st_uid, there.st_gid)
    for name in os.listxattr(source, follow_symlinks=False):
        if not name.startswith(("trusted.overlay.", "user.overlay.")):
            os.setxattr(target, name, os.getxattr(source, name, follow_symlinks=False))
    os.chmod(target, stat.S_IMODE(there.st_mode))
    os.utime(target, ns=(there.st_atime_ns, there.st_mtime_ns))
