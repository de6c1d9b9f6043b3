"""Which images are pulled."""

from __future__ import annotations

from pathlib import Path

import pytest

from lading.cli.commands import ROOT
from lading.cli.context import Context
from lading.compose import imaging, shipping
from lading.flags import parse
from lading.roots import Roots


def test_an_image_is_pulled_once_for_every_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "compose.yaml").write_text(
        """
        services:
          a: {image: x, platform: linux/amd64}
          b: {image: x, platform: linux/arm64}
          c: {image: x, platform: linux/arm64}
        """
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(imaging, "pull", lambda app, image, platform: platform)
    roots = Roots(str(tmp_path / "root"), str(tmp_path / "run"), str(tmp_path / "config"), 0)
    assert shipping.pull(Context(roots), parse(ROOT, ["compose", "pull"])) == 0
    assert capsys.readouterr().err.count("Image x  Pulled") == 2
