"""``lading rkt fetch`` and ``image``: from files and a site into the store, what runs counts as used, and out again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.root

MANIFEST: dict[str, Any] = {
    "acKind": "ImageManifest",
    "acVersion": "0.8.11",
    "name": "x.example/app",
    "labels": [{"name": "version", "value": "1.0"}],
    "app": {"exec": ["/bin/cat", "/etc/mine"], "user": "0", "group": "0"},
    "dependencies": [{"imageName": "x.example/busybox", "labels": [{"name": "version", "value": "1"}]}],
}


@pytest.fixture(scope="module")
def archives(lading, tmp_path_factory: pytest.TempPathFactory) -> Path:  # type: ignore[no-untyped-def]
    """``base.aci`` out of an OCI image and ``app.aci`` on it, neither of them here yet."""
    here = tmp_path_factory.mktemp("aci")
    lading.out(
        "aci", "build", "--image", "busybox", "--name", "x.example/busybox:1", "-o", str(here / "base.aci")
    )
    (here / "app/rootfs/etc").mkdir(parents=True)
    (here / "app/rootfs/etc/mine").write_text("mine\n")
    (here / "app/manifest").write_text(json.dumps(MANIFEST))
    lading.out("aci", "build", str(here / "app"), "-o", str(here / "app.aci"))
    return here


def cells(line: str) -> list[str]:
    return [cell for cell in line.split("\t") if cell]


def listed(lading, *words: str) -> dict[str, list[str]]:  # type: ignore[no-untyped-def]
    lines = lading.out("rkt", "image", "list", "--no-legend", *words).splitlines()
    return {row[1]: row for row in map(cells, lines)}


def test_from_a_file_into_the_list_into_use_and_out(lading, archives, tmp_path) -> None:  # type: ignore[no-untyped-def]
    base, app = str(archives / "base.aci"), str(archives / "app.aci")
    refused = lading("rkt", "fetch", base)
    assert refused.returncode == 254 and "signature" in refused.stderr
    done = lading("rkt", "--insecure-options=image", "fetch", base, app, check=True)
    assert "warning: --insecure-options image" in done.stderr
    short = done.stdout.split()
    assert [len(text) for text in short] == [len("sha512-") + 32] * 2
    [whole] = lading.out("rkt", "fetch", "--full", "x.example/app:1.0").split()
    assert whole.startswith(short[1]) and len(whole) == len("sha512-") + 128
    assert lading("rkt", "fetch", "--pull-policy=never", "x.example/none").returncode == 254

    rows = listed(lading)
    assert {"busybox:latest", "x.example/busybox:1", "x.example/app:1.0"} <= set(rows)
    assert whole.startswith(rows["x.example/app:1.0"][0])

    before = listed(lading, "--full")["x.example/app:1.0"][4]
    assert lading.out("run", "--rm", "x.example/app") == "mine"
    assert listed(lading, "--full")["x.example/app:1.0"][4] > before
    assert listed(lading, "--full")["x.example/busybox:1"][4] < before

    assert json.loads(lading.out("rkt", "image", "cat-manifest", short[1]))["name"] == "x.example/app"
    assert (
        json.loads(lading.out("rkt", "image", "cat-manifest", "docker://busybox"))["acKind"]
        == "ImageManifest"
    )
    out = tmp_path / "out.aci"
    lading.out("rkt", "image", "export", short[1], str(out))
    assert out.read_bytes() == Path(app).read_bytes()
    assert lading("rkt", "image", "export", short[1], str(out)).returncode == 254
    lading.out("rkt", "image", "export", "--overwrite", short[0], str(out))
    assert out.read_bytes() == Path(base).read_bytes()

    lading.out("rkt", "image", "export", "--overwrite", "docker://busybox", str(out))
    assert "valid image docker.io/library/busybox:latest" in lading.out("aci", "validate", str(out))
    for verb in ("extract", "render"):
        lading.out("rkt", "image", verb, "docker://busybox", str(tmp_path / verb))
        assert json.loads((tmp_path / verb / "manifest").read_text())["name"] == "docker.io/library/busybox"
        assert (tmp_path / verb / "rootfs/bin/sh").exists()

    tree = tmp_path / "tree"
    lading.out("rkt", "image", "extract", "x.example/app", str(tree))
    assert sorted(os.listdir(tree)) == ["manifest", "rootfs"] and os.listdir(tree / "rootfs") == ["etc"]
    assert lading("rkt", "image", "render", "x.example/app", str(tree)).returncode == 254
    lading.out("rkt", "image", "render", "--overwrite", "--rootfs-only", "x.example/app", str(tree))
    assert (tree / "bin/sh").exists() and (tree / "etc/mine").read_text() == "mine\n"


def test_what_changed_on_disk_is_found_and_a_new_copy_is_good(lading, archives) -> None:  # type: ignore[no-untyped-def]
    fetch = (
        "rkt",
        "fetch",
        "--insecure-options=image",
        str(archives / "base.aci"),
        str(archives / "app.aci"),
    )
    lading.out(*fetch)
    assert 'successfully verified checksum for image: "x.example/app"' in lading.out(
        "rkt", "image", "verify", "x.example/app"
    )
    code = "import os; from lading.images import Images; i = Images(os.environ['LADING_ROOT'] + '/images');"
    code += "print(i.get('x.example/app').layers[0])"
    layer = subprocess.run(
        [sys.executable, "-c", code], env=lading.env, text=True, capture_output=True, check=True
    )
    Path(layer.stdout.strip(), "etc/mine").write_text("not mine\n")
    failed = lading("rkt", "image", "verify", "x.example/app", "x.example/busybox")
    assert failed.returncode == 254 and "etc/mine" in failed.stderr and '"x.example/busybox"' in failed.stdout
    lading.out("rkt", "image", "rm", "x.example/app")
    lading.out(*fetch)
    assert lading.out("run", "--rm", "x.example/app") == "mine"


def test_an_image_that_a_pod_is_made_of_stays(lading, archives) -> None:  # type: ignore[no-untyped-def]
    lading.out(
        "rkt", "fetch", "--insecure-options=image", str(archives / "base.aci"), str(archives / "app.aci")
    )
    lading.out("create", "--name", "holds", "x.example/app")
    try:
        refused = lading("rkt", "image", "rm", "x.example/app")
        assert refused.returncode == 254 and "is used by a container" in refused.stderr
        done = lading("rkt", "image", "gc", "--grace-period=0s", check=True)
        assert (done.stdout, done.stderr) == ("", "0 image(s) successfully removed\n")
        assert {"x.example/busybox:1", "x.example/app:1.0"} <= set(listed(lading))
    finally:
        lading.out("rm", "-f", "holds")
    done = lading("rkt", "image", "gc", "--grace-period=0s", check=True)
    assert len(done.stdout.splitlines()) == 2 and done.stderr == "2 image(s) successfully removed\n"
    assert set(listed(lading)) == {"busybox:latest"}
    assert lading("check").returncode == 0


def test_settings_and_the_service_that_is_not_needed(lading, tmp_path) -> None:  # type: ignore[no-untyped-def]
    assert "appc Version: 0.8.11" in lading.out("rkt", "version").splitlines()
    found = json.loads(lading.out("rkt", "config"))["stage0"]
    assert [entry["data"] for entry in found if entry["rktKind"] == "paths"] == [lading.env["LADING_ROOT"]]
    assert "KEY" in lading.out("rkt", "trust", "--help")
