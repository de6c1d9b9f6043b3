"""Caches of others: BuildKit's are known by their form."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from lading.build.importcache import open_all
from lading.build.progress import Progress
from lading.build.sharing import LOCAL, Place
from lading.formats.oci_image import Platform

OCI = "application/vnd.oci.image"
CACHE = "application/vnd.buildkit.cacheconfig.v0"


class Told(Progress):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def layout(where: Path) -> Path:
    (where / "blobs/sha256").mkdir(parents=True)
    return where


def blob(where: Path, value: object, media_type: str) -> dict[str, object]:
    data = json.dumps(value).encode()
    name = hashlib.sha256(data).hexdigest()
    (where / "blobs/sha256" / name).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(data)}


def told(where: Path, entry: dict[str, object]) -> str:
    """The one warning for the cache that ``entry`` is."""
    entry = {**entry, "annotations": {"org.opencontainers.image.ref.name": "latest"}}
    (where / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    progress = Told()
    platform = Platform(os="linux", architecture="amd64")
    assert open_all([Place(LOCAL, str(where))], None, None, progress, [platform], config="") == []  # type: ignore[arg-type]
    (warning,) = progress.warnings
    return warning


@pytest.mark.parametrize("form", ["index", "manifest", "inline"])
def test_a_cache_that_buildkit_made_is_told_by_its_format(tmp_path, form):
    where = layout(tmp_path / "cache")
    layer = blob(where, "layer", f"{OCI}.layer.v1.tar+gzip")
    if form == "index":
        config = blob(where, {"layers": [], "records": []}, CACHE)
        entry = blob(where, {"schemaVersion": 2, "manifests": [layer, config]}, f"{OCI}.index.v1+json")
        word = CACHE
    else:
        inline = {"architecture": "amd64", "os": "linux", "moby.buildkit.cache.v0": "e30="}
        kind = CACHE if form == "manifest" else f"{OCI}.config.v1+json"
        config = blob(where, inline if form == "inline" else {"layers": []}, kind)
        manifest = {"schemaVersion": 2, "config": config, "layers": [layer]}
        entry = blob(where, manifest, f"{OCI}.manifest.v1+json")
        word = CACHE if form == "manifest" else "moby.buildkit.cache.v0"
    assert f"it is a cache that BuildKit made ({word})" in told(where, entry)


def test_an_image_without_a_cache_is_told_as_such(tmp_path):
    where = layout(tmp_path / "cache")
    config = blob(where, {"architecture": "amd64", "os": "linux"}, f"{OCI}.config.v1+json")
    manifest = {"schemaVersion": 2, "config": config, "layers": []}
    assert "no cache of this kind" in told(where, blob(where, manifest, f"{OCI}.manifest.v1+json"))
