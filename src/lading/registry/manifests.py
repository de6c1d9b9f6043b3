"""Manifests: checked when they come, kept byte for byte, found by digest or tag.

What a manifest names must be in its repository, except what it says is elsewhere (``urls``), and its ``subject``, which may come
later. Source: distribution-spec, "Pushing Manifests"; image-spec, manifest.md and image-index.md; Docker's image manifest
version 2, schema 2.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from lading.errors import Corrupt, LadingError, NotFound
from lading.formats import digest as digests
from lading.formats import jsontext
from lading.formats.oci_image import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    INDEXES,
    MANIFESTS,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
)
from lading.registry import words
from lading.registry.errors import (
    DIGEST_INVALID,
    MANIFEST_BLOB_UNKNOWN,
    MANIFEST_INVALID,
    MANIFEST_UNKNOWN,
    SIZE_INVALID,
    Refusal,
)
from lading.registry.ledger import Change
from lading.registry.store import Store, repository_id

ACCEPTED = (OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST)
_REFUSED = {
    "application/vnd.docker.distribution.manifest.v1+json": "Docker's schema 1 is not supported",
    "application/vnd.docker.distribution.manifest.v1+prettyjws": "Docker's schema 1 is not supported",
    "application/vnd.oci.artifact.manifest.v1+json": "OCI withdrew it: push an image manifest with artifactType",
}
_FOREIGN = (
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
)
_KEPT = 256  # manifests whose bytes stay in memory
_KEPT_SIZE = 1 << 16


class Stored:
    """A manifest of a repository: ``digest``, ``media_type``, ``size``."""

    __slots__ = ("digest", "media_type", "size")

    def __init__(self, digest: str, media_type: str, size: int) -> None:
        self.digest = digest
        self.media_type = media_type
        self.size = size


class Parsed:
    """What a manifest says, as far as a registry cares.

    ``blobs`` and ``manifests``: what must be in the repository; ``subject``: a digest or empty.
    """

    __slots__ = ("annotations", "artifact_type", "blobs", "manifests", "media_type", "subject")

    def __init__(self, media_type: str) -> None:
        self.media_type = media_type
        self.blobs: list[Descriptor] = []
        self.manifests: list[Descriptor] = []
        self.subject = ""
        self.artifact_type = ""
        self.annotations: dict[str, str] = {}


class Pushed:
    """What became of a push: the ``digest`` and the ``subject`` that was noted, or empty."""

    __slots__ = ("digest", "subject")

    def __init__(self, digest: str, subject: str) -> None:
        self.digest = digest
        self.subject = subject


class Manifests:
    """The manifests of a store's repositories."""

    def __init__(self, store: Store, limit: int = 4 << 20, *, sparse: bool = False) -> None:
        """``limit``: bytes of one; ``sparse``: an index may name manifests that are not in the repository."""
        self._store = store
        self._limit = limit
        self._sparse = sparse
        self._bytes: OrderedDict[str, bytes] = OrderedDict()

    def find(self, repository: str, reference: str) -> Stored:
        """The manifest that a tag or digest stands for. Raises :class:`Refusal` (``MANIFEST_UNKNOWN``).

        What can be no tag is one that is not here: clients ask for such names to see what a registry says (404).
        """
        if ":" in reference:
            tag, digest = "", words.digest(reference)
        else:
            tag, digest = reference, ""
        if tag:
            row = self._store.ledger.row(
                "SELECT m.digest, m.media_type, m.size FROM repositories r JOIN tags t ON t.repository = r.id "
                "JOIN manifests m ON m.repository = r.id AND m.digest = t.digest WHERE r.name = ? AND t.name = ?",
                repository,
                tag,
            )
        else:
            row = self._store.ledger.row(
                "SELECT m.digest, m.media_type, m.size FROM repositories r JOIN manifests m ON m.repository = r.id "
                "WHERE r.name = ? AND m.digest = ?",
                repository,
                digest,
            )
        if row is None:
            raise Refusal(
                MANIFEST_UNKNOWN, f"{repository} has no manifest {reference[:200]}", detail=reference[:200]
            )
        return Stored(str(row[0]), str(row[1]), int(str(row[2])))

    def read(self, stored: Stored) -> bytes:
        """The exact bytes of a manifest. Raises :class:`Refusal` when the content is lost or broken."""
        data = self._bytes.get(stored.digest)
        if data is not None:
            return data
        try:
            data = self._store.content.read(stored.digest, limit=max(self._limit, stored.size))
        except (NotFound, Corrupt) as error:
            raise Refusal(MANIFEST_UNKNOWN, error.message, status=500, detail=stored.digest) from None
        if len(data) <= _KEPT_SIZE:
            self._bytes[stored.digest] = data
            if len(self._bytes) > _KEPT:
                self._bytes.popitem(last=False)
        return data

    def put(
        self,
        repository: str,
        reference: str,
        media_type: str,
        data: bytes,
        *,
        tags: list[str] | None = None,
        complete: bool = True,
        condition: Callable[[str], bool] | None = None,
    ) -> Pushed:
        """Store a manifest under a tag or its digest, and under further ``tags``.

        ``complete``: what it names must be here; a cache takes manifests before what they are about. ``condition``: told in the
        transaction what ``reference`` stands for until now (empty: nothing), whether it may change. Raises :class:`Refusal` (412
        where it may not), :class:`Exhausted`.
        """
        tag, digest = words.reference(reference)
        if len(data) > self._limit:
            raise Refusal(
                SIZE_INVALID,
                f"the manifest has {len(data)} bytes, and {self._limit} are allowed",
                status=413,
            )
        found = digests.of(data, digest.partition(":")[0] if digest else "sha256")
        if digest and found != digest:
            raise Refusal(DIGEST_INVALID, f"the manifest has the digest {found}, not {digest}", detail=digest)
        names = [words.tag(name) for name in tags or []] + ([tag] if tag else [])
        parsed = parse(data, media_type)
        with self._store.holding(found):
            directory = self._store.keep(data, found)

            def change(made: Change) -> None:
                made.directories.add(directory)
                if condition is not None and not condition(_present(made, repository, tag, digest)):
                    what = f"{reference} is not what the condition says it is"
                    raise Refusal(MANIFEST_INVALID, what, status=412)
                if complete:
                    _check_complete(made, repository, parsed, sparse=self._sparse)
                _record(made, repository, found, len(data), parsed, names)

            self._store.ledger.write(change)
        return Pushed(found, parsed.subject)

    def remove(self, repository: str, digest: str) -> list[str]:
        """Remove a manifest and every tag of it; the manifests that still name it. Raises :class:`Refusal`."""

        def change(made: Change) -> list[str]:
            row = made.db.execute(
                "SELECT m.repository FROM manifests m JOIN repositories r ON r.id = m.repository "
                "WHERE r.name = ? AND m.digest = ?",
                (repository, digest),
            ).fetchone()
            if row is None:
                raise Refusal(MANIFEST_UNKNOWN, f"{repository} has no manifest {digest}", detail=digest)
            where = (row[0], digest)
            made.db.execute("DELETE FROM tags WHERE repository = ? AND digest = ?", where)
            made.db.execute("DELETE FROM manifests WHERE repository = ? AND digest = ?", where)
            made.db.execute("DELETE FROM refs WHERE repository = ? AND manifest = ?", where)
            rows = made.db.execute("SELECT manifest FROM refs WHERE repository = ? AND digest = ?", where)
            return [str(r[0]) for r in rows]

        return self._store.ledger.write(change)

    def untag(self, repository: str, tag: str) -> None:
        """Remove a tag; the manifest stays. Raises :class:`Refusal` (``MANIFEST_UNKNOWN``)."""

        def change(made: Change) -> None:
            gone = made.db.execute(
                "DELETE FROM tags WHERE name = ? AND repository = (SELECT id FROM repositories WHERE name = ?)",
                (tag, repository),
            ).rowcount
            if not gone:
                raise Refusal(MANIFEST_UNKNOWN, f"{repository} has no tag {tag}", detail=tag)

        self._store.ledger.write(change)


def _present(made: Change, repository: str, tag: str, digest: str) -> str:
    """The digest that a tag or a digest of the repository stands for, empty when it is not there."""
    table, column = ("tags", "name") if tag else ("manifests", "digest")
    row = made.db.execute(
        f"SELECT x.digest FROM {table} x JOIN repositories r ON r.id = x.repository WHERE r.name = ? AND x.{column} = ?",
        (repository, tag or digest),
    ).fetchone()
    return "" if row is None else str(row[0])


def _record(made: Change, repository: str, digest: str, size: int, parsed: Parsed, tags: list[str]) -> None:
    number = repository_id(made, repository)
    now = time.time()
    made.db.execute(
        "INSERT INTO manifests (repository, digest, media_type, size, pushed, subject, artifact_type, annotations) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (repository, digest) DO UPDATE SET "
        "media_type = excluded.media_type, artifact_type = excluded.artifact_type, pushed = excluded.pushed",
        (
            number,
            digest,
            parsed.media_type,
            size,
            now,
            parsed.subject,
            parsed.artifact_type,
            jsontext.dumps(parsed.annotations),
        ),
    )
    named = [(number, digest, d.digest, "b") for d in parsed.blobs]
    named += [(number, digest, d.digest, "m") for d in parsed.manifests]
    made.db.executemany(
        "INSERT OR IGNORE INTO refs (repository, manifest, digest, kind) VALUES (?, ?, ?, ?)", named
    )
    for tag in tags:
        made.db.execute(
            "INSERT INTO tags (repository, name, digest, moved) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (repository, name) DO UPDATE SET digest = excluded.digest, moved = excluded.moved",
            (number, tag, digest, now),
        )


def _check_complete(made: Change, repository: str, parsed: Parsed, *, sparse: bool) -> None:
    number = repository_id(made, repository)
    missing: list[str] = []
    for table, wanted in (("blobs", parsed.blobs), ("manifests", parsed.manifests)):
        for descriptor in wanted:
            row = made.db.execute(
                f"SELECT size FROM {table} WHERE repository = ? AND digest = ?", (number, descriptor.digest)
            ).fetchone()
            if row is None:
                if descriptor.digest not in missing and not (sparse and table == "manifests"):
                    missing.append(descriptor.digest)
            elif row[0] != descriptor.size:
                raise Refusal(
                    SIZE_INVALID,
                    f"the manifest says that {descriptor.digest} has {descriptor.size} bytes, and it has {row[0]}",
                    detail=descriptor.digest,
                )
    if missing:
        raise Refusal(
            MANIFEST_BLOB_UNKNOWN,
            "the manifest names what is not in the repository: push that first",
            details=missing,
        )


def parse(data: bytes, media_type: str) -> Parsed:
    """Check a manifest that came as ``media_type`` ("": what it says itself). Raises :class:`Refusal` (``MANIFEST_INVALID``)."""
    kind = media_type.partition(";")[0].strip().lower()
    try:
        value = jsontext.loads(data, what="the manifest")
    except LadingError as error:
        raise Refusal(MANIFEST_INVALID, error.message) from None
    if not isinstance(value, dict):
        raise Refusal(MANIFEST_INVALID, "the manifest is no JSON object")
    said = value.get("mediaType", "")
    if not isinstance(said, str):
        raise Refusal(MANIFEST_INVALID, "the manifest's mediaType is no string")
    if kind in ("", "application/octet-stream", "application/json"):
        kind = said or (OCI_INDEX if "manifests" in value else OCI_MANIFEST)
    if kind not in ACCEPTED:
        why = _REFUSED.get(kind, f"manifests of the type {kind[:120]!r} are not supported")
        raise Refusal(MANIFEST_INVALID, why, detail=kind[:120])
    if said and said != kind:
        raise Refusal(
            MANIFEST_INVALID,
            f"the manifest came as {kind}, and says that it is {said[:120]}",
            detail=said[:120],
        )
    if not said and kind in (DOCKER_MANIFEST, DOCKER_LIST):
        raise Refusal(MANIFEST_INVALID, f"a manifest of the type {kind} must say so in mediaType")
    # Bytes that are an image to one reader and an index to another: CVE-2021-41190.
    odd = ("manifests",) if kind in MANIFESTS else ("config", "layers")
    for key in odd:
        if key in value:
            raise Refusal(MANIFEST_INVALID, f"a manifest of the type {kind} has no {key!r}", detail=key)
    if value.get("schemaVersion") != 2:
        raise Refusal(
            MANIFEST_INVALID, f"schemaVersion is {value.get('schemaVersion')!r:.20}, and 2 is supported"
        )
    try:
        return _described(value, kind)
    except Refusal:
        raise
    except LadingError as error:
        raise Refusal(MANIFEST_INVALID, error.message) from None


def _described(value: dict[str, object], kind: str) -> Parsed:
    made = Parsed(kind)
    if kind in INDEXES:
        index = Index.decode(value, where="the manifest", strict=False)
        for descriptor in index.manifests:
            _check(descriptor)
            if not descriptor.urls:
                made.manifests.append(descriptor)
        made.artifact_type = index.artifact_type
        made.annotations = index.annotations
        subject = index.subject
    else:
        manifest = Manifest.decode(value, where="the manifest", strict=False)
        for descriptor in (manifest.config, *manifest.layers):
            _check(descriptor)
            if not descriptor.urls and not descriptor.media_type.startswith(_FOREIGN):
                made.blobs.append(descriptor)
        made.artifact_type = manifest.artifact_type or manifest.config.media_type
        made.annotations = manifest.annotations
        subject = manifest.subject
    if subject is not None:
        _check(subject)
        made.subject = subject.digest
    return made


def _check(descriptor: Descriptor) -> None:
    digests.check(descriptor.digest)
    if descriptor.size < 0:
        raise Refusal(MANIFEST_INVALID, f"the size of {descriptor.digest} is negative")
