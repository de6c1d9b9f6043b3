"""Image archives and layouts that lie about their images, lead elsewhere, or name each other without end."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from lading.errors import Corrupt, InvalidInput, LadingError
from lading.formats.oci_image import Descriptor
from lading.images.oci import format_of

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
PLATFORM = {"architecture": "amd64", "os": "linux"}


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Layout:
    """An OCI layout on disk with one image."""

    def __init__(self, directory: Path, layer: bytes) -> None:
        self.path = directory
        (directory / "blobs/sha256").mkdir(parents=True)
        (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        rootfs = {"type": "layers", "diff_ids": [digest_of(layer)]}
        config = self.blob(json.dumps({**PLATFORM, "rootfs": rootfs}).encode(), CONFIG)
        self.layer = self.blob(layer, LAYER)
        self.manifest = self.json(
            MANIFEST, config=config, layers=[self.layer], schemaVersion=2, mediaType=MANIFEST
        )

    def blob(self, data: bytes, media_type: str) -> dict[str, object]:
        digest = digest_of(data)
        (self.path / "blobs" / digest.replace(":", "/")).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data), "platform": PLATFORM}

    def json(self, media_type: str, **value: object) -> dict[str, object]:
        return self.blob(json.dumps(value).encode(), media_type)

    def top(self, *entries: dict[str, object]) -> str:
        (self.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
        return str(self.path)


@pytest.fixture
def layout(tmp_path, new_tar):
    return Layout(tmp_path / "layout", new_tar().file("a").bytes())


def test_indexes_that_name_each_other_a_thousand_times_are_read_once(images, layout, monkeypatch):
    """Three indexes of a thousand entries would be a tree of a thousand million."""
    entry = layout.manifest
    for _ in range(3):
        entry = layout.json(INDEX, schemaVersion=2, mediaType=INDEX, manifests=[entry] * 1000)
    reads: list[str] = []
    read = images.content.read

    def counted(digest: str, **options: object) -> bytes:
        reads.append(digest)
        assert len(reads) < 500, "the indexes are walked as a tree"
        return read(digest, **options)

    monkeypatch.setattr(images.content, "read", counted)
    name = {"annotations": {"io.containerd.image.name": "docker.io/library/app:1"}}
    (image,) = images.load(layout.top({**entry, **name}))
    assert image.digest == layout.manifest["digest"]
    top = Descriptor(media_type=INDEX, digest=str(entry["digest"]), size=1)
    found = list(format_of(INDEX).references(images.content, top))
    assert len(found) == len({d.digest for d in found}) == 6


@pytest.mark.parametrize("key", ["io.containerd.image.name", "org.opencontainers.image.ref.name"])
def test_no_layout_gives_its_image_the_digest_of_another(images, layout, key):
    other = "docker.io/library/debian@sha256:" + "0" * 64
    with pytest.raises(Corrupt) as caught:
        images.load(layout.top({**layout.manifest, "annotations": {key: other}}))
    assert caught.value.reason == "digest-mismatch"
    assert images.list() == []


def _docker(directory: Path, layer: bytes, **item: object) -> str:
    directory.mkdir(exist_ok=True)
    rootfs = {"type": "layers", "diff_ids": [digest_of(layer)]}
    (directory / "config.json").write_text(json.dumps({**PLATFORM, "rootfs": rootfs}))
    (directory / "layer.tar").write_bytes(layer)
    whole = {"Config": "config.json", "Layers": ["layer.tar"], "RepoTags": ["app:1"], **item}
    (directory / "manifest.json").write_text(json.dumps([whole]))
    return str(directory)


def test_no_docker_archive_gives_its_image_the_digest_of_another(images, tmp_path, new_tar):
    path = _docker(tmp_path / "d", new_tar().file("a").bytes(), RepoTags=["debian@sha256:" + "0" * 64])
    with pytest.raises(Corrupt) as caught:
        images.load(path)
    assert caught.value.reason == "digest-mismatch"
    assert images.list() == []


@pytest.mark.parametrize("way", ["climbs", "absolute link", "climbing link", "linked directory", "NUL"])
def test_no_file_outside_of_a_directory_is_loaded(images, tmp_path, new_tar, way):
    layer = new_tar().file("a").bytes()
    (tmp_path / "outside.tar").write_bytes(layer)
    names = {"climbs": "../outside.tar", "linked directory": "up/outside.tar", "NUL": "layer.tar\0"}
    path = _docker(tmp_path / "d", layer, Layers=[names.get(way, "link.tar")])
    os.symlink("..", path + "/up")
    os.symlink("../outside.tar" if "climbing" in way else tmp_path / "outside.tar", path + "/link.tar")
    with pytest.raises(InvalidInput) as caught:
        images.load(path)
    assert caught.value.reason == "hostile-archive"
    assert images.list() == []


def test_links_inside_a_directory_are_followed(images, tmp_path, new_tar):
    layer = new_tar().file("a").bytes()
    path = _docker(tmp_path / "d", layer, Layers=["link.tar"])
    os.symlink("layer.tar", path + "/link.tar")
    assert images.load(path)[0].names == ["app:1"]


@pytest.mark.parametrize(
    "config", [b'{"rootfs":[]}', b'{"rootfs":null}', b"[]", b"{}", b'{"rootfs":{"diff_ids":5}}']
)
def test_a_configuration_without_its_layers_is_one_short_error(images, tmp_path, new_tar, config):
    path = _docker(tmp_path / "d", new_tar().file("a").bytes())
    Path(path, "config.json").write_bytes(config)
    with pytest.raises(LadingError) as caught:
        images.load(path)
    assert "\n" not in str(caught.value)
    assert images.list() == []
