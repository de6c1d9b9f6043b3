"""A ``lading`` with roots of its own for one module of tests, and a busybox image in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.lading import Lading


@pytest.fixture(scope="session")
def lading_class() -> type[Lading]:
    """For tests that need a ``lading`` in a place of their own."""
    return Lading


@pytest.fixture(scope="module")
def lading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lading]:
    command = Lading(tmp_path_factory.mktemp("lading"))
    command("bootstrap", "--quiet", "busybox", check=True, timeout=120)
    yield command
    command.close()
