"""Sockets that a service manager handed to this process: descriptors from 3 on, as sd_listen_fds(3) has it.

They are taken over once: the variables go, so that no program which is started from here takes them for its own.
"""

from __future__ import annotations

import _socket
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping

_FIRST = 3
_MOST = 1024
_VARIABLES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
_PROTOCOLS = {_socket.SOCK_STREAM: "TCP", _socket.SOCK_DGRAM: "UDP"}

_taken: dict[tuple[str, int], int] = {}


def sockets(environ: MutableMapping[str, str] | None = None) -> dict[tuple[str, int], int]:
    """The descriptors by protocol (TCP, UDP) and port of this machine; those of other families are nobody's here."""
    source = os.environ if environ is None else environ
    if "LISTEN_FDS" in source:
        count, pid = source["LISTEN_FDS"], source.get("LISTEN_PID", "")
        for name in _VARIABLES:
            source.pop(name, None)
        if count.isascii() and count.isdigit() and len(count) < 5 and pid == str(os.getpid()):
            for fd in range(_FIRST, _FIRST + min(int(count), _MOST)):
                place = _place(fd)
                if place is not None:
                    _taken.setdefault(place, fd)
    return _taken


def _place(fd: int) -> tuple[str, int] | None:
    try:
        os.set_inheritable(fd, False)
        sock = _socket.socket(fileno=fd)
    except OSError:
        return None
    try:
        protocol = _PROTOCOLS.get(sock.type)
        if protocol is None or sock.family not in (_socket.AF_INET, _socket.AF_INET6):
            return None
        return protocol, int(sock.getsockname()[1])
    except OSError:
        return None
    finally:
        sock.detach()


def socket(protocol: str, port: int) -> _socket.socket | None:
    """A socket of one's own for the one that listens at a port of this machine; None when none was handed over."""
    fd = sockets().get((protocol, port))
    return None if fd is None else _socket.socket(fileno=os.dup(fd))
