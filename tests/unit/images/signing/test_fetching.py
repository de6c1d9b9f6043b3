"""What is read of the signatures that a registry says it has."""

from __future__ import annotations

import pytest

from lading.errors import LadingError, NotFound
from lading.formats import digest as digests
from lading.formats.oci_image import OCI_MANIFEST, Descriptor
from lading.formats.signing import attached
from lading.formats.signing.attached import Signature
from lading.images.signing import fetching

DIGEST = digests.of(b"image")
SUBJECT = Descriptor(media_type=OCI_MANIFEST, digest=DIGEST, size=5)


class _Answer:
    def __init__(self, data: bytes) -> None:
        self.data = data


class _Remote:
    """A repository with manifests by digest, and no blob that it gives."""

    repository = "team/app"

    def __init__(self) -> None:
        self.manifests: dict[str, bytes] = {}
        self.blobs = 0
        self.cancel = self

    def check(self) -> None: ...

    def manifest(self, name: str) -> _Answer:
        if name not in self.manifests:
            raise NotFound(name)
        return _Answer(self.manifests[name])

    def blob(self, *_: object) -> object:
        self.blobs += 1
        raise NotFound("a blob")


def test_many_signatures_in_many_referrers_are_not_asked_for_without_end(monkeypatch: pytest.MonkeyPatch):
    remote, listed = _Remote(), []
    for number in range(9):
        signatures = [Signature(f"{number} {n}".encode(), "c2ln") for n in range(100)]
        _, data = attached.encode_referrer(signatures, SUBJECT)
        digest = digests.of(data)
        remote.manifests[digest] = data
        value = {"mediaType": OCI_MANIFEST, "digest": digest, "size": len(data)}
        listed.append(Descriptor.decode({**value, "artifactType": attached.ARTIFACT_TYPE}))
    monkeypatch.setattr(fetching, "referrers", lambda *_: listed)
    failures: list[LadingError] = []
    assert list(fetching.fetch([remote], DIGEST, failures)) == []  # type: ignore[list-item]
    assert remote.blobs == 200
    assert any("more than 200" in failure.message for failure in failures)
