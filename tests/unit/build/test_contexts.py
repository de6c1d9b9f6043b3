"""Contexts: what they say of their files, and what they remember."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lading.build.contexts import LocalContext
from lading.build.graph import Selection
from lading.build.origins import of_directory, of_files
from lading.build.remembered import Remembered
from lading.errors import InvalidInput, NotFound
from lading.kernel import Kernel

ALL = Selection(input=1, paths=["."])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    made = tmp_path / "context"
    made.mkdir()
    (made / "Dockerfile").write_text("FROM scratch\n")
    return made


def at(place: Path, tmp_path: Path) -> LocalContext:
    return LocalContext.at(Kernel(), str(place), what="the context", ignore=None, data=str(tmp_path / "data"))


def old(path: Path, text: str) -> None:
    path.write_text(text)
    os.utime(path, (1, 1))


def test_the_digest_is_of_content_and_modes_and_not_of_times(place, tmp_path):
    (place / "f").write_text("x")
    first = at(place, tmp_path).digest(ALL, None)
    os.utime(place / "f", (5, 5))
    assert at(place, tmp_path).digest(ALL, None) == first
    (place / "f").chmod(0o755)
    assert at(place, tmp_path).digest(ALL, None) != first


def test_what_is_remembered_never_hides_a_change(place, tmp_path):
    old(place / "f", "one")
    context = at(place, tmp_path)
    before = context.digest(ALL, None)
    context.close()
    assert at(place, tmp_path).digest(ALL, None) == before
    old(place / "f", "two")  # the same size and time; the inode's own time is another
    assert at(place, tmp_path).digest(ALL, None) != before


def test_a_file_that_is_known_is_not_read_again(tmp_path):
    (tmp_path / "f").write_text("x")
    there = os.stat(tmp_path / "f")
    long_ago = os.stat_result((*there[:7], 1, 1, 1), {"st_mtime_ns": 1, "st_ctime_ns": 1})
    memory = Remembered(str(tmp_path / "memory"))
    asked: list[int] = []

    def find() -> tuple[str, str]:
        asked.append(1)
        return "digest", ""

    for _ in range(2):
        assert memory.facts("caf\udce9", long_ago, find) == ("digest", "")
    memory.save()
    again = Remembered(str(tmp_path / "memory"))
    assert again.facts("caf\udce9", long_ago, find) == ("digest", "")
    assert len(asked) == 1
    assert memory.facts("young", there, find) == memory.facts("young", there, find)
    assert len(asked) == 3  # what has just changed may change again within the clock's tick


def test_a_broken_memory_is_begun_anew(tmp_path):
    (tmp_path / "memory").write_bytes(b"1\0f\0broken")
    memory = Remembered(str(tmp_path / "memory"))
    assert memory.facts("f", os.stat(tmp_path), lambda: ("d", "")) == ("d", "")


def test_a_change_while_files_are_copied_is_noticed(place, tmp_path):
    (place / "f").write_text("one")
    context = at(place, tmp_path)
    before = context.digest(ALL, None)
    tree = context.tree(Kernel())
    try:
        context.check(tree, ALL, before, None)
        (place / "f").write_text("two")
        with pytest.raises(InvalidInput) as error:
            context.check(tree, ALL, before, None)
        assert error.value.reason == "changed"
    finally:
        os.close(tree.fd)


def test_a_context_that_disappears_is_said(place, tmp_path):
    context = at(place, tmp_path)
    os.rename(place, tmp_path / "elsewhere")
    with pytest.raises(NotFound) as error:
        context.digest(ALL, None)
    assert error.value.reason == "no-context"
    for path in (place, tmp_path / "elsewhere/Dockerfile", Path("/\0")):
        with pytest.raises((NotFound, InvalidInput)):
            at(path, tmp_path)


def test_the_ignore_file_beside_the_dockerfile_comes_first(place, tmp_path):
    for name in ("one", "two", "three"):
        (place / name).write_text("")
    (place / ".dockerignore").write_text("one\n")

    def left(file: str = "") -> list[str]:
        origin = of_directory(Kernel(), str(place), file=file, data=str(tmp_path / "data"))
        assert origin.context is not None
        return [n for n in ("one", "two", "three") if origin.ignore is not None and origin.ignore.ignored(n)]

    assert left() == ["one"]
    (place / ".containerignore").write_text("two\n")
    assert left() == ["two"]
    (place / "Dockerfile.dockerignore").write_text("three\n")
    assert left() == ["three"]
    (place / "Other").write_text("FROM scratch\n")
    assert left(str(place / "Other")) == ["two"]
    assert left("Other") == ["two"]


def test_the_dockerfile_of_what_arrived_is_found_in_it_alone(place, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (place / "Dockerfile").unlink()
    closed: list[int] = []

    def arrived() -> LocalContext:
        return LocalContext(Kernel(), str(place), what="the archive", done=lambda: closed.append(1))

    for target in ("/etc/passwd", "../secret", "../../../../../../etc/passwd"):
        (place / "Dockerfile").symlink_to(target)
        with pytest.raises(NotFound) as error:
            of_files(Kernel(), arrived(), file="")
        assert error.value.reason == "no-dockerfile"
        (place / "Dockerfile").unlink()
    assert len(closed) == 3
    (place / "d").mkdir()
    (place / "d/file").write_text("FROM scratch\n")
    (place / "d/file.dockerignore").write_text("x\n")
    origin = of_files(Kernel(), arrived(), file="d/file")
    assert origin.data == b"FROM scratch\n"
    assert origin.ignore is not None and origin.ignore.ignored("x")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not read")
def test_a_directory_that_may_not_be_entered_is_not_one_without_a_dockerfile(tmp_path, monkeypatch):
    (tmp_path / "locked").mkdir(mode=0o700)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    os.seteuid(65534)
    try:
        with pytest.raises(InvalidInput, match="'locked': Permission denied"):
            of_directory(Kernel(), "locked", file="", data=str(tmp_path / "data"))
    finally:
        os.seteuid(0)
