"""Users and groups by a path of the image."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lading.errors import InvalidInput
from lading.node import owners


def _layers(tmp_path: Path) -> list[str]:
    for name in ("top", "low"):
        (tmp_path / name / "srv").mkdir(parents=True)
    (tmp_path / "low/srv/data").write_text("")
    return [str(tmp_path / "top"), str(tmp_path / "low")]


def test_a_path_is_the_number_of_its_owner_and_names_stay(tmp_path: Path) -> None:
    layers = _layers(tmp_path)
    info = os.stat(tmp_path / "low/srv/data")
    assert owners.numbered("/srv/data", layers) == f"{info.st_uid}"
    assert owners.numbered("/srv/data:/srv", layers) == f"{info.st_uid}:{info.st_gid}"
    assert owners.numbered("www:/srv/data", layers) == f"www:{info.st_gid}"
    assert owners.numbered("/srv/data:staff", layers) == f"{info.st_uid}:staff"


def test_a_link_is_followed_inside_the_image_alone(tmp_path: Path) -> None:
    layers = _layers(tmp_path)
    (tmp_path / "beside").write_text("")
    os.symlink("/srv/data", f"{layers[0]}/link")
    os.symlink(f"{tmp_path}/beside", f"{layers[0]}/escape")
    os.symlink("../../../../../../../beside", f"{layers[0]}/srv/climb")
    assert owners.numbered("/link", layers) == owners.numbered("/srv/data", layers)
    for path in ("/escape", "/srv/climb", "/../beside", "/none"):
        with pytest.raises(InvalidInput, match="no such file"):
            owners.numbered(path, layers)
