"""A ``lading`` to build with, and a busybox image in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.lading import Lading


@pytest.fixture(scope="module")
def lading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lading]:
    command = Lading(tmp_path_factory.mktemp("lading"))
    command("bootstrap", "--quiet", "busybox", check=True, timeout=120)
    yield command
    command.close()


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """An empty build context."""
    return Context(tmp_path / "context")


class Context:
    """A directory to build from. ``file`` puts a file into it, ``dockerfile`` the Dockerfile."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

    def file(self, name: str, text: str = "", mode: int = 0o644) -> Context:
        place = self.path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(mode)
        return self

    def dockerfile(self, text: str, name: str = "Dockerfile") -> Context:
        return self.file(name, text)

    def __str__(self) -> str:
        return str(self.path)
