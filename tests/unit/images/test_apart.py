"""Unpacking beside whoever makes the archive: in a process, or in a thread where there are threads already."""

from __future__ import annotations

import io
import os
import signal
import threading

import pytest

from lading.errors import Corrupt, Exhausted, InvalidInput, LadingError
from lading.images.apart import Apart, Beside
from lading.images.limits import Limits

both = pytest.mark.parametrize("kind", [Apart, Beside])


@pytest.fixture
def place(tmp_path):
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@both
def test_what_is_written_is_unpacked(kind, place, new_tar):
    data = new_tar().dir("a").file("a/b", b"1").file("big", bytes(3 << 20)).link("c", "a/b").bytes()
    unpacking = kind(str(place), Limits())
    for start in range(0, len(data), 777):
        unpacking.write(data[start : start + 777])
    made = unpacking.finish()
    unpacking.close()
    assert (made.entries, made.size, made.implicit, made.links, made.notes, made.marks) == (
        4, 1 + (3 << 20), [b""], [], [], False,
    )  # fmt: skip
    assert (place / "a/b").read_bytes() == b"1" and (place / "c").stat().st_nlink == 2


@both
@pytest.mark.parametrize(
    ("archive", "kind_of_error", "reason"),
    [
        (lambda tar: tar().file("../x").bytes(), InvalidInput, "hostile-archive"),
        (lambda tar: tar().file("x", b"1" * 5000).bytes()[:1024], Corrupt, "truncated"),
        (lambda tar: tar().file("x", bytes(2 << 20)).bytes(), Exhausted, "too-large"),
    ],
)
def test_errors_are_those_of_unpacking(kind, place, new_tar, archive, kind_of_error, reason):
    unpacking = kind(str(place), Limits(bytes=1 << 20))
    with pytest.raises(kind_of_error) as told:
        data = io.BytesIO(archive(new_tar))
        while piece := data.read(1000):
            unpacking.write(piece)
        unpacking.finish()
    assert told.value.reason == reason
    unpacking.close()


def test_a_child_that_is_killed_is_told_of_and_waited_for(place):
    unpacking = Apart(str(place), Limits())
    os.kill(unpacking._pid, signal.SIGKILL)
    with pytest.raises(LadingError) as told:
        for _ in range(100):
            unpacking.write(bytes(1 << 20))
        unpacking.finish()
    assert told.value.reason == "aborted"
    unpacking.close()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@both
def test_giving_up_leaves_nobody_behind(kind, place, new_tar):
    before, open_files = threading.active_count(), set(os.listdir("/proc/self/fd"))
    unpacking = kind(str(place), Limits())
    unpacking.write(new_tar().file("x", bytes(1 << 20)).bytes()[: 1 << 19])
    unpacking.close()
    assert threading.active_count() == before
    assert set(os.listdir("/proc/self/fd")) == open_files
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
