"""Carry bytes between a port of the host and a container, where no rule of the kernel can: the resolver process's second job.

IPv6 lets no packet from ``::1`` leave the loopback interface, and nftables translates no address into the other family. A port
published on such an address is listened on here, and each connection (TCP) or client (UDP) gets a socket to the container.
The container sees the host as its client. Nothing is held but one block a direction: a slow reader slows the sender.
"""

from __future__ import annotations

import errno
import select
import socket as net
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from lading.network.model import PublishedPort

    Key = tuple[str, str, int, str, int]

_BLOCK = 1 << 16
_MAX_CONNECTIONS = 1024
_UDP_IDLE = 60.0
_LINGER_ZERO = (1).to_bytes(4, "little") + bytes(4)


class _Way:
    """One direction of a connection."""

    __slots__ = ("data", "ended", "sink", "source")

    def __init__(self, source: net.socket, sink: net.socket) -> None:
        self.source = source
        self.sink = sink
        self.data = b""
        self.ended = False

    def move(self) -> None:
        """Read if there is nothing to write, write what there is. Raises OSError when an end is gone."""
        if not self.data and not self.ended:
            try:
                self.data = self.source.recv(_BLOCK)
            except BlockingIOError:
                return
            if not self.data:
                self.ended = True
                self.sink.shutdown(net.SHUT_WR)
        if self.data:
            try:
                self.data = self.data[self.sink.send(self.data) :]
            except BlockingIOError:
                pass


class _Connection:
    """A client's connection and the one to the container."""

    __slots__ = ("client", "connected", "there", "ways")

    def __init__(self, client: net.socket, there: net.socket) -> None:
        self.client = client
        self.there = there
        self.connected = False
        self.ways = (_Way(client, there), _Way(there, client))

    def interest(self, socket: net.socket) -> int:
        """The events that would get something done on ``socket``."""
        if not self.connected:
            return select.EPOLLOUT if socket is self.there else 0
        events = 0
        for way in self.ways:
            if way.source is socket and not way.data and not way.ended:
                events |= select.EPOLLIN
            if way.sink is socket and way.data:
                events |= select.EPOLLOUT
        return events


class _Client:
    """A UDP client's socket to the container."""

    __slots__ = ("address", "listener", "seen", "socket")

    def __init__(self, listener: net.socket, address: tuple[object, ...], socket: net.socket) -> None:
        self.listener = listener
        self.address = address
        self.socket = socket
        self.seen = time.monotonic()


class Relay:
    """Every port that is relayed. A loop watches :meth:`fileno` and calls :meth:`ready`."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._listeners: dict[Key, net.socket] = {}
        self._targets: dict[int, tuple[net.socket, Key]] = {}
        self._connections: dict[int, _Connection] = {}
        self._clients: dict[int, _Client] = {}
        self._by_client: dict[tuple[int, tuple[object, ...]], _Client] = {}

    def fileno(self) -> int:
        """Readable when there is something to do."""
        return self._poll.fileno()

    @property
    def busy(self) -> bool:
        """Whether any port is listened on."""
        return bool(self._listeners)

    def serve(self, ports: Iterable[PublishedPort]) -> str:
        """Listen on exactly these ports; what could not be listened on, as a sentence."""
        wanted = {(p.protocol, p.host_ip, p.host_port, p.container_ip, p.container_port) for p in ports}
        for key in [k for k in self._listeners if k not in wanted]:
            self._forget(key)
        problem = ""
        for key in sorted(wanted - set(self._listeners)):
            try:
                self._listen(key)
            except OSError as error:
                problem = f"host port [{key[1]}]:{key[2]}/{key[0]}: {error.strerror}"
        return problem

    def _listen(self, key: Key) -> None:
        protocol, host_ip, port, _, _ = key
        kind = net.SOCK_DGRAM if protocol == "udp" else net.SOCK_STREAM
        made = net.socket(_family(host_ip), kind | net.SOCK_NONBLOCK | net.SOCK_CLOEXEC)
        try:
            if made.family == net.AF_INET6:
                made.setsockopt(net.IPPROTO_IPV6, net.IPV6_V6ONLY, 1)
            if kind == net.SOCK_STREAM:
                made.setsockopt(net.SOL_SOCKET, net.SO_REUSEADDR, 1)
            made.bind((host_ip, port))
            if kind == net.SOCK_STREAM:
                made.listen(512)
        except OSError:
            made.close()
            raise
        self._listeners[key] = made
        self._targets[made.fileno()] = (made, key)
        self._poll.register(made.fileno(), select.EPOLLIN)

    def _forget(self, key: Key) -> None:
        listener = self._listeners.pop(key)
        for client in [c for c in self._clients.values() if c.listener is listener]:
            self._drop_client(client)
        self._poll.unregister(listener.fileno())
        self._targets.pop(listener.fileno())
        listener.close()

    def ready(self) -> None:
        """Do what can be done without waiting."""
        for fd, _events in self._poll.poll(0):
            if fd in self._targets:
                listener, key = self._targets[fd]
                if key[0] == "udp":
                    self._datagrams(listener, key)
                else:
                    self._accept(listener, key)
            elif fd in self._connections:
                connection = self._connections[fd]
                if connection.connected or fd == connection.there.fileno():
                    self._advance(connection)
                else:
                    self._drop(connection)  # the client did not wait
            elif fd in self._clients:
                self._answers(self._clients[fd])

    def expire(self) -> None:
        """Forget UDP clients that have been silent for a minute."""
        now = time.monotonic()
        for client in [c for c in self._clients.values() if now - c.seen > _UDP_IDLE]:
            self._drop_client(client)

    # -- TCP ---------------------------------------------------------------------------------------------------------

    def _accept(self, listener: net.socket, key: Key) -> None:
        for _ in range(64):
            try:
                client, _address = listener.accept()
            except OSError:
                return
            client.setblocking(False)
            if len(self._connections) >= 2 * _MAX_CONNECTIONS:
                client.close()
                continue
            there = net.socket(_family(key[3]), net.SOCK_STREAM | net.SOCK_NONBLOCK | net.SOCK_CLOEXEC)
            made = _Connection(client, there)
            for end in (client, there):
                end.setsockopt(net.IPPROTO_TCP, net.TCP_NODELAY, 1)
                self._connections[end.fileno()] = made
                self._poll.register(end.fileno(), made.interest(end))
            if there.connect_ex((key[3], key[4])) not in (0, errno.EINPROGRESS):
                self._drop(made)

    def _advance(self, connection: _Connection) -> None:
        try:
            if not connection.connected:
                failed = connection.there.getsockopt(net.SOL_SOCKET, net.SO_ERROR)
                if failed:
                    raise OSError(failed, "connect")
                connection.connected = True
            for way in connection.ways:
                way.move()
        except OSError:
            self._drop(connection)
            return
        if all(way.ended and not way.data for way in connection.ways):
            self._drop(connection, reset=False)
            return
        for end in (connection.client, connection.there):
            # A hang-up is told whether asked for or not: once is enough while there is nothing to do about it.
            self._poll.modify(end.fileno(), connection.interest(end) or select.EPOLLET)

    def _drop(self, connection: _Connection, *, reset: bool = True) -> None:
        for end in (connection.client, connection.there):
            self._connections.pop(end.fileno(), None)
            self._poll.unregister(end.fileno())
            if reset:  # what is lost must not look like an end
                end.setsockopt(net.SOL_SOCKET, net.SO_LINGER, _LINGER_ZERO)
            end.close()

    # -- UDP ---------------------------------------------------------------------------------------------------------

    def _datagrams(self, listener: net.socket, key: Key) -> None:
        for _ in range(64):
            try:
                data, address = listener.recvfrom(_BLOCK)
            except OSError:
                return
            client = self._by_client.get((listener.fileno(), address))
            if client is None:
                if len(self._clients) >= _MAX_CONNECTIONS:
                    continue
                there = net.socket(_family(key[3]), net.SOCK_DGRAM | net.SOCK_NONBLOCK | net.SOCK_CLOEXEC)
                try:
                    there.connect((key[3], key[4]))
                except OSError:
                    there.close()
                    continue
                client = _Client(listener, address, there)
                self._by_client[listener.fileno(), address] = client
                self._clients[there.fileno()] = client
                self._poll.register(there.fileno(), select.EPOLLIN)
            client.seen = time.monotonic()
            try:
                client.socket.send(data)
            except OSError:
                pass  # as lost as any datagram

    def _answers(self, client: _Client) -> None:
        for _ in range(64):
            try:
                client.listener.sendto(client.socket.recv(_BLOCK), client.address)
            except BlockingIOError:
                return
            except OSError:
                return  # nobody listens in the container: so it is told
            client.seen = time.monotonic()

    def _drop_client(self, client: _Client) -> None:
        self._by_client.pop((client.listener.fileno(), client.address), None)
        self._clients.pop(client.socket.fileno(), None)
        self._poll.unregister(client.socket.fileno())
        client.socket.close()


def _family(address: str) -> int:
    return net.AF_INET6 if ":" in address else net.AF_INET
