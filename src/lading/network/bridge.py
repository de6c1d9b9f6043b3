"""The bridge driver: host interfaces, pods' veths, and the addresses on both ends.

Every function takes open rtnetlink sockets, builds one batch and sends it: the host's end of a pod costs one system
call, the pod's end two.
"""

from __future__ import annotations

import os
from _socket import if_nametoindex

from lading.errors import KernelError
from lading.kernel import netlink_route as rt
from lading.kernel.netlink import Message, Netlink
from lading.network import addresses as ad
from lading.network.model import Interface, Network
from lading.network.routing import default_routes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_ENODEV, _EEXIST, _ENOENT, _EADDRNOTAVAIL = 19, 17, 2, 99
_SYS = "/proc/sys/net/"


def index_of(name: str) -> int:
    """The index of a host interface; 0 when it is not there."""
    try:
        return if_nametoindex(name)
    except OSError:
        return 0


def make_bridge(host: Netlink, network: Network) -> list[str]:
    """Make the network's bridge, or finish one half made. Returns what was changed about the host beyond it."""
    name = network.interface
    six = any(":" in s for s in network.subnets)
    mac = ad.mac_for(ad.pack(network.gateways[0])) if network.gateways else b""
    host.run([rt.bridge_add(name, address=mac, mtu=network.mtu, ok=(_EEXIST,))])
    index = index_of(name)
    batch = []
    if not six:
        batch.append(rt.link_without_ipv6_address(name))
    for gateway, subnet in zip(network.gateways, network.subnets, strict=True):
        prefix = int(subnet.partition("/")[2])
        batch.append(rt.address_add(index, ad.pack(gateway), prefix, ok=(_EEXIST,)))
    if batch:
        host.run(batch)
    # Pods must not tell the host its routes (CVE-2020-13401), nor speak for another bridge's.
    _set_if_there(f"ipv6/conf/{name}/accept_ra", "0")
    _set_if_there(f"ipv6/conf/{name}/disable_ipv6", "0" if six else "1")
    set_sysctl(f"ipv4/conf/{name}/rp_filter", "1")
    host.run([rt.link_set(index, up=True)])
    # Answers to connections made to 127.0.0.1 come back through the bridge (the guard chain keeps others out).
    set_sysctl(f"ipv4/conf/{name}/route_localnet", "1")
    return [] if network.internal else enable_forwarding(six)


def enable_forwarding(six: bool) -> list[str]:
    """Switch routing on where it is off. Returns a sentence for each switch, for the record and the user."""
    said = []
    for key, wanted in (("ipv4/ip_forward", True), ("ipv6/conf/all/forwarding", six)):
        if wanted and read_sysctl(key) == "0":
            set_sysctl(key, "1")
            said.append(
                f"net.{key.replace('/', '.')} was 0 and is now 1, so that containers reach other machines"
            )
    return said


def read_sysctl(key: str) -> str:
    """A value below ``/proc/sys/net``; empty when this kernel does not have it."""
    try:
        descriptor = os.open(_SYS + key, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(descriptor, 256).decode().strip()
    finally:
        os.close(descriptor)


def refuse_advertisements() -> None:
    """Have interfaces that are yet to come to this namespace take no routes and addresses from their neighbours' word."""
    _set_if_there("ipv6/conf/default/accept_ra", "0")


def _set_if_there(key: str, value: str) -> None:
    """Write a value that a kernel without IPv6 does not have."""
    if os.path.exists(_SYS + key):
        set_sysctl(key, value)


def set_sysctl(key: str, value: str) -> None:
    """Write a value below ``/proc/sys/net`` of the calling thread's namespace."""
    try:
        descriptor = os.open(_SYS + key, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise KernelError(f"sysctl net.{key.replace('/', '.')}={value}", error.errno or 0) from None


def remove_bridge(host: Netlink, name: str) -> None:
    """Remove a bridge, there or not."""
    host.run([rt.link_del(name, ok=(_ENODEV,))])


def plug(
    host: Netlink, network: Network, interface: Interface, bridge: int, namespace: int, *, hairpin: bool
) -> None:
    """The host's end: a veth whose peer is born in the namespace of descriptor ``namespace``.

    ``hairpin`` lets the pod reach itself through its own published ports. Ports of a bridge whose pods may not talk to each
    other (``icc``) are isolated: their frames go to the bridge itself alone.
    """
    name = interface.host_interface
    batch = [
        rt.veth_add(
            name,
            interface.name,
            peer_netns=namespace,
            peer_address=ad.parse_mac(interface.mac),
            master=bridge,
            mtu=network.mtu,
        ),
        rt.link_without_ipv6_address(name),
    ]
    isolated = network.options.get("icc") == "false"
    if hairpin or isolated:
        batch.append(rt.port_set(name, hairpin=hairpin or None, isolated=isolated or None))
    host.run([*batch, rt.link_set(0, name=name, up=True)])


def plug_macvlan(host: Netlink, network: Network, interface: Interface, parent: int, namespace: int) -> None:
    """A macvlan interface on ``parent``, born in the pod's namespace."""
    host.run(
        [
            rt.macvlan_add(
                interface.name,
                parent,
                mode=network.options.get("mode", "bridge"),
                netns=namespace,
                address=ad.parse_mac(interface.mac),
                mtu=network.mtu,
            )
        ]
    )


def configure(inner: Netlink, interfaces: Sequence[Interface], *, loopback: bool = True) -> None:
    """The pod's end: everything up, addresses on, and a default route of each family."""
    batch = [rt.link_set(1, up=True)] if loopback else []
    for interface in interfaces:
        if not any(":" in a for a in interface.addresses):
            batch.append(rt.link_without_ipv6_address(interface.name))
        batch.append(rt.link_set(0, name=interface.name, up=True))
    if batch:
        inner.run(batch)
    batch = []
    routes = default_routes(interfaces)
    for interface in interfaces:
        index = rt.Link(inner.ask(rt.link_get(interface.name))).index
        for address in interface.addresses:
            text, _, prefix = address.partition("/")
            batch.append(rt.address_add(index, ad.pack(text), int(prefix)))
        for name, gateway in routes.values():
            if name == interface.name:
                batch.append(rt.route_add(b"", 0, gateway=ad.pack(gateway), index=index))
    if batch:
        inner.run(batch)


def unplug(host: Netlink, names: Sequence[str]) -> None:
    """Cut pods' host ends off at once.

    Removing a veth waits 20 ms for every processor to forget it; setting it down takes a tenth of one. The kernel
    removes it with the namespace, whose last holder is going away; ``check`` looks for the ones that stayed.
    """
    if names:
        host.run([_down(name) for name in names])


def _down(name: str) -> Message:
    message = rt.link_set(0, name=name, up=False)
    message.ok = (_ENODEV,)
    return message


def host_subnets(host: Netlink) -> list[ad.Subnet]:
    """Every subnet this host has a route or an address in, the default routes aside."""
    found: list[ad.Subnet] = []
    for family, number in ((rt.AF_INET, 4), (rt.AF_INET6, 6)):
        for payload in host.dump(rt.routes_get(family)):
            route = rt.Route(payload)
            if route.prefix and route.destination:
                value = int.from_bytes(route.destination, "big")
                found.append((number, value, route.prefix))
    return found


def uplink_mtu(host: Netlink) -> int:
    """The MTU of the default route's interface; 1500 when there is none or it is larger."""
    for payload in host.dump(rt.routes_get(rt.AF_INET)):
        route = rt.Route(payload)
        if not route.prefix and route.index:
            mtu = rt.Link(host.ask(rt.link_get(index=route.index))).mtu
            return mtu if 576 <= mtu <= 1500 else 1500
    return 1500
