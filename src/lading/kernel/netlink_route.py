"""rtnetlink(7) requests and answers: links, addresses, routes, neighbours.

Every ``…`` function here is pure: it returns a :class:`~lading.kernel.netlink.Message` or reads a dump's payload.
Addresses are packed bytes (4 or 16), interfaces are named by index where the kernel wants one.
"""

from __future__ import annotations

from _struct import Struct

from lading.kernel import netlink as nl
from lading.kernel.netlink import Message, attribute, nested, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

AF_INET, AF_INET6, AF_BRIDGE = 2, 10, 7

_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26
_NEWNEIGH, _DELNEIGH, _GETNEIGH = 28, 29, 30

_LINK = Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
_ADDRESS = Struct("=BBBBI")  # struct ifaddrmsg: family, prefix length, flags, scope, index
_ROUTE = Struct("=BBBBBBBBI")  # struct rtmsg
_NEIGHBOUR = Struct("=BxHiHBB")  # struct ndmsg
_U32 = Struct("=I")
_S32 = Struct("=i")

_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK, _IFLA_MASTER, _IFLA_LINKINFO = 1, 3, 4, 5, 10, 18
_IFLA_NET_NS_PID, _IFLA_IFALIAS, _IFLA_AF_SPEC, _IFLA_NET_NS_FD = 19, 20, 26, 28
_IFLA_INFO_KIND, _IFLA_INFO_DATA = 1, 2
_VETH_INFO_PEER = 1
_MACVLAN_MODE = 1
_MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
_BR_AGEING, _BR_VLAN_FILTERING, _BR_MCAST_SNOOPING = 4, 7, 23
_VXLAN_ID, _VXLAN_LINK, _VXLAN_LOCAL, _VXLAN_LEARNING, _VXLAN_PORT = 1, 3, 4, 7, 15
_INET6_ADDR_GEN_MODE = 8
IFF_UP = 1
IFA_F_NODAD = 2
_BRPORT_MODE, _BRPORT_ISOLATED = 4, 33
_IFLA_INFO_SLAVE_KIND, _IFLA_INFO_SLAVE_DATA = 4, 5

_NEW = nl.NLM_F_CREATE | nl.NLM_F_EXCL


class Link:
    """An interface as ``RTM_GETLINK`` shows it. ``kind`` is ``veth``, ``bridge``, … or empty for hardware."""

    __slots__ = ("address", "alias", "flags", "index", "kind", "link", "master", "mtu", "name")

    def __init__(self, payload: bytes) -> None:
        _family, _type, self.index, self.flags, _change = _LINK.unpack_from(payload)
        found = nl.attributes(payload, 16)
        self.name = _string(found.get(_IFLA_IFNAME, b""))
        self.alias = _string(found.get(_IFLA_IFALIAS, b""))
        self.address = found.get(_IFLA_ADDRESS, b"")
        self.mtu = _number(found.get(_IFLA_MTU, b""))
        self.master = _number(found.get(_IFLA_MASTER, b""))
        self.link = _number(found.get(_IFLA_LINK, b""))
        self.kind = _string(nl.attributes(found.get(_IFLA_LINKINFO, b"")).get(_IFLA_INFO_KIND, b""))

    @property
    def up(self) -> bool:
        """Administratively up (``IFF_UP``)."""
        return bool(self.flags & IFF_UP)


class Address:
    """An address of an interface: packed ``local``, prefix length, interface index."""

    __slots__ = ("family", "flags", "index", "local", "prefix", "scope")

    def __init__(self, payload: bytes) -> None:
        self.family, self.prefix, self.flags, self.scope, self.index = _ADDRESS.unpack_from(payload)
        found = nl.attributes(payload, 8)
        self.local = found.get(2) or found.get(1, b"")


class Route:
    """A route: packed ``destination`` (empty for the default), prefix length, gateway, interface index, table."""

    __slots__ = ("destination", "family", "gateway", "index", "prefix", "scope", "table", "type")

    def __init__(self, payload: bytes) -> None:
        fields = _ROUTE.unpack_from(payload)
        self.family, self.prefix, self.scope, self.type = fields[0], fields[1], fields[6], fields[7]
        found = nl.attributes(payload, 12)
        self.destination = found.get(1, b"")
        self.gateway = found.get(5, b"")
        self.index = _number(found.get(4, b""))
        self.table = _number(found.get(15, b"")) or fields[4]


def _string(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode("utf-8", "replace")


def _number(raw: bytes) -> int:
    return int(_U32.unpack(raw)[0]) if len(raw) == 4 else 0


def _family(packed: bytes) -> int:
    return AF_INET if len(packed) == 4 else AF_INET6


# -- links -----------------------------------------------------------------------------------------------------------


def _common(mtu: int, address: bytes, master: int, netns: int, alias: str) -> bytes:
    parts = b""
    if address:
        parts += attribute(_IFLA_ADDRESS, address)
    if mtu:
        parts += attribute(_IFLA_MTU, _U32.pack(mtu))
    if master:
        parts += attribute(_IFLA_MASTER, _U32.pack(master))
    if netns >= 0:
        parts += attribute(_IFLA_NET_NS_FD, _U32.pack(netns))
    if alias:
        parts += text(_IFLA_IFALIAS, alias)
    return parts


def link_add(
    name: str,
    kind: str,
    data: bytes = b"",
    *,
    parent: int = 0,
    mtu: int = 0,
    address: bytes = b"",
    master: int = 0,
    netns: int = -1,
    up: bool = False,
    ok: tuple[int, ...] = (),
) -> Message:
    """``ip link add NAME type KIND``. ``parent``: the lower device's index. ``netns``: descriptor to make it in."""
    payload = _LINK.pack(0, 0, 0, IFF_UP if up else 0, IFF_UP if up else 0) + text(_IFLA_IFNAME, name)
    payload += _common(mtu, address, master, netns, "")
    if parent:
        payload += attribute(_IFLA_LINK, _U32.pack(parent))
    info = text(_IFLA_INFO_KIND, kind)
    if data:
        info += nested(_IFLA_INFO_DATA, data)
    return Message(_NEWLINK, _NEW, payload + nested(_IFLA_LINKINFO, info), f"link add {name} type {kind}", ok)


def veth_add(
    name: str, peer: str, *, peer_netns: int, peer_address: bytes = b"", master: int = 0, mtu: int = 0
) -> Message:
    """A veth pair whose peer is born in the namespace of descriptor ``peer_netns``: no move, no rename."""
    inner = _LINK.pack(0, 0, 0, 0, 0) + text(_IFLA_IFNAME, peer)
    inner += _common(mtu, peer_address, 0, peer_netns, "")
    return link_add(name, "veth", nested(_VETH_INFO_PEER, inner), master=master, mtu=mtu)


def bridge_add(name: str, *, address: bytes = b"", mtu: int = 0, ok: tuple[int, ...] = ()) -> Message:
    """A bridge. A fixed ``address`` keeps the gateway's MAC when ports come and go."""
    return link_add(name, "bridge", address=address, mtu=mtu, ok=ok)


def macvlan_add(
    name: str, parent: int, *, mode: str = "bridge", netns: int = -1, address: bytes = b"", mtu: int = 0
) -> Message:
    """A macvlan on the device of index ``parent``, born in ``netns``. ``mode``: private, vepa, bridge, passthru."""
    data = attribute(_MACVLAN_MODE, _U32.pack(_MACVLAN_MODES[mode]))
    return link_add(name, "macvlan", data, parent=parent, netns=netns, address=address, mtu=mtu)


def vxlan_add(
    name: str, vni: int, *, local: bytes, port: int = 4789, mtu: int = 0, master: int = 0
) -> Message:
    """A vxlan without learning: its forwarding entries are written by whoever knows the other machines."""
    data = attribute(_VXLAN_ID, _U32.pack(vni)) + attribute(_VXLAN_LEARNING, b"\0")
    data += attribute(_VXLAN_PORT, port.to_bytes(2, "big"))
    data += attribute(_VXLAN_LOCAL if len(local) == 4 else 17, local)
    return link_add(name, "vxlan", data, mtu=mtu, master=master)


def dummy_add(name: str, *, netns: int = -1, mtu: int = 0) -> Message:
    """A dummy interface."""
    return link_add(name, "dummy", netns=netns, mtu=mtu)


def link_set(
    index: int,
    *,
    name: str = "",
    up: bool | None = None,
    mtu: int = 0,
    master: int | None = None,
    address: bytes = b"",
    netns: int = -1,
    rename: str = "",
    alias: str = "",
) -> Message:
    """Change the interface of ``index``, or of ``name`` when ``index`` is 0. ``master`` 0 releases it."""
    change = 0 if up is None else IFF_UP
    payload = _LINK.pack(0, 0, index, IFF_UP if up else 0, change)
    if not index:
        payload += text(_IFLA_IFNAME, name)
    elif rename:
        payload += text(_IFLA_IFNAME, rename)
    payload += _common(mtu, address, 0, netns, alias)
    if master is not None:
        payload += attribute(_IFLA_MASTER, _U32.pack(master))
    return Message(_NEWLINK, 0, payload, f"link set {name or index}")


def link_without_ipv6_address(name: str) -> Message:
    """No link-local address, hence no duplicate address detection (addrgenmode none); before the link goes up."""
    spec = nested(_IFLA_AF_SPEC, nested(AF_INET6, attribute(_INET6_ADDR_GEN_MODE, b"\1")))
    # A kernel booted with ipv6.disable=1 knows no AF_INET6 here; there is nothing to switch off then.
    return Message(
        _NEWLINK, 0, _LINK.pack(0, 0, 0, 0, 0) + text(_IFLA_IFNAME, name) + spec, f"link set {name}", (97, 95)
    )


def port_set(name: str, *, hairpin: bool | None = None, isolated: bool | None = None) -> Message:
    """Flags of the bridge port ``name``; ``hairpin`` lets a frame go back out where it came in."""
    data = b""
    if hairpin is not None:
        data += attribute(_BRPORT_MODE, bytes([hairpin]))
    if isolated is not None:
        data += attribute(_BRPORT_ISOLATED, bytes([isolated]))
    info = text(_IFLA_INFO_SLAVE_KIND, "bridge") + nested(_IFLA_INFO_SLAVE_DATA, data)
    payload = _LINK.pack(0, 0, 0, 0, 0) + text(_IFLA_IFNAME, name) + nested(_IFLA_LINKINFO, info)
    return Message(_NEWLINK, 0, payload, f"bridge port {name}")


def link_del(name: str = "", index: int = 0, *, ok: tuple[int, ...] = ()) -> Message:
    """Remove an interface by name or index; a veth takes its peer with it."""
    payload = _LINK.pack(0, 0, index, 0, 0) + (text(_IFLA_IFNAME, name) if name else b"")
    return Message(_DELLINK, 0, payload, f"link del {name or index}", ok)


def link_get(name: str = "", index: int = 0, *, ok: tuple[int, ...] = ()) -> Message:
    """One interface; read the answer with :class:`Link`."""
    payload = _LINK.pack(0, 0, index, 0, 0) + (text(_IFLA_IFNAME, name) if name else b"")
    return Message(_GETLINK, 0, payload, f"link show {name or index}", ok)


def links_get(master: int = 0, kind: str = "") -> Message:
    """Dump interfaces, of one master or kind if given (the kernel filters)."""
    payload = _LINK.pack(0, 0, 0, 0, 0)
    if master:
        payload += attribute(_IFLA_MASTER, _U32.pack(master))
    if kind:
        payload += nested(_IFLA_LINKINFO, text(_IFLA_INFO_KIND, kind))
    return Message(_GETLINK, 0, payload, "link show")


# -- addresses, routes, neighbours -----------------------------------------------------------------------------------


def address_add(index: int, local: bytes, prefix: int, *, ok: tuple[int, ...] = ()) -> Message:
    """``ip addr add``. IPv6 skips duplicate address detection: the address book gave it to nobody else."""
    flags = IFA_F_NODAD if len(local) == 16 else 0
    payload = (
        _ADDRESS.pack(_family(local), prefix, flags, 0, index) + attribute(2, local) + attribute(1, local)
    )
    if len(local) == 4 and prefix < 31:
        whole = int.from_bytes(local, "big") | ((1 << (32 - prefix)) - 1)
        payload += attribute(4, whole.to_bytes(4, "big"))
    return Message(_NEWADDR, _NEW, payload, f"addr add {_show(local)}/{prefix}", ok)


def address_del(index: int, local: bytes, prefix: int, *, ok: tuple[int, ...] = ()) -> Message:
    """``ip addr del``."""
    payload = _ADDRESS.pack(_family(local), prefix, 0, 0, index) + attribute(2, local) + attribute(1, local)
    return Message(_DELADDR, 0, payload, f"addr del {_show(local)}/{prefix}", ok)


def addresses_get() -> Message:
    """Dump addresses; read with :class:`Address`."""
    return Message(_GETADDR, 0, _ADDRESS.pack(0, 0, 0, 0, 0), "addr show")


def _route(
    kind: int, flags: int, destination: bytes, prefix: int, gateway: bytes, index: int, metric: int, verb: str
) -> Message:
    family = _family(destination or gateway)
    scope = 0 if gateway or family == AF_INET6 else 253
    protocol, unicast = 4, 1  # RTPROT_STATIC, RTN_UNICAST
    if kind == _DELROUTE:  # whoever made it: RTPROT_UNSPEC, RT_SCOPE_NOWHERE and RTN_UNSPEC match any
        protocol, scope, unicast = 0, 255, 0
    payload = _ROUTE.pack(family, prefix, 0, 0, 254, protocol, scope, unicast, 0)  # 254: the main table
    if prefix:
        payload += attribute(1, destination)
    if gateway:
        payload += attribute(5, gateway)
    if index:
        payload += attribute(4, _U32.pack(index))
    if metric:
        payload += attribute(6, _U32.pack(metric))
    target = f"{_show(destination)}/{prefix}" if prefix else "default"
    return Message(
        kind, flags, payload, f"route {verb} {target}" + (f" via {_show(gateway)}" if gateway else "")
    )


def route_add(
    destination: bytes, prefix: int, *, gateway: bytes = b"", index: int = 0, metric: int = 0
) -> Message:
    """``ip route add DESTINATION/PREFIX via GATEWAY dev INDEX``; prefix 0 is the default route."""
    return _route(_NEWROUTE, _NEW, destination, prefix, gateway, index, metric, "add")


def route_del(destination: bytes, prefix: int, *, gateway: bytes = b"", index: int = 0) -> Message:
    """``ip route del``."""
    return _route(_DELROUTE, 0, destination, prefix, gateway, index, 0, "del")


def routes_get(family: int = AF_INET) -> Message:
    """Dump one family's routes; read with :class:`Route`."""
    return Message(_GETROUTE, 0, _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0), "route show")


def neighbour_add(index: int, address: bytes, mac: bytes) -> Message:
    """A permanent neighbour entry."""
    payload = (
        _NEIGHBOUR.pack(_family(address), 0, index, 0x80, 0, 0) + attribute(1, address) + attribute(2, mac)
    )
    return Message(_NEWNEIGH, nl.NLM_F_CREATE | nl.NLM_F_REPLACE, payload, f"neigh add {_show(address)}")


def forwarding_add(index: int, mac: bytes, remote: bytes) -> Message:
    """A forwarding entry of a vxlan: frames for ``mac`` travel to machine ``remote`` (all zero: to all)."""
    payload = _NEIGHBOUR.pack(AF_BRIDGE, 0, index, 0x80, 2, 0) + attribute(2, mac) + attribute(1, remote)
    return Message(_NEWNEIGH, nl.NLM_F_CREATE | nl.NLM_F_APPEND, payload, f"fdb append {mac.hex(':')}")


def neighbours_get(family: int = AF_INET) -> Message:
    """Dump one family's neighbour table."""
    return Message(_GETNEIGH, 0, _NEIGHBOUR.pack(family, 0, 0, 0, 0, 0), "neigh show")


def _show(packed: bytes) -> str:
    from _socket import inet_ntop

    return inet_ntop(AF_INET if len(packed) == 4 else AF_INET6, packed) if packed else "default"


def names(payloads: Sequence[bytes]) -> dict[str, Link]:
    """A link dump by interface name."""
    links = [Link(p) for p in payloads]
    return {link.name: link for link in links}
