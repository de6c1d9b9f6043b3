"""What the comparisons run on: a tiny busybox root, and Debian images made of Debian packages.

Everything is made once, below ``.work/bench``, before the private network namespace is entered: Debian's mirror is
only reachable outside it.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from benchmarks.harness import Failed, output

BUSYBOX = "busybox"
DEBIAN_PACKAGES = ("iperf3",)


def busybox_root(work: Path) -> Path:
    """A root file system with busybox and its applets."""
    root = work / "busybox-root"
    if not (root / "bin/true").exists():
        binary = shutil.which("busybox")
        if binary is None:
            raise Failed("busybox-static is not installed")
        for name in ("bin", "etc", "proc", "sys", "dev", "tmp"):
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
        (root / "etc/group").write_text("root:x:0:\n")
        shutil.copy2(binary, root / "bin/busybox")
        for applet in output([binary, "--list"]).split():
            if applet != "busybox":
                (root / "bin" / applet).symlink_to("busybox")
    return root


def busybox_tar(work: Path) -> Path:
    """The busybox root as a tar archive, for ``import``."""
    path = work / "busybox.tar"
    if not path.exists():
        with tarfile.open(path, "w") as archive:
            archive.add(busybox_root(work), ".")
    return path


def debian_tar(work: Path) -> Path:
    """A minimal Debian with iperf3, as tar; built by mmdebstrap the first time."""
    path = work / "debian.tar"
    if not path.exists():
        part = path.with_suffix(".part.tar")
        command = [
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            f"--include={','.join(DEBIAN_PACKAGES)}",
            "bookworm",
        ]
        done = subprocess.run(
            [*command, str(part)], check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode != 0:
            part.unlink(missing_ok=True)
            raise Failed(f"mmdebstrap: {done.stderr.strip().splitlines()[-1:]}")
        part.rename(path)
    return path


def oci_layout(work: Path, tar: Path, name: str) -> Path:
    """``tar`` as a one-layer gzip image in an OCI layout, tagged ``latest``; written here so that no peer is favoured."""
    layout = work / f"{name}.oci"
    if (layout / "index.json").exists():
        return layout
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    data = tar.read_bytes()
    packed = gzip.compress(data, compresslevel=6, mtime=0)
    layer = _blob(blobs, packed, "application/vnd.oci.image.layer.v1.tar+gzip")
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    config = {
        "architecture": machine,
        "os": "linux",
        "config": {
            "Cmd": ["sh"],
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(data).hexdigest()}"]},
    }
    kind = "application/vnd.oci.image."
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}manifest.v1+json",
        "config": _blob(blobs, json.dumps(config).encode(), f"{kind}config.v1+json"),
        "layers": [layer],
    }
    entry = _blob(blobs, json.dumps(manifest).encode(), f"{kind}manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return layout


def _blob(directory: Path, data: bytes, media_type: str) -> dict[str, object]:
    digest = hashlib.sha256(data).hexdigest()
    (directory / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def bundle(work: Path, name: str, arguments: list[str]) -> Path:
    """An OCI bundle over the busybox root whose process is ``arguments``; the configuration ``runc spec`` writes."""
    directory = work / f"bundle-{name}"
    if not (directory / "config.json").exists():
        directory.mkdir(parents=True, exist_ok=True)
        output(["runc", "spec"], cwd=directory)
        config = json.loads((directory / "config.json").read_text())
        config["process"]["terminal"] = False
        config["process"]["args"] = arguments
        config["root"] = {"path": str(busybox_root(work)), "readonly": True}
        # This machine may not raise hard limits; the default configuration sets RLIMIT_NOFILE.
        config["process"].pop("rlimits", None)
        (directory / "config.json").write_text(json.dumps(config))
    return directory
