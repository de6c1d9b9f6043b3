"""Archives and pushes of docker, podman, skopeo and umoci, both ways: what they write we read, what we write they read.

An image's id is the digest of its configuration, so equal ids mean that nothing was changed; equal digests mean that not
even the manifest was.
"""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lading.formats.oci_image import DOCKER_MANIFEST
from lading.images import Image, Images
from lading.images.pull import PullOptions
from support.docker import Daemon

pytestmark = [
    pytest.mark.root,
    pytest.mark.peer("docker", "dockerd", "docker-registry", "podman", "skopeo", "umoci"),
]


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def _poll(ready: object, what: str) -> None:
    end = time.monotonic() + 60
    while not ready():  # type: ignore[operator]
        assert time.monotonic() < end, f"{what} is not there after a minute"
        time.sleep(0.05)


# -- peers ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def short() -> Iterator[Path]:
    """A directory with a short name: podman and dockerd put sockets below it."""
    with tempfile.TemporaryDirectory(prefix="lading-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def podman(short: Path) -> list[str]:
    return ["podman", "--root", f"{short}/p", "--runroot", f"{short}/r", "--storage-driver", "vfs"]


@pytest.fixture(scope="module")
def docker(short: Path) -> Iterator[list[str]]:
    """Debian's dockerd with a store of its own; one for the module, since its start takes seconds."""
    with Daemon(short, "/lading-test-archives") as made:
        yield made.client


@pytest.fixture(scope="module")
def registry(short: Path) -> Iterator[str]:
    """Debian's docker-registry on loopback, over plain HTTP."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    storage = {"filesystem": {"rootdirectory": f"{short}/registry"}}
    config = {"version": "0.1", "log": {"level": "error"}, "storage": storage, "http": {"addr": host}}
    (short / "registry.yml").write_text(json.dumps(config))
    served = subprocess.Popen(
        ["docker-registry", "serve", f"{short}/registry.yml"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def up() -> bool:
        assert served.poll() is None
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", int(host.partition(":")[2]))) == 0

    try:
        _poll(up, "docker-registry")
        yield host
    finally:
        served.terminate()
        served.wait()


# -- ours ----------------------------------------------------------------------------------------------------------


def _tar(**files: bytes) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    out.seek(0)
    return out


@pytest.fixture
def images(tmp_path: Path) -> Images:
    """A store with ``one:1`` and ``two:2``, which has a layer more with a whiteout in it."""
    store = Images(str(tmp_path / "images"))
    base = store.import_(_tar(a=b"a" * 5000, b=b"b"), names=["one:1"], changes=["CMD sh", "ENV A=b"])
    upper = tmp_path / "upper"
    upper.mkdir()
    (upper / "c").write_bytes(os.urandom(5000))
    os.mknod(upper / "a", 0o020000, 0)
    store.commit(base, str(upper), names=["two:2"], message="more")
    return store


@pytest.fixture
def other(tmp_path: Path) -> Images:
    return Images(str(tmp_path / "other"))


def _save(store: Images, path: Path, *names: str, format: str) -> str:
    with path.open("wb") as out:
        store.save(names, out, format=format)
    return str(path)


def _ids(found: list[Image]) -> dict[str, str]:
    return {name: image.id for image in found for name in image.names}


def _options(tmp_path: Path) -> PullOptions:
    return PullOptions(config=str(tmp_path / "config"), environ={"HOME": str(tmp_path)})


# -- docker --------------------------------------------------------------------------------------------------------


def test_docker_loads_what_we_save_and_we_load_what_docker_saves(docker, images, other, tmp_path):
    archive = _save(images, tmp_path / "a.tar", "one:1", "two:2", format="docker-archive")
    said = _run(*docker, "load", "-i", archive)
    assert "one:1" in said and "two:2" in said
    for name in ("one:1", "two:2"):
        (shown,) = json.loads(_run(*docker, "image", "inspect", name))
        assert shown["Id"] == images.get(name).id
        assert shown["RootFS"]["Layers"] == images.get(name).diff_ids
        assert shown["Config"]["Cmd"] == ["/bin/sh", "-c", "sh"] and shown["Config"]["Env"] == ["A=b"]
    _run(*docker, "save", "-o", str(tmp_path / "b.tar"), "one:1", "two:2")
    assert _ids(other.load(str(tmp_path / "b.tar"))) == _ids([images.get("one:1"), images.get("two:2")])
    _run(*docker, "save", "-o", str(tmp_path / "c.tar"), images.get("two:2").id)
    (nameless,) = Images(str(tmp_path / "third")).load(str(tmp_path / "c.tar"))
    assert nameless.id == images.get("two:2").id and nameless.names == []


def test_docker_pushes_schema_2_to_us_and_pulls_ours_under_the_same_digest(
    docker, registry, images, other, tmp_path
):
    _run(*docker, "load", "-i", _save(images, tmp_path / "a.tar", "two:2", format="docker-archive"))
    _run(*docker, "tag", "two:2", f"{registry}/by-docker:1")
    digest = next(
        word
        for word in _run(*docker, "push", f"{registry}/by-docker:1").split()
        if word.startswith("sha256:")
    )
    image = other.pull(f"{registry}/by-docker:1", options=_options(tmp_path))
    assert (image.digest, image.id) == (digest, images.get("two:2").id)
    assert image.descriptor.media_type == DOCKER_MANIFEST
    assert other.push(f"{registry}/by-docker:1", f"{registry}/by-us:1", options=_options(tmp_path)) == digest
    _run(*docker, "rmi", "-f", f"{registry}/by-docker:1", "two:2")
    assert digest in _run(*docker, "pull", f"{registry}/by-us:1")
    (shown,) = json.loads(_run(*docker, "image", "inspect", f"{registry}/by-us:1"))
    assert f"{registry}/by-us@{digest}" in shown["RepoDigests"] and shown["Id"] == image.id
    # And an OCI image of ours, which docker pulls as it is.
    ours = images.push("one:1", f"{registry}/oci:1", options=_options(tmp_path))
    assert ours == images.get("one:1").targets["one:1"] and ours in _run(*docker, "pull", f"{registry}/oci:1")


def test_the_archive_of_a_newer_docker_keeps_its_digests(images, other, tmp_path):
    """Docker 25 and later: an OCI layout with ``manifest.json`` and ``repositories`` beside it, the index listing each name."""
    images.save(["one:1"], str(tmp_path / "layout"), format="oci-dir")
    (image,) = Images(str(tmp_path / "loaded")).load(str(tmp_path / "layout"))
    blobs = tmp_path / "layout/blobs/sha256"
    entry = {**image.descriptor.encode(), "annotations": {
        "io.containerd.image.name": "docker.io/library/one:1", "org.opencontainers.image.ref.name": "1",
    }}  # fmt: skip
    manifest = json.loads((blobs / image.digest[7:]).read_text())
    layers = [f"blobs/sha256/{layer['digest'][7:]}" for layer in manifest["layers"]]
    tags = ["one:1", "localhost:5000/again:2"]
    docker = {"Config": f"blobs/sha256/{image.id[7:]}", "RepoTags": tags, "Layers": layers,
              "LayerSources": {layer["digest"]: layer for layer in manifest["layers"]}}  # fmt: skip
    second = {**entry, "annotations": {"io.containerd.image.name": "localhost:5000/again:2"}}
    files = {f"blobs/sha256/{p.name}": p.read_bytes() for p in blobs.iterdir()}
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [entry, second]}).encode()
    files["manifest.json"] = json.dumps([docker]).encode()
    files["oci-layout"] = b'{"imageLayoutVersion":"1.0.0"}'
    files["repositories"] = b'{"one":{"1":"0"}}'
    (tmp_path / "n.tar").write_bytes(_tar(**files).getvalue())
    for loaded in other.load(str(tmp_path / "n.tar")):
        assert (loaded.digest, loaded.id) == (image.digest, image.id)
    assert sorted(other.get("one:1").names) == sorted(tags)


# -- podman, skopeo, umoci -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["docker-archive", "oci-archive"])
def test_podman_loads_what_we_save_and_we_load_what_podman_saves(podman, images, other, tmp_path, format):
    archive = _save(images, tmp_path / "a.tar", "two:2", format=format)
    _run(*podman, "load", "-q", "-i", archive)
    (shown,) = json.loads(_run(*podman, "image", "inspect", "two:2"))
    assert "sha256:" + shown["Id"] == images.get("two:2").id
    _run(*podman, "save", "-q", "--format", format, "-o", str(tmp_path / "b.tar"), "two:2")
    (back,) = other.load(str(tmp_path / "b.tar"))
    assert back.diff_ids == images.get("two:2").diff_ids
    assert [n.rpartition("/")[2] for n in back.names] == ["two:2"]
    if format == "docker-archive":
        names = _run(
            *podman, "load", "-q", "-i", _save(images, tmp_path / "m.tar", "one:1", "two:2", format=format)
        )
        assert "one:1" in names and "two:2" in names
        _run(*podman, "save", "-q", "-m", "-o", str(tmp_path / "c.tar"), "one:1", "two:2")
        both = Images(str(tmp_path / "third")).load(str(tmp_path / "c.tar"))
        assert [i.diff_ids for i in both] == [images.get(n).diff_ids for n in ("one:1", "two:2")]
    _run(*podman, "rmi", "-f", "-a")


@pytest.mark.parametrize("format", ["v2s2", "oci"])
def test_skopeo_pushes_to_us_and_back_byte_for_byte(registry, images, other, tmp_path, format):
    archive = _save(images, tmp_path / "a.tar", "two:2", format="docker-archive")
    there = f"docker://{registry}/skopeo-{format}:1"
    quiet = ("skopeo", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false")
    _run(*quiet, "--format", format, f"docker-archive:{archive}:two:2", there)
    image = other.pull(f"{registry}/skopeo-{format}:1", options=_options(tmp_path))
    assert image.diff_ids == images.get("two:2").diff_ids
    assert (image.descriptor.media_type == DOCKER_MANIFEST) == (format == "v2s2")
    pushed = other.push(
        f"{registry}/skopeo-{format}:1", f"{registry}/ours-{format}:1", options=_options(tmp_path)
    )
    raw = ("skopeo", "inspect", "--raw", "--tls-verify=false")
    assert _run(*raw, there) == _run(*raw, f"docker://{registry}/ours-{format}:1") and pushed == image.digest
    # A schema 2 image keeps its manifest through our archives too.
    again = Images(str(tmp_path / "third"))
    for kind in ("docker-archive", "oci-archive"):
        (back,) = again.load(_save(other, tmp_path / kind, f"{registry}/skopeo-{format}:1", format=kind))
        assert back.digest == image.digest


def test_umoci_unpacks_what_we_save(images, tmp_path):
    _save(images, tmp_path / "a.tar", "two:2", format="oci-archive")
    _run("skopeo", "copy", "-q", f"oci-archive:{tmp_path}/a.tar:two:2", f"oci:{tmp_path}/layout:x")
    _run("umoci", "unpack", "--image", f"{tmp_path}/layout:x", str(tmp_path / "bundle"))
    assert sorted(os.listdir(tmp_path / "bundle/rootfs")) == ["b", "c"]
