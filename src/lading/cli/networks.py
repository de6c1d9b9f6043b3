"""``lading network …``. The default network is called ``bridge`` here, as Docker's users know it."""

from __future__ import annotations

from lading.cli.output import confirm, each, filters, inspected, labels_match, listing, name_fits, truth
from lading.errors import Conflict, InvalidInput
from lading.formats import duration
from lading.network import DEFAULT_NETWORK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.cli.pruning import Choice
    from lading.flags import Parsed
    from lading.network import Network

_BUILT_IN = {"host": "host", "none": "null"}
_BRIDGE = "com.docker.network.bridge."
#: Docker's names of options and ours.
_OPTIONS = {
    _BRIDGE + "enable_ip_masquerade": "masquerade",
    _BRIDGE + "enable_icc": "icc",
    _BRIDGE + "host_binding_ipv4": "host_ip",
    "macvlan_mode": "mode",
}


def inner_name(name: str) -> str:
    """The name that the network room knows: the default network's own for ``bridge``."""
    return DEFAULT_NETWORK if name in ("bridge", "default") else name


def outer_name(name: str) -> str:
    """The name that people know."""
    return "bridge" if name == DEFAULT_NETWORK else name


def create(context: Context, parsed: Parsed) -> int:
    """Create a network and print its name."""
    from lading.cli.translate import pairs

    name = parsed.args[0]
    if name in _BUILT_IN or inner_name(name) == DEFAULT_NETWORK or name.startswith(("container:", "ns:")):
        raise Conflict(f"network {name} is built in", hint="choose another name", reason="name-taken")
    for flag in ("gateway", "ip-range"):
        if len(parsed[flag]) > max(len(parsed["subnet"]), 0):
            raise InvalidInput(f"--{flag} needs a --subnet each")
    options, mtu, interface = driver_options(parsed["driver"], pairs(parsed["opt"], "--opt"))
    network = context.networks.create(
        name,
        driver=parsed["driver"],
        subnets=parsed["subnet"],
        gateways=parsed["gateway"],
        ranges=parsed["ip-range"],
        reserved=pairs(parsed["aux-address"], "--aux-address"),
        ipv6=parsed["ipv6"],
        internal=parsed["internal"],
        mtu=mtu,
        interface=interface,
        labels=pairs(parsed["label"], "--label"),
        options=options,
    )
    print(network.name)
    return 0


def driver_options(driver: str, given: dict[str, str]) -> tuple[dict[str, str], int, str]:
    """Docker's driver options as ``Networks.create`` takes them: options by our names, the MTU, the interface's name."""
    options = dict(given)
    mtu = _mtu(options)
    interface = options.pop("parent" if driver == "macvlan" else _BRIDGE + "name", "")
    for theirs, own in _OPTIONS.items():
        if theirs in options:
            options[own] = options.pop(theirs)
    return options, mtu, interface


def _mtu(options: dict[str, str]) -> int:
    text = options.pop("com.docker.network.driver.mtu", "") or options.pop("mtu", "")
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or not 68 <= int(text) <= 65535:
        raise InvalidInput(f"--opt mtu={text}: not a number from 68 to 65535")
    return int(text)


def ls(context: Context, parsed: Parsed) -> int:
    """List networks."""
    wanted = filters(parsed["filter"], ("name", "driver", "label", "id", "scope", "type", "dangling"))
    dangling = truth(wanted, "dangling")
    for word in wanted.get("type", []):
        if word not in ("builtin", "custom"):
            raise InvalidInput(f"--filter type={word}: neither builtin nor custom")
    used = _names_in_use(context) if dangling is not None else set()
    context.networks.get(DEFAULT_NETWORK)
    rows: list[dict[str, object]] = []
    for network in context.networks.list():
        rows.append(
            {
                "id": network_id(network),
                "name": outer_name(network.name),
                "driver": network.driver,
                "scope": "local",
                "subnets": ", ".join(network.subnets),
                "labels": ",".join(f"{k}={v}" for k, v in network.labels.items()),
                "internal": str(network.internal).lower(),
                "_labels": network.labels,
            }
        )
    for name, driver in _BUILT_IN.items():
        rows.append({"id": name, "name": name, "driver": driver, "scope": "local", "subnets": "", "labels": "",
                     "internal": "false", "_labels": {}})  # fmt: skip
    kept = []
    for row in rows:
        labels: dict[str, str] = row.pop("_labels")  # type: ignore[assignment]
        if "name" in wanted and not name_fits(wanted["name"], str(row["name"])):
            continue
        if "id" in wanted and not any(str(row["id"]).startswith(w) for w in wanted["id"]):
            continue
        if "driver" in wanted and row["driver"] not in wanted["driver"]:
            continue
        if "label" in wanted and not labels_match(wanted["label"], labels):
            continue
        if "scope" in wanted and row["scope"] not in wanted["scope"]:
            continue
        builtin = row["name"] in (*_BUILT_IN, "bridge")
        if "type" in wanted and ("builtin" if builtin else "custom") not in wanted["type"]:
            continue
        if dangling is not None and (builtin or row["name"] in used) == dangling:
            continue
        kept.append(row)
    listing(
        sorted(kept, key=lambda r: str(r["name"])),
        (
            ("NETWORK ID", "id"),
            ("NAME", "name"),
            ("DRIVER", "driver"),
            ("SCOPE", "scope"),
            ("SUBNETS", "subnets"),
        ),
        template=parsed["format"],
        quiet="id" if parsed["quiet"] else "",
    )
    return 0


def network_id(network: Network) -> str:
    """A short id that stays: the record's number; CNI networks have one below zero."""
    return f"{network.id & 0xFFFFFFFFFFFF:012x}"


def network_json(context: Context, name: str) -> dict[str, object]:
    """A network in the shape of ``docker network inspect``."""
    if name in _BUILT_IN:
        return {"Name": name, "Id": name, "Driver": _BUILT_IN[name], "Scope": "local", "IPAM": {"Config": []},
                "Internal": False, "Containers": {}, "Options": {}, "Labels": {}}  # fmt: skip
    network = context.networks.get(inner_name(name))
    config: list[dict[str, object]] = []
    for index, subnet in enumerate(network.subnets):
        entry: dict[str, object] = {"Subnet": subnet}
        if index < len(network.gateways) and network.gateways[index]:
            entry["Gateway"] = network.gateways[index]
        if index < len(network.ranges) and network.ranges[index]:
            entry["IPRange"] = network.ranges[index]
        reserved = {n: a for n, a in network.reserved.items() if (":" in a) == (":" in subnet)}
        config.append({**entry, "AuxiliaryAddresses": reserved} if reserved else entry)
    containers: dict[str, object] = {}
    for owner in context.networks.users(network.name):
        attachment = context.networks.attachment(owner)
        for interface in attachment.interfaces if attachment is not None else ():
            if interface.network == network.name:
                four = next((a for a in interface.addresses if ":" not in a), "")
                six = next((a for a in interface.addresses if ":" in a), "")
                containers[owner] = {
                    "Name": attachment.name if attachment is not None else "",
                    "MacAddress": interface.mac,
                    "IPv4Address": four,
                    "IPv6Address": six,
                }
    return {
        "Name": outer_name(network.name),
        "Id": network_id(network),
        "Created": duration.rfc3339(network.created),
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv6": any(":" in s for s in network.subnets),
        "IPAM": {"Driver": "default", "Config": config},
        "Internal": network.internal,
        "Interface": network.interface,
        "MTU": network.mtu,
        "Containers": containers,
        "Options": network.options,
        "Labels": network.labels,
    }


def inspect(context: Context, parsed: Parsed) -> int:
    """Show networks in full."""
    return inspected(parsed.args, lambda name: network_json(context, name), parsed["format"])


def rm(context: Context, parsed: Parsed) -> int:
    """Remove networks."""

    def act(name: str) -> None:
        if name in _BUILT_IN or inner_name(name) == DEFAULT_NETWORK:
            raise Conflict(f"network {name} is built in and stays", reason="built-in")
        users = _users(context, name)
        if users and not parsed["force"]:
            raise Conflict(
                f"network {name} is used by {', '.join(users)}", hint="remove these first", reason="in-use"
            )
        context.networks.remove(name)

    return each(parsed.args, act, may_miss=parsed["force"])


def _users(context: Context, name: str) -> list[str]:
    """The pods that were made for this network, whether they run or not."""
    return [
        r.name for r in context.node.list(all=True) if any(n.name == name for n in r.pod.spec.extras.networks)
    ]


def prune(context: Context, parsed: Parsed) -> int:
    """Remove networks that no pod uses."""
    from lading.cli.pruning import Choice

    choice = Choice(parsed["filter"])
    if not confirm("This removes every network that no container uses. Go on?", parsed["force"]):
        return 1
    removed = prune_unused(context, choice)
    if removed:
        print("Deleted Networks:")
        print("\n".join(removed))
    return 0


def prune_unused(context: Context, choice: Choice) -> list[str]:
    """Remove the networks that no pod, running or not, was made for and that ``--filter`` chooses; their names."""
    used = _names_in_use(context)
    used.update(n.name for n in context.networks.list() if not choice.takes(n.created, n.labels))
    return context.networks.prune(in_use=used)


def _names_in_use(context: Context) -> set[str]:
    return {n.name for r in context.node.list(all=True) for n in r.pod.spec.extras.networks}


def connect(context: Context, parsed: Parsed) -> int:
    """Connect a container, running or not, to a network."""
    from lading.cli.translate_network import connection

    context.node.connect(parsed.args[1], connection(parsed.args[0], parsed.values))
    return 0


def disconnect(context: Context, parsed: Parsed) -> int:
    """Take a container off a network."""
    name = parsed.args[0]
    if name not in _BUILT_IN:
        context.networks.get(inner_name(name))
    context.node.disconnect(parsed.args[1], name, force=parsed["force"])
    return 0
