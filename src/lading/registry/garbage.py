"""What nobody needs any more goes: forgotten uploads, blobs that no manifest names, content that nobody has.

It runs beside a serving registry. A blob of a repository goes when no manifest there names it and it has not been pushed, mounted
or asked for by whoever pushes for ``grace`` seconds; content goes when nothing of this store holds it (images, pins, leases and
the registry's own records) and its file is as old. Both are decided again at the moment of removal, in one transaction or
under the store's exclusive lock, which every writer's lease takes shared.
"""

from __future__ import annotations

import os
import time

from lading.images.collect import reachable
from lading.images.files import Lock, try_lock
from lading.registry.ledger import Change
from lading.registry.store import Store

_BATCH = 200
"""Blobs that go in one hold of the store's lock; pushes wait meanwhile."""
_OWN = 60.0  # seconds after which a small file that nobody has locked is a leftover


class Report:
    """What went: ``uploads``, ``links`` (blobs of repositories), ``manifests``, ``blobs`` of the store; ``freed`` bytes."""

    __slots__ = ("blobs", "freed", "links", "manifests", "seconds", "uploads")

    def __init__(self) -> None:
        self.uploads = self.links = self.manifests = self.blobs = self.freed = 0
        self.seconds = 0.0


class Collector:
    """Collects in ``store`` what is older than ``grace`` seconds."""

    def __init__(self, store: Store, grace: float) -> None:
        self._store = store
        self._grace = grace

    def run(self, *, untagged: bool = False, mirror: bool = False) -> Report | None:
        """Collect once; None when another process is at it. ``untagged``: also manifests that no tag leads to.

        ``mirror``: what it has can be had again; so these, and what arrived of blobs whose fetching nobody continued.

        Raises :class:`Corrupt` when it cannot be known what is held: then nothing goes.
        """
        began = time.monotonic()
        report = Report()
        fd = os.open(self._store.directory + "/gc.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not try_lock(fd):
                return None
            before = time.time() - self._grace
            self._unfinished(self._store.uploads, before, report)
            if mirror:
                self._unfinished(self._store.root + "/ingest", before, report)
            if untagged or mirror:
                self._manifests(before, report)
            self._links(before, report)
            self._content(before, report)
        finally:
            os.close(fd)
        report.seconds = time.monotonic() - began
        return report

    def _unfinished(self, directory: str, before: float, report: Report) -> None:
        """Files that nobody has written to since ``before``, nor has locked."""
        for name in os.listdir(directory) if os.path.isdir(directory) else ():
            path = f"{directory}/{name}"
            oldest = time.time() - _OWN if name.startswith("put.") else before
            try:
                if os.stat(path).st_mtime >= oldest:
                    continue
                # To lock it. One whose server died between storing and recording is read-only, as blobs are.
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except OSError:
                continue
            try:
                found = os.fstat(fd)
                if try_lock(fd) and found.st_nlink and found.st_mtime < oldest:
                    os.unlink(path)
                    report.uploads += 1
                    report.freed += found.st_size
            except OSError:
                pass
            finally:
                os.close(fd)

    def _links(self, before: float, report: Report) -> None:
        def change(made: Change) -> int:
            rows = made.db.execute(
                "SELECT b.repository, b.digest FROM blobs b WHERE b.linked < ? AND NOT EXISTS "
                "(SELECT 1 FROM refs r WHERE r.repository = b.repository AND r.digest = b.digest) LIMIT ?",
                (before, _BATCH),
            ).fetchall()
            made.db.executemany("DELETE FROM blobs WHERE repository = ? AND digest = ?", rows)
            return len(rows)

        while gone := self._store.ledger.write(change):
            report.links += gone

    def _manifests(self, before: float, report: Report) -> None:
        for (number,) in self._store.ledger.rows("SELECT id FROM repositories"):

            def change(made: Change, number: object = number) -> int:
                return _drop_untagged(made, number, before)

            report.manifests += self._store.ledger.write(change)

    def _content(self, before: float, report: Report) -> None:
        store = self._store
        old = [digest for digest, _ in store.content.list() if _older(store.content.path(digest), before)]
        if not old:
            return
        held, _ = reachable(store.images)
        loose = [digest for digest in old if digest not in held]
        while loose:
            batch, loose = loose[:_BATCH], loose[_BATCH:]
            with Lock(store.root + "/lock", exclusive=True):
                held, _ = reachable(store.images)
                for digest in batch:
                    if digest not in held and _older(store.content.path(digest), before):
                        report.freed += store.content.remove(digest)
                        report.blobs += 1


def _older(path: str, before: float) -> bool:
    try:
        return os.stat(path).st_mtime < before
    except FileNotFoundError:
        return False


def _drop_untagged(made: Change, number: object, before: float) -> int:
    """Remove manifests of one repository that no tag leads to, by an index or as what refers to one that stays; how many."""
    rows = made.db.execute(
        "SELECT digest, subject, pushed FROM manifests WHERE repository = ?", (number,)
    ).fetchall()
    keep = {r[0] for r in made.db.execute("SELECT digest FROM tags WHERE repository = ?", (number,))}
    keep.update(digest for digest, _, pushed in rows if pushed >= before)
    below: dict[str, list[str]] = {}
    for upper, lower in made.db.execute(
        "SELECT manifest, digest FROM refs WHERE repository = ? AND kind = 'm'", (number,)
    ):
        below.setdefault(upper, []).append(lower)
    for digest, subject, _ in rows:
        if subject:
            below.setdefault(subject, []).append(digest)
    waiting = list(keep)
    while waiting:
        for lower in below.get(waiting.pop(), ()):
            if lower not in keep:
                keep.add(lower)
                waiting.append(lower)
    gone = [(number, digest) for digest, _, _ in rows if digest not in keep]
    made.db.executemany("DELETE FROM manifests WHERE repository = ? AND digest = ?", gone)
    made.db.executemany("DELETE FROM refs WHERE repository = ? AND manifest = ?", gone)
    return len(gone)
