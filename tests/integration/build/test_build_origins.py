"""What goes into a build: streams, archives, repositories, URLs, named contexts."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.buildsite import BuildSite

pytestmark = pytest.mark.root

FILE = "FROM busybox\nCOPY . /c\nRUN cd /c && find . | sort && stat -c '%u:%g %n' *\n"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[BuildSite]:
    (tmp_path / "www").mkdir()
    made = BuildSite(tmp_path / "www")
    yield made
    made.close()


def piped(lading, data: bytes, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        lading.argv(["build", "--progress=plain", *words]),
        env=lading.env,
        input=data,
        capture_output=True,
        timeout=120,
        check=False,
    )


def archive(files: dict[str, str], mode: str = "w", **kinds: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.type = (
                kinds.get("type", tarfile.REGTYPE) if name in kinds.get("names", ()) else tarfile.REGTYPE
            )
            info.uid = info.gid = 7
            if info.type == tarfile.REGTYPE:
                info.size = len(text.encode())
                tar.addfile(info, io.BytesIO(text.encode()))
            else:
                info.linkname = text
                tar.addfile(info)
    return out.getvalue()


def git(where: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main", *words],
        cwd=where,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


def repository(site: BuildSite, name: str, files: dict[str, str], *how: str) -> Path:
    place = site.root / name
    place.mkdir()
    git(place, "init", "--quiet", *how)
    return commit(place, files)


def commit(place: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(text)
    git(place, "add", ".")
    git(place, "commit", "--quiet", "-m", "text")
    git(place, "update-server-info")
    return place


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_an_archive_on_standard_input_is_a_context_with_its_owners(lading, mode):
    data = archive({"Dockerfile": FILE, "f": "x", ".dockerignore": "skipped\n", "skipped": ""}, mode)
    done = piped(lading, data, "--no-cache", "-")
    assert done.returncode == 0, done.stderr
    assert b"7:7 f" in done.stderr
    assert b"skipped" not in done.stderr.replace(b".dockerignore", b"")


def test_a_dockerfile_on_standard_input_has_no_context(lading, context):
    assert b"alone" in piped(lading, b"FROM busybox\nRUN echo alone\n", "--no-cache", "-").stderr
    refused = piped(lading, b"FROM busybox\nCOPY . /\n", "-")
    assert refused.returncode == 1
    assert b"no-context" in refused.stderr or b"there is none" in refused.stderr
    context.file("f", "from the directory")
    done = piped(lading, b"FROM busybox\nCOPY f /\nRUN cat /f\n", "--no-cache", "-f", "-", str(context))
    assert b"from the directory" in done.stderr
    assert piped(lading, b"", "-f", "-", "-").returncode != 0
    assert piped(lading, b"", "-").returncode != 0


def test_a_hostile_archive_is_refused_and_leaves_nothing(lading, tmp_path):
    for files, kinds in (
        ({"../out": "x"}, {}),
        ({"Dockerfile": "/etc/passwd"}, {"type": tarfile.SYMTYPE, "names": ("Dockerfile",)}),
    ):
        done = piped(lading, archive(files, **kinds), "-")
        assert done.returncode != 0
        assert b"root:" not in done.stderr
    assert piped(lading, b"\x1f\x8b broken", "-").returncode != 0
    assert os.listdir(lading.base / "root/images/staging") == []
    assert lading.out("check") == "Everything is as recorded."


def test_a_repository_is_a_context_at_a_ref_and_a_directory(lading, site):
    place = repository(site, "r.git", {"Dockerfile": FILE, "f": "one", "d/Dockerfile": FILE, "d/only": ""})
    git(place, "tag", "-a", "v1", "-m", "v1")
    commit(place, {"later": ""})
    url = f"{site.url}/r.git/.git"
    told = lading("build", "--progress=plain", "--no-cache", url, check=True).stderr
    assert "./later" in told and ".git" not in told.split("RUN")[-1]
    told = lading("build", "--progress=plain", "--no-cache", f"{url}#v1:d", check=True).stderr
    assert "./only" in told and "./later" not in told
    head = git(place, "rev-parse", "HEAD")
    told = lading(
        "build", "--progress=plain", "--no-cache", f"{url}?ref={head[:10]}&subdir=d", check=True
    ).stderr
    assert "./only" in told
    for bad in ("#none", "?branch=main&nothing=1", "#v1:missing"):
        assert lading("build", url + bad).returncode != 0
    assert os.listdir(lading.base / "root/images/staging") == []


def test_submodules_come_along_but_not_from_this_machine(lading, site, tmp_path):
    sub = repository(site, "sub.git", {"inner": "x"})
    place = repository(site, "main.git", {"Dockerfile": FILE})
    git(place, "submodule", "--quiet", "add", f"{site.url}/sub.git/.git", "sm")
    git(place, "commit", "--quiet", "-m", "sub")
    git(place, "update-server-info")
    told = lading("build", "--progress=plain", "--no-cache", f"{site.url}/main.git/.git", check=True).stderr
    assert "./sm/inner" in told
    (place / ".gitmodules").write_text(f'[submodule "sm"]\n\tpath = sm\n\turl = {sub}\n')
    commit(place, {})
    refused = lading("build", f"{site.url}/main.git/.git")
    assert refused.returncode != 0
    assert "transport 'file' not allowed" in refused.stderr
    told = lading(
        "build", "--progress=plain", f"{site.url}/main.git/.git?submodules=false", check=True
    ).stderr
    assert "./sm/inner" not in told


def test_add_takes_urls_and_repositories_by_their_content(lading, site, context):
    place = repository(site, "r.git", {"f": "one"})
    (site.root / "file.txt").write_text("text")
    site.times["/file.txt"] = 1_000_000_000
    context.dockerfile(
        f"FROM busybox\nADD {site.url}/file.txt /d/\nADD {site.url}/r.git/.git#main /g\n"
        f"ADD --keep-git-dir=true {site.url}/r.git/.git#main /k\n"
        "RUN stat -c '%n %a %Y %u' /d/file.txt; cat /d/file.txt /g/f; ls -a /g /k\n"
    )
    told = lading("build", "--progress=plain", str(context), check=True).stderr
    assert "/d/file.txt 600 1000000000 0" in told
    assert told.count(".git") > 4
    assert "DONE" not in lading("build", "--progress=plain", str(context), check=True).stderr.replace(
        "store", ""
    )
    commit(place, {"f": "two"})
    assert "DONE" in lading("build", "--progress=plain", str(context), check=True).stderr
    (site.root / "file.txt").write_text("changed")
    assert "changed" in lading("build", "--progress=plain", str(context), check=True).stderr


def test_add_unpacks_archives_of_the_context_and_of_urls_when_told(lading, site, context):
    data = archive({"in/f": "x", "in/l": "f"}, "w:gz", type=tarfile.SYMTYPE, names=("in/l",))
    (site.root / "a.tgz").write_bytes(data)
    (context.path / "a.tgz").write_bytes(data)
    (context.path / "not.tgz").write_bytes(b"\x1f\x8b no archive")
    context.dockerfile(
        f"FROM busybox\nADD a.tgz not.tgz /l/\nADD --unpack=false a.tgz /p/\nADD {site.url}/a.tgz /u/\n"
        f"ADD --unpack=true --chown=5:6 {site.url}/a.tgz /v/\n"
        "RUN for d in l p u v; do find /$d | sort; done; stat -c '%u:%g %n' /l/in/f /v/in/f; ls /l /v\n"
    )
    told = lading("build", "--progress=plain", str(context), check=True).stderr
    for name in (
        "/l/in/f",
        "/l/not.tgz",
        "/p/a.tgz",
        "/u/a.tgz",
        "/v/in/l",
        "7:7 /l/in/f",
        "5:6 /v/in/f",
    ):
        assert name in told, name
    assert "/l/a.tgz" not in told


def test_add_refuses_what_leaves_the_destination_and_wrong_checksums(lading, site, context):
    (context.path / "bad.tar").write_bytes(archive({"../../etc/x": "x"}))
    context.dockerfile("FROM busybox\nADD bad.tar /d/\n")
    assert "bad.tar" in lading("build", str(context)).stderr
    (site.root / "f").write_text("x")
    context.dockerfile(f"FROM busybox\nADD --checksum=sha256:{'0' * 64} {site.url}/f /f\n")
    refused = lading("build", str(context))
    assert refused.returncode == 1
    assert "Dockerfile:2" in refused.stderr and "was to be" in refused.stderr


def test_contexts_with_names_stand_in_place_of_images_and_stages(lading, context, tmp_path):
    (tmp_path / "named").mkdir()
    (tmp_path / "named/f").write_text("named\n")
    (tmp_path / "named/.dockerignore").write_text("skip*\n")
    (tmp_path / "named/skipped").write_text("")
    context.dockerfile(
        "FROM alpine AS base\nFROM busybox AS other\nRUN exit 1\nFROM base\nCOPY --from=other . /n/\n"
        "COPY --from=files f /g\nRUN --mount=from=files,target=/m ls /m /n; cat /g\n"
    )
    told = lading(
        "build", "--progress=plain", "--no-cache", "--build-context", f"other={tmp_path}/named", "--build-context",
        f"files={tmp_path}/named", "--build-context", "alpine=docker-image://busybox", str(context), check=True,
    ).stderr  # fmt: skip
    assert "named" in told and "skipped" not in told
    context.dockerfile("FROM files\n")
    lading(
        "build", "-q", "--build-context", f"files={tmp_path}/named", "-t", "based", str(context), check=True
    )
    for bad in ("x", "x=", "x=ftp://h/y", f"x={tmp_path}/none", f"x=oci-layout://{tmp_path}"):
        assert lading("build", "--build-context", bad, str(context)).returncode != 0


def test_images_and_archives_stand_under_names(lading, site, context, tmp_path):
    layout = tmp_path / "layout"
    output = f"type=oci,tar=false,dest={layout},name=a:v1"
    piped(lading, b"FROM busybox\nRUN echo >/of-layout\n", "-o", output, "-")
    piped(lading, b"FROM busybox\nRUN echo >/of-image\n", "-t", "other:1", "-")
    digest = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    (site.root / "a.tgz").write_bytes(archive({"in/f": "x"}, "w:gz"))
    (site.root / "f").write_text("x")
    context.dockerfile("FROM busybox AS stage\nRUN echo >/of-stage\nFROM base\nRUN ls /\n")
    for value, found in (
        (f"oci-layout://{layout}", "of-layout"),
        (f"oci-layout://{layout}:v1", "of-layout"),
        (f"oci-layout://{layout}@{digest}", "of-layout"),
        (f"oci-layout://{layout}:v1@{digest}", "of-layout"),
        ("docker-image://other:1", "of-image"),
        ("target:stage", "of-stage"),
    ):
        done = lading(
            "build", "--progress=plain", "--no-cache", "--build-context", f"base={value}", str(context)
        )
        assert done.returncode == 0, done.stderr
        told = [line for line in done.stderr.splitlines() if " of-" in line]
        assert len(told) == 1 and told[0].endswith(f" {found}"), value
    context.dockerfile("FROM busybox\nCOPY --from=archive . /a\nCOPY --from=file . /f\nRUN find /a /f\n")
    done = lading(
        "build", "--progress=plain", "--build-context", f"archive={site.url}/a.tgz", "--build-context",
        f"file={site.url}/f", str(context), check=True,
    )  # fmt: skip
    assert "/a/in/f\n" in done.stderr and "/f/context\n" in done.stderr
    context.dockerfile("FROM base\n")
    for value, said in (
        ("target:", "names nothing"),
        (f"oci-layout://{layout}:none", "no image with the tag"),
        (f"oci-layout://{layout}:v1@sha256:{'0' * 64}", "is " + digest),
        (f"oci-layout://{layout}@v1", "no digest"),
        (f"{site.url}/none", "does not exist"),
    ):
        done = lading("build", "--build-context", f"base={value}", str(context))
        assert done.returncode == 1 and said in done.stderr, done.stderr


def test_platforms_are_known_before_an_image_is_asked_for(lading, context):
    for platform, said in (
        ("bogus", "neither an operating system"),
        ("$NONE", "empty"),
        ("a/b/c/d", "is not os"),
    ):
        context.dockerfile(f"FROM nowhere.invalid/none\nFROM --platform={platform} busybox\n")
        done = lading("build", str(context))
        assert done.returncode == 1
        assert "/Dockerfile:2: --platform" in done.stderr.splitlines()[0] and said in done.stderr


def test_what_was_fetched_is_in_the_cache_s_list_and_goes_with_it(lading, site, context):
    repository(site, "r.git", {"f": "one"})
    (site.root / "file.txt").write_text("text")
    context.dockerfile(f"FROM scratch\nADD {site.url}/file.txt /\nADD {site.url}/r.git/.git#main /g\n")
    lading("build", "-q", str(context), check=True)
    for kind, shown in (
        ("source.http", f"download {site.url}/file.txt"),
        ("source.git.checkout", f"repository {site.url}/r.git/.git"),
    ):
        rows = lading.out("builder", "du", "--filter", f"type={kind}", "--format", "json").splitlines()
        assert shown in {json.loads(row)["description"] for row in rows}
    assert lading("builder", "du", "--filter", "type=source.other").returncode == 1
    lading("builder", "prune", "-f", "-a", check=True)
    left = list((lading.base / "root/build").glob("*/*/files"))
    assert left == []
    lading("build", "-q", "--no-cache", str(context), check=True)
    assert lading.out("check") == "Everything is as recorded."


def test_a_repository_of_sha256_names(lading, site, context):
    place = repository(site, "wide.git", {"f": "wide"}, "--object-format=sha256")
    head = git(place, "rev-parse", "HEAD")
    assert len(head) == 64
    url = f"{site.url}/wide.git/.git"
    context.dockerfile(
        f"FROM busybox\nADD {url}#main /a\nADD --checksum={head} {url}#{head} /b\nADD --keep-git-dir=true {url} /c\n"
        "RUN echo $(cat /a/f /b/f /c/f) && test -e /c/.git/config && test ! -e /a/.git\n"
    )
    assert " widewidewide\n" in lading("build", "--progress=plain", str(context), check=True).stderr
