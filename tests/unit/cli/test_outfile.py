"""``--output``: a new file whole or not at all, and everything that is no file written through, never replaced."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lading.cli.outfile import writing
from lading.errors import InvalidInput, LadingError


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with writing(str(target)) as stream:
        stream.write(b"one")
        assert not target.exists()
    assert target.read_bytes() == b"one"
    with pytest.raises(RuntimeError), writing(str(target)) as stream:
        stream.write(b"half of two")
        raise RuntimeError
    assert target.read_bytes() == b"one" and os.listdir(tmp_path) == ["out"]


def test_a_link_keeps_leading_to_the_file_that_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    with writing(str(tmp_path / "link")) as stream:
        stream.write(b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_bytes() == b"new"


@pytest.mark.parametrize("by_link", [False, True])
def test_a_fifo_is_written_through_and_stays_one(tmp_path: Path, by_link: bool) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    name = fifo
    if by_link:
        name = tmp_path / "link"
        name.symlink_to(fifo)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(fifo.read_bytes()))
    reader.start()
    with writing(str(name)) as stream:
        stream.write(b"through")
    reader.join()
    assert got == [b"through"] and fifo.is_fifo()


def test_a_device_is_written_through() -> None:
    # A terminal of our own: where devpts is mounted no file can be made, so a mistake here harms no one.
    ours, theirs = os.openpty()
    try:
        with writing(os.ttyname(theirs)) as stream:
            stream.write(b"through")
        assert os.read(ours, 100) == b"through"
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize("name", ["/dev/stdout", "/proc/self/fd/1", "/dev/fd/{}"])
def test_our_own_descriptors_go_on_where_they_are(tmp_path: Path, name: str) -> None:
    code = (
        "import sys;from lading.cli.outfile import writing\nwith writing(sys.argv[1]) as s: s.write(b'body')"
    )
    target = tmp_path / "out"
    with target.open("wb") as out:
        out.write(b"head ")
        out.flush()
        fd = out.fileno()
        command = [sys.executable, "-c", code, name.format(fd)]
        subprocess.run(command, stdout=out, pass_fds=(fd,), check=True)
    assert target.read_bytes() == b"head body" and os.listdir(tmp_path) == ["out"]


def test_where_nothing_can_be_written_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is a directory"), writing(str(tmp_path)):
        pass
    with pytest.raises(LadingError, match="No such file") as caught, writing(str(tmp_path / "no" / "where")):
        pass
    assert caught.value.reason == "io"
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(LadingError), writing(str(tmp_path / "loop")):
        pass


KILLED = """
import os, sys
from lading.cli.outfile import writing
with writing(sys.argv[1]) as out:
    out.write(b"x" * 100000)
    out.flush()
    os.kill(os.getpid(), 9)
"""


def test_a_kill_leaves_nothing_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("as it was")
    for name in ("new", "old"):
        assert subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / name)]).returncode == -9
    assert os.listdir(tmp_path) == ["old"] and (tmp_path / "old").read_text() == "as it was"


def test_where_no_file_can_be_without_a_name_it_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = os.open

    def refusing(path: str, flags: int, mode: int = 0o777, **more: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "not here")
        return plain(path, flags, mode, **more)

    monkeypatch.setattr(os, "open", refusing)
    for text in (b"one", b"two"):
        with writing(str(tmp_path / "out")) as stream:
            stream.write(text)
        assert (tmp_path / "out").read_bytes() == text and os.listdir(tmp_path) == ["out"]
