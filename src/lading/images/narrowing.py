"""A layer with only some of its paths: a tree of hard links to the unpacked one, which costs names and no data."""

from __future__ import annotations

import os
import stat

from lading.images.files import disk_error
from lading.images.stacking import copy_directory_attributes
from lading.images.unpacked import Unpacked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.images.layers import Layer, LayerStore
    from lading.images.leases import Lease
    from lading.images.source import Source


def narrowed(store: LayerStore, layer: Layer, source: Source, *, lease: Lease) -> Layer:
    """What of ``layer`` is in ``source.keep``; made when it is not there yet. A path that the layer lacks is passed over.

    The directories above a path are made up: their attributes are those of a layer below, where that has them too.
    """
    lease.add("layer:" + source.key)
    found = store.get(source)
    if found is not None:
        return found
    contents = Unpacked()
    base = os.fsencode(layer.path)
    try:
        with store.stage() as staging:
            root = os.fsencode(staging.fs)
            made: dict[bytes, bool] = {b"": True}  # whether it is meant itself
            for name in sorted(_names(source.keep or frozenset())):
                there = _look(base, name)
                if there is None:
                    continue
                above = name.rpartition(b"/")[0]
                for part in _above(above):
                    if made.setdefault(part, False) is False and not os.path.lexists(root + b"/" + part):
                        os.mkdir(root + b"/" + part, 0o700)
                contents.entries += 1
                if not stat.S_ISDIR(there.st_mode):
                    os.link(base + b"/" + name, root + b"/" + name, follow_symlinks=False)
                    contents.size += there.st_size if stat.S_ISREG(there.st_mode) else 0
                    continue
                if name not in made:
                    os.mkdir(root + b"/" + name, 0o700)
                made[name] = True
            for name in sorted(made, reverse=True):
                copy_directory_attributes(base + b"/" + name, root + b"/" + name)
            implicit = set(layer.implicit)
            contents.implicit = sorted(name for name, meant in made.items() if not meant or name in implicit)
            return staging.publish(source.key, source.diff_id, contents, dialect=source.dialect)
    except OSError as error:
        raise disk_error(error, f"cannot store a part of layer {source.diff_id}") from None


def _names(keep: frozenset[str]) -> list[bytes]:
    names = []
    for path in keep:
        try:
            names.append(os.fsencode(path))
        except UnicodeEncodeError:
            continue  # no file can be called so
    return names


def _above(name: bytes) -> list[bytes]:
    parts = name.split(b"/") if name else []
    return [b"/".join(parts[: n + 1]) for n in range(len(parts))]


def _look(base: bytes, name: bytes) -> os.stat_result | None:
    """What ``name`` is in the layer; None when it is not there, or not without going through a link."""
    path = base
    there = None
    try:
        for part in name.split(b"/"):
            if there is not None and not stat.S_ISDIR(there.st_mode):
                return None
            path += b"/" + part
            there = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError):  # a name that is too long, or has a NUL in it
        return None
    return there
