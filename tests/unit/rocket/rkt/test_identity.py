"""A pod's metadata service: from its record to what it answers."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from tests.unit.rocket.rkt.conftest import member

from lading.errors import Corrupt, InvalidInput
from lading.formats.appc.image import ImageManifest
from lading.formats.appc.pod import PodManifest, RuntimeApp, RuntimeImage
from lading.formats.pod import Container, ObjectMeta, Pod, PodSpec
from lading.node import PodRecord, admission_extras, admission_report
from lading.rocket.rkt import identity, pods
from lading.rocket.rkt.appimages import AppImage

ID, UUID = "sha512-" + "ab" * 64, "6733c088-a507-4694-aabf-edbe4fc5266f"


def _record() -> tuple[PodRecord, PodManifest, bytes]:
    image = ImageManifest.new("example.com/main")
    original = image.text().encode() + b"\n"
    manifest = PodManifest.new().replace(apps=[RuntimeApp(name="main", image=RuntimeImage(id=ID))])
    metadata = ObjectMeta(labels={pods.UUID: UUID}, annotations={pods.MANIFEST: manifest.text()})
    pod = Pod(metadata=metadata, spec=PodSpec(containers=[Container(name="main", image="x")]))
    identity.give(pod, UUID, manifest, {ID: AppImage(ID, None, image, original)})  # type: ignore[arg-type]
    return PodRecord(id="p", name=pods.name_of(UUID), pod=pod), manifest, original


def test_the_service_tells_what_the_record_says_to_who_knows_the_token() -> None:
    record, manifest, original = _record()
    [companion] = record.pod.spec.extras.companions
    admission_report.demand(admission_extras.check, record.pod)
    assert companion.command[-1] == record.name
    url = companion.env["AC_METADATA_URL"]
    assert url.startswith("http://{address}/")
    token = url.removeprefix("http://{address}/")
    assert len(token) == 64
    service = identity.service_of(record, b"\0key")
    base = f"/{token}/acMetadata/v1"
    assert service.answer("GET", f"{base}/pod/uuid").body == UUID.encode()
    assert service.answer("GET", f"{base}/apps/main/image/manifest").body == original
    assert service.answer("GET", f"{base}/pod/manifest").body == manifest.text().encode()
    assert service.answer("GET", f"/{'0' * 64}/acMetadata/v1/pod/uuid").status == 401


def test_an_app_that_was_added_is_told_of_with_its_image() -> None:
    record, _, original = _record()
    joined = member(record, "more")
    with pytest.raises(Corrupt):
        identity.service_of(record, b"\0key", [joined])
    more = ImageManifest.new("example.com/more")
    identity.join(joined.pod, AppImage(ID, None, more, b"{ }"))  # type: ignore[arg-type]
    [companion] = record.pod.spec.extras.companions
    token = companion.env["AC_METADATA_URL"].rpartition("/")[2]
    with pytest.raises(InvalidInput):
        identity.service_of(record, b"\0key", [joined])  # what it is made of is no manifest
    identity.join(joined.pod, AppImage(ID, None, more, original))  # type: ignore[arg-type]
    service = identity.service_of(record, b"\0key", [joined])
    base = f"/{token}/acMetadata/v1"
    assert service.answer("GET", f"{base}/apps/more/image/manifest").body == original
    assert [
        app["name"] for app in json.loads(service.answer("GET", f"{base}/pod/manifest").body)["apps"]
    ] == [
        "main",
        "more",
    ]


def test_two_pods_have_different_tokens() -> None:
    assert (
        _record()[0].pod.metadata.annotations[pods.METADATA]
        != _record()[0].pod.metadata.annotations[pods.METADATA]
    )


@pytest.mark.parametrize(
    "text", ["{}", "[1]", '{"token": "x", "images": 1}', '{"token": "x", "images": {"main": 1}}']
)
def test_a_broken_record_is_said(text: str) -> None:
    record, _, _ = _record()
    record.pod.metadata.annotations[pods.METADATA] = text
    with pytest.raises(Corrupt):
        identity.service_of(record, b"k")


def test_a_pod_without_a_service_has_none() -> None:
    record, _, _ = _record()
    del record.pod.metadata.annotations[pods.METADATA]
    with pytest.raises(InvalidInput):
        identity.service_of(record, b"k")


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    os.makedirs(root)
    made = identity.key(root)
    path = tmp_path / "root" / "rocket" / "hmac.key"
    assert len(made) == 64 and identity.key(root) == made == path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(b"short")
    with pytest.raises(Corrupt):
        identity.key(root)


def test_a_key_that_somebody_was_killed_at_writing_is_written_again(tmp_path: Path) -> None:
    (tmp_path / "rocket").mkdir()
    (tmp_path / "rocket" / "hmac.key.new").write_bytes(b"half")
    made = identity.key(str(tmp_path))
    assert len(made) == 64 and os.listdir(tmp_path / "rocket") == ["hmac.key"]
