"""A container's end arrives whole, also when the keeper closes while input is still on its way there."""

from __future__ import annotations

import os
import socket

from lading.node.session import ExecSession, SocketSession, pump
from lading.runtime.execute import Exec


def test_an_exit_code_is_heard_though_the_keeper_closed_with_input_unread() -> None:
    keeper, caller = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    keeper.send(b"1last words")
    keeper.send(b"x7")
    session = SocketSession(caller, tty=True)
    session.write(b"too late")
    keeper.close()
    assert session.read() == [(1, b"last words")]
    assert session.wait() == 7


def test_a_keeper_that_was_killed_leaves_an_unknown_status() -> None:
    keeper, caller = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    session = SocketSession(caller, tty=False)
    session.write(b"unread")
    keeper.close()
    assert session.wait() == 255


def test_input_that_is_not_taken_yet_keeps_nobody_from_reading() -> None:
    keeper, caller = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    signals: list[int] = []
    session = SocketSession(caller, tty=False, kill=signals.append)
    session.offer(b"x" * 4_000_000)
    session.close_stdin()
    assert session.unsent == caller.fileno()
    keeper.send(b"1meanwhile")
    assert session.read() == [(1, b"meanwhile")]
    session.signal(15)  # not behind the input
    assert signals == [15]
    got = b""
    while (packet := keeper.recv(1 << 20)) != b"c":
        assert packet[:1] == b"0"
        got += packet[1:]
        session.flush()
    assert got == b"x" * 4_000_000
    assert session.unsent == -1
    keeper.close()
    caller.close()


def test_an_echo_of_more_than_everybody_can_hold() -> None:
    """The process says back what it is told: whoever waits to be heard before listening waits for ever."""
    stdin_read, stdin_write = os.pipe()
    stdout_read, stdout_write = os.pipe()
    source, sink = os.pipe(), os.memfd_create("sink")
    said = os.urandom(3_000_000)
    pids = []
    for reads, writes, work in (
        (stdin_read, stdout_write, lambda: os.execlp("cat", "cat")),
        (-1, source[1], lambda: _write_all(said)),
    ):
        pid = os.fork()
        if pid == 0:
            try:
                if reads >= 0:
                    os.dup2(reads, 0)
                os.dup2(writes, 1)
                os.closerange(3, 1000)
                work()
            finally:
                os._exit(0)
        pids.append(pid)
    for fd in (stdin_read, stdout_write, source[1]):
        os.close(fd)
    session = ExecSession(Exec(pids[0], -1), (stdin_write, stdout_read, -1))
    assert pump(session, source[0], sink, -1) == 0
    os.waitpid(pids[1], 0)
    os.lseek(sink, 0, 0)
    with open(sink, "rb") as file:
        assert file.read() == said
    os.close(source[0])


def _write_all(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]
