"""Docker, podman, skopeo and lading push to a registry of ours and pull from it, over TLS with a password or a token."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lading.registry.passwords import change
from support.docker import Daemon
from support.registryserver import SOURCE, RegistryServer

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.peer("docker", "dockerd", "podman", "skopeo", "openssl", "busybox"),
]


def run(*command: str, **more: object) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **more)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return str(done.stdout)


class Shop:
    """A registry with a certificate that only its clients know, and one user, alice."""

    def __init__(self, base: Path, auth: str) -> None:
        self.base = base
        key = base / "key.pem"
        self.certificate = base / "cert.pem"
        run(
            *"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split(),
            *f"-subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -keyout {key}".split(),
            *f"-out {self.certificate}".split(),
        )
        htpasswd = str(base / "htpasswd")
        change(htpasswd, "alice", "secret")
        self.server = RegistryServer(
            base,
            "--tls-cert",
            str(self.certificate),
            "--tls-key",
            str(key),
            "--htpasswd",
            htpasswd,
            "--auth",
            auth,
        ).start()
        self.host = self.server.host
        self.config = base / "config"
        for place in (self.config / "certs.d" / self.host, base / "certs"):
            place.mkdir(parents=True)
            shutil.copy(self.certificate, place / "ca.crt")
        self.env = dict(
            os.environ,
            PYTHONPATH=SOURCE,
            LADING_ROOT=str(base / "lading"),
            LADING_RUN=str(base / "run"),
            LADING_CONFIG=str(self.config),
            DOCKER_CONFIG=str(base / "docker-config"),
            REGISTRY_AUTH_FILE=str(base / "auth.json"),
        )

    def lading(self, *words: str) -> str:
        return run(sys.executable, "-m", "lading", *words, env=self.env)


@pytest.fixture(scope="module", params=["basic", "token"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    made = Shop(tmp_path_factory.mktemp("shop"), request.param)
    yield made
    assert made.server.stop() == 0


@pytest.fixture(scope="module")
def image(shop: Shop) -> str:
    """An image that lading pushed; its config's digest."""
    shop.lading("bootstrap", "busybox")
    run(
        sys.executable, "-m", "lading", "login", "-u", "alice", "--password-stdin", shop.host,
        env=shop.env, input="secret\n",
    )  # fmt: skip
    shop.lading("push", "busybox", f"{shop.host}/base/busybox:1")
    return shop.lading("images", "-q", "--no-trunc", "busybox").strip()


def test_lading_pulls_what_it_pushed(shop: Shop, image: str) -> None:
    shop.lading("rmi", "-f", "busybox")
    assert shop.lading("pull", "-q", f"{shop.host}/base/busybox:1").strip() == image


def test_skopeo_copies_inspects_and_deletes(shop: Shop, image: str, tmp_path: Path) -> None:
    flags = ("--cert-dir", str(shop.base / "certs"), "--creds", "alice:secret")
    source = f"docker://{shop.host}/base/busybox:1"
    assert image in run("skopeo", "inspect", *flags, "--raw", source)
    run(
        "skopeo",
        "copy",
        "--src-cert-dir",
        flags[1],
        "--src-creds",
        flags[3],
        source,
        f"oci:{tmp_path}/layout:1",
    )
    for kind in ("oci", "v2s2"):
        target = f"docker://{shop.host}/by/skopeo:{kind}"
        run(
            "skopeo", "copy", "--dest-cert-dir", flags[1], "--dest-creds", flags[3], "--format", kind,
            f"oci:{tmp_path}/layout:1", target,
        )  # fmt: skip
        assert '"Layers"' in run("skopeo", "inspect", *flags, target)
    listed = run("skopeo", "list-tags", *flags, f"docker://{shop.host}/by/skopeo")
    assert '"oci"' in listed
    assert '"v2s2"' in listed
    run("skopeo", "delete", *flags, f"docker://{shop.host}/by/skopeo:oci")
    assert '"oci"' not in run("skopeo", "list-tags", *flags, f"docker://{shop.host}/by/skopeo")


def test_podman_pulls_and_pushes(shop: Shop, image: str) -> None:
    flags = ("--cert-dir", str(shop.base / "certs"))
    with tempfile.TemporaryDirectory(
        prefix="lading-"
    ) as short:  # podman wants a run root of at most 50 characters
        podman = ("podman", "--root", short + "/p", "--runroot", short + "/r", "--storage-driver", "vfs")
        run(*podman, "login", *flags, "-u", "alice", "-p", "secret", shop.host, env=shop.env)
        name = run(*podman, "pull", "-q", *flags, f"{shop.host}/base/busybox:1", env=shop.env).strip()
        assert name == image.removeprefix("sha256:")
        run(*podman, "push", *flags, name, f"{shop.host}/by/podman:1", env=shop.env)
    assert shop.lading("pull", "-q", f"{shop.host}/by/podman:1").strip()


@pytest.fixture(scope="module")
def docker(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """A docker daemon of the test's own, which knows the certificate."""
    trusted = Path("/etc/docker/certs.d") / shop.host
    trusted.mkdir(parents=True)
    try:
        shutil.copy(shop.certificate, trusted / "ca.crt")
        directory = tmp_path_factory.mktemp("d")
        with Daemon(directory, "/lading-test-registry", "--storage-driver", "vfs") as made:
            yield made.client
    finally:
        shutil.rmtree(trusted)
        for place in (trusted.parent, trusted.parent.parent):
            if not any(place.iterdir()):
                place.rmdir()


def test_docker_logs_in_pulls_and_pushes(shop: Shop, image: str, docker: list[str]) -> None:
    wrong = subprocess.run(
        [*docker, "login", "-u", "alice", "-p", "wrong", shop.host],
        env=shop.env, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert wrong.returncode != 0
    run(*docker, "login", "-u", "alice", "-p", "secret", shop.host, env=shop.env)
    run(*docker, "pull", "-q", f"{shop.host}/base/busybox:1", env=shop.env)
    assert (
        run(*docker, "inspect", "-f", "{{.Id}}", f"{shop.host}/base/busybox:1", env=shop.env).strip() == image
    )
    run(*docker, "tag", f"{shop.host}/base/busybox:1", f"{shop.host}/by/docker:1", env=shop.env)
    run(*docker, "push", "-q", f"{shop.host}/by/docker:1", env=shop.env)
    assert shop.lading("pull", "-q", f"{shop.host}/by/docker:1").strip()
