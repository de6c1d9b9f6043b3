"""Telling a service manager how we do: datagrams to the socket that ``NOTIFY_SOCKET`` names. Source: sd_notify(3)."""

from __future__ import annotations

import _socket
import os

from lading.node.model import INIT
from lading.node.sequence import ENDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from lading.node.sequence import Sequence

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


class Announcer:
    """Tells about one pod that this process keeps in the foreground: once that it is up, once that it ends.

    A pod is up when its init containers are done and every other container runs and, where it has probes, passes them; one
    that has done its work by then does not hold it up.
    """

    def __init__(self, sequence: Sequence) -> None:
        self._sequence = sequence
        self._told: set[str] = set()

    def look(self) -> None:
        """Tell what has not been told yet."""
        if READY not in self._told and self._is_up():
            self._tell(READY)
        if self._sequence.stopping:
            self._tell(STOPPING)

    def _is_up(self) -> bool:
        if not self._sequence.initialized or self._sequence.failed:
            return False
        units = [unit for unit in self._sequence.units if unit.kind != INIT]
        return all(unit.ready or (unit.state == ENDED and not unit.exit_code) for unit in units)

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            notify(text)
