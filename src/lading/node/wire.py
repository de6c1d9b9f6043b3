"""What keepers and commands say to each other: one packet a message on a Unix SEQPACKET socket, see ``sockets``.

A packet begins with one byte that says what it is: ``{`` a JSON request or answer; ``0`` bytes for stdin; ``1`` and ``2``
bytes of stdout and stderr; ``c`` the end of stdin; ``s`` a signal (a decimal number); ``r`` a terminal size (two 16-bit
numbers: rows, columns); ``x`` the exit code (a decimal number). Descriptors travel beside a request (unix(7), SCM_RIGHTS).
"""

from __future__ import annotations

import _socket
import os

from lading.errors import LadingError
from lading.formats import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PACKET = 64 << 10
#: Seconds that a keeper has for an answer that takes it no waiting: two calls of a foreign runtime that hangs, and some more.
PATIENCE = 130.0
_FDS = 16


def send(sock: _socket.socket, message: dict[str, object], fds: list[int] | None = None) -> None:
    """Send one JSON message, with descriptors."""
    data = jsontext.dumps(message).encode()
    if len(data) > PACKET - 1024:
        # A big request (a Pod of many containers) goes through a memory file: a packet has to fit the socket's buffer.
        memory = os.memfd_create("lading-request", os.MFD_CLOEXEC)
        try:
            os.write(memory, data)
            return send(sock, {"memory": True}, [memory, *(fds or [])])
        finally:
            os.close(memory)
    ancillary = []
    if fds:
        packed = b"".join(fd.to_bytes(4, "little") for fd in fds)
        ancillary.append((_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed))
    sock.sendmsg([data], ancillary)
    return None


def receive(sock: _socket.socket) -> tuple[bytes, list[int]]:
    """One packet (empty: the other side is gone) and its descriptors, which the caller owns."""
    data, ancillary, _flags, _ = sock.recvmsg(PACKET, _socket.CMSG_SPACE(4 * _FDS), _socket.MSG_CMSG_CLOEXEC)
    fds = []
    for level, kind, packed in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            fds += [int.from_bytes(packed[n : n + 4], "little") for n in range(0, len(packed) - 3, 4)]
    return data, fds


def message(data: bytes, fds: list[int]) -> dict[str, Any]:
    """The JSON message of a packet. Raises InvalidInput."""
    found = jsontext.loads(data, what="keeper's message")
    if found.get("memory") and fds:
        memory = fds.pop(0)
        try:
            found = jsontext.loads(os.pread(memory, os.fstat(memory).st_size, 0), what="keeper's message")
        finally:
            os.close(memory)
    made: dict[str, Any] = found
    return made


def ask(
    sock: _socket.socket,
    request: dict[str, object],
    fds: list[int] | None = None,
    *,
    within: float | None = None,
) -> dict[str, Any]:
    """Send a request and wait for its answer, ``within`` so many seconds. Raises what the keeper raised.

    Reason ``keeper-lost``: it ended before it answered; ``keeper-hangs``: it lives and did not answer in time.
    """
    try:
        sock.settimeout(within)
        send(sock, request, fds)
        data, _ = receive(sock)
        sock.settimeout(None)
    except TimeoutError:
        raise _hanging(sock, request, within or 0.0) from None
    except OSError as error:
        raise LadingError(f"keeper: {error.strerror}", reason="keeper-lost") from None
    if not data:
        raise LadingError("the keeper ended before it answered", reason="keeper-lost")
    answer = message(data, [])
    if "error" in answer:
        raise decode_error(answer["error"])
    return answer


def _hanging(sock: _socket.socket, request: dict[str, object], within: float) -> LadingError:
    # unix(7), SO_PEERCRED: who called listen(2). The keeper of a killed front's hand may be another by now.
    packed = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    pid = int.from_bytes(packed[:4], "little")
    return LadingError(
        f"keeper (process {pid}) did not answer {request.get('op')} within {within:.0f} s: it is stopped or hangs",
        hint=f"let it go on by kill -CONT {pid}, or end it by kill -KILL {pid} and run lading check --repair",
        reason="keeper-hangs",
    )


def encode_error(error: BaseException) -> dict[str, object]:
    """An exception as data."""
    if isinstance(error, LadingError):
        made: dict[str, object] = {
            "kind": type(error).__name__,
            "message": error.message,
            "hint": error.hint,
            "reason": error.reason,
        }
        return made
    return {"kind": "LadingError", "message": repr(error), "hint": "", "reason": "internal"}


def decode_error(data: dict[str, str]) -> LadingError:
    """The exception that :func:`encode_error` described."""
    import lading.errors

    kind = getattr(lading.errors, data.get("kind", ""), LadingError)
    if (
        not (isinstance(kind, type) and issubclass(kind, LadingError))
        or kind.__init__ is not LadingError.__init__
    ):
        kind = LadingError
    made: LadingError = kind(data["message"], hint=data.get("hint", ""), reason=data.get("reason", ""))
    return made
