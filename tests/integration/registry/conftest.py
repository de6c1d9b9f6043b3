"""Servers of one's own for the tests of the registry."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lading.registry.passwords import change
from support.registryserver import Client, RegistryServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RegistryServer]:
    """A registry that lets everybody do everything."""
    with RegistryServer(tmp_path) as made:
        yield made


@pytest.fixture
def client(server: RegistryServer) -> Iterator[Client]:
    with server.client() as made:
        yield made


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "none", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    """A certificate for 127.0.0.1 and localhost, and its key."""
    certificate, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    _make_certificate(certificate, key)
    return certificate, key


@pytest.fixture
def new_certificate() -> Callable[[str, str], None]:
    """Writes another certificate and its key to the files that it is given."""
    return _make_certificate


def _make_certificate(certificate: str, key: str) -> None:
    subprocess.run(
        (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost "
            f"-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout {key} -out {certificate}"
        ).split(),
        check=True,
        capture_output=True,
    )


@pytest.fixture
def htpasswd(tmp_path: Path) -> str:
    """alice's password is secret, bob's is hidden."""
    path = str(tmp_path / "htpasswd")
    change(path, "alice", "secret")
    change(path, "bob", "hidden")
    return path
