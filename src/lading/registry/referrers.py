"""Who refers to a manifest: those whose ``subject`` it is, as an image index.

Source: distribution-spec, "Listing Referrers" and "Referrers Tag Schema".
"""

from __future__ import annotations

from lading.formats import digest as digests
from lading.formats import jsontext
from lading.formats.oci_image import OCI_INDEX
from lading.formats.reference import HEX
from lading.registry.store import Store

LARGEST = 4 << 20
"""Bytes of one answer; more of them come by the Link header."""


class Answer:
    """``data``: an image index; ``last``: where the next page begins, empty when there is none."""

    __slots__ = ("count", "data", "last")

    def __init__(self, data: bytes, last: str, count: int) -> None:
        self.data = data
        self.last = last
        self.count = count


class Referrers:
    """The referrers in a store's repositories."""

    def __init__(self, store: Store, largest: int = LARGEST) -> None:
        self._store = store
        self._largest = largest

    def list(self, repository: str, subject: str, artifact_type: str = "", last: str = "") -> Answer:
        """The referrers of ``subject`` behind the digest ``last``, of one artifact type only where it is given."""
        statement = (
            "SELECT m.digest, m.media_type, m.size, m.artifact_type, m.annotations FROM manifests m "
            "JOIN repositories r ON r.id = m.repository "
            "WHERE r.name = ? AND m.subject = ? AND m.subject <> '' AND m.digest > ?"
        )
        values: list[object] = [repository, subject, last]
        if artifact_type:
            statement += " AND m.artifact_type = ?"
            values.append(artifact_type)
        descriptors: list[object] = []
        size, more = 100, ""
        for row in self._store.ledger.each(statement + " ORDER BY m.digest", *values):
            described: dict[str, object] = {
                "mediaType": str(row[1]),
                "digest": str(row[0]),
                "size": int(str(row[2])),
            }
            if row[3]:
                described["artifactType"] = str(row[3])
            annotations = jsontext.loads(str(row[4]))
            if annotations:
                described["annotations"] = annotations
            size += len(jsontext.dumps(described)) + 1
            if size > self._largest and descriptors:
                break
            descriptors.append(described)
            more = str(row[0])
        else:
            more = ""
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": descriptors}
        return Answer(jsontext.dumps(index).encode(), more, len(descriptors))

    def fallback(self, repository: str, tag: str) -> bytes | None:
        """What a client that knows no referrers API reads under the tag of the referrers' list; None for any other tag."""
        begins = subject_of(tag)
        if not begins:
            return None
        # The schema cuts a SHA-512 in half, so it is looked for by what it begins with.
        row = self._store.ledger.row(
            "SELECT m.subject FROM manifests m JOIN repositories r ON r.id = m.repository "
            "WHERE r.name = ? AND m.subject <> '' AND m.subject >= ? AND m.subject < ? LIMIT 1",
            repository,
            begins,
            begins + "g",
        )
        return None if row is None else self.list(repository, str(row[0])).data


def subject_of(tag: str) -> str:
    """What the digest begins with whose referrers a tag lists by the referrers tag schema, or empty."""
    algorithm, _, text = tag.partition("-")
    if algorithm not in digests.LENGTHS or len(text) != 64 or not HEX.issuperset(text):
        return ""
    return f"{algorithm}:{text}"
