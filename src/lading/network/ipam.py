"""Which addresses a new interface gets: decided here, written down by the caller before anything is made."""

from __future__ import annotations

from lading.errors import Conflict, Exhausted, InvalidInput
from lading.network import addresses as ad
from lading.network.model import Interface, Network, NetworkRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.network.store import Store


def lease(store: Store, network: Network, owner: str, request: NetworkRequest, interface: Interface) -> None:
    """Take one address of each of the network's subnets for ``owner`` and write them into ``interface``.

    Runs inside the store's transaction. Raises :class:`Conflict` for a static address that is leased,
    :class:`InvalidInput` for one outside the subnet, :class:`Exhausted` when none is left.
    """
    asked = {4: request.ipv4, 6: request.ipv6}
    for position, text in enumerate(network.subnets):
        subnet = ad.parse_subnet(text)
        wanted = asked.pop(subnet[0])
        gateway = network.gateways[position] if position < len(network.gateways) else ""
        span = network.ranges[position] if position < len(network.ranges) else ""
        number = (
            _static(store, network, subnet, wanted, gateway)
            if wanted
            else _next(store, network, subnet, gateway, span)
        )
        address = ad.show_address(subnet[0], number)
        store.run("insert into leases values (?, ?, ?, ?)", network.id, address, owner, interface.name)
        interface.addresses.append(f"{address}/{subnet[2]}")
        if gateway and not network.internal:
            interface.gateways.append(gateway)
    for family, left in asked.items():
        if left:
            raise InvalidInput(
                f"address {left} was asked for, but network {network.name} has no IPv{family} subnet"
            )


def _static(store: Store, network: Network, subnet: ad.Subnet, wanted: str, gateway: str) -> int:
    family, number = ad.parse_address(wanted)
    first, last = ad.usable(subnet)
    if family != subnet[0] or not first <= number <= last:
        raise InvalidInput(
            f"address {wanted} is not a host address of {ad.show_subnet(subnet)} (network {network.name})"
        )
    text = ad.show_address(family, number)
    if text == gateway:
        raise Conflict(f"address {wanted} is the gateway of network {network.name}")
    if text in network.reserved.values():
        raise Conflict(f"address {wanted} of network {network.name} is reserved")
    rows = store.run("select owner from leases where network=? and address=?", network.id, text)
    if rows:
        raise Conflict(f"address {wanted} on network {network.name} is leased to {rows[0][0]}")
    return number


def _next(store: Store, network: Network, subnet: ad.Subnet, gateway: str, span: str) -> int:
    family = subnet[0]
    first, last = ad.usable(subnet)
    if span:
        part = ad.parse_subnet(span)
        first, last = max(first, part[1]), min(last, part[1] | ad.host_mask(family, part[2]))
    rows = store.run("select cursor from cursors where network=? and family=?", network.id, family)
    cursor = int(str(rows[0][0])) if rows else first - 1
    blocked = {ad.parse_address(text) for text in (gateway, *network.reserved.values()) if text}

    def taken(number: int) -> bool:
        if (family, number) in blocked:
            return True
        text = ad.show_address(family, number)
        return bool(store.run("select 1 from leases where network=? and address=?", network.id, text))

    found = ad.next_free(first, last, cursor, taken)
    if found is None:
        raise Exhausted(
            f"network {network.name} has no free address left in {span or ad.show_subnet(subnet)}",
            hint="remove containers or use a larger subnet",
        )
    store.run("insert or replace into cursors values (?, ?, ?)", network.id, family, str(found))
    return found
