"""A site on loopback that an authority of the test vouches for, and a configuration that believes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.site import Authority, Site


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config"


@pytest.fixture
def site(authority: Authority, config: Path) -> Iterator[Site]:
    with Site(authority) as made:
        authority.trust(config, f"localhost:{made.port}", f"127.0.0.1:{made.port}")
        yield made


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failed attempts are repeated at once."""
    monkeypatch.setattr("lading.images.aci.web.backoff", lambda attempt: 0.001)
