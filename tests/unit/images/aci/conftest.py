"""App Container archives for tests, and a store that they go into."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.images.conftest import Tar

from lading.images import Image, Images
from lading.images.aci.receive import receive

PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


def manifest(name: str = "x.example/app", **fields: object) -> dict[str, object]:
    return {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": name, **fields}


def archive(name: str = "x.example/app", tree: dict[str, object] | None = None, **fields: object) -> bytes:
    """An archive of files (bytes), directories (None) and symbolic links (text)."""
    tar = Tar().file("manifest", json.dumps(manifest(name, **fields)).encode()).dir("rootfs")
    for path, content in sorted((tree or {}).items()):
        if content is None:
            tar.dir("rootfs/" + path)
        elif isinstance(content, str):
            tar.symlink("rootfs/" + path, content)
        else:
            assert isinstance(content, bytes)
            tar.file("rootfs/" + path, content)
    return tar.bytes()


def labels(**values: str) -> list[dict[str, str]]:
    return [{"name": key, "value": value} for key, value in values.items()]


def on(*names: str) -> list[dict[str, str]]:
    """Dependencies."""
    return [{"imageName": name} for name in names]


def put(images: Images, data: bytes, **options: object) -> Image:
    return receive(images, [data], **options)  # type: ignore[arg-type]


def tree(directory: str | Path) -> dict[str, object]:
    """What is in a directory, in the form of :func:`archive`."""
    found: dict[str, object] = {}
    for path in Path(directory).rglob("*"):
        name = str(path.relative_to(directory))
        if path.is_symlink():
            found[name] = str(path.readlink())
        else:
            found[name] = None if path.is_dir() else path.read_bytes()
    return found


@pytest.fixture
def images(tmp_path: Path) -> Images:
    return Images(str(tmp_path / "images"))
