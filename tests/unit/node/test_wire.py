"""A keeper's socket and its packets."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lading.errors import LadingError, NotFound
from lading.node import sockets, wire


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("no_umask")
def test_only_the_owner_may_connect_whatever_the_umask(tmp_path: Path) -> None:
    path = str(tmp_path / "keeper")
    with closing(sockets.listen(path)):
        assert stat.S_IMODE(os.lstat(path).st_mode) == 0o600
        sockets.connect(path).close()


def test_a_socket_takes_the_place_of_one_that_a_killed_keeper_left(tmp_path: Path) -> None:
    path = str(tmp_path / "keeper")
    for left in (path, path + ".new"):
        sockets.listen(left).close()
    with pytest.raises(NotFound) as caught:
        sockets.connect(path)
    assert caught.value.reason == "no-keeper"
    with closing(sockets.listen(path)):
        sockets.connect(path).close()
    assert not os.path.lexists(path + ".new")


def test_a_place_where_nobody_can_listen_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LadingError, match=r"keeper.s socket .*/file/keeper: "):
        sockets.listen(str(tmp_path / "file" / "keeper"))


def test_a_big_message_and_its_descriptors_arrive_whole() -> None:
    ours, theirs = sockets.pair()
    with closing(ours), closing(theirs), open(os.devnull) as null:
        wire.send(ours, {"pod": "x" * 300_000}, [null.fileno()])
        data, fds = wire.receive(theirs)
        assert wire.message(data, fds) == {"pod": "x" * 300_000}
        assert len(fds) == 1 and os.path.sameopenfile(fds[0], null.fileno())
        os.close(fds[0])


def test_a_keeper_that_does_not_answer_is_named_and_the_caller_goes_on(tmp_path: Path) -> None:
    path = str(tmp_path / "keeper")
    listening = closing(sockets.listen(path))
    with listening, closing(sockets.connect(path)) as sock, pytest.raises(LadingError) as caught:
        wire.ask(sock, {"op": "policy"}, within=0.05)
    assert caught.value.reason == "keeper-hangs"
    assert f"process {os.getpid()}) did not answer policy" in caught.value.message
    assert f"kill -CONT {os.getpid()}" in caught.value.hint


def test_a_keeper_that_answered_in_time_may_be_silent_afterwards() -> None:
    ours, theirs = sockets.pair()
    with closing(ours), closing(theirs):
        wire.send(theirs, {"tty": True})
        assert wire.ask(ours, {"op": "attach"}, within=60.0) == {"tty": True}
        assert ours.gettimeout() is None
