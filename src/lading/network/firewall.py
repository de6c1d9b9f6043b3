"""Our nftables table as text: pure functions from records to commands.

One table of family ``inet`` for each root. Its rules never change: what comes and goes are elements of its sets and
maps, so a thousand networks or published ports cost a packet one hash look-up. docs/networking.md explains how it
stands beside the host's own firewall.

``guard`` keeps out what lies about where it comes from or goes to. Pods reach nothing of the host's loopback by the
bridge's ``route_localnet``. IPv6 has no ``rp_filter`` (bridges have it for IPv4), so a source that is not reached by the bridge
it came from is refused here. A gateway's name server is asked by its own bridge alone. And ``prerouting`` leaves
127.0.0.0/8 as it is: translating it would carry a neighbour's packet to a port that was published for this host alone past
the kernel's own check for such addresses (martians), which comes later.
"""

from __future__ import annotations

from lading.kernel.nftelements import Element, joined
from lading.network import addresses as ad
from lading.network.model import Network, PublishedPort

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

#: Which shape of table ``_TABLE`` is. Raise it with every change there: a table of another shape is then built anew.
SCHEMA = "2"

#: Protocol numbers (RFC 5237).
PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}

_TABLE = """\
set bridges { type ifname; }
set closed { type ifname; }
set internal { type ifname; }
set same { type ifname . ifname; }
set nat4 { type ipv4_addr; flags interval; }
set nat6 { type ipv6_addr; flags interval; }
set names4 { type ipv4_addr; }
set names6 { type ipv6_addr; }
map published4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
map published6 { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }
map everywhere4 { type inet_proto . inet_service : ipv4_addr . inet_service; }
map everywhere6 { type inet_proto . inet_service : ipv6_addr . inet_service; }
chain guard {
    type filter hook prerouting priority raw; policy accept;
    iifname @bridges ip daddr 127.0.0.0/8 drop
    iifname @bridges ip6 saddr != :: fib saddr . iif oif missing drop
    iifname != "lo" meta l4proto { tcp, udp } th dport 53 ip daddr @names4 fib daddr . iif type != local drop
    iifname != "lo" meta l4proto { tcp, udp } th dport 53 ip6 daddr @names6 fib daddr . iif type != local drop
}
chain forward {
    type filter hook forward priority filter; policy accept;
    iifname . oifname @same accept
    iifname @internal drop
    oifname @internal drop
    ct state established,related accept
    ct status dnat accept
    oifname @closed drop
    iifname @closed oifname @bridges drop
}
chain publish {
    iifname @bridges ip daddr @names4 meta l4proto { tcp, udp } th dport 53 return
    iifname @bridges ip6 daddr @names6 meta l4proto { tcp, udp } th dport 53 return
    dnat ip to ip daddr . meta l4proto . th dport map @published4
    dnat ip to meta l4proto . th dport map @everywhere4
    dnat ip6 to ip6 daddr . meta l4proto . th dport map @published6
    dnat ip6 to meta l4proto . th dport map @everywhere6
}
chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    ip daddr 127.0.0.0/8 return
    fib daddr type local jump publish
}
chain output {
    type nat hook output priority -100; policy accept;
    ip6 daddr ::1 return
    fib daddr type local jump publish
}
chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname @bridges ip saddr 127.0.0.0/8 masquerade
    oifname != @bridges ip saddr @nat4 masquerade
    oifname != @bridges ip6 saddr @nat6 masquerade
    oifname @bridges ct status dnat ip saddr @nat4 masquerade
    oifname @bridges ct status dnat ip6 saddr @nat6 masquerade
}
"""


def table(tag: str, networks: Iterable[Network], ports: Iterable[PublishedPort]) -> str:
    """The whole table anew, in one transaction: what is recorded, and nothing else, is there afterwards."""
    parts = [f"add table inet {tag}\ndelete table inet {tag}\ntable inet {tag} {{\n{_TABLE}}}\n"]
    parts.extend(network_elements(tag, network, "add") for network in networks)
    parts.append(port_elements(tag, [p for p in ports if not p.relayed], "add"))
    return "".join(parts)


def network_elements(tag: str, network: Network, verb: str) -> str:
    """Commands that ``add`` or ``delete`` one bridge network to and from the sets."""
    if network.driver != "bridge":
        return ""
    bridge = network.interface
    lines = [
        _element(verb, tag, "bridges", f'"{bridge}"'),
        _element(verb, tag, "same", f'"{bridge}" . "{bridge}"'),
    ]
    for gateway in network.gateways:
        lines.append(_element(verb, tag, "names6" if ":" in gateway else "names4", gateway))
    if network.internal:
        lines.append(_element(verb, tag, "internal", f'"{bridge}"'))
    else:
        if network.options.get("masquerade", "true") == "true":
            for subnet in network.subnets:
                lines.append(_element(verb, tag, "nat6" if ":" in subnet else "nat4", subnet))
    if network.isolate:
        lines.append(_element(verb, tag, "closed", f'"{bridge}"'))
    return "".join(lines)


def port_elements(tag: str, ports: Iterable[PublishedPort], verb: str) -> str:
    """Commands that ``add`` or ``delete`` published ports: one element each."""
    by_map: dict[str, list[str]] = {}
    for port in ports:
        name = port_map(port)
        key = f"{port.protocol} . {port.host_port}"
        if name.startswith("published"):
            key = f"{port.host_ip} . {key}"
        if verb == "add":
            key += f" : {port.container_ip} . {port.container_port}"
        by_map.setdefault(name, []).append(key)
    return "".join(_element(verb, tag, name, ", ".join(keys)) for name, keys in by_map.items())


def port_map(port: PublishedPort) -> str:
    """The map that a port is an element of."""
    kind = "everywhere" if port.host_ip in ("", "0.0.0.0", "::") else "published"
    return kind + ("6" if ":" in port.container_ip else "4")


def port_element(port: PublishedPort, *, add: bool) -> Element:
    """A published port as the kernel wants it."""
    name = port_map(port)
    key = joined(bytes([PROTOCOLS[port.protocol]]), port.host_port.to_bytes(2, "big"))
    if name.startswith("published"):
        key = joined(ad.pack(port.host_ip)) + key
    data = joined(ad.pack(port.container_ip), port.container_port.to_bytes(2, "big"))
    return Element(name, key, data, add=add)


def remove(tag: str) -> str:
    """Take the table away, there or not."""
    return f"add table inet {tag}\ndelete table inet {tag}\n"


def _element(verb: str, tag: str, name: str, elements: str) -> str:
    return f"{verb} element inet {tag} {name} {{ {elements} }}\n"
