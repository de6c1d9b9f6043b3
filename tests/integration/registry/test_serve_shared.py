"""One content store for the images of a Lading and its registry."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import pytest

from lading.images import Images
from lading.images.pull import PullOptions
from lading.images.travelling import compressed
from lading.registry.checking import check
from lading.registry.store import Store
from support.registry import tar
from support.registryserver import RegistryServer

pytestmark = pytest.mark.root


def blobs(images: Images) -> dict[str, int]:
    """Digests, and the inodes of their files."""
    return {digest: os.stat(images.content.path(digest)).st_ino for digest, _ in images.content.list()}


def test_what_is_pushed_from_here_is_on_the_disk_once_and_outlives_the_image(tmp_path: Path) -> None:
    images = Images(str(tmp_path / "images"))
    with RegistryServer(tmp_path, "--storage=" + images.root) as server:
        images.import_(io.BytesIO(tar({"file": os.urandom(1 << 20)})), names=["local/app:1"])
        image = images.get("local/app:1")
        with images.lease() as lease:
            travels = compressed(images, image.descriptor, lease=lease)
        before = blobs(images)
        options = PullOptions(config=str(tmp_path / "config"))
        digest = images.push("local/app:1", f"{server.host}/app:1", options=options)
        assert digest == travels.digest
        assert blobs(images) == before
        images.remove("local/app:1")
        del before[image.digest]  # the manifest of the layer as it was kept here
        images.prune(all=True)
        assert images.list() == []
        assert blobs(images) == before
        assert images.pull(f"{server.host}/app:1", options=options).digest == digest
        assert blobs(images) == before


def test_pruning_images_all_the_time_takes_nothing_that_is_being_pushed(tmp_path: Path) -> None:
    images = Images(str(tmp_path / "images"))
    with RegistryServer(tmp_path, "--storage=" + images.root, "--gc-interval", "50ms") as server:
        done = threading.Event()
        failures: list[BaseException] = []

        def prune() -> None:
            try:
                while not done.is_set():
                    images.prune(all=True)
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=prune)
        thread.start()
        try:
            with server.client() as client:
                for number in range(60):
                    client.image(f"app{number % 5}", f"t{number}", os.urandom(5000), b"shared")
        finally:
            done.set()
            thread.join(60)
    assert not failures
    store = Store(images.root)
    assert check(store, repair=False) == []
    store.close()
