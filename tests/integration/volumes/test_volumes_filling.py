"""Filling a volume from an image, when others want it too and when one who did so was killed."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from lading.formats.rootfs import Rootfs
from lading.kernel import Kernel
from lading.volumes import Volumes
from lading.volumes.copyup import copy_up

pytestmark = pytest.mark.root


def test_what_a_killed_fill_left_is_filled_again_from_the_start(tmp_path: Path) -> None:
    image = tmp_path / "image"
    (image / "data").mkdir(parents=True)
    for name in ("one", "two"):
        (image / "data" / name).write_text(name)
    target = tmp_path / "target"
    target.mkdir()
    (target / "one").write_text("o")
    marker = tmp_path / "filling"
    marker.touch()
    assert copy_up(Kernel(), Rootfs(lower=[str(image)]), "/data", str(target), str(marker))
    assert {p.name: p.read_text() for p in target.iterdir()} == {"one": "one", "two": "two"}
    assert not marker.exists()
    assert not copy_up(Kernel(), Rootfs(lower=[str(image)]), "/data", str(target), str(marker))


def test_one_fills_and_the_others_wait(tmp_path: Path) -> None:
    volumes = Volumes(str(tmp_path))
    volumes.create("shared")
    inside: list[int] = []
    most: list[int] = []

    def fill() -> None:
        with volumes.filling("shared"):
            inside.append(1)
            most.append(len(inside))
            os.sched_yield()
            inside.pop()

    threads = [threading.Thread(target=fill) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
