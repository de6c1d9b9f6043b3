"""A container's end arrives whole, also when the keeper closes while input is still on its way there."""

from __future__ import annotations

import socket

from lading.node.session import SocketSession


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
