"""Images of App Container from the command line: made, checked, kept, run, and given to others."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.root

MANIFEST: dict[str, Any] = {
    "acKind": "ImageManifest",
    "acVersion": "0.8.11",
    "name": "x.example/app",
    "labels": [{"name": "version", "value": "1.0"}],
    "app": {
        "exec": ["/bin/sh", "-c", 'echo "$A $(id -u):$(id -g) $(pwd) $(cat /etc/mine)"'],
        "user": "7",
        "group": "8",
        "workingDirectory": "/srv",
        "environment": [{"name": "A", "value": "b c"}],
        "eventHandlers": [{"name": "pre-start", "exec": ["/bin/true"]}],
    },
    "dependencies": [{"imageName": "x.example/busybox", "labels": [{"name": "version", "value": "1"}]}],
}


@pytest.fixture(scope="module")
def archives(lading, tmp_path_factory: pytest.TempPathFactory) -> Path:  # type: ignore[no-untyped-def]
    """``base.aci`` out of an OCI image and ``app.aci`` on it, both imported."""
    here = tmp_path_factory.mktemp("aci")
    lading.out(
        "aci", "build", "--image", "busybox", "--name", "x.example/busybox:1", "-o", str(here / "base.aci")
    )
    (here / "app/rootfs/etc").mkdir(parents=True)
    (here / "app/rootfs/srv").mkdir()
    (here / "app/rootfs/etc/mine").write_text("mine\n")
    (here / "app/manifest").write_text(json.dumps(MANIFEST))
    lading.out("aci", "build", str(here / "app"), "-o", str(here / "app.aci"), "--compression", "xz")
    done = lading("aci", "import", str(here / "base.aci"), str(here / "app.aci"), check=True)
    assert len(done.stdout.split()) == 2
    assert done.stderr == "x.example/app: `lading run` does not do the event handler pre-start\n"
    return here


def test_an_imported_image_runs_by_its_name_and_its_id(lading, archives) -> None:  # type: ignore[no-untyped-def]
    image_id = lading.out("aci", "import", str(archives / "app.aci"))
    for text in ("x.example/app:1.0", "x.example/app", "x.example/app,version=1.0", image_id, image_id[:24]):
        assert lading.out("run", "--rm", text) == "b c 7:8 /srv mine", text
    assert lading.out("run", "--rm", "x.example/app", "echo", "other") == "other"
    rows = lading.out("images", "--format", "{repository} {tag}").splitlines()
    assert "x.example/app 1.0" in rows


def test_a_container_of_it_starts_again_and_holds_its_image(lading, archives) -> None:  # type: ignore[no-untyped-def]
    lading.out("create", "--name", "kept", "x.example/app")
    try:
        refused = lading("rmi", "x.example/app")
        assert refused.returncode == 1 and "is used by a container" in refused.stderr
        for _ in range(2):
            assert lading.out("start", "-a", "kept") == "b c 7:8 /srv mine"
    finally:
        lading.out("rm", "-f", "kept")


def test_build_is_reproducible_and_export_gives_back_what_came(lading, archives, tmp_path) -> None:  # type: ignore[no-untyped-def]
    again, out = tmp_path / "again.aci", tmp_path / "out.aci"
    ids = [
        lading.out(
            "aci",
            "build",
            "-m",
            str(archives / "app/manifest"),
            str(archives / "app/rootfs"),
            "-o",
            str(again),
        ),
        lading.out("aci", "import", str(archives / "app.aci")),
    ]
    assert ids[0] == ids[1]
    lading.out("aci", "export", "x.example/app:1.0", "-o", str(out))
    assert out.read_bytes() == (archives / "app.aci").read_bytes()
    said = lading.out("aci", "validate", str(out), str(again), str(archives / "app/manifest")).splitlines()
    assert said[0] == f"{out}: valid image x.example/app:1.0, 4 entries, {ids[0]}"
    assert said[2] == f"{archives}/app/manifest: valid image manifest"


def test_its_root_is_written_out_alone_and_with_what_it_depends_on(lading, archives, tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = str(archives / "app.aci")
    lading.out("aci", "extract", file, str(tmp_path / "one"))
    assert sorted(os.listdir(tmp_path / "one")) == ["manifest", "rootfs"]
    assert sorted(os.listdir(tmp_path / "one/rootfs")) == ["etc", "srv"]
    lading.out("aci", "extract", "--rootfs-only", "x.example/app", str(tmp_path / "root"))
    assert sorted(os.listdir(tmp_path / "root")) == ["etc", "srv"]
    lading.out("aci", "render", "x.example/app", str(tmp_path / "all"))
    assert (tmp_path / "all/rootfs/bin/sh").exists() and (tmp_path / "all/rootfs/etc/mine").exists()
    for words in (("cat-manifest", file), ("cat-manifest", "--pretty-print", "x.example/app:1.0")):
        assert json.loads(lading.out("aci", *words))["name"] == "x.example/app"


def test_layers_of_an_image_become_archives_of_their_own(lading, archives, tmp_path) -> None:  # type: ignore[no-untyped-def]
    lading.out("run", "--name", "made", "busybox", "sh", "-c", "echo new > /new; rm /etc/passwd")
    lading.out("commit", "made", "two:1")
    lading.out("rm", "made")
    top, layers = tmp_path / "two.aci", tmp_path / "layers"
    words = ["--image", "two:1", "--name", "x.example/two", "--layers", str(layers), "-o", str(top)]
    lading.out("aci", "build", *words)
    lower = [str(path) for path in layers.iterdir()]
    assert len(lower) == 1
    assert lading("aci", "import", str(top)).returncode == 1
    lading.out("aci", "import", *lower, str(top))
    seen = lading.out("run", "--rm", "x.example/two", "sh", "-c", "cat /new; ls /etc/passwd; true")
    assert seen == "new"


def test_an_archive_is_not_written_into_what_it_is_made_of(lading, archives) -> None:  # type: ignore[no-untyped-def]
    inside = archives / "app/rootfs/etc/app.aci"
    done = lading("aci", "build", str(archives / "app"), "-o", str(inside))
    assert done.returncode == 1 and "is inside of" in done.stderr and not inside.exists()


@pytest.mark.peer("skopeo")
def test_another_tool_reads_what_it_is_saved_as(lading, archives, tmp_path) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "saved.tar"
    lading.out("save", "x.example/app:1.0", "-o", str(out))
    shown = subprocess.run(
        ["skopeo", "inspect", "--config", f"docker-archive:{out}:x.example/app:1.0"],
        check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    config = json.loads(shown.stdout)["config"]
    assert config["User"] == "7:8" and config["WorkingDir"] == "/srv" and config["Cmd"][0] == "/bin/sh"


REFUSED = [
    (("validate", "/etc/passwd"), "/etc/passwd: this is not a tar archive"),
    (("import", "no/such/file"), "cannot read no/such/file: No such file or directory"),
    (("import", "."), ". is a directory, not a file"),
    (
        ("cat-manifest", "busybox"),
        "is not an App Container image: `lading aci build --image` makes one of it",
    ),
    (("render", "x.example/none", "out"), "image 'x.example/none' is not here: `lading aci import FILE`"),
    (("render", "./app.aci", "out"), "./app.aci is a file"),
    (("extract", "x.example/app", "/"), "/ is there already: name a new directory"),
    (("build",), "what to build is missing"),
    (
        ("build", "/nowhere"),
        "/nowhere/manifest does not exist: name the manifest of a root with --manifest FILE",
    ),
    (("build", "--image", "busybox"), "--image needs --name"),
    (("build", "--image", "busybox", "--name", "UPPER"), "image 'UPPER'"),
    (
        ("build", "--image", "busybox", "--name", "a", "-o", "a.tar.gz"),
        "a.tar.gz: an image archive's name ends in .aci",
    ),
    (("build", "--name", "a", "/tmp"), "--name means nothing without --image"),
    (("build", "--image", "busybox", "--name", "a", "--compression", "zstd"), "zstd"),
]


@pytest.mark.parametrize(("words", "said"), REFUSED)
def test_what_cannot_be_done_is_one_line(lading, archives, words, said) -> None:  # type: ignore[no-untyped-def]
    done = lading("aci", *words)
    assert done.returncode in (1, 125) and done.stdout == ""
    assert said in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def test_no_archive_speaks_to_the_terminal(lading, archives, tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "rootfs").mkdir()
    labels = [{"name": "note", "value": "\x1b[2J\nx: valid"}]
    manifest = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "x.example/loud", "labels": labels}
    (tmp_path / "manifest").write_text(json.dumps(manifest))
    lading.out("aci", "build", str(tmp_path), "-o", str(tmp_path / "loud.aci"))
    said = lading.out("aci", "validate", str(tmp_path / "loud.aci"))
    lading.out("aci", "import", str(tmp_path / "loud.aci"))
    shown = lading.out("images")
    assert "\x1b" not in said + shown and len(said.splitlines()) == 1 and "\\x1b[2J\\nx: valid" in shown
    lading.out("rmi", "x.example/loud")


def test_a_hostile_archive_leaves_nothing(lading, archives, tmp_path) -> None:  # type: ignore[no-untyped-def]
    import io
    import tarfile

    bad = tmp_path / "bad.aci"
    with tarfile.open(bad, "w:gz") as tar:
        for name, data in (("manifest", json.dumps(MANIFEST).encode()), ("rootfs/../../etc/x", b"evil")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    before = lading.out("images", "-q", "--no-trunc")
    for verb in (("import", str(bad)), ("validate", str(bad)), ("extract", str(bad), str(tmp_path / "out"))):
        done = lading("aci", *verb)
        assert done.returncode == 1 and "the name leaves its directory" in done.stderr
        assert str(bad) in done.stderr
    assert lading.out("images", "-q", "--no-trunc") == before and not (tmp_path / "out").exists()
    assert lading.out("check") == "Everything is as recorded."
