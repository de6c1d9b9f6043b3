"""Networks made and removed: checked against this host and all others, recorded, then made; taken back when that fails."""

from __future__ import annotations

import time

from lading.errors import Conflict, Exhausted, InvalidInput, NotFound, Unsupported
from lading.kernel.nftables import RuleError, table_exists
from lading.network import addresses as ad
from lading.network import bridge as br
from lading.network import definition, firewall
from lading.network.model import DEFAULT_NETWORK, Network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from lading.network.networks import Networks
    from lading.network.store import Store

_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_RESERVED = ("none", "host", "default", "bridge")


def create(
    networks: Networks,
    network: Network,
    subnets: Sequence[str],
    gateways: Sequence[str],
    ranges: Sequence[str],
    reserved: dict[str, str],
    ipv6: bool,
) -> Network:
    """See :meth:`lading.network.Networks.create`."""
    name = network.name
    if not name or name[0] in "-._" or len(name) > 128 or not set(name) <= _NAME:
        raise InvalidInput(f"network name {name!r} has other characters than letters, digits, '_', '.', '-'")
    if name in _RESERVED:
        raise InvalidInput(f"network name {name!r} is reserved")
    if networks.roots.uid and name == DEFAULT_NETWORK and network.driver == "bridge":
        network.driver = "user"
    if networks.roots.uid and network.driver == "macvlan":
        raise Unsupported(
            "network driver macvlan for an ordinary user", hint="run as root, or use a bridge network"
        )
    network.created = time.time()
    definition.check_options(network)
    named = network.driver == "bridge" and network.interface
    with networks.store as store:
        _number(networks, network, store, list(subnets), list(gateways), list(ranges), ipv6)
        network.reserved = definition.reserved(network, reserved)
        if named:
            definition.check_bridge_name(network.interface, store.networks())
        made = store.add_network(network)
        if made.driver == "bridge" and not named:
            made.interface = _bridge_name(networks.tag, made)
            store.save_network(made)
    try:
        networks.ensure(made)
    except BaseException as problem:
        if _taken_back(networks, name) or not isinstance(problem, Exhausted):
            raise
    return made


def _taken_back(networks: Networks, name: str) -> bool:
    """Remove a network that could not be made. False when there is no space to write that down.

    Such a network is recorded whole, and whoever uses it first makes what is missing: it counts as made.
    """
    try:
        remove(networks, name, True)
    except NotFound:
        pass  # removed by somebody else, which is what failed
    except Exhausted:
        return False
    return True


def _number(
    networks: Networks,
    network: Network,
    store: Store,
    subnets: list[str],
    gateways: list[str],
    ranges: list[str],
    ipv6: bool,
) -> None:
    """Fill in subnets, gateways and MTU, checked against this host and all other networks."""
    recorded = [ad.parse_subnet(s) for n in store.networks() for s in n.subnets]
    chosen = [ad.parse_subnet(s) for s in subnets]
    if len({s[0] for s in chosen}) != len(chosen):
        raise InvalidInput(f"network {network.name}: at most one subnet of each family")
    if network.driver == "bridge" or chosen:
        used = br.host_subnets(networks.host) if network.driver == "bridge" else []
        for subnet in chosen:
            clash = next((u for u in recorded + used if ad.overlaps(u, subnet)), None)
            if clash:
                raise Conflict(
                    f"subnet {ad.show_subnet(subnet)} overlaps {ad.show_subnet(clash)}, which this host has",
                    hint="choose another subnet",
                )
        if not any(s[0] == 4 for s in chosen) and not (chosen and not ipv6 and chosen[0][0] == 6):
            from lading.network.pools import choose_ipv4

            chosen.insert(0, choose_ipv4(networks.tag, network.name == DEFAULT_NETWORK, recorded + used))
        if ipv6 and not any(s[0] == 6 for s in chosen):
            from lading.network.pools import choose_ipv6

            chosen.append(choose_ipv6(networks.tag, recorded + used))
    network.subnets = [ad.show_subnet(s) for s in chosen]
    network.gateways = definition.gateways(network, chosen, gateways)
    network.ranges = definition.ranges(chosen, ranges)
    if not network.mtu and network.driver == "bridge":
        network.mtu = br.uplink_mtu(networks.host)


def _bridge_name(tag: str, network: Network) -> str:
    if tag == "lading":
        return "lading0" if network.name == DEFAULT_NETWORK else f"lading{network.id}"
    return f"ld{tag[-6:]}-{network.id}"


def remove(networks: Networks, name: str, force: bool) -> None:
    """See :meth:`lading.network.Networks.remove`."""
    with networks.store as store:
        network = store.network(name)
        if network is None:
            _refuse_cni(networks, name)
            raise NotFound(f"network {name} does not exist")
        rows = store.run("select distinct owner from interfaces where network=?", network.id)
        if rows and not force:
            raise Conflict(f"network {name} is used by {', '.join(str(r[0])[:12] for r in rows)}")
        for row in rows:
            networks.detach(str(row[0]))
        if network.driver == "bridge":
            networks.in_place(lambda: _remove_bridge(networks, network, store), make=False)
        store.remove_network(network.id)


def _remove_bridge(networks: Networks, network: Network, store: Store) -> None:
    _remove_rules(networks, network, store)
    br.remove_bridge(networks.host, network.interface)


def _remove_rules(networks: Networks, network: Network, store: Store) -> None:
    if not table_exists(networks.tag):
        return
    others = [n for n in store.networks() if n.driver == "bridge" and n.id != network.id]
    if not others:
        networks.nft.run(firewall.remove(networks.tag))
        return
    try:
        networks.nft.run(firewall.network_elements(networks.tag, network, "delete"))
    except RuleError:  # an element was gone already, and the transaction with it
        networks.rebuild_firewall(others)


def _refuse_cni(networks: Networks, name: str) -> None:
    from lading.network.cninetworks import find_network

    described = find_network(networks.roots.config, name)
    if described is not None:
        path = described.options["path"]
        raise Conflict(f"network {name} is described by {path}", hint="remove that file instead")


def prune(networks: Networks, in_use: Collection[str]) -> list[str]:
    """See :meth:`lading.network.Networks.prune`."""
    removed: list[str] = []
    for network in networks.list():
        if (
            network.name == DEFAULT_NETWORK
            or network.driver == "cni"
            or network.name in in_use
            or networks.users(network.name)
        ):
            continue
        try:
            networks.remove(network.name)
        except (Conflict, NotFound):
            continue  # somebody attached, or pruned, at the same moment
        removed.append(network.name)
    return removed
