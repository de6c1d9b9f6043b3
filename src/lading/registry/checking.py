"""Whether everything is there that the records speak of, and is what its digest says."""

from __future__ import annotations

from lading.errors import LadingError
from lading.images.maintenance import Finding
from lading.registry.ledger import Change
from lading.registry.manifests import Manifests, Stored, parse
from lading.registry.store import Store


def check(store: Store, *, repair: bool, mirror: bool = False) -> list[Finding]:
    """Read all content of the registry through and compare; a line for each thing that is wrong.

    With ``repair`` records of what is lost are removed, so that clients see that it is missing and push it again. ``mirror``:
    what manifests name need not be here, and a blob is a repository's only when the upstream says so.
    """
    findings: list[Finding] = []
    broken: set[str] = set()
    for (digest,) in store.ledger.rows("SELECT digest FROM holds ORDER BY digest"):
        name = str(digest)
        if not store.content.has(name):
            broken.add(name)
            findings.append(Finding(name, "the content is lost", repair))
        elif not store.content.verify(name):
            broken.add(name)
            findings.append(Finding(name, "the content does not match its digest", repair))
            if repair:
                store.content.remove(name)
    for name in sorted(broken) if repair else ():
        store.ledger.write(lambda made, d=name: _forget(made, d))  # type: ignore[misc]
    _references(store, repair, mirror, broken, findings)
    return findings


def _forget(made: Change, digest: str) -> None:
    made.db.execute("DELETE FROM blobs WHERE digest = ?", (digest,))
    made.db.execute("DELETE FROM tags WHERE digest = ?", (digest,))
    made.db.execute("DELETE FROM refs WHERE manifest = ?", (digest,))
    made.db.execute("DELETE FROM manifests WHERE digest = ?", (digest,))


def _references(store: Store, repair: bool, mirror: bool, broken: set[str], findings: list[Finding]) -> None:
    """Blobs that manifests name are in their repositories, as far as the manifests themselves say."""
    manifests = Manifests(store)
    rows = store.ledger.rows(
        "SELECT r.name, m.digest, m.media_type, m.size FROM manifests m JOIN repositories r ON r.id = m.repository"
    )
    for name, digest, media_type, size in rows:
        if str(digest) in broken:
            continue
        stored = Stored(str(digest), str(media_type), int(str(size)))
        try:
            parsed = parse(manifests.read(stored), stored.media_type)
        except LadingError as error:
            findings.append(Finding(f"{name}@{digest}", error.message, False))
            continue
        for descriptor in () if mirror else parsed.blobs:
            found = store.ledger.row(
                "SELECT 1 FROM blobs b JOIN repositories r ON r.id = b.repository WHERE r.name = ? AND b.digest = ?",
                name,
                descriptor.digest,
            )
            if found is None:
                with store.holding(descriptor.digest):
                    there = store.content.has(descriptor.digest) and descriptor.digest not in broken
                    mended = repair and there
                    if mended:
                        store.link(str(name), descriptor.digest, descriptor.size)
                findings.append(
                    Finding(f"{name}@{digest}", f"its blob {descriptor.digest} is not there", mended)
                )
