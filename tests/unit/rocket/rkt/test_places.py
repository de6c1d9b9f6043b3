"""Rocket's flags about directories, and its files about paths."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lading.cli.commands import ROOT
from lading.errors import InvalidInput, LadingError, Unsupported
from lading.flags import UsageError, parse
from lading.rocket.rkt.places import choose
from lading.roots import Roots


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LADING_ROOT", raising=False)
    for name in ("LADING_SYSTEM_CONFIG", "LADING_CONFIG"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("LADING_USER_CONFIG", "")


def _chosen(*words: str) -> Roots:
    choose(parse(ROOT, words))
    return Roots.default(uid=0)


def _paths(directory: Path, name: str = "a.json", **members: object) -> None:
    (directory / "paths.d").mkdir(parents=True, exist_ok=True)
    text = json.dumps({"rktKind": "paths", "rktVersion": "v1", **members})
    (directory / "paths.d" / name).write_text(text)


@pytest.mark.parametrize("words", [("--dir=/x", "list"), ("list", "--dir", "/x"), ("image", "--dir=/x", "list"),
                                   ("run", "--dir=/x", "y"), ("--dir=/y", "image", "list", "--dir=/x")])  # fmt: skip
def test_dir_is_where_things_are_kept_wherever_it_stands(words: tuple[str, ...]) -> None:
    assert _chosen("rkt", *words).data == "/x"


def test_a_directory_is_named_from_where_the_user_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert _chosen("rkt", "--dir=here", "list").data == str(tmp_path / "here")


def test_configuration_directories_are_chosen(tmp_path: Path) -> None:
    flags = [f"--{name}-config={tmp_path}" for name in ("local", "system", "user")]
    assert _chosen("rkt", *flags, "list").config == str(tmp_path)
    assert os.environ["LADING_SYSTEM_CONFIG"] == os.environ["LADING_USER_CONFIG"] == str(tmp_path)


@pytest.mark.parametrize("words", [("--dir=", "list"), ("--local-config=/absent", "list")])
def test_a_directory_that_is_none_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput, match=words[0].partition("=")[0]):
        _chosen("rkt", *words)


def test_two_roots_are_one_too_many() -> None:
    with pytest.raises(UsageError):
        _chosen("--root=/a", "rkt", "--dir=/b", "list")


def test_a_file_says_where_data_is_kept(tmp_path: Path) -> None:
    _paths(tmp_path / "system", data="/of-the-system", **{"stage1-images": "/x"})
    _paths(tmp_path / "local", **{"stage1-images": "/y"})
    flags = ("rkt", f"--system-config={tmp_path}/system", f"--local-config={tmp_path}/local")
    assert _chosen(*flags, "list").data == "/of-the-system"


def test_the_users_file_goes_over_the_local_one_and_a_flag_over_both(tmp_path: Path) -> None:
    _paths(tmp_path / "local", data="/of-the-machine")
    _paths(tmp_path / "user", data="/mine")
    flags = ("rkt", f"--local-config={tmp_path}/local", f"--user-config={tmp_path}/user")
    assert _chosen(*flags, "list", "--dir=/x").data == "/x"
    del os.environ["LADING_ROOT"]
    assert _chosen(*flags, "list").data == "/mine"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"rktKind": "auth", "rktVersion": "v1"}', InvalidInput), ('{"rktVersion": "v1"}', InvalidInput),
        ('{"rktKind": "paths", "rktVersion": "v2"}', Unsupported), ('{"rktKind": "paths"}', InvalidInput),
        ('{"rktKind": "paths", "rktVersion": "v1", "data": "here"}', InvalidInput),
        ('{"rktKind": "paths", "rktVersion": "v1", "dta": "/x"}', InvalidInput), ("[]", InvalidInput), ("{", InvalidInput),
    ],
)  # fmt: skip
def test_a_broken_file_is_named(text: str, error: type[LadingError], tmp_path: Path) -> None:
    (tmp_path / "paths.d").mkdir()
    (tmp_path / "paths.d/a.json").write_text(text)
    (tmp_path / "paths.d/notes.txt").write_text("not read")
    with pytest.raises(error, match=f"{tmp_path}/paths.d/a.json"):
        _chosen("rkt", f"--local-config={tmp_path}", "list")


def test_two_files_of_one_directory_may_not_both_say_it(tmp_path: Path) -> None:
    _paths(tmp_path, "a.json", data="/a")
    _paths(tmp_path, "b.json", data="/b")
    with pytest.raises(InvalidInput, match=r"b\.json"):
        _chosen("rkt", f"--local-config={tmp_path}", "list")
