"""Other people's tools accept what we write, and we keep their digests; the kernel mounts what we unpack."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from lading.images import Images

pytestmark = pytest.mark.root


@pytest.fixture
def images(tmp_path: Path) -> Images:
    store = Images(str(tmp_path / "images"))
    store.bootstrap("busybox")
    return store


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def manifest_digest(directory: Path) -> str:
    import hashlib

    return "sha256:" + hashlib.sha256((directory / "manifest.json").read_bytes()).hexdigest()


@pytest.mark.peer("skopeo")
def test_skopeo_copies_our_oci_archive_with_the_same_digest(images, tmp_path):
    archive = tmp_path / "a.tar"
    with archive.open("wb") as out:
        images.save(["busybox"], out, format="oci-archive")
    run("skopeo", "copy", "--quiet", f"oci-archive:{archive}:busybox:latest", f"dir:{tmp_path}/dir")
    assert manifest_digest(tmp_path / "dir") == images.get("busybox").targets["busybox:latest"]


@pytest.mark.peer("skopeo")
def test_skopeo_reads_our_docker_archive(images, tmp_path):
    archive = tmp_path / "a.tar"
    with archive.open("wb") as out:
        images.save(["busybox"], out, format="docker-archive")
    shown = json.loads(run("skopeo", "inspect", "--config", f"docker-archive:{archive}:busybox:latest"))
    assert shown["rootfs"]["diff_ids"] == images.get("busybox").diff_ids


@pytest.mark.peer("skopeo")
def test_what_skopeo_writes_comes_back_with_the_same_digest(images, tmp_path):
    images.save(["busybox"], str(tmp_path / "layout"), format="oci-dir")
    run("skopeo", "copy", "--quiet", f"oci:{tmp_path}/layout", f"oci-archive:{tmp_path}/b.tar:busybox:latest")
    other = Images(str(tmp_path / "other"))
    (back,) = other.load(str(tmp_path / "b.tar"))
    assert back.digest == images.get("busybox").targets["busybox:latest"] and back.names == ["busybox:latest"]


@pytest.mark.peer("skopeo")
def test_the_docker_archive_that_skopeo_writes_keeps_the_image_id(images, tmp_path):
    images.save(["busybox"], str(tmp_path / "layout"), format="oci-dir")
    run(
        "skopeo",
        "copy",
        "--quiet",
        f"oci:{tmp_path}/layout",
        f"docker-archive:{tmp_path}/d.tar:busybox:latest",
    )
    other = Images(str(tmp_path / "other"))
    (back,) = other.load(str(tmp_path / "d.tar"))
    assert back.diff_ids == images.get("busybox").diff_ids and back.names == ["busybox:latest"]


@pytest.mark.peer("umoci")
def test_umoci_unpacks_our_layout(images, tmp_path):
    images.save(["busybox"], str(tmp_path / "layout"), format="oci-dir")
    # umoci's tag is the whole ref.name of the layout's index.
    index = json.loads((tmp_path / "layout" / "index.json").read_text())
    index["manifests"][0]["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    (tmp_path / "layout" / "index.json").write_text(json.dumps(index))
    run("umoci", "unpack", "--image", f"{tmp_path}/layout:latest", str(tmp_path / "bundle"))
    theirs = sorted(os.listdir(tmp_path / "bundle" / "rootfs" / "bin"))
    assert theirs == sorted(os.listdir(images.get("busybox").layers[0] + "/bin"))


def test_overlayfs_shows_what_the_layers_say(images, tmp_path):
    base = images.get("busybox")
    rootfs = images.rootfs(base, str(tmp_path / "c"))
    os.mkdir(rootfs.upper + "/bin")
    os.mknod(rootfs.upper + "/bin/wget", 0o20600, 0)
    with open(rootfs.upper + "/bin/hello", "w") as file:
        file.write("#!/bin/sh\necho hello\n")
    os.chmod(rootfs.upper + "/bin/hello", 0o755)
    made = images.commit(base, rootfs.upper, names=["made:1"])
    target = tmp_path / "mnt"
    target.mkdir()
    options = f"lowerdir={':'.join(made.layers)}"
    script = (
        f"mount -t overlay overlay -o {options} {target} && chroot {target} /bin/hello && ls {target}/bin"
    )
    shown = run("unshare", "-m", "sh", "-c", script).split()
    assert shown[0] == "hello" and "sh" in shown and "wget" not in shown


def test_devices_owners_and_capabilities_survive(tmp_path):
    store = Images(str(tmp_path / "images"))
    out = io.BytesIO()
    capability = b"\x01\x00\x00\x02\x00\x04\x00\x00" + bytes(12)
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        node = tarfile.TarInfo("dev/null")
        node.type, node.devmajor, node.devminor, node.mode = tarfile.CHRTYPE, 1, 3, 0o666
        tar.addfile(node)
        file = tarfile.TarInfo("ping")
        file.mode, file.uid, file.gid = 0o4755, 1234, 5678
        file.pax_headers = {"SCHILY.xattr.security.capability": capability.decode("latin-1")}
        tar.addfile(file)
    image = store.import_(io.BytesIO(out.getvalue()))
    there = os.stat(image.layers[0] + "/dev/null")
    assert (os.major(there.st_rdev), os.minor(there.st_rdev), there.st_mode & 0o777) == (1, 3, 0o666)
    ping = os.stat(image.layers[0] + "/ping")
    assert (ping.st_uid, ping.st_gid, ping.st_mode & 0o7777) == (1234, 5678, 0o4755)
    assert os.getxattr(image.layers[0] + "/ping", "security.capability") == capability
