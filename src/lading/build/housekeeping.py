"""Keeping the cache of builds in bounds: by age, by size, by hand; and mending it.

What a running build works with is in its lease, and stays. Records go under the store's exclusive lock, and the collector takes
the layers right after: a build that is killed, or a prune, leaves a record whole or none.
"""

from __future__ import annotations

import os
import time

from lading.build.cache import KIND
from lading.build.records import DIRECTORIES, Ledger, Record, tree_size
from lading.errors import Corrupt
from lading.images.collect import collect
from lading.images.files import make_directories, remove_tree, try_lock
from lading.images.remove import RemoveReport, Removing
from lading.images.travelling import BLOBS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.images import Images
    from lading.roots import Roots

_EVERY = 3600.0  # seconds between two automatic looks
_UNUSED = 60 * 86400.0
_LEAST = 2 << 30
_SHARE = 10  # percent of the file system


class Pruned:
    """``records`` that went, and bytes that became ``freed``."""

    __slots__ = ("freed", "records")

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.freed = 0


def prune(
    roots: Roots,
    images: Images,
    *,
    chosen: Callable[[Record], bool] = lambda _: True,
    keep: int | None = None,
    all: bool = False,
) -> Pruned:
    """Remove records that ``chosen`` takes and that nothing uses, the longest unused first.

    ``keep``: stop when the cache takes no more bytes than this. Without ``all``, what an image has stays: it costs nothing.
    """
    pruned = Pruned()
    images.lease().close()  # makes the store if there is none
    with Removing(images.root):
        ledger = Ledger(roots, images)
        going = [r for r in ledger.records if not r.in_use and (all or not r.shared) and chosen(r)]
        if keep is not None:
            going = _until_small(ledger, going, keep)
        gone = set(map(id, going))
        staying = [r for r in ledger.records if id(r) not in gone]
        for record in going:
            if record.path:
                freed = _empty(record)
                if freed is None:
                    continue
                pruned.freed += freed
            else:
                for key in record.keys:
                    images.pins.remove(KIND, key, locked=True)
            pruned.records.append(record)
        _drop_blobs(images, ledger, staying)
        report = RemoveReport()
        collect(images, report)
        pruned.freed += report.freed
    _leftovers(roots.data + "/build", repair=True)
    return pruned


def _until_small(ledger: Ledger, candidates: list[Record], keep: int) -> list[Record]:
    """As many of ``candidates`` as have to go. A layer weighs something until the last record that holds it has gone."""
    size = ledger.total(ledger.records)
    count: dict[str, int] = {}
    for record in ledger.records:
        for held in record.holds:
            count[held] = count.get(held, 0) + 1
    going = []
    for record in candidates:
        if size <= keep:
            break
        going.append(record)
        if record.path:
            size -= record.size
        for held in record.holds:
            count[held] -= 1
            if not count[held]:
                size -= ledger.weight(held)
    return going


def _drop_blobs(images: Images, ledger: Ledger, staying: list[Record]) -> None:
    """Forget which blobs layers became that no record speaks of any more. An image keeps its own blobs."""
    needed = {held for record in staying for held in record.holds}
    for held, pins in ledger.blobs.items():
        if held in needed or held in ledger.held:
            continue
        for pin in pins:
            images.pins.remove(BLOBS, pin.name, locked=True)


def _empty(record: Record) -> int | None:
    """Take a directory's files away, unless a command has it; the place and its lock stay, so nobody waits at a lost one."""
    lock = os.open(record.path + "/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not try_lock(lock):
            return None
        gone = f"{record.path}/gone.{os.getpid()}"
        os.rename(record.path + "/files", gone)
        remove_tree(gone)
    except FileNotFoundError:
        return None
    finally:
        os.close(lock)
    return record.size


# -- by itself -----------------------------------------------------------------------------------------------------------


def keep_in_bounds(roots: Roots, images: Images) -> Pruned | None:
    """After a build, at most once an hour: what nobody used for sixty days goes, and what is over the bound.

    ``LADING_BUILD_CACHE`` sets the bound in bytes (``20g``, ``0`` for none); else it is a tenth of the file system, and at least
    2 GiB.
    """
    from lading.formats import sizes

    text = os.environ.get("LADING_BUILD_CACHE", "")
    bound = sizes.parse(text, what="LADING_BUILD_CACHE") if text else _share(roots.data)
    stamp = roots.data + "/build/last-prune"
    now = time.time()
    try:
        if 0 <= now - os.stat(stamp).st_mtime < _EVERY:
            return None
    except OSError:
        pass
    make_directories(os.path.dirname(stamp))
    with open(stamp, "w"):
        pass
    made = prune(roots, images, chosen=lambda record: now - record.used > _UNUSED)
    if bound:
        more = prune(roots, images, keep=bound, all=True)
        made.records += more.records
        made.freed += more.freed
    return made


def _share(path: str) -> int:
    there = os.statvfs(path)
    return max(there.f_blocks * there.f_frsize * _SHARE // 100, _LEAST)


# -- check ---------------------------------------------------------------------------------------------------------------


def check(roots: Roots, images: Images, *, repair: bool) -> list[tuple[str, str, bool]]:
    """What is wrong with the cache: where, what, and whether it was mended. Pins as such are the image store's to check."""
    found = []
    for kind in (KIND, BLOBS):
        for name in _listed(f"{images.root}/pins/{kind}"):
            try:
                pin = images.pins.get(kind, name)
            except Corrupt:
                continue
            if pin is None or _sound(kind, pin.about):
                continue
            found.append((f"record {kind}/{name}", "what it says of a step is broken", repair))
            if repair:
                images.pins.remove(kind, name)
    found += _leftovers(roots.data + "/build", repair=repair)
    return found


def _sound(kind: str, about: dict[str, object]) -> bool:
    try:
        if kind == BLOBS:
            from lading.formats import digest as digests
            from lading.formats.oci_image import Descriptor

            digests.check(Descriptor.decode(about["blob"], strict=False).digest)
            digests.check(str(about["diffID"]))
        else:
            rows = about["layers"]
            for diff_id, created, size in rows:  # type: ignore[attr-defined]
                if not isinstance(diff_id, str) or not isinstance(created, str) or not isinstance(size, int):
                    return False
            return isinstance(about["name"], str)
    except Exception:
        return False
    return True


def _leftovers(data: str, *, repair: bool) -> list[tuple[str, str, bool]]:
    """Locks of steps that nobody is at, and caches that were begun or taken away by a process that is gone."""
    found = []
    for name in _listed(data + "/locks"):
        path = f"{data}/locks/{name}"
        if not _free(path):
            continue
        found.append((path, "the lock of a step that nobody is at", repair))
        if repair:
            _unlink_free(path)
    for base in (f"{data}/{directory}" for directory, _, _ in DIRECTORIES):
        for name in _listed(base):
            for part in _listed(f"{base}/{name}"):
                what, dot, pid = part.partition(".")
                if what not in ("files", "gone") or not dot or os.path.exists(f"/proc/{pid}"):
                    continue
                path = f"{base}/{name}/{part}"
                found.append((path, f"a cache that was never finished ({tree_size(path)} bytes)", repair))
                if repair:
                    remove_tree(path)
    return found


def _free(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return try_lock(fd)
    finally:
        os.close(fd)


def _unlink_free(path: str) -> None:
    """Under the lock: whoever waits for it looks afterwards whether the name is still that file's."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if try_lock(fd):
            os.unlink(path)
    except FileNotFoundError:
        pass
    finally:
        os.close(fd)


def _listed(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
