"""Run one network probe: HTTP, TCP or gRPC, from inside the pod's own network namespace.

Each check runs in a forked child, so that a slow or hostile server can neither block the keeper nor fill its memory: the
caller waits on the child's pidfd and kills it at the timeout. The child enters the pod's namespace and connects to the
pod's own address, so that probes work the same rootful, rootless and without a network, and never leave the machine.

HTTP is :mod:`lading.node.probing_http`. gRPC: ``grpc.health.v1.Health/Check`` must answer SERVING.
Sources: kubernetes.io "Configure Probes"; grpc.io "Health checking"; RFC 9113.
"""

from __future__ import annotations

import os

from lading.errors import InvalidInput, LadingError
from lading.node import aside

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

    from lading.formats.pod import Container, GRPCAction, HTTPGetAction, TCPSocketAction
    from lading.kernel import Kernel

_AF_INET, _AF_INET6, _STREAM = 2, 10, 1
_CLONE_NEWNET = 0x40000000
_HEAD_LIMIT = 64 << 10
#: What a child can say on its pipe.
_WORDS_LIMIT = 4 << 10


class NetworkProbe:
    """A check under way: the child's ``pid`` and the ``pipe`` that will carry its words."""

    __slots__ = ("pid", "pipe")

    def __init__(self, pid: int, pipe: int) -> None:
        self.pid = pid
        self.pipe = pipe

    def words(self) -> str:
        """What the finished child had to say; closes the pipe."""
        try:
            return os.read(self.pipe, _WORDS_LIMIT).decode(errors="replace")
        except OSError:
            return ""
        finally:
            os.close(self.pipe)


def port_number(port: int | str, container: Container) -> int:
    """A probe's port: a number, or the name of one of the container's ports. Raises :class:`InvalidInput`."""
    if isinstance(port, int):
        return port
    for declared in container.ports:
        if declared.name == port:
            return declared.container_port
    if port.isdigit():
        return int(port)
    raise InvalidInput(f"container {container.name} has no port called {port!r}")


def start(
    kernel: Kernel,
    action: HTTPGetAction | TCPSocketAction | GRPCAction,
    container: Container,
    address: str,
    netns: int,
    timeout: float,
    *,
    judge: bool = True,
) -> NetworkProbe:
    """Fork the child that checks ``action`` against ``address`` in the namespace ``netns`` (-1: this one).

    Without ``judge`` every HTTP status is success. The child exits 0 for success and 1 for failure; wait for it by pid.
    """
    port = port_number(action.port, container)
    host = getattr(action, "host", "") or address or "127.0.0.1"
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def work() -> int:
        status = 1
        try:
            if netns >= 0:
                kernel.setns(netns, _CLONE_NEWNET)
            words = _check(action, host, port, timeout, judge)
            status = 0
        except LadingError as error:
            words = error.message
        except OSError as error:
            words = f"{host}:{port}: {error.strerror or error}"
        except Exception as error:
            words = repr(error)
        os.write(write, words.encode()[:_WORDS_LIMIT])
        return status

    try:
        return NetworkProbe(aside.fork(kernel, [netns, write], work), read)
    finally:
        os.close(write)


def _check(
    action: HTTPGetAction | TCPSocketAction | GRPCAction, host: str, port: int, timeout: float, judge: bool
) -> str:
    from lading.formats.pod import GRPCAction, HTTPGetAction

    if isinstance(action, HTTPGetAction):
        from lading.node import probing_http

        def connect(name: str, number: int) -> _socket.socket:
            return _connect(name, number, timeout)

        return probing_http.check(action, host, port, connect, judge=judge)
    connection = _connect(host, port, timeout)
    if isinstance(action, GRPCAction):
        return check_grpc(connection, action.service)
    return "connected"


def _connect(host: str, port: int, timeout: float) -> _socket.socket:
    import _socket

    family = _AF_INET6 if ":" in host else _AF_INET
    connection = _socket.socket(family, _STREAM)
    connection.settimeout(timeout)
    connection.connect((host, port))
    return connection


# -- gRPC: the one call of grpc.health.v1 over HTTP/2 ---------------------------------------------------------------

_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_SERVING = 1
_STATUS_NAMES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _header(name: str, value: str) -> bytes:
    # HPACK literal without indexing, new name, no Huffman (RFC 7541, 6.2.2): every length here is below 127.
    raw_name, raw_value = name.encode(), value.encode()
    return b"\x00" + bytes((len(raw_name),)) + raw_name + bytes((len(raw_value),)) + raw_value


def check_grpc(connection: _socket.socket, service: str) -> str:
    """``Health/Check`` of ``service``. Raises :class:`LadingError` unless the answer is SERVING."""
    raw = service.encode()
    if len(raw) > 127:
        raise InvalidInput("gRPC service names beyond 127 bytes are not supported")
    message = b"\x0a" + bytes((len(raw),)) + raw if raw else b""
    block = b"".join(
        _header(name, value)
        for name, value in (
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/grpc.health.v1.Health/Check"),
            (":authority", "localhost"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", "lading-probe"),
        )
    )
    connection.sendall(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + _frame(_SETTINGS, 0, 0, b"")
        + _frame(_HEADERS, _END_HEADERS, 1, block)
        + _frame(_DATA, _END_STREAM, 1, b"\x00" + len(message).to_bytes(4, "big") + message)
    )
    body = _grpc_body(connection)
    if len(body) < 5:
        raise LadingError("the gRPC server has no health service, or refused the call")
    status = _health_status(body[5 : 5 + int.from_bytes(body[1:5], "big")])
    if status != _SERVING:
        name = _STATUS_NAMES[status] if status < len(_STATUS_NAMES) else str(status)
        raise LadingError(f"gRPC health status is {name}")
    return "SERVING"


def _grpc_body(connection: _socket.socket) -> bytes:
    body = b""
    for _ in range(64):  # a server that sends frames without end is not healthy
        head = _exactly(connection, 9)
        length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        if length > _HEAD_LIMIT:
            raise LadingError("the gRPC server sent an oversized frame")
        payload = _exactly(connection, length)
        if kind == _SETTINGS and not flags & _ACK:
            connection.sendall(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            connection.sendall(_frame(_PING, _ACK, 0, payload))
        elif kind in (_RST, _GOAWAY):
            raise LadingError("the gRPC server reset the call")
        elif kind == _DATA:
            body += payload[1 : len(payload) - payload[0]] if flags & 0x8 else payload
        if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
            return body
    raise LadingError("the gRPC server never finished its answer")


def _health_status(message: bytes) -> int:
    # HealthCheckResponse { ServingStatus status = 1 }: absent means 0, UNKNOWN.
    return message[1] if len(message) >= 2 and message[0] == 0x08 else 0


def _exactly(connection: _socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        block = connection.recv(count - len(data))
        if not block:
            raise LadingError("the server closed the connection")
        data += block
    return data
