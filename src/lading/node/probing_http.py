"""The HTTP probe: one GET, and what its answer means.

A status from 200 to 399 is success. Redirects are followed on the same host only; one to another host, or an eleventh, is
success with a remark, because what they lead to is not this container's. Certificates are not verified: they name the service,
not the pod's address. Source: kubernetes.io "Configure Liveness, Readiness and Startup Probes", HTTP probes; RFC 9110, 15.4.
"""

from __future__ import annotations

from lading.errors import LadingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable

    from lading.formats.pod import HTTPGetAction

    #: Connects to a host's port.
    Connect = Callable[[str, int], _socket.socket]

_HEAD_LIMIT = 64 << 10
_REDIRECTS = 10
_FOLLOWED = (301, 302, 303, 307, 308)
_PORTS = {"http": 80, "https": 443}


def check(action: HTTPGetAction, host: str, port: int, connect: Connect, *, judge: bool = True) -> str:
    """GET what ``action`` names; what the server said. Raises :class:`LadingError` for a failure, OSError of the network.

    Without ``judge`` any status is success: a hook only has to be heard.
    """
    scheme = action.scheme.lower()
    path = action.path if action.path.startswith("/") else "/" + action.path
    for _ in range(_REDIRECTS + 1):
        status, location = _get(action, scheme, host, port, path, connect)
        if judge and not 200 <= status < 400:
            raise LadingError(f"HTTP probe failed with status {status}")
        if status not in _FOLLOWED or not location:
            return f"HTTP status {status}"
        from urllib.parse import urljoin, urlsplit

        name = _bracketed(host)
        try:
            target = urlsplit(urljoin(f"{scheme}://{name}:{port}{path}", location))
            there = target.port
        except ValueError:
            raise LadingError(
                f"HTTP probe was redirected to {location[:200]!r}, which is no address"
            ) from None
        if target.scheme not in _PORTS or (target.hostname or "") != host.lower():
            return f"HTTP status {status}: redirects to another host, which are not followed"
        scheme, port = target.scheme, there or _PORTS[target.scheme]
        path = (target.path or "/") + (f"?{target.query}" if target.query else "")
    return f"HTTP status {status}: more than {_REDIRECTS} redirects, which are not followed further"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _escaped(path: str) -> str:
    """A path and query as they may stand in a request line: whatever would end it or the line is written as ``%20`` and so on."""
    from urllib.parse import quote

    return quote(path.partition("#")[0], safe="/%?:@!$&'()*+,;=~[]|")


def request(action: HTTPGetAction, host: str, port: int, path: str) -> bytes:
    """The request's head. A header of the probe's own replaces a default, or removes it by being empty; all are sent."""
    lines = [f"GET {_escaped(path)} HTTP/1.1"]
    given = {header.name.lower() for header in action.http_headers}
    for name, value in (
        ("Host", f"{_bracketed(host)}:{port}"),
        ("User-Agent", "lading-probe"),
        ("Accept", "*/*"),
        ("Connection", "close"),
    ):
        if name.lower() not in given:
            lines.append(f"{name}: {value}")
    for header in action.http_headers:
        if header.value or header.name.lower() not in ("user-agent", "accept"):
            lines.append(f"{header.name}: {header.value}")
    return "\r\n".join([*lines, "", ""]).encode()


def _get(
    action: HTTPGetAction, scheme: str, host: str, port: int, path: str, connect: Connect
) -> tuple[int, str]:
    """The status of one GET, and where it redirects to."""
    connection = connect(host, port)
    if scheme == "https":
        connection = _secured(connection)
    try:
        connection.sendall(request(action, host, port, path))
        head = _read(connection, b"", b"\n")
        status = _status(head)
        if status not in _FOLLOWED:
            return status, ""
        head = _read(connection, head, b"\r\n\r\n")
    finally:
        connection.close()
    for line in head.split(b"\r\n\r\n", 1)[0].split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"location":
            return status, value.strip().decode("utf-8", "replace")
    return status, ""


def _secured(connection: _socket.socket) -> _socket.socket:
    import socket
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    timeout = connection.gettimeout()
    plain = socket.socket(fileno=connection.detach())
    plain.settimeout(timeout)
    return context.wrap_socket(plain)


def _read(connection: _socket.socket, head: bytes, until: bytes) -> bytes:
    while until not in head and len(head) < _HEAD_LIMIT:
        block = connection.recv(4096)
        if not block:
            break
        head += block
    return head


def _status(head: bytes) -> int:
    words = head.split(b"\n", 1)[0].split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise LadingError(f"not an HTTP answer: {head[:80]!r}")
    return int(words[1])
