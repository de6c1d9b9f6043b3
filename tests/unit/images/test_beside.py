"""Directories that appear whole or not at all, and what a kill leaves of them."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lading.errors import InvalidInput, KernelError
from lading.images import beside
from lading.images.beside import Making, finish_others

#: Makes a directory, says so, and waits to be killed.
MAKER = """
import sys, time
from lading.images.beside import Making
with Making(sys.argv[1], overwrite=True) as made:
    open(made.path + "/half", "w").close()
    print("here", flush=True)
    time.sleep(600)
"""


def _make(place: str, name: str, *, overwrite: bool = True) -> None:
    with Making(place, overwrite=overwrite) as made:
        open(f"{made.path}/{name}", "w").close()


def _killed(place: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", MAKER, str(place)], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"here\n"
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    process.stdout.close()


def test_a_directory_is_replaced_when_the_new_one_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "out"
    _make(str(place), "old")
    with pytest.raises(RuntimeError), Making(str(place), overwrite=True):
        raise RuntimeError
    assert os.listdir(tmp_path) == ["out"] and os.listdir(place) == ["old"]
    _make(str(place) + "/", "new")
    assert os.listdir(tmp_path) == ["out"] and os.listdir(place) == ["new"]
    with pytest.raises(InvalidInput, match="there already"):
        _make(str(place), "x", overwrite=False)


def test_a_place_is_named_from_where_the_user_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RuntimeError), Making("out"):
        raise RuntimeError
    assert os.listdir(tmp_path) == []
    _make("out", "x", overwrite=False)
    assert os.listdir("out") == ["x"]


def test_only_a_directory_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link"):
        with pytest.raises(InvalidInput, match="no directory"):
            _make(str(tmp_path / name), "x")
    assert (tmp_path / "file").read_text() == "mine" and (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("said", [".", "..", "./", "out/.", "out/.."])
def test_a_directory_is_called_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match="no name"), Making(said, overwrite=True):
        pytest.fail("all the work would be for nothing")


def test_where_names_cannot_be_exchanged_they_are_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Old:
        def exchange(self, _one: str, _other: str) -> None:
            raise KernelError("renameat2", errno.EINVAL)

    monkeypatch.setattr(beside, "Kernel", Old)
    _make(str(tmp_path / "out"), "old")
    _make(str(tmp_path / "out"), "new")
    assert os.listdir(tmp_path) == ["out"] and os.listdir(tmp_path / "out") == ["new"]


def test_what_a_kill_left_goes_with_the_next_command(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/old").write_text("")
    _killed(tmp_path / "out")
    assert len(os.listdir(tmp_path)) == 2 and os.listdir(tmp_path / "out") == ["old"]
    _make(str(tmp_path / "other"), "x")
    assert sorted(os.listdir(tmp_path)) == ["other", "out"]


def test_what_somebody_is_making_stays_and_so_does_what_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "notes.lading-unfinished-abc").mkdir()
    (tmp_path / "notes.lading-unfinished-0123456789ab").write_text("a file")
    (tmp_path / "link.lading-unfinished-0123456789ab").symlink_to("/etc")
    with Making(str(tmp_path / "one")) as made:
        open(f"{made.path}/x", "w").close()
        _make(str(tmp_path / "two"), "y")
    assert sorted(os.listdir(tmp_path)) == [
        "link.lading-unfinished-0123456789ab", "notes.lading-unfinished-0123456789ab", "notes.lading-unfinished-abc",
        "one", "two",
    ]  # fmt: skip


def test_what_was_just_taken_away_is_put_back(tmp_path: Path) -> None:
    """As a kill between two renames leaves it, on a file system that cannot exchange names."""
    left = tmp_path / "out.lading-unfinished-0123456789ab"
    (left / "new").mkdir(parents=True)
    (left / "old").mkdir()
    (left / "old/precious").write_text("")
    (left / "of").symlink_to("out")
    finish_others(str(tmp_path))
    assert os.listdir(tmp_path) == ["out"] and os.listdir(tmp_path / "out") == ["precious"]


def test_a_long_name_has_room_beside_it(tmp_path: Path) -> None:
    name = "ä" * 127
    _make(str(tmp_path / name), "x")
    assert os.listdir(tmp_path) == [name]


def test_a_directory_of_the_machine_is_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def untouched(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Making, "_take", untouched)
    (tmp_path / "up").symlink_to("..")
    for place in ("/usr", "/tmp", "/usr/", f"{tmp_path}/up/../../../../../../../../usr"):
        with pytest.raises(InvalidInput, match="of the machine"):
            _make(place, "x")


def test_a_directory_that_others_use_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for mode in (0o777, 0o1755):
        (tmp_path / "shared").mkdir(exist_ok=True)
        (tmp_path / "shared").chmod(mode)
        with pytest.raises(InvalidInput, match="others"):
            _make(str(tmp_path / "shared"), "x")
    (tmp_path / "own/deep").mkdir(parents=True)
    monkeypatch.setattr(beside, "_mounts", lambda: ["/", "/proc", f"{tmp_path}/own/deep"])
    for name in ("own", "own/deep"):
        with pytest.raises(InvalidInput, match="mounted at"):
            _make(str(tmp_path / name), "x")
    assert sorted(os.listdir(tmp_path)) == ["own", "shared"]
