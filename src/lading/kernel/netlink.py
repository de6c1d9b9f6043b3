"""Netlink: one socket, many messages in one send, errors with the kernel's own words.

A :class:`Netlink` belongs to the network namespace it was opened in, for good (netlink(7)). That is how a namespace
is configured from outside: open the socket while inside, walk back out, and keep talking.

Messages are built by :mod:`lading.kernel.netlink_route` and :mod:`lading.kernel.nftables`; this module knows only
the frame around them. It is written on ``_socket`` because ``socket`` costs a process that lives 40 ms four of them.
"""

from __future__ import annotations

from _socket import AF_NETLINK, SOCK_CLOEXEC, SOCK_RAW
from _socket import socket as _RawSocket  # noqa: N812
from _struct import Struct

from lading.errors import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROUTE = 0
NETFILTER = 12

NLM_F_REQUEST = 0x1
NLM_F_MULTI = 0x2
NLM_F_ACK = 0x4
NLM_F_DUMP = 0x300
NLM_F_EXCL = 0x200
NLM_F_REPLACE = 0x100
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800
_NLM_F_CAPPED = 0x100
_NLM_F_ACK_TLVS = 0x200

_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLA_F_NESTED = 0x8000
_NLA_TYPE_MASK = 0x3FFF
_NLMSGERR_ATTR_MSG = 1

_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11
_NETLINK_GET_STRICT_CHK = 12

_HEADER = Struct("=IHHII")
_ATTRIBUTE = Struct("=HH")
_ERROR = Struct("=i")
_RECEIVE = 1 << 17
#: How many messages are under way at once. Their answers wait in the socket's buffer (208 KiB as the kernel makes it, good for
#: about 270) before the first can be read, and what finds no room there is lost.
_WINDOW = 64
_SOL_SOCKET, _SO_SNDBUF, _SO_SNDBUFFORCE, _EMSGSIZE = 1, 7, 32, 90


class Message:
    """One request. ``what`` names it in errors (``link add lading0``); ``ok`` are errnos that are no failure."""

    __slots__ = ("flags", "kind", "ok", "payload", "what")

    def __init__(self, kind: int, flags: int, payload: bytes, what: str, ok: tuple[int, ...] = ()) -> None:
        self.kind = kind
        self.flags = flags
        self.payload = payload
        self.what = what
        self.ok = ok

    def __repr__(self) -> str:
        return f"<{self.what}>"


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded to four bytes (``struct nlattr``)."""
    size = len(value) + 4
    return _ATTRIBUTE.pack(size, kind) + value + b"\0" * (-size & 3)


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | _NLA_F_NESTED, b"".join(attributes))


def text(kind: int, value: str) -> bytes:
    """A zero-terminated string attribute."""
    return attribute(kind, value.encode() + b"\0")


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """The attributes of ``data`` from ``offset`` on, by kind; a kind that stands twice keeps its last value."""
    return dict(each_attribute(data, offset))


def each_attribute(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """The attributes of ``data`` in their order; stops at the first that lies about its length."""
    end = len(data)
    while offset + 4 <= end:
        size, kind = _ATTRIBUTE.unpack_from(data, offset)
        if size < 4 or offset + size > end:
            return
        yield kind & _NLA_TYPE_MASK, data[offset + 4 : offset + size]
        offset += (size + 3) & ~3


class Netlink:
    """A netlink socket of one protocol family in the namespace that was current when it was made."""

    __slots__ = ("_sequence", "_socket")

    def __init__(self, protocol: int = ROUTE) -> None:
        try:
            self._socket = _RawSocket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
            if protocol == ROUTE:
                self._socket.setsockopt(_SOL_NETLINK, _NETLINK_GET_STRICT_CHK, 1)
        except OSError as error:
            raise KernelError("socket(AF_NETLINK)", error.errno or 0) from None
        self._sequence = 0

    def close(self) -> None:
        """Close the socket; twice is harmless."""
        self._socket.close()

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def fileno(self) -> int:
        """The descriptor, for a poll loop."""
        return self._socket.fileno()

    def run(self, messages: Sequence[Message]) -> list[int]:
        """Send every message, wait for every acknowledgement, in order.

        Returns one errno for each message: 0, or one its ``ok`` allows. The kernel works on all of them even when one
        fails; the first failure is raised as :class:`KernelError` with the kernel's explanation as hint.
        """
        return [errno for errno, _ in self._exchange(messages)]

    def ask(self, message: Message) -> bytes:
        """One request with one answer (``RTM_GETLINK`` by name): the answer's payload, empty when ``ok`` allowed."""
        (answer,) = self._exchange([message])
        return answer[1]

    def dump(self, message: Message) -> list[bytes]:
        """The payload of each entry of a table. A table that changed meanwhile is read again."""
        for _ in range(16):
            found = self._dump_once(message)
            if found is not None:
                return found
        raise KernelError(message.what + " (kept changing)", 4)

    def transaction(self, begin: Message, messages: Sequence[Message], end: Message) -> None:
        """Send ``messages`` between ``begin`` and ``end`` as one nfnetlink batch: all of them take effect, or none.

        Kernels before 6.10 acknowledge no frame of a batch, and one that is refused is told of without being asked, so
        the last of ``messages`` alone asks for its acknowledgement: it comes after everything else there is to say. Raises
        :class:`KernelError` for the first that was refused, or for the whole when the commit failed.
        """
        first = self._sequence + 1
        self._sequence += len(messages) + 2
        last = len(messages) - 1
        frames = [_frame(begin, 0, first)]
        frames += [_frame(m, NLM_F_ACK if i == last else 0, first + 1 + i) for i, m in enumerate(messages)]
        frames.append(_frame(end, 0, first + 1 + len(messages)))
        self._send(b"".join(frames), messages[0].what)
        failure: KernelError | None = None
        index = -1
        while index != last:
            for kind, flags, sequence, payload in self._receive(messages[0].what):
                index = sequence - first - 1
                if kind != _NLMSG_ERROR or not -1 <= index <= last:
                    index = -1
                    continue
                errno = -_ERROR.unpack_from(payload)[0]
                what = messages[max(index, 0)].what
                if index < 0 and errno:
                    raise KernelError(f"{what} (transaction)", errno, hint=_explanation(flags, payload))
                if errno and failure is None:
                    failure = KernelError(what, errno, hint=_explanation(flags, payload))
        if failure is not None:
            raise failure

    def _exchange(self, messages: Sequence[Message]) -> list[tuple[int, bytes]]:
        answers: list[tuple[int, bytes]] = []
        failure: KernelError | None = None
        for start in range(0, len(messages), _WINDOW):
            problem = self._exchange_window(messages[start : start + _WINDOW], answers)
            failure = failure or problem
        if failure is not None:
            raise failure
        return answers

    def _exchange_window(
        self, messages: Sequence[Message], answers: list[tuple[int, bytes]]
    ) -> KernelError | None:
        """Send few messages at once; the first failure. Their answers are appended."""
        first, offset = self._sequence + 1, len(answers)
        self._sequence += len(messages)
        self._send(
            b"".join(_frame(m, NLM_F_ACK, first + i) for i, m in enumerate(messages)), messages[0].what
        )
        answers += [(0, b"")] * len(messages)
        waiting = len(messages)
        failure: KernelError | None = None
        while waiting:
            for kind, flags, sequence, payload in self._receive(messages[0].what):
                index = sequence - first
                if not 0 <= index < len(messages):
                    continue
                if kind != _NLMSG_ERROR:
                    answers[offset + index] = (0, payload)
                    continue
                waiting -= 1
                errno = -_ERROR.unpack_from(payload)[0]
                if errno:
                    answers[offset + index] = (errno, b"")
                    if errno not in messages[index].ok and failure is None:
                        failure = KernelError(messages[index].what, errno, hint=_explanation(flags, payload))
        return failure

    def _dump_once(self, message: Message) -> list[bytes] | None:
        self._sequence += 1
        self._send(_frame(message, NLM_F_DUMP, self._sequence), message.what)
        found: list[bytes] = []
        interrupted = False
        while True:
            for kind, flags, sequence, payload in self._receive(message.what):
                if sequence != self._sequence:
                    continue
                interrupted = interrupted or bool(flags & 0x10)  # NLM_F_DUMP_INTR
                if kind in (_NLMSG_DONE, _NLMSG_ERROR):
                    errno = -_ERROR.unpack_from(payload)[0] if len(payload) >= 4 else 0
                    if errno and errno not in message.ok:
                        raise KernelError(message.what, errno, hint=_explanation(flags, payload))
                    return None if interrupted else found
                found.append(payload)

    def _send(self, data: bytes, what: str) -> None:
        try:
            try:
                self._socket.send(data)
            except OSError as error:
                if error.errno != _EMSGSIZE:
                    raise
                self._make_room(len(data))
                self._socket.send(data)
        except OSError as error:
            raise KernelError(what, error.errno or 0) from None

    def _make_room(self, size: int) -> None:
        """A send buffer for a large transaction, past net.core.wmem_max where the kernel lets us."""
        for option in (_SO_SNDBUFFORCE, _SO_SNDBUF):
            try:
                self._socket.setsockopt(_SOL_SOCKET, option, size)
                return
            except PermissionError:
                continue

    def _receive(self, what: str) -> Iterator[tuple[int, int, int, bytes]]:
        try:
            data = self._socket.recv(_RECEIVE)  # goes on by itself after a signal
        except OSError as error:
            raise KernelError(what, error.errno or 0) from None
        offset, end = 0, len(data)
        while offset + 16 <= end:
            size, kind, flags, sequence, _port = _HEADER.unpack_from(data, offset)
            if size < 16 or offset + size > end:
                raise KernelError(what + " (torn answer)", 74)
            yield kind, flags, sequence, data[offset + 16 : offset + size]
            offset += (size + 3) & ~3


def _frame(message: Message, extra: int, sequence: int) -> bytes:
    payload = message.payload
    size = len(payload) + 16
    flags = message.flags | extra | NLM_F_REQUEST
    return _HEADER.pack(size, message.kind, flags, sequence, 0) + payload + b"\0" * (-size & 3)


def _explanation(flags: int, payload: bytes) -> str:
    """The extended acknowledgement's text (``NLMSGERR_ATTR_MSG``), or nothing."""
    if not flags & _NLM_F_ACK_TLVS:
        return ""
    offset = 20
    if not flags & _NLM_F_CAPPED and len(payload) >= 8:
        offset = 4 + ((_ERROR.unpack_from(payload, 4)[0] + 3) & ~3)
    found = attributes(payload, offset).get(_NLMSGERR_ATTR_MSG, b"")
    return found.rstrip(b"\0").decode("utf-8", "replace").rstrip(".")
