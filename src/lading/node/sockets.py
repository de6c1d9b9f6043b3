"""A keeper's socket, at which commands speak to it: a Unix SEQPACKET socket, see :mod:`lading.node.wire`."""

from __future__ import annotations

import _socket
import os

from lading.errors import LadingError, NotFound

#: The most that goes into one packet of a stream; a socket's buffer holds several.
CHUNK = 32 << 10
_EADDRINUSE = 98
_SOCKET = _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC


def _address(path: str) -> tuple[str, int]:
    """An address that fits 108 bytes, through a descriptor of the directory; close that afterwards."""
    if len(os.fsencode(path)) < 108:
        return path, -1
    directory, _, name = path.rpartition("/")
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{fd}/{name}", fd


def listen(path: str) -> _socket.socket:
    """A non-blocking listening socket at ``path``, replacing what a dead keeper left there.

    The name appears when somebody listens: a caller between bind(2) and listen(2) would take the keeper for dead. Only
    its owner and root may connect, whatever the umask and wherever it is: who speaks to a keeper commands the machine.
    """
    made = _socket.socket(_socket.AF_UNIX, _SOCKET | _socket.SOCK_NONBLOCK)
    try:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        # bind(2) gives the name the mode of the socket itself (unix_bind), less the umask: there is no moment before a chmod.
        os.fchmod(made.fileno(), 0o600)
        unborn = path + ".new"
        address, fd = _address(unborn)
        try:
            try:
                made.bind(address)
            except OSError as error:
                if error.errno != _EADDRINUSE:
                    raise
                os.unlink(unborn)
                made.bind(address)
        finally:
            if fd >= 0:
                os.close(fd)
        made.listen(128)
        os.rename(unborn, path)
    except OSError as error:
        made.close()
        raise LadingError(f"keeper's socket {path}: {error.strerror}") from None
    return made


def accept(listener: _socket.socket) -> _socket.socket:
    """The next caller, non-blocking. Raises BlockingIOError when there is none."""
    fd, _ = listener._accept()  # type: ignore[attr-defined]
    return adopt(fd)


def adopt(fd: int) -> _socket.socket:
    """A socket of ours that came as a descriptor; non-blocking."""
    made = _socket.socket(_socket.AF_UNIX, _SOCKET, 0, fd)
    os.set_inheritable(fd, False)
    made.setblocking(False)
    return made


def connect(path: str, what: str = "keeper") -> _socket.socket:
    """A blocking connection to the keeper at ``path``. Raises NotFound (reason ``no-keeper``) when nobody listens."""
    made = _socket.socket(_socket.AF_UNIX, _SOCKET)
    fd = -1
    try:
        address, fd = _address(path)
        made.connect(address)
    except OSError as error:
        made.close()
        raise NotFound(f"{what} {path}: {error.strerror}", reason="no-keeper") from None
    finally:
        if fd >= 0:
            os.close(fd)
    return made


def pair() -> tuple[_socket.socket, _socket.socket]:
    """Two connected ends."""
    return _socket.socketpair(_socket.AF_UNIX, _SOCKET)
