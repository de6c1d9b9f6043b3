"""A real registry (Debian's docker-registry) with TLS and passwords, and skopeo and podman on the other side."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lading.errors import Denied, LadingError
from lading.images import Images
from lading.images.auth import Credentials
from lading.images.pull import PullOptions
from lading.images.remote_login import login
from support import registry as support

pytestmark = [
    pytest.mark.root,
    pytest.mark.peer("docker-registry", "skopeo", "openssl", "htpasswd", "podman", "zstd"),
]


def _run(*command: str, **more: object) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **more)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return str(done.stdout)


class Real:
    def __init__(self, base: Path) -> None:
        self.base = base
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        certs = base / "config/certs.d" / self.host
        certs.mkdir(parents=True)
        self.ca = certs / "ca.crt"
        _run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", str(base / "key.pem"), "-out", str(self.ca),
        )  # fmt: skip
        (base / "htpasswd").write_text(_run("htpasswd", "-Bbn", "alice", "secret").strip() + "\n")
        config = {
            "version": "0.1",
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": str(base / "data")}},
            "http": {"addr": self.host, "tls": {"certificate": str(self.ca), "key": str(base / "key.pem")}},
            "auth": {"htpasswd": {"realm": "tests", "path": str(base / "htpasswd")}},
        }
        (base / "config.yml").write_text(json.dumps(config))
        self.process = subprocess.Popen(
            ["docker-registry", "serve", str(base / "config.yml")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                time.sleep(0.02)

    def options(self, **more: object) -> PullOptions:
        return PullOptions(
            config=str(self.base / "config"),
            environ={"HOME": str(self.base)},
            credentials=Credentials("alice", "secret"),
            **more,  # type: ignore[arg-type]
        )


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    made = Real(tmp_path_factory.mktemp("registry"))
    yield made
    made.process.terminate()
    made.process.wait()


def _layout(path: Path, kind: str) -> str:
    """An OCI layout with two platforms made from what the test registry stores; returns the digest of its index."""

    def zstd(data: bytes) -> bytes:
        return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout

    source = support.Registry()
    extra = {"compress": zstd, "suffix": "+zstd"} if kind == "zstd" else {}
    entries = [
        source.image(
            "a",
            layers=[support.tar({"arch": a.encode()}), support.tar({"more": b"x" * 9999})],
            architecture=a,
            **extra,
        )
        for a in ("amd64", "arm64")
    ]
    top = source.index("a", "latest", *entries)
    blobs = path / "blobs/sha256"
    blobs.mkdir(parents=True)
    for digest, data in source.blobs.items():
        (blobs / digest.partition(":")[2]).write_bytes(data)
    for (_, name), (_, data) in source.manifests.items():
        if ":" in name:
            (blobs / name.partition(":")[2]).write_bytes(data)
    (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [
        {**top, "annotations": {"org.opencontainers.image.ref.name": "latest"}}
    ]}))  # fmt: skip
    source._server.server_close()
    return str(top["digest"])


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_what_skopeo_pushes_we_pull_and_what_we_push_skopeo_pulls(
    real: Real, images: Images, tmp_path: Path, kind: str
) -> None:
    digest = _layout(tmp_path / "layout", kind)
    skopeo = ["skopeo", "copy", "-q", "--all", "--preserve-digests"]
    certs = str(real.ca.parent)
    _run(
        *skopeo,
        f"--dest-cert-dir={certs}",
        "--dest-creds=alice:secret",
        f"oci:{tmp_path}/layout:latest",
        f"docker://{real.host}/{kind}:1",
    )
    name = f"{real.host}/{kind}:1"
    image = images.pull(name, platform="linux/arm64", options=real.options(all_platforms=True))
    assert any(
        (Path(layer) / "arch").exists() and (Path(layer) / "arch").read_text() == "arm64"
        for layer in image.layers
    )
    assert images.push(name, f"{real.host}/ours/{kind}:2", options=real.options()) == digest
    _run(
        *skopeo,
        f"--src-cert-dir={certs}",
        "--src-creds=alice:secret",
        f"docker://{real.host}/ours/{kind}:2",
        f"oci:{tmp_path}/back:x",
    )
    back = json.loads((tmp_path / "back/index.json").read_text())["manifests"][0]["digest"]
    assert back == digest
    there = {p.name for p in (tmp_path / "layout/blobs/sha256").iterdir()}
    assert {p.name for p in (tmp_path / "back/blobs/sha256").iterdir()} == there


def test_podman_pulls_what_we_push_under_the_same_digest(real: Real, images: Images, tmp_path: Path) -> None:
    with support.Registry() as source:
        made = source.image("app", "1")
        images.pull(f"{source.host}/app:1", options=real.options())
    images.push(f"{source.host}/app:1", f"{real.host}/for-podman:1", options=real.options())
    with tempfile.TemporaryDirectory(
        prefix="lading-"
    ) as short:  # podman wants a run root of at most 50 characters
        podman = ["podman", "--root", short + "/p", "--runroot", short + "/r", "--storage-driver", "vfs"]
        certs = f"--cert-dir={real.ca.parent}"
        _run(*podman, "pull", "-q", certs, "--creds=alice:secret", f"{real.host}/for-podman:1")
        shown = json.loads(_run(*podman, "image", "inspect", f"{real.host}/for-podman:1"))
    assert shown[0]["Digest"] == made["digest"]


def test_a_certificate_nobody_vouches_for_is_refused_unless_asked(
    real: Real, images: Images, tmp_path: Path
) -> None:
    with support.Registry() as source:
        source.image("app", "1")
        images.pull(f"{source.host}/app:1", options=real.options())
    images.push(f"{source.host}/app:1", f"{real.host}/tls:1", options=real.options())
    strangers = real.options()
    strangers.config = str(tmp_path / "empty")
    with pytest.raises(LadingError) as caught:
        images.pull(f"{real.host}/tls:1", options=strangers)
    assert caught.value.reason == "certificate"
    assert "certs.d" in str(caught.value)
    strangers.insecure = True
    assert images.pull(f"{real.host}/tls:1", options=strangers)


def test_passwords_are_checked_by_the_real_registry(real: Real, tmp_path: Path) -> None:
    options = real.options()
    options.environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    with pytest.raises(Denied, match="does not accept this password of 'alice'"):
        login(real.host, "alice", "wrong", options=options)
    kept = login(real.host, "alice", "secret", options=options)
    # The file is Docker's and skopeo's too.
    assert _run("skopeo", "login", "--get-login", "--authfile", kept, real.host).strip() == "alice"
