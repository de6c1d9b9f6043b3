"""Telling a service manager how we do: datagrams to the socket that ``NOTIFY_SOCKET`` names. Source: sd_notify(3)."""

from __future__ import annotations

import _socket
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "NOTIFY_SOCKET"
READY, STOPPING = "READY=1", "STOPPING=1"


def notify(text: str, environ: Mapping[str, str] | None = None) -> bool:
    """Send lines such as ``READY=1``; whether somebody got them.

    Nobody listening is no error, as sd_notify(3) has it: a service manager that wants to know has a timeout.
    """
    place = (os.environ if environ is None else environ).get(VARIABLE, "")
    if place[:1] not in ("/", "@"):
        return False
    # A name that begins with @ is in the abstract namespace, where it begins with a NUL.
    address = "\0" + place[1:] if place[0] == "@" else place
    try:
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
        try:
            sock.sendto(text.encode(), _socket.MSG_NOSIGNAL, address)
        finally:
            sock.close()
    except OSError:
        return False
    return True
