"""Connection tracking entries, found and deleted by ctnetlink (linux/netfilter/nfnetlink_conntrack.h).

Only what a published UDP port needs: an entry outlives the rule that made it for as long as packets come, so a client that
keeps its socket would talk to an address that nobody has any more.
"""

from __future__ import annotations

import sys

from lading.errors import KernelError
from lading.kernel import netlink as nl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_GET, _DELETE = (1 << 8) | 1, (1 << 8) | 2
_ORIG, _REPLY, _ID, _ZONE, _FILTER = 1, 2, 12, 18, 25
_IP, _PROTO = 1, 2
_PROTO_NUM, _SRC_PORT, _DST_PORT = 1, 2, 3
_FILTER_ORIG = 1
_FILTER_PROTOCOL_AND_PORT = 1 << 3 | 1 << 5
_NESTED = 0x8000
_ENOENT, _EINVAL, _EOPNOTSUPP = 2, 22, 95
FAMILIES = {4: 2, 6: 10}


class Flow:
    """One entry: what the client sent to (``destination``, ``port``), and who answers (``server``, ``server_port``)."""

    __slots__ = (
        "_identity",
        "_original",
        "destination",
        "family",
        "port",
        "protocol",
        "server",
        "server_port",
    )

    def __init__(self, family: int, payload: bytes) -> None:
        found = nl.attributes(payload, 4)
        self.family = family
        self._original = found.get(_ORIG, b"")
        self._identity = b"".join(nl.attribute(kind, found[kind]) for kind in (_ID, _ZONE) if kind in found)
        _, self.destination, self.protocol, _, self.port = _tuple(self._original)
        self.server, _, _, self.server_port, _ = _tuple(found.get(_REPLY, b""))

    def deletion(self) -> nl.Message:
        """Delete exactly this entry; one that has gone by itself is no error."""
        payload = bytes((FAMILIES[self.family], 0, 0, 0)) + nl.attribute(_ORIG | _NESTED, self._original)
        return nl.Message(_DELETE, 0, payload + self._identity, "conntrack delete", (_ENOENT,))


def _tuple(data: bytes) -> tuple[bytes, bytes, int, int, int]:
    """Source, destination, protocol, source port, destination port."""
    parts = nl.attributes(data)
    addresses = nl.attributes(parts.get(_IP, b""))
    protocol = nl.attributes(parts.get(_PROTO, b""))
    source = addresses.get(1) or addresses.get(3, b"")
    destination = addresses.get(2) or addresses.get(4, b"")
    number = protocol.get(_PROTO_NUM, b"\0")[0]
    ports = [int.from_bytes(protocol.get(kind, b""), "big") for kind in (_SRC_PORT, _DST_PORT)]
    return source, destination, number, ports[0], ports[1]


def flows(wire: nl.Netlink, family: int, protocol: int, port: int) -> Iterator[Flow]:
    """The entries whose client sent to ``port``. The kernel filters where it can (5.8 and newer)."""
    head = bytes((FAMILIES[family], 0, 0, 0))
    wanted = nl.nested(
        _PROTO, nl.attribute(_PROTO_NUM, bytes([protocol])), nl.attribute(_DST_PORT, port.to_bytes(2, "big"))
    )
    flags = nl.attribute(_FILTER_ORIG, _FILTER_PROTOCOL_AND_PORT.to_bytes(4, sys.byteorder))
    filtered = head + nl.nested(_ORIG, wanted) + nl.nested(_FILTER, flags)
    try:
        found = wire.dump(nl.Message(_GET, 0, filtered, "conntrack list"))
    except KernelError as error:
        if error.errno not in (_EINVAL, _EOPNOTSUPP):
            raise
        found = wire.dump(nl.Message(_GET, 0, head, "conntrack list"))
    for payload in found:
        flow = Flow(family, payload)
        if flow.protocol == protocol and flow.port == port:
            yield flow
