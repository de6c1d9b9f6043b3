"""Files for ``type=local``: merged, whole, and never through a link that stands there."""

from __future__ import annotations

import os

import pytest

from lading.build.localfiles import write_files
from lading.errors import InvalidInput


@pytest.fixture
def layer(tmp_path):
    top = tmp_path / "layer"
    (top / "dir/deep").mkdir(parents=True)
    (top / "dir/file").write_text("new")
    (top / "dir/file").chmod(0o640)
    os.link(top / "dir/file", top / "dir/other")
    (top / "link").symlink_to("dir/file")
    os.mkfifo(top / "pipe")
    os.utime(top / "dir/file", (1000, 1000))
    os.utime(top / "dir", (2000, 2000))
    return top


def test_files_keep_mode_time_links_and_belong_to_the_caller(layer, tmp_path):
    out = tmp_path / "out/below"
    assert write_files([str(layer)], str(out)) == (4, 0)
    there = (out / "dir/file").stat()
    assert (there.st_mode & 0o7777, there.st_mtime, there.st_nlink) == (0o640, 1000, 2)
    assert (there.st_uid, there.st_gid) == (os.geteuid(), os.getegid())
    assert (out / "dir").stat().st_mtime == 2000
    assert os.readlink(out / "link") == "dir/file"
    assert (out / "pipe").is_fifo()
    assert sorted(p.name for p in out.iterdir()) == ["dir", "link", "pipe"]


def test_nothing_is_younger_than_asked_for(layer, tmp_path):
    out = tmp_path / "out"
    write_files([str(layer)], str(out), latest=1500)
    assert (out / "dir").stat().st_mtime == 1500
    assert (out / "dir/file").stat().st_mtime == 1000


def test_what_is_there_stays_or_is_replaced_and_no_link_is_followed(layer, tmp_path):
    out, outside = tmp_path / "out", tmp_path / "outside"
    out.mkdir()
    outside.mkdir()
    (outside / "file").write_text("mine")
    (out / "dir").symlink_to(outside)
    (out / "mine").write_text("mine")
    (out / "link").mkdir()
    (out / "link/inside").write_text("x")
    write_files([str(layer)], str(out))
    assert (outside / "file").read_text() == "mine"
    assert (out / "mine").read_text() == "mine"
    assert (out / "dir/file").read_text() == "new"
    assert (out / "link").is_symlink()
    write_files([str(layer)], str(out))
    assert (out / "dir/file").read_text() == "new"


def test_a_file_is_no_directory_to_write_to(layer, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InvalidInput):
        write_files([str(layer)], str(tmp_path / "out"))
