"""What becomes of a build: every kind of output, read by others, and the same bytes wherever it is made."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from support.lading import Lading

pytestmark = pytest.mark.root

FILE = """
FROM busybox
COPY a /a
RUN mkdir /made && echo made > /made/file && ln /made/file /made/again && chown 1000:1000 /made/file
CMD ["cat", "/made/file"]
"""


@pytest.fixture
def simple(context):
    return context.dockerfile(FILE).file("a", "hello\n")


def test_files_go_to_a_directory_and_to_a_tar(lading, simple, tmp_path):
    out = tmp_path / "out"
    lading("build", "-o", str(out), str(simple), check=True)
    assert (out / "a").read_text() == "hello\n"
    assert (out / "made/file").stat().st_ino == (out / "made/again").stat().st_ino
    assert (out / "made/file").stat().st_uid == os.geteuid()
    first = subprocess.run(
        lading.argv(["build", "-o", "-", str(simple)]), env=lading.env, capture_output=True, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(first.stdout)) as tar:
        assert tar.getmember("made/file").uid == 1000
        assert tar.getmember("made/file").islnk() or tar.getmember("made/again").islnk()
    lading("build", "-o", f"type=tar,dest={tmp_path}/t.tar", str(simple), check=True)
    assert (tmp_path / "t.tar").read_bytes() == first.stdout


@pytest.mark.peer("skopeo")
def test_archives_and_layouts_are_read_by_others(lading, simple, tmp_path):
    lading(
        "build", "-t", "a.test/b:1",
        "-o", f"type=oci,dest={tmp_path}/o.tar",
        "-o", f"type=docker,dest={tmp_path}/d.tar",
        "-o", f"type=oci,tar=false,dest={tmp_path}/dir",
        str(simple),
        check=True,
    )  # fmt: skip
    digests = set()
    for name in (
        f"oci-archive:{tmp_path}/o.tar",
        f"docker-archive:{tmp_path}/d.tar:a.test/b:1",
        f"oci:{tmp_path}/dir",
    ):
        told = subprocess.run(
            ["skopeo", "inspect", "--config", "--raw", name], capture_output=True, text=True, check=True
        )
        digests.add(json.dumps(json.loads(told.stdout), sort_keys=True))
    assert len(digests) == 1
    assert lading("inspect", "a.test/b:1").returncode != 0
    assert lading.out("load", "-i", f"{tmp_path}/d.tar")
    assert lading.out("run", "--rm", "a.test/b:1") == "made"


def test_layers_are_compressed_as_asked_base_images_too_and_manifests_annotated(lading, simple, tmp_path):
    for compression, ending in (("zstd", "+zstd"), ("uncompressed", "v1.tar"), ("gzip", "+gzip")):
        where = tmp_path / compression
        lading(
            "build", "-t", "form", "--annotation", "one=1",
            "-o", f"type=oci,tar=false,dest={where},compression={compression},force-compression=true,annotation-index.two=2",
            str(simple), check=True,
        )  # fmt: skip
        blobs = where / "blobs/sha256"
        entry = json.loads((where / "index.json").read_text())["manifests"][0]
        index = json.loads((blobs / entry["digest"][7:]).read_text())
        assert index["annotations"] == {"two": "2"}
        manifest = json.loads((blobs / index["manifests"][0]["digest"][7:]).read_text())
        assert manifest["annotations"] == {"one": "1"}
        assert len(manifest["layers"]) == 3
        assert all(layer["mediaType"].endswith(ending) for layer in manifest["layers"])
        archive = subprocess.run(
            ["tar", "cf", "-", "-C", str(where), "."], capture_output=True, check=True
        ).stdout
        told = subprocess.run(
            lading.argv(["load", "-q"]), env=lading.env, input=archive, capture_output=True, text=False
        )
        assert told.returncode == 0, told.stderr


def test_dockers_media_types_are_written_where_they_are_wanted(lading, simple, tmp_path):
    lading(
        "build", "-o", f"type=oci,tar=false,dest={tmp_path}/d,oci-mediatypes=false", str(simple), check=True
    )
    entry = json.loads((tmp_path / "d/index.json").read_text())["manifests"][0]
    manifest = json.loads((tmp_path / "d/blobs/sha256" / entry["digest"][7:]).read_text())
    kinds = {
        entry["mediaType"],
        manifest["config"]["mediaType"],
        *(layer["mediaType"] for layer in manifest["layers"]),
    }
    assert all(kind.startswith("application/vnd.docker.") for kind in kinds)


def test_what_was_made_is_told_in_files(lading, simple, tmp_path):
    lading(
        "build",
        "-t",
        "told",
        "--metadata-file",
        f"{tmp_path}/m",
        "--iidfile",
        f"{tmp_path}/i",
        str(simple),
        check=True,
    )
    told = json.loads((tmp_path / "m").read_text())
    made = json.loads(lading.out("inspect", "told"))[0]
    assert (tmp_path / "i").read_text() == made["Id"] == told["containerimage.config.digest"]
    assert told["containerimage.descriptor"]["digest"] == told["containerimage.digest"]
    assert told["image.name"] == "docker.io/library/told:latest"


def test_several_platforms_make_an_index(lading, context, tmp_path):
    context.dockerfile("FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /arch\n").file("amd64", "a").file(
        "arm64", "b"
    )
    lading(
        "build", "-t", "two", "--platform", "linux/amd64,linux/arm64", "-o", "type=image",
        "-o", f"type=local,dest={tmp_path}/out", str(context), check=True,
    )  # fmt: skip
    assert (tmp_path / "out/linux_amd64/arch").read_text() == "a"
    assert (tmp_path / "out/linux_arm64/arch").read_text() == "b"
    lading("save", "--format", "oci-dir", "-o", f"{tmp_path}/lay", "two", check=True)
    entry = json.loads((tmp_path / "lay/index.json").read_text())["manifests"][0]
    index = json.loads((tmp_path / "lay/blobs/sha256" / entry["digest"][7:]).read_text())
    assert [m["platform"]["architecture"] for m in index["manifests"]] == ["amd64", "arm64"]


def test_mistakes_are_told_before_anything_is_built(lading, simple, tmp_path):
    for flags in (
        ["-o", "type=wrong"],
        ["--push"],
        ["-o", f"type=oci,dest={tmp_path}/no/where"],
        ["-o", "out", "--iidfile", "i"],
    ):
        failed = lading("build", *flags, str(simple))
        assert failed.returncode == 1, flags
        assert "DONE" not in failed.stderr
        assert failed.stderr.count("\n") == 1


def _elsewhere(directory: Path, order: list[str], when: int, umask: int) -> tuple[Lading, Path]:
    """A machine of its own: other paths, other times, another umask, files made in another order."""
    context = directory / "some where" / "context"
    context.mkdir(parents=True)
    for name in order:
        path = context / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"content of {name}\n")
        path.chmod(0o644)
        os.utime(path, (when, when))
    (context / "sub").chmod(0o755)
    (context / "Dockerfile").write_text(
        "FROM busybox AS one\nWORKDIR /w/x\nCOPY . /w/\nRUN date > /dev/null; cp -a /w /copy; "
        "mkdir -p /q && echo x > /q/b && ln /q/b /q/a && ln -s a /q/s\n"
        "FROM busybox\nCOPY --from=one /q /q\nADD sub /sub\nLABEL a=b\n"
    )
    (context / ".dockerignore").write_text("Dockerfile\n.dockerignore\n")
    made = Lading(directory / "root")
    made.env["SOURCE_DATE_EPOCH"] = "1600000000"
    return made, context


def test_the_same_build_has_the_same_digests_on_two_machines(tmp_path, lading):
    names = ["a", "b", "sub/c", "sub/d"]
    lading("save", "-o", f"{tmp_path}/base.tar", "busybox", check=True)
    digests = []
    for number, (order, when, umask) in enumerate(
        [(names, 1_700_000_000, 0o022), (names[::-1], 1_000_000_000, 0o077)]
    ):
        made, context = _elsewhere(tmp_path / f"machine{number}", order, when, umask)
        try:
            made("load", "-q", "-i", f"{tmp_path}/base.tar", check=True)
            if number:
                # What is in the cache already, made at another time, makes no difference.
                other = {k: v for k, v in made.env.items() if k != "SOURCE_DATE_EPOCH"}
                subprocess.run(
                    made.argv(["build", "-q", "."]), env=other, cwd=context, check=True, capture_output=True
                )
            told = subprocess.run(
                ["sh", "-c", f'umask {umask:03o}; exec "$@"', "sh", *made.argv([
                    "build", "-q", "--reproducible", "-t", "same", "--metadata-file", "../m", "-o", "type=image",
                    "-o", "type=oci,dest=../o.tar", ".",
                ])],
                env=made.env, cwd=context, capture_output=True, text=True,
            )  # fmt: skip
            assert told.returncode == 0, told.stderr
            metadata = json.loads((context.parent / "m").read_text())
            digests.append((metadata["containerimage.digest"], (context.parent / "o.tar").read_bytes()))
            history = json.loads(made.out("inspect", "same"))[0]
            assert history["Created"].startswith("2020-09-13T12:26:40")
        finally:
            made.close()
    assert digests[0][0] == digests[1][0]
    assert digests[0][1] == digests[1][1]
