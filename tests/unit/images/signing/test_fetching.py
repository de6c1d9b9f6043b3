"""What is read of the signatures that a registry says it has."""

from __future__ import annotations

import json
from urllib.parse import urljoin

import pytest

from lading.errors import LadingError, NotFound, RemoteError
from lading.formats import digest as digests
from lading.formats.oci_image import OCI_INDEX, OCI_MANIFEST, Descriptor
from lading.formats.signing import attached
from lading.formats.signing.attached import Signature
from lading.images.remote import Remote
from lading.images.remote_config import Endpoint
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


class _Page:
    """One answer of the referrers API."""

    status = 200
    url = "https://registry.example/v2/team/app/referrers/x"

    def __init__(self, data: bytes, link: str) -> None:
        self._data = data
        self._headers = {"Content-Type": OCI_INDEX, "Link": link}

    def header(self, name: str) -> str:
        return self._headers.get(name, "")

    def read(self, _: int) -> bytes:
        return self._data

    def __enter__(self) -> _Page:
        return self

    def __exit__(self, *_: object) -> None: ...


class _Paged(_Remote):
    """Referrers that come a few at a time; ``other``: the host that the list goes on at."""

    base = "https://registry.example"
    endpoint = Endpoint("registry.example", "registry.example", scheme="https")

    def __init__(self, count: int, each: int, other: str = "") -> None:
        super().__init__()
        self.count = count
        self.each = each
        self.other = other
        self.pages = 0

    def location(self, url: str, following: str, _: str) -> str:
        return urljoin(url, following)

    following = Remote.following

    def request(self, _: str, path: str, *__: object, **___: object) -> _Page:
        self.pages += 1
        first = int(path.rpartition("last=")[2]) if "last=" in path else 0
        end = min(first + self.each, self.count)
        entries = [
            {
                "mediaType": OCI_MANIFEST,
                "digest": digests.of(str(number).encode()),
                "size": 1,
                "artifactType": attached.ARTIFACT_TYPE,
            }
            for number in range(first, end)
        ]
        link = f'<{self.other}/v2/team/app/referrers/x?last={end}>; rel="next"' if end < self.count else ""
        value = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
        return _Page(json.dumps(value).encode(), link)


def test_referrers_that_come_in_pages_are_all_found():
    remote = _Paged(150, 7)
    assert len(fetching.referrers(remote, DIGEST)) == 150  # type: ignore[arg-type]
    assert remote.pages == 22


def test_pages_of_referrers_end_where_there_are_more_signatures_than_are_looked_at():
    remote = _Paged(10**6, 10)
    assert len(fetching.referrers(remote, DIGEST)) == 210  # type: ignore[arg-type]


def test_a_list_of_referrers_does_not_go_on_at_another_host():
    remote = _Paged(20, 10, "https://elsewhere.example")
    with pytest.raises(RemoteError) as caught:
        fetching.referrers(remote, DIGEST)  # type: ignore[arg-type]
    assert caught.value.reason == "redirect"
