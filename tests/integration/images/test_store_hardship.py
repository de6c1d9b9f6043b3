"""A full disk and a sudden death: one clear error, nothing half done, nothing that a repair cannot finish."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lading.errors import Exhausted
from lading.images import Images

pytestmark = pytest.mark.root


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A docker-archive of two layers that do not compress, about 12 MB."""
    store = Images(str(tmp_path / "source"))
    base = store.bootstrap("busybox")
    rootfs = store.rootfs(base, str(tmp_path / "c"))
    for number in range(40):
        (Path(rootfs.upper) / f"f{number}").write_bytes(os.urandom(300_000))
    store.commit(base, rootfs.upper, names=["big:1"])
    with (tmp_path / "a.tar").open("wb") as out:
        store.save(["big:1"], out)
    return tmp_path / "a.tar"


@pytest.fixture
def small_disk(tmp_path: Path):
    """Directories on tmpfs of a chosen size, unmounted afterwards."""
    mounted = []

    def make(size: str) -> Path:
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "lading-test", str(place)], check=True)
        mounted.append(place)
        return place

    yield make
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("size", ["2m", "8m", "15m", "20m"])
def test_a_disk_that_fills_while_loading_is_said_and_left_clean(archive, small_disk, size):
    store = Images(str(small_disk(size) / "images"))
    with pytest.raises(Exhausted) as caught:
        store.load(str(archive))
    assert caught.value.reason == "disk-full"
    assert store.list() == [] and store.layers.list() == [] and list(store.content.list()) == []
    assert os.listdir(store.root + "/staging") == [] if os.path.isdir(store.root + "/staging") else True
    assert store.check() == []


def test_a_disk_that_fills_while_committing_leaves_the_parent_whole(small_disk, tmp_path):
    store = Images(str(small_disk("12m") / "images"))
    base = store.bootstrap("busybox")
    upper = tmp_path / "upper"
    upper.mkdir()
    (upper / "big").write_bytes(os.urandom(20 << 20))
    with pytest.raises(Exhausted):
        store.commit(base, str(upper), names=["big:1"])
    assert [i.names for i in store.list()] == [["busybox:latest"]]
    assert store.check() == []


def test_load_killed_at_any_instant_is_finished_by_repair(archive, tmp_path):
    root = str(tmp_path / "images")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    code = "import sys;from lading.images import Images;Images(sys.argv[1]).load(sys.argv[2])"
    dice = random.Random(7)
    killed = 0
    for _ in range(25):
        process = subprocess.Popen([sys.executable, "-c", code, root, str(archive)], env=environment)
        time.sleep(dice.uniform(0.02, 0.5))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        store = Images(root)
        store.check(repair=True)
        assert store.check() == []
        for image in store.list():
            assert all(os.path.isdir(path) for path in image.layers)
        if dice.random() < 0.5:
            store.prune(all=True)
    assert killed
    (image,) = Images(root).load(str(archive))
    assert image.names == ["big:1"]
    Images(root).prune(all=True)
    assert os.listdir(root + "/staging") == os.listdir(root + "/leases") == os.listdir(root + "/ingest") == []
