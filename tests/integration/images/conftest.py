"""A registry of one's own, a store, and no waiting between attempts: what the tests of pulls and pushes share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lading.images import Images
from support import registry as support


@pytest.fixture
def registry() -> Iterator[support.Registry]:
    """An empty registry on loopback."""
    with support.Registry() as made:
        yield made


@pytest.fixture
def images(tmp_path: Path) -> Images:
    """An empty store."""
    return Images(str(tmp_path / "images"))


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failed attempts are repeated at once."""
    for module in ("remote", "transfer", "upload"):
        monkeypatch.setattr(f"lading.images.{module}.backoff", lambda attempt: 0.001)
