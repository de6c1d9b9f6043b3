"""Which of the sockets that a service manager handed over are taken, and that nobody else is told of them."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys

import pytest

CODE = """
import os, sys
from lading.node import handed
if sys.argv[1]:
    os.environ["LISTEN_PID"] = sys.argv[1].replace("own", str(os.getpid()))
print(sorted(handed.sockets()), [name for name in os.environ if name.startswith("LISTEN_")])
for protocol, port in handed.sockets():
    one, other = handed.socket(protocol, port), handed.socket(protocol, port)
    assert one.getsockname() == other.getsockname() and one.fileno() != other.fileno() and not os.get_inheritable(one.fileno())
    assert not os.get_inheritable(handed.sockets()[protocol, port])
assert handed.socket("TCP", 1) is None
"""


def taken(count: str, pid: str, fds: list[int]) -> str:
    """What a process takes that is handed ``fds`` from 3 on."""
    environ = {**os.environ, "LISTEN_FDS": count, "LISTEN_FDNAMES": "a:b"}
    before = "".join(f"exec {number}<&{fd}; " for number, fd in enumerate(fds, 3))
    command = ["bash", "-c", before + 'exec "$@"', "bash", sys.executable, "-c", CODE, pid]
    done = subprocess.run(command, env=environ, pass_fds=fds, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_sockets_are_known_by_protocol_and_port_and_taken_once() -> None:
    with (
        socket.socket() as tcp,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as other,
        open(os.devnull) as file,
    ):
        tcp.bind(("127.0.0.1", 0))
        udp.bind(("::1", 0))
        wanted = [("TCP", tcp.getsockname()[1]), ("UDP", udp.getsockname()[1])]
        # None of them may stand where another one is to be.
        moved = [fcntl.fcntl(made.fileno(), fcntl.F_DUPFD, 100) for made in (other, file, udp, tcp)]
        try:
            for count in ("4", "9"):
                assert taken(count, "own", moved) == f"{wanted} []"
            for count, pid in (
                ("4", "1"),
                ("4", ""),
                ("x", "own"),
                ("-1", "own"),
                ("99999", "own"),
                ("", "own"),
            ):
                assert taken(count, pid, moved) == "[] []"
        finally:
            for fd in moved:
                os.close(fd)


@pytest.mark.parametrize("text", ["0", "1"])
def test_without_sockets_there_are_none(text: str) -> None:
    assert taken(text, "own", []) == "[] []"
