"""Networks of driver ``cni``: found among configuration lists, attached by :mod:`lading.network.cni`."""

from __future__ import annotations

import os
import zlib

from lading.errors import InvalidInput, LadingError, NotFound, Unsupported
from lading.formats.jsontext import loads
from lading.network import addresses as ad
from lading.network import cni
from lading.network.model import Attachment, AttachRequest, Interface, Network, PortMapping, PublishedPort

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.network.networks import Networks


def directories(config: str) -> list[str]:
    """Where configuration lists are looked for."""
    return [config + "/cni/net.d"]


def find_network(config: str, name: str) -> Network | None:
    """The CNI network called ``name``; None when no file describes it."""
    try:
        found, path = cni.find(directories(config), name)
    except NotFound:
        return None
    return _network(found.name, path)


def list_networks(config: str) -> list[Network]:
    """Every CNI network that a readable file describes."""
    made: dict[str, Network] = {}
    for directory in directories(config):
        try:
            entries = sorted(os.listdir(directory))
        except OSError:
            continue
        for entry in entries:
            if entry.endswith((".conflist", ".conf", ".json")):
                try:
                    found = cni.load(f"{directory}/{entry}")
                except LadingError:
                    continue  # named by whoever asks for it
                made.setdefault(found.name, _network(found.name, f"{directory}/{entry}"))
    return list(made.values())


def _network(name: str, path: str) -> Network:
    # Numbers below zero keep CNI networks apart from the recorded ones.
    number = -1 - zlib.crc32(name.encode())
    return Network(name=name, id=number, driver="cni", names=False, options={"path": path})


def _plugins(networks: Networks) -> list[str]:
    """Where plugins are looked for before the usual places."""
    return [*networks.cni_path, networks.roots.config + "/cni/bin"]


def _cache(networks: Networks) -> str:
    return networks.roots.network + "/cni"


def attach_cni(
    networks: Networks, network: Network, attachment: Attachment, position: int, request: AttachRequest
) -> None:
    """Run the list's plugins for one interface and write what they did into ``attachment``."""
    config = cni.load(network.options["path"])
    interface = attachment.interfaces[position]
    want = request.networks[position]
    args = {"IgnoreUnknown": "1", "K8S_POD_NAME": request.name or request.id[:12]}
    static = [a for a in (want.ipv4, want.ipv6) if a]
    if static:
        args["IP"] = ",".join(static)
    if want.mac:
        args["MAC"] = want.mac
    capabilities: dict[str, object] = {"aliases": list(want.aliases)} if want.aliases else {}
    mappings = _spelt_out(request.ports) if position == 0 else []
    runner = cni.CniNetwork(config, _plugins(networks), _cache(networks))
    result = runner.add(
        request.id,
        f"/proc/{os.getpid()}/fd/{attachment.namespace}",
        interface.name,
        ports=mappings,
        args=args,
        capabilities=capabilities,
        optional={"ips": static, "mac": want.mac},
    )
    _adopt(result, interface)
    _refuse_others(network.name, interface, static, want.mac)
    dns = result.dns
    attachment.nameservers = dns.nameservers or attachment.nameservers
    attachment.searches = dns.search or ([dns.domain] if dns.domain else attachment.searches)
    attachment.resolver_options = dns.options or attachment.resolver_options
    for mapping in mappings:
        address = next((a.partition("/")[0] for a in interface.addresses), "")
        attachment.ports.append(
            PublishedPort(
                protocol=mapping.protocol,
                host_ip=mapping.host_ip,
                host_port=mapping.host_port,
                container_ip=address,
                container_port=mapping.container_port,
            )
        )


def _adopt(result: cni.CniResult, interface: Interface) -> None:
    """What the result says of ``interface``; it may tell of the host's interfaces and of others in the container too."""
    ours = [n for n, made in enumerate(result.interfaces) if made.sandbox and made.name == interface.name]
    ips = [ip for ip in result.ips if ip.interface is None or ip.interface in ours]
    interface.addresses = [ip.address for ip in ips]
    interface.gateways = [ip.gateway for ip in ips if ip.gateway]
    for made in (result.interfaces[n] for n in ours):
        interface.mac, interface.mtu = made.mac, made.mtu


def _refuse_others(network: str, interface: Interface, static: Sequence[str], mac: str) -> None:
    """Refuse what a plugin made that does not look at what was asked for: an address of its own choice."""
    given = {ad.pack(address.partition("/")[0]) for address in interface.addresses}
    for address in static:
        if ad.pack(address) not in given:
            raise Unsupported(
                f"CNI network {network} gave {', '.join(interface.addresses) or 'no address'} where {address} was asked for",
                hint="its address plugin takes no requests (host-local and static do)",
            )
    if mac and interface.mac and ad.parse_mac(mac) != ad.parse_mac(interface.mac):
        raise Unsupported(
            f"CNI network {network} gave the MAC address {interface.mac} where {mac} was asked for",
            hint="add a plugin that sets it (bridge, macvlan, tuning) to its list",
        )


def _spelt_out(mappings: Sequence[PortMapping]) -> list[PortMapping]:
    made: list[PortMapping] = []
    for mapping in mappings:
        if not mapping.host_port:
            raise InvalidInput(
                f"container port {mapping.container_port}: a CNI network needs a host port", hint="name one"
            )
        made.extend(
            mapping.replace(
                container_port=mapping.container_port + step, host_port=mapping.host_port + step, count=1
            )
            for step in range(mapping.count)
        )
    return made


def _recorded(networks: Networks) -> list[tuple[str, str, str]]:
    """(file, owner, interface) of every CNI attachment that is recorded, finished or not."""
    try:
        names = os.listdir(_cache(networks))
    except FileNotFoundError:
        return []
    parts = [
        (name, name.removesuffix(".json").split("!")) for name in sorted(names) if name.endswith(".json")
    ]
    return [(name, split[1], split[2]) for name, split in parts if len(split) == 3]


def unattached(networks: Networks) -> list[str]:
    """Owners of recorded CNI attachments whom nothing else remembers: addresses and rules that plugins still keep.

    A restart of the machine leaves them, for our own records do not outlive it and those of IPAM plugins do.
    """
    owners = dict.fromkeys(
        owner for _name, owner, _interface in _recorded(networks)
    )  # before the attachments
    known = {str(row[0]) for row in networks.store.run("select id from attachments")} if owners else set()
    return [owner for owner in owners if owner not in known]


def _runner(networks: Networks, name: str) -> cni.CniNetwork | None:
    """What carries out the configuration of the record called ``name``; None when the record is gone."""
    try:
        with open(f"{_cache(networks)}/{name}", "rb") as file:
            record = loads(file.read(), what=name)
    except FileNotFoundError:
        return None  # another process was faster
    config = cni.ConfigList.decode(record["config"], where=name, strict=False)
    return cni.CniNetwork(config, _plugins(networks), _cache(networks))


def detach_cni(networks: Networks, owner: str, namespace: int, interface: str = "") -> None:
    """DEL for every recorded CNI interface of ``owner``, or one of them, with the configuration that ADD used."""
    path = f"/proc/{os.getpid()}/fd/{namespace}" if namespace >= 0 else ""
    for name, whose, which in _recorded(networks):
        if whose != owner or (interface and which != interface):
            continue
        runner = _runner(networks, name)
        if runner is not None:
            runner.delete(owner, path, which)
