"""What a new network may be: options, gateways, ranges, reserved addresses, the bridge's name. Pure but for one look."""

from __future__ import annotations

from lading.errors import Conflict, InvalidInput, Unsupported
from lading.network import addresses as ad
from lading.network import bridge as br

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.network.model import Network

_NAME_LIMIT = 15  # IFNAMSIZ without its zero


def check_options(network: Network) -> None:
    """Refuse a driver, an option or an MTU that cannot be."""
    known = {"bridge": ("masquerade", "icc", "host_ip"), "macvlan": ("mode",), "user": ()}.get(network.driver)
    if network.driver == "cni":
        raise Unsupported(
            "a network of driver cni is not created", hint="put its configuration list into cni/net.d"
        )
    if known is None:
        raise Unsupported(f"network driver {network.driver!r} is not supported", hint="use bridge or macvlan")
    for key in network.options:
        if key not in known:
            raise Unsupported(f"option {key!r} of network driver {network.driver} is not supported")
    for key in ("masquerade", "icc"):
        if network.options.get(key, "true") not in ("true", "false"):
            raise InvalidInput(f"network option {key} is neither true nor false")
    if network.options.get("host_ip"):
        ad.parse_address(network.options["host_ip"], "host address of the network's published ports")
    if network.options.get("mode", "bridge") not in ("private", "vepa", "bridge", "passthru"):
        raise InvalidInput("network option mode is none of private, vepa, bridge, passthru")
    if network.mtu and not 68 <= network.mtu <= 65535:
        raise InvalidInput(f"network MTU {network.mtu} is not between 68 and 65535")
    if network.driver == "macvlan" and not network.interface:
        raise InvalidInput("a macvlan network needs its parent interface")


def gateways(network: Network, subnets: Sequence[ad.Subnet], given: list[str]) -> list[str]:
    """The gateway of each subnet, by position: the one given, else its first address."""
    by_family: dict[int, str] = {}
    for text in given:
        family, number = ad.parse_address(text, "gateway")
        by_family[family] = ad.show_address(family, number)
    made = []
    for subnet in subnets:
        first, last = ad.usable(subnet)
        text = by_family.pop(subnet[0], "") or ad.show_address(subnet[0], first)
        if not first <= ad.parse_address(text)[1] <= last:
            raise InvalidInput(f"gateway {text} is not a host address of {ad.show_subnet(subnet)}")
        made.append(text)
    if by_family:
        raise InvalidInput(f"gateway {next(iter(by_family.values()))} lies in no subnet of {network.name}")
    return made


def ranges(subnets: Sequence[ad.Subnet], given: list[str]) -> list[str]:
    """The part of each subnet that addresses are taken from, by position."""
    made = ["" for _ in subnets]
    for text in given:
        part = ad.parse_subnet(text, "address range")
        for position, subnet in enumerate(subnets):
            if ad.contains(subnet, part[0], part[1]) and part[2] >= subnet[2]:
                made[position] = ad.show_subnet(part)
                break
        else:
            raise InvalidInput(f"address range {text} lies in no subnet of the network")
    return made


def reserved(network: Network, given: dict[str, str]) -> dict[str, str]:
    """Name → address that nobody is given, each an address of one of the network's subnets."""
    subnets = [ad.parse_subnet(s) for s in network.subnets]
    made = {}
    for name, text in given.items():
        family, number = ad.parse_address(text, f"reserved address {name}")
        if not any(ad.contains(subnet, family, number) for subnet in subnets):
            raise InvalidInput(f"reserved address {text} lies in no subnet of {network.name}")
        made[name] = ad.show_address(family, number)
        if made[name] in network.gateways:
            raise Conflict(f"reserved address {text} is the gateway of {network.name}")
    return made


def check_bridge_name(name: str, networks: Sequence[Network]) -> None:
    """Refuse a name that no interface can have, or that one has."""
    if (
        len(name) > _NAME_LIMIT
        or name in (".", "..")
        or any(c in '/: \t\n%"' for c in name)
        or not name.isascii()
    ):
        raise InvalidInput(
            f"bridge name {name!r} is not the name of an interface: at most 15 characters, no / : % or space"
        )
    owner = next((n.name for n in networks if n.interface == name), "")
    if owner or br.index_of(name):
        raise Conflict(f"interface {name} exists already" + (f" (network {owner})" if owner else ""))
