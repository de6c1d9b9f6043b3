"""A ``lading`` with roots of its own and a busybox image, and projects in directories of their own."""

from __future__ import annotations

import subprocess
import textwrap
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


class Application:
    """One project: ``compose.yaml`` in a directory of its own, and ``lading compose`` there."""

    def __init__(self, lading: Lading, directory: Path) -> None:
        self.lading = lading
        self.directory = directory

    def write(self, text: str, name: str = "compose.yaml") -> None:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))

    def __call__(
        self, *words: str, check: bool = True, timeout: float = 120, input: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        return self.lading("compose", *words, check=check, timeout=timeout, input=input, cwd=self.directory)

    def out(self, *words: str) -> str:
        return self(*words).stdout.rstrip("\n")

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.lading.argv(["compose", *words]),
            env=self.lading.env,
            cwd=self.directory,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


@pytest.fixture
def app(lading: Lading, tmp_path: Path) -> Iterator[Application]:
    directory = tmp_path / "shop"
    directory.mkdir()
    made = Application(lading, directory)
    yield made
    made("down", "--volumes", "--remove-orphans", "--timeout", "0", check=False)
