"""What save writes, and what it refuses to."""

from __future__ import annotations

import io
import json
import os
import tarfile

import pytest

from lading.errors import Corrupt
from lading.formats.oci_image import OCI_INDEX, OCI_MANIFEST, Descriptor
from lading.images import archive_save
from support.making import make


@pytest.fixture
def image(images, new_tar):
    return make(images, new_tar().dir("etc").file("etc/hello", b"hello").bytes(), cmd=["sh"])


def test_an_index_is_written_after_what_it_names_is_on_the_disk(images, image, tmp_path, monkeypatch):
    seen = []
    sync = archive_save.sync_file_system

    def watched(fd: int) -> None:
        seen.append((os.listdir(tmp_path / "layout"), len(os.listdir(tmp_path / "layout/blobs/sha256"))))
        sync(fd)

    monkeypatch.setattr(archive_save, "sync_file_system", watched)
    images.save(["test:1"], str(tmp_path / "layout"), format="oci-dir")
    assert seen == [(["blobs"], 3)]


@pytest.mark.parametrize("cut", [True, False])
def test_content_that_broke_is_not_saved_as_if_it_were_whole(images, image, tmp_path, cut):
    layer = json.loads(images.content.read(image.digest))["layers"][0]
    path = images.content.path(layer["digest"])
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        file.truncate(layer["size"] - 1) if cut else file.write(b"?")
    with pytest.raises(Corrupt):
        images.save(["test:1"], io.BytesIO())
    with pytest.raises(Corrupt):
        images.save(["test:1"], str(tmp_path / "layout"), format="oci-dir")
    assert not (tmp_path / "layout").exists()


def test_an_attestation_beside_an_image_is_kept_and_saved_with_it(images, image, tmp_path):
    with images.lease() as lease:

        def put(value: object) -> dict[str, object]:
            data = json.dumps(value).encode()
            return {"digest": images.content.put(data, lease=lease), "size": len(data)}

        config = {**put({}), "mediaType": "application/vnd.oci.image.config.v1+json"}
        statement = {**put({"predicateType": "x"}), "mediaType": "application/vnd.in-toto+json"}
        manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [statement]}
        unknown = {"architecture": "unknown", "os": "unknown"}
        attestation = {**put(manifest), "mediaType": OCI_MANIFEST, "platform": unknown}
        own = {**image.descriptor.encode(), "platform": {"architecture": "amd64", "os": "linux"}}
        index = put({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [own, attestation]})
        target = Descriptor(media_type=OCI_INDEX, digest=index["digest"], size=index["size"])
        images.register(target, ["both:1"], lease=lease)
    images.prune()
    for kept in (config, statement, attestation, index):
        assert images.content.has(str(kept["digest"]))
    with (tmp_path / "a.tar").open("wb") as out:
        images.save(["both:1"], out, format="oci-archive")
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert "blobs/" + str(statement["digest"]).replace(":", "/") in tar.getnames()
    images.remove("both:1")
    images.prune()
    assert not images.content.has(str(statement["digest"]))
