"""Files that somebody hostile may have replaced by something that acts when it is opened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lading.kernel import Kernel
from lading.kernel.paths import open_plain, open_plain_inside


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is really opened, not only looked at."""
    found = []
    real = os.open

    def watched(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if not flags & os.O_PATH:
            found.append(path)
        return real(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", watched)
    return found


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    directory = os.open(tmp_path, os.O_RDONLY)
    for fd in (
        open_plain(str(tmp_path / "file")),
        open_plain(b"file", dir_fd=directory),
        open_plain_inside(Kernel(), directory, "/file"),
    ):
        assert os.read(fd, 10) == b"text"
        assert not os.get_inheritable(fd)
        os.close(fd)
    os.close(directory)


@pytest.mark.parametrize("kind", ["fifo", "device", "directory", "link"])
def test_nothing_else_is_opened(tmp_path: Path, opened: list[Any], kind: str) -> None:
    path = tmp_path / "file"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("/dev/null")
    place = "/dev/null" if kind == "device" else str(path)
    root = os.open("/", os.O_PATH)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match=r"Too many levels|No such device or address"):
        open_plain(place)
    with pytest.raises(OSError, match="No such device or address"):
        open_plain_inside(Kernel(), root, place)
    assert opened == []
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(root)
