"""A registry's store of one's own, and small ways to fill it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lading.formats import digest as digests
from lading.registry.manifests import Manifests
from lading.registry.store import Store
from lading.registry.uploads import Limits, Uploads

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


class Shop:
    """The core of a registry, opened on a directory."""

    def __init__(self, root: str, limits: Limits | None = None) -> None:
        self.root = root
        self.store = Store(root)
        self.limits = limits or Limits()
        self.uploads = Uploads(self.store, self.limits)
        self.manifests = Manifests(self.store, self.limits.manifest)

    def blob(self, repository: str, data: bytes, algorithm: str = "sha256") -> str:
        digest = digests.of(data, algorithm)
        with self.uploads.open(repository, self.uploads.begin(repository)) as session:
            session.write(data)
            session.finish(digest)
        return digest

    def image(self, repository: str, *layers: bytes, tag: str = "", **more: Any) -> str:
        """Push an image; its manifest's digest."""
        config = self.blob(repository, b"{}")
        value: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": config, "size": 2},
            "layers": [
                {"mediaType": LAYER, "digest": self.blob(repository, data), "size": len(data)}
                for data in layers
            ],
            **more,
        }
        return self.put(repository, value, tag)

    def put(self, repository: str, value: dict[str, Any], tag: str = "", media_type: str = "") -> str:
        data = json.dumps(value).encode()
        pushed = self.manifests.put(
            repository, tag or digests.of(data), media_type or value.get("mediaType", ""), data
        )
        return pushed.digest

    def again(self) -> Shop:
        """The same store as a new server finds it."""
        return Shop(self.root, self.limits)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(str(tmp_path / "images"))
    yield made
    made.store.close()
