"""The shared layer of mount points."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lading.formats.rootfs import Rootfs
from lading.node import mountpoints


def test_it_is_the_lowest_layer_and_made_once(tmp_path: Path) -> None:
    rootfs = Rootfs(lower=["/b", "/a"], upper="/u", work="/w")
    made = mountpoints.below(rootfs, str(tmp_path))
    assert made.lower[:-1] == ["/b", "/a"] == rootfs.lower
    layer = Path(made.lower[-1])
    assert (layer / "etc/resolv.conf").stat().st_mode & 0o7777 == 0o644 and (layer / "proc").is_dir()
    assert mountpoints.below(rootfs, str(tmp_path)) == made
    assert os.listdir(tmp_path) == [layer.name]


def test_a_faster_one_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mountpoints.below(Rootfs(lower=["/a"], upper="/u"), str(tmp_path))
    mountpoints._make(str(tmp_path / "mountpoints-1"))
    assert os.listdir(tmp_path) == ["mountpoints-1"]


@pytest.mark.parametrize(
    "rootfs",
    [Rootfs(upper="/plain"), Rootfs(lower=["/a"]), Rootfs(lower=["/a"] * 41, upper="/u")],
)
def test_what_is_not_stacked_or_hardly_fits_stays_as_it_is(tmp_path: Path, rootfs: Rootfs) -> None:
    assert mountpoints.below(rootfs, str(tmp_path)) is rootfs
    assert os.listdir(tmp_path) == []
