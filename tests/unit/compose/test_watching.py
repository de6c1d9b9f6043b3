"""Which files a rule of ``develop.watch`` is about, and when a change is over."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from lading.compose.watching import Rule, archive
from lading.errors import InvalidInput
from lading.formats.compose.model_service import Build, Watch


def files(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def rule(root: Path, build: Build | None = None, **given: object) -> Rule:
    values: dict[str, object] = {"path": str(root), "action": "sync", "target": "/app", **given}
    return Rule("web", Watch(**values), "services.web.develop.watch[0]", build)


def test_patterns_are_those_of_ignore_files(tmp_path: Path) -> None:
    files(tmp_path, "a.py", "a.py~", ".git/x", "node_modules/m/x", "src/b.py", "src/c.txt", "src/.b.py.swp")
    assert sorted(rule(tmp_path).look()) == ["a.py", "node_modules/m/x", "src/b.py", "src/c.txt"]
    assert sorted(rule(tmp_path, ignore=["node_modules/", "**/*.txt"]).look()) == ["a.py", "src/b.py"]
    assert sorted(rule(tmp_path, include=["**/*.py"]).look()) == ["a.py", "src/b.py"]


def test_what_the_build_leaves_out_is_left_out_here(tmp_path: Path) -> None:
    files(tmp_path, "src/a", "src/b", "c")
    (tmp_path / ".dockerignore").write_text("src/b\n")
    assert sorted(rule(tmp_path / "src", Build(context=str(tmp_path))).look()) == ["a"]
    assert sorted(rule(tmp_path / "src", Build(context=str(tmp_path / "other"))).look()) == ["a", "b"]


def test_a_change_is_told_when_it_is_over(tmp_path: Path) -> None:
    files(tmp_path, "a", "b")
    made = rule(tmp_path)
    assert made.changed() == ([], [])
    files(tmp_path, "c")
    (tmp_path / "b").unlink()
    assert made.changed() == ([], [])
    assert made.changed() == (["c"], ["b"])
    assert made.changed() == ([], [])


def test_one_file_is_a_path_too(tmp_path: Path) -> None:
    files(tmp_path, "conf")
    made = rule(tmp_path / "conf", target="/etc/conf")
    assert list(made.look()) == [""]
    with tarfile.open(fileobj=io.BytesIO(archive(str(tmp_path / "conf"), "/etc/conf", [""]))) as tar:
        assert tar.getnames() == ["etc", "etc/conf"]


def test_what_is_copied_is_files_and_links_as_they_are_now(tmp_path: Path) -> None:
    files(tmp_path, "a", "deep/c")
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    (tmp_path / "link").symlink_to("a")
    os.mkfifo(tmp_path / "fifo")
    names = ["a", "b", "deep/c", "link", "fifo", "gone"]
    with tarfile.open(fileobj=io.BytesIO(archive(str(tmp_path), "/app", names))) as tar:
        found = {m.name: (m.isreg(), m.issym(), m.size) for m in tar if not m.isdir()}
        assert tar.extractfile("app/b").read() == b"a"  # type: ignore[union-attr]
    assert found == {
        "app/a": (True, False, 1),
        "app/b": (True, False, 1),
        "app/deep/c": (True, False, 6),
        "app/link": (False, True, 0),
    }


@pytest.mark.parametrize(
    "given", [{"action": "copy"}, {"target": ""}, {"target": "relative"}, {"action": "sync+exec"}]
)
def test_a_rule_that_makes_no_sense_is_refused(tmp_path: Path, given: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        rule(tmp_path, **given)
