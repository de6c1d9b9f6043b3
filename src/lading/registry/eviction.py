"""What of a mirror goes so that it stays in its bounds: what nobody has asked for the longest goes first.

All of it can be had again. When a blob was asked for last stands in its ``linked``, and of a manifest in its ``pushed``. What is
being read meanwhile stays with its readers, who have it open.
"""

from __future__ import annotations

import threading
import time

from lading.images.collect import reachable
from lading.images.files import Lock
from lading.registry.ledger import Change
from lading.registry.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.registry.counters import Counters

_ROOM = 0.9
"""How much of the allowed size is left when some of it goes: not each new blob is to need room made for it."""
_BATCH = 200

_STORED = "lading_registry_mirror_stored_bytes"
_ALLOWED = "lading_registry_mirror_allowed_bytes"
_GONE = "lading_registry_mirror_evicted_total"
_FREED = "lading_registry_mirror_evicted_bytes_total"
_ALL = """SELECT max(used), max(size), digest FROM (
    SELECT digest, size, linked AS used FROM blobs UNION ALL SELECT digest, size, pushed AS used FROM manifests
) GROUP BY digest ORDER BY 1"""


class Evicted:
    """What went: ``count`` blobs and manifests, of ``size`` bytes."""

    __slots__ = ("count", "size")

    def __init__(self) -> None:
        self.count = self.size = 0


class Eviction:
    """Keeps the mirror in ``store`` below ``size`` bytes, and what was used in the last ``age`` seconds; 0: no such bound."""

    def __init__(self, store: Store, size: int, age: float, counters: Counters) -> None:
        self._store = store
        self._size = size
        self._age = age
        self._counters = counters
        self._lock = threading.Lock()
        self._known = -1  # bytes when somebody looked last, and what has come since
        counters.declare(_STORED, "gauge", "Bytes of blobs and manifests that the mirror has.")
        counters.ask(_STORED, lambda: float(sum(size for _, size, _ in self._pieces())))
        counters.declare(_ALLOWED, "gauge", "Bytes that it may have; 0 for any number.")
        counters.ask(_ALLOWED, lambda: float(size))
        counters.declare(_GONE, "counter", "Blobs and manifests that went to keep the mirror in its bounds.")
        counters.declare(_FREED, "counter", "Bytes of them.")
        counters.add(_GONE, 0)
        counters.add(_FREED, 0)

    def arrived(self, digest: str, size: int) -> None:
        """So many bytes more are here, of a blob that somebody is about to read: make room where that is too much."""
        if not self._size:
            return
        with self._lock:
            if self._known >= 0:
                self._known += size
            if 0 <= self._known <= self._size:
                return
        self.run(spare=digest)

    def run(self, spare: str = "", *, least: int = 0) -> Evicted:
        """Remove what is too old, and of what is too much what was not used for the longest, but not ``spare``.

        ``least``: bytes that go in any case, since the disk is full.
        """
        report = Evicted()
        if not (self._size or self._age or least):
            return report
        with self._lock:
            pieces = self._pieces()
            total = sum(size for _, size, _ in pieces)
            goal = int(self._size * _ROOM) if self._size and total > self._size else total
            goal = min(goal, total - least)
            oldest = time.time() - self._age if self._age else 0.0
            gone: list[tuple[float, int, str]] = []
            for used, size, digest in pieces:  # the one that was not used for the longest is the first
                if used >= oldest and total <= goal:
                    break
                if digest == spare:
                    continue
                gone.append((used, size, digest))
                total -= size
            for first in range(0, len(gone), _BATCH):
                self._remove(gone[first : first + _BATCH], report)
            self._known = total
        self._counters.add(_GONE, report.count)
        self._counters.add(_FREED, report.size)
        return report

    def _pieces(self) -> list[tuple[float, int, str]]:
        rows = self._store.ledger.rows(_ALL)
        return [(float(str(used)), int(str(size)), str(digest)) for used, size, digest in rows]

    def _remove(self, batch: list[tuple[float, int, str]], report: Evicted) -> None:
        def change(made: Change) -> list[tuple[int, str]]:
            return [(size, digest) for used, size, digest in batch if _forget(made, digest, used)]

        forgotten = self._store.ledger.write(change)
        report.count += len(forgotten)
        report.size += sum(size for size, _ in forgotten)
        with Lock(self._store.root + "/lock", exclusive=True):
            held, _ = reachable(self._store.images)
            for _, digest in forgotten:
                if digest not in held:
                    self._store.content.remove(digest)


def _forget(made: Change, digest: str, used: float) -> bool:
    """Forget a blob or manifest in every repository, unless it was used after ``used``; whether it is forgotten."""
    for table, column in (("blobs", "linked"), ("manifests", "pushed")):
        later = f"SELECT 1 FROM {table} WHERE digest = ? AND {column} > ?"
        if made.db.execute(later, (digest, used)).fetchone() is not None:
            return False
    for table, column in (
        ("blobs", "digest"),
        ("tags", "digest"),
        ("refs", "manifest"),
        ("manifests", "digest"),
    ):
        made.db.execute(f"DELETE FROM {table} WHERE {column} = ?", (digest,))
    return True
