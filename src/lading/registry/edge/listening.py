"""The sockets that a server listens at: TCP addresses, Unix sockets, and those a service manager handed over.

``HOST:PORT``, ``:PORT`` (every address), ``[V6]:PORT``, ``unix:PATH`` or a path. Source: sd_listen_fds(3).
"""

from __future__ import annotations

import ipaddress
import os
import socket
import stat

from lading.errors import Denied, InvalidInput, LadingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping

BACKLOG = 1024
_FIRST = 3
_MOST = 64


class Listener:
    """A listening socket and what a person calls it. ``path``: of a Unix socket of ours, removed at the end."""

    __slots__ = ("path", "shown", "socket")

    def __init__(self, sock: socket.socket, shown: str, path: str = "") -> None:
        self.socket = sock
        self.shown = shown
        self.path = path

    @property
    def local(self) -> bool:
        """Whether only this machine reaches it."""
        if self.socket.family == socket.AF_UNIX:
            return True
        return ipaddress.ip_address(str(self.socket.getsockname()[0]).partition("%")[0]).is_loopback

    def close(self) -> None:
        """Stop listening."""
        self.socket.close()
        if self.path:
            try:
                os.unlink(self.path)
            except OSError:
                pass


def open_all(addresses: list[str], *, plain: bool, encrypted: bool) -> list[Listener]:
    """Listen everywhere, or nowhere: at what was handed over when that is something, else at ``addresses``.

    Raises :class:`InvalidInput`, :class:`LadingError` (the address is taken), :class:`Denied` where passwords and content
    would cross a network in plain text and ``plain`` does not allow it.
    """
    made = inherited(os.environ)
    try:
        if not made:
            for address in addresses:
                made += _open(address)
        for listener in made:
            if not (plain or encrypted or listener.local):
                raise Denied(
                    f"{listener.shown} is reachable from other machines, and the registry has no certificate",
                    hint="give --tls-cert and --tls-key, or --plain-http where something in front encrypts",
                    reason="plain-http",
                )
    except BaseException:
        for listener in made:
            listener.close()
        raise
    return made


def inherited(environ: MutableMapping[str, str]) -> list[Listener]:
    """The stream sockets that a service manager handed over. The variables go: no child is to take them for its own."""
    count, pid = environ.get("LISTEN_FDS", ""), environ.get("LISTEN_PID", "")
    for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"):
        environ.pop(name, None)
    if not (count.isascii() and count.isdigit() and len(count) < 4) or pid != str(os.getpid()):
        return []
    made = []
    for fd in range(_FIRST, _FIRST + min(int(count), _MOST)):
        try:
            os.set_inheritable(fd, False)
            sock = socket.socket(fileno=fd)
        except OSError:
            continue
        if sock.type != socket.SOCK_STREAM or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            sock.detach()
            continue
        made.append(Listener(sock, _shown(sock)))
    return made


def _open(address: str) -> list[Listener]:
    if address.startswith(("unix:", "/")):
        return [_unix(os.path.abspath(address.removeprefix("unix:").removeprefix("//")))]
    host, colon, port = address.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 65536):
        raise InvalidInput(
            f"--listen {address!r} is not HOST:PORT, :PORT or unix:PATH", hint="for example 127.0.0.1:5000"
        )
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    try:
        found = socket.getaddrinfo(
            host or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_ADDRCONFIG
        )
    except socket.gaierror as error:
        raise InvalidInput(f"--listen {address!r}: {error.strerror}") from None
    if not host:  # one socket for both families, where there are both
        both = [entry for entry in found if entry[0] == socket.AF_INET6]
        found = [*both] or found
    made: list[Listener] = []
    try:
        for family, kind, protocol, _, place in dict.fromkeys(found):
            sock = socket.socket(family, kind, protocol)
            made.append(Listener(sock, ""))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(bool(host)))
            sock.bind(place)
            sock.listen(BACKLOG)
            made[-1].shown = _shown(sock)
    except OSError as error:
        for listener in made:
            listener.close()
        raise LadingError(f"cannot listen at {address}: {error.strerror}", reason="listen") from None
    return made


def _unix(path: str) -> Listener:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _clear(path)
        sock.bind(path)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        why = "longer than a socket's name may be" if error.strerror is None else error.strerror
        raise LadingError(f"cannot listen at {path}: {why}", reason="listen") from None
    return Listener(sock, f"unix:{path}", path)


def _clear(path: str) -> None:
    """Remove a socket that nobody listens at any more."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise LadingError(f"cannot listen at {path}: something else is there", reason="listen")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            os.unlink(path)
            return
    raise LadingError(f"cannot listen at {path}: somebody does already", reason="listen")


def _shown(sock: socket.socket) -> str:
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
        return f"unix:{text}"
    return f"[{name[0]}]:{name[1]}" if sock.family == socket.AF_INET6 else f"{name[0]}:{name[1]}"
