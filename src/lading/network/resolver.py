"""Answer container names, forward every other question: the loop of the resolver process.

One process serves all networks of a root. It listens on port 53 of each network's gateway (UDP and TCP); who asks is told
apart by the source address, which the bridge's rules keep honest. What the names are comes from a :class:`Names` object, so the
loop knows nothing about where they are recorded.

Names of ours never leave the machine: a known name without an address of the asked family is an empty answer, not a
forwarded question. A forwarded question gets a fresh random number and a socket of its own, so that answers cannot be
guessed; an upstream that stays silent is followed by the next, then SERVFAIL. Who asked over TCP, because an answer did not fit
a datagram, has his question asked over TCP too when the upstream's answer says that it is cut short.

No client can end the loop, and none gets more than a quarter of its places.
"""

from __future__ import annotations

import select
import socket as net
import time

from lading.errors import LadingError
from lading.network import dnsmessage as dns
from lading.network.forward import Forward

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

_MAX_PENDING = 512
_MAX_CONNECTIONS = 64
_CONNECTION_TIME = 10.0
_MESSAGE_LIMIT = 65535
_MAX_TURNS = 4096


class Names:
    """What the resolver asks of the records. ``client`` is the address a question came from."""

    def lookup(self, client: str, name: str) -> list[bytes] | None:
        """Addresses (four or sixteen bytes each) of ``name`` as ``client`` may see it; None: not a name of ours."""
        raise NotImplementedError

    def reverse(self, client: str, address: bytes) -> str | None:
        """The name of ``address`` as ``client`` may see it; None: not an address of ours."""
        raise NotImplementedError

    def upstreams(self, client: str) -> Sequence[str]:
        """Name servers for everything else, in order; empty on a network without a way out."""
        raise NotImplementedError


def local_answer(query: dns.Query, names: Names, client: str, turn: int, limit: int) -> bytes | None:
    """The answer to a question about our own names; None when it has to be forwarded.

    ``turn`` rotates the addresses of a shared name.
    """
    if query.kind == dns.PTR:
        address = dns.reverse_address(query.name)
        name = names.reverse(client, address) if address else None
        return dns.answer(query, dns.NOERROR, [dns.pointer_record(name)], limit=limit) if name else None
    found = names.lookup(client, query.name)
    if found is None:
        return None
    width = {dns.A: (4,), dns.AAAA: (16,), dns.ANY: (4, 16)}.get(query.kind, ())
    chosen = [address for address in found if len(address) in width]
    if chosen:
        turn %= len(chosen)
        chosen = chosen[turn:] + chosen[:turn]
    return dns.answer(query, dns.NOERROR, [dns.address_record(a) for a in chosen], limit=limit)


class _Connection:
    """A TCP client: length-prefixed questions in, answers out (RFC 7766)."""

    __slots__ = ("client", "data", "deadline", "socket")

    def __init__(self, socket: net.socket, client: str, now: float) -> None:
        self.socket = socket
        self.client = client
        self.data = b""
        self.deadline = now + _CONNECTION_TIME


class Resolver:
    """The loop. Call :meth:`listen` for each address, then :meth:`run`."""

    def __init__(
        self,
        names: Names,
        port: int = 53,
        upstream_port: int = 53,
        say: Callable[[str], None] = lambda _words: None,
    ) -> None:
        self._names = names
        self._say = say
        self._port = port
        self._upstream_port = upstream_port
        self._poll = select.epoll()
        self._datagrams: dict[int, net.socket] = {}
        self._listeners: dict[int, net.socket] = {}
        self._connections: dict[int, _Connection] = {}
        self._forwards: dict[int, Forward] = {}
        self._by_address: dict[str, tuple[int, int]] = {}
        self._watched: dict[int, Callable[[], None]] = {}
        # How often each of our names was asked for: one counter for all would give a client who always asks for A and then
        # for AAAA the same one of two addresses for ever.
        self._turns: dict[tuple[str, int], int] = {}
        self._reported: set[type[Exception]] = set()

    @property
    def addresses(self) -> list[str]:
        """The addresses listened on."""
        return sorted(self._by_address)

    def listen(self, address: str) -> None:
        """Serve ``address``, UDP and TCP. Raises OSError when it cannot be bound."""
        if address in self._by_address:
            return
        family = net.AF_INET6 if ":" in address else net.AF_INET
        opened = []
        try:
            for kind in (net.SOCK_DGRAM, net.SOCK_STREAM):
                made = net.socket(family, kind | net.SOCK_NONBLOCK | net.SOCK_CLOEXEC)
                opened.append(made)
                made.setsockopt(net.SOL_SOCKET, net.SO_REUSEADDR, 1)
                made.bind((address, self._port))
            opened[1].listen(64)
        except OSError:
            for made in opened:
                made.close()
            raise
        datagram, listener = opened
        self._datagrams[datagram.fileno()] = datagram
        self._listeners[listener.fileno()] = listener
        self._by_address[address] = (datagram.fileno(), listener.fileno())
        for made in opened:
            self._poll.register(made.fileno(), select.EPOLLIN)

    def forget(self, address: str) -> None:
        """Stop serving ``address``."""
        pair = self._by_address.pop(address, None)
        if pair is not None:
            for fd, table in zip(pair, (self._datagrams, self._listeners), strict=True):
                self._poll.unregister(fd)
                table.pop(fd).close()

    def watch(self, fd: int, ready: Callable[[], None]) -> None:
        """Call ``ready`` in the loop whenever ``fd`` is readable."""
        self._watched[fd] = ready
        self._poll.register(fd, select.EPOLLIN)

    def run(self, tick: Callable[[], bool], every: float = 1.0) -> None:
        """Serve until ``tick`` (called at least every ``every`` seconds) returns False."""
        next_tick = 0.0
        while True:
            now = time.monotonic()
            if now >= next_tick:
                if not tick():
                    return
                next_tick = now + every
            self.step(max(0.0, min(next_tick - now, self._next_deadline(now))))

    def step(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds for something to do, and do it."""
        for fd, _ in self._poll.poll(timeout):
            try:
                self._ready(fd)
            except OSError:
                self._drop(fd)
            except Exception as error:  # one question must not take everybody's names away
                self._drop(fd)
                self._report(error)
        self._expire(time.monotonic())

    def _report(self, error: Exception) -> None:
        """Write each kind of failure once: clients could fill the disk with them."""
        words = f"{type(error).__name__}: {error}"
        if type(error) not in self._reported:
            self._reported.add(type(error))
            self._say(words[:1000])

    def close(self) -> None:
        """Close every socket."""
        for address in self.addresses:
            self.forget(address)
        for fd in [*self._connections, *self._forwards]:
            self._drop(fd)
        self._poll.close()

    def _next_deadline(self, now: float) -> float:
        waits = [f.deadline for f in self._forwards.values()] + [
            c.deadline for c in self._connections.values()
        ]
        return max(0.0, min(waits) - now) if waits else 60.0

    def _ready(self, fd: int) -> None:
        if fd in self._watched:
            self._watched[fd]()
        elif fd in self._datagrams:
            self._serve_datagrams(self._datagrams[fd])
        elif fd in self._listeners:
            self._accept(self._listeners[fd])
        elif fd in self._connections:
            self._serve_connection(fd)
        elif fd in self._forwards:
            self._upstream_answered(fd)

    def _serve_datagrams(self, socket: net.socket) -> None:
        for _ in range(64):
            try:
                raw, sender = socket.recvfrom(_MESSAGE_LIMIT)
            except BlockingIOError:
                return
            self._question(raw, sender[0], _datagram_reply(socket, sender), tcp=False)

    def _accept(self, listener: net.socket) -> None:
        try:
            made, sender = listener.accept()
        except BlockingIOError:
            return
        made.setblocking(False)
        if _crowded(self._connections.values(), sender[0], _MAX_CONNECTIONS):
            made.close()
            return
        self._connections[made.fileno()] = _Connection(made, sender[0], time.monotonic())
        self._poll.register(made.fileno(), select.EPOLLIN)

    def _serve_connection(self, fd: int) -> None:
        connection = self._connections[fd]
        block = connection.socket.recv(_MESSAGE_LIMIT)
        if not block:
            self._drop(fd)
            return
        connection.data += block
        while len(connection.data) >= 2 and self._connections.get(fd) is connection:
            length = int.from_bytes(connection.data[:2], "big")
            if len(connection.data) < 2 + length:
                return
            raw, connection.data = connection.data[2 : 2 + length], connection.data[2 + length :]
            self._question(raw, connection.client, self._stream_reply(fd), tcp=True)

    def _stream_reply(self, fd: int) -> Callable[[bytes], None]:
        connection = self._connections[fd]

        def reply(message: bytes) -> None:
            if self._connections.get(fd) is connection:
                try:
                    connection.socket.sendall(len(message).to_bytes(2, "big") + message)
                except OSError:
                    self._drop(fd)

        return reply

    def _question(self, raw: bytes, client: str, reply: Callable[[bytes], None], *, tcp: bool) -> None:
        try:
            query = dns.parse_query(raw)
        except dns.Malformed as error:
            if error.answer:
                reply(error.answer)
            return
        turn = self._turns.get((query.name, query.kind), 0)
        try:
            local = local_answer(query, self._names, client, turn, 0 if tcp else query.limit)
            upstreams = self._names.upstreams(client) if local is None else ()
        except LadingError as error:  # the records: a full disk, a lock that somebody keeps
            self._report(error)
            local, upstreams = dns.answer(query, dns.SERVFAIL), ()
        if local is not None:
            if len(self._turns) >= _MAX_TURNS:
                self._turns.clear()
            self._turns[query.name, query.kind] = turn + 1
            reply(local)
        elif not upstreams:
            reply(dns.answer(query, dns.NXDOMAIN))
        elif _crowded(self._forwards.values(), client, _MAX_PENDING):
            reply(dns.answer(query, dns.SERVFAIL))
        else:
            self._try_next(Forward(query, raw, client, upstreams, reply, whole=tcp))

    def _try_next(self, forward: Forward) -> None:
        while forward.upstreams:
            try:
                self._wait_for(forward.ask(self._upstream_port), forward)
            except OSError:
                continue
            return
        forward.reply(dns.answer(forward.query, dns.SERVFAIL))

    def _wait_for(self, socket: net.socket, forward: Forward) -> None:
        self._forwards[socket.fileno()] = forward
        self._poll.register(socket.fileno(), select.EPOLLOUT if forward.cut else select.EPOLLIN)

    def _upstream_answered(self, fd: int) -> None:
        forward = self._forwards[fd]
        try:
            if forward.cut and not forward.connected:
                forward.send_whole()
                self._poll.modify(fd, select.EPOLLIN)
                return
            message = forward.receive()
        except OSError:  # port unreachable: the next one
            self._failed(fd, forward)
            return
        if not message:
            return  # not (yet) an answer to what was asked; keep waiting
        self._drop(fd)
        if not (forward.whole and not forward.cut and message[2] & 2):
            forward.reply(forward.raw[:2] + message[2:])
            return
        try:
            self._wait_for(forward.ask_whole(self._upstream_port, message), forward)
        except OSError:
            self._failed(-1, forward)

    def _failed(self, fd: int, forward: Forward) -> None:
        """The upstream did not answer: give what it said before, or ask the next one."""
        self._drop(fd)
        if forward.cut:
            forward.reply(forward.raw[:2] + forward.cut[2:])
        else:
            self._try_next(forward)

    def _expire(self, now: float) -> None:
        for fd, forward in [(fd, f) for fd, f in self._forwards.items() if f.deadline <= now]:
            self._failed(fd, forward)
        for fd in [fd for fd, c in self._connections.items() if c.deadline <= now]:
            self._drop(fd)

    def _drop(self, fd: int) -> None:
        holder = self._forwards.pop(fd, None) or self._connections.pop(fd, None)
        if holder is not None and holder.socket is not None:
            self._poll.unregister(fd)
            holder.socket.close()


def _crowded(holders: Collection[Forward | _Connection], client: str, limit: int) -> bool:
    """Whether there is no place for one more, or ``client`` has its quarter of them."""
    share = limit // 4
    return len(holders) >= limit or (
        len(holders) >= share and sum(holder.client == client for holder in holders) >= share
    )


def _datagram_reply(socket: net.socket, sender: tuple[object, ...]) -> Callable[[bytes], None]:
    def reply(message: bytes) -> None:
        try:
            socket.sendto(message, sender)
        except OSError:
            pass  # the client is gone, or its queue is full: it asks again

    return reply
