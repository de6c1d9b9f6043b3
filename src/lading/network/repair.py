"""Finding and finishing what a ``kill -9`` interrupted."""

from __future__ import annotations

import time

from lading.errors import LadingError, RemoteError
from lading.kernel import netlink_route as rt
from lading.kernel.nftables import table_exists
from lading.network import bridge as br
from lading.network.model import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from lading.network.model import Network
    from lading.network.networks import Networks

UNPLUGGED_SECONDS = 10.0
"""How long :func:`check` waits for the kernel to remove a port that was unplugged."""
RESOLVER_SECONDS = 2.0
"""How long :func:`check` waits for a resolver that somebody is about to start."""
_ENODEV = 19


def check(networks: Networks, *, repair: bool, alive: Callable[[], Collection[str]] | None) -> list[Finding]:
    """Compare records with the kernel; with ``repair`` finish or undo what does not agree.

    ``alive`` is asked after the attachments were looked at: who attaches is alive by then.
    """
    found: list[Finding] = []
    lost = _lost(networks, alive) if alive is not None else []
    for id in lost:
        message = f"network attachment of {id[:12]}, which does not exist"
        found.append(Finding(kind="lease", object=id, message=message, repaired=repair))
        if repair:
            try:
                networks.detach(id)
            except RemoteError:
                pass  # a plugin's: told by the next line
    found.extend(_plugins(networks, repair))
    found.extend(networks.in_place(lambda: _kernel(networks, repair, lost), make=False) or [])
    return found


def _lost(networks: Networks, alive: Callable[[], Collection[str]]) -> list[str]:
    """Attachments of what is not alive. Looked at twice, as what ends meanwhile detaches itself."""
    before = {attachment.id for attachment in networks.store.attachments()}
    suspects = before.difference(alive()) if before else before
    if suspects:
        suspects &= {attachment.id for attachment in networks.store.attachments()}
        suspects = suspects.difference(alive())
    return sorted(suspects)


def _plugins(networks: Networks, repair: bool) -> list[Finding]:
    """What CNI plugins keep for containers that are attached no more."""
    from lading.network.cninetworks import detach_cni, unattached

    found = []
    for owner in unattached(networks):
        message = f"CNI attachment of {owner[:12]}, which is attached no more"
        repaired = False
        if repair:
            try:
                detach_cni(networks, owner, -1)
                repaired = True
            except LadingError as error:
                message += f": {error.message}"
        found.append(Finding(kind="lease", object=owner, message=message, repaired=repaired))
    return found


def _kernel(networks: Networks, repair: bool, lost: Collection[str]) -> list[Finding]:
    return [
        *_bridges(networks, repair),
        *_astray(networks, repair, lost),
        *_leaked(networks, repair),
        *_resolver(networks, repair),
    ]


def _bridges(networks: Networks, repair: bool) -> list[Finding]:
    found = []
    used = {row[0] for row in networks.store.run("select distinct network from interfaces")}
    made = [n for n in networks.list() if n.driver == "bridge" and n.id in used]
    for network in made:
        if not br.index_of(network.interface):
            message = f"bridge {network.interface} of network {network.name} is missing"
            found.append(
                Finding(
                    kind="interface",
                    object=network.interface,
                    message=message,
                    repaired=repair,
                    fix="make it anew",
                )
            )
            if repair:
                networks.ensure(network)
    if made and not table_exists(networks.roots.tag):
        message = f"nftables table {networks.roots.tag} is missing"
        found.append(
            Finding(
                kind="rule", object=networks.roots.tag, message=message, repaired=repair, fix="make it anew"
            )
        )
        if repair:
            networks.ensure(made[0])
    return found


def _astray(networks: Networks, repair: bool, lost: Collection[str]) -> list[Finding]:
    """Pods' interfaces that are gone, down, or not on their bridge: a bridge made anew has lost its ports.

    Who attaches or detaches at this moment has some of them gone or down too, and is waited for.
    """
    deadline = time.monotonic() + UNPLUGGED_SECONDS
    while True:
        wrong = [one for one in _ports(networks) if one.owner not in lost and one.problem]
        if not wrong or any(one.loose for one in wrong) or time.monotonic() > deadline:
            break
        time.sleep(0.02)
    found = []
    for port in wrong:
        repaired = repair and bool(port.index and port.bridge)
        if repaired:
            replug(networks, port)
        found.append(
            Finding(
                kind="interface",
                object=port.name,
                message=f"the port of {port.owner[:12]} on network {port.network.name} {port.problem}",
                repaired=repaired,
                fix="put it on its bridge, up" if port.index else "restart the container",
            )
        )
    return found


class _Port:
    """A pod's end on the host as recorded, and as it is: ``index`` 0 is gone; ``bridge`` is the index of where it belongs."""

    __slots__ = ("bridge", "index", "loose", "name", "network", "owner", "problem")

    def __init__(self, name: str, owner: str, network: Network, bridge: int, link: rt.Link | None) -> None:
        self.name, self.owner, self.network, self.bridge = name, owner, network, bridge
        self.index = link.index if link else 0
        self.loose = link is not None and link.master != bridge
        self.problem = "is gone" if link is None else "is not on its bridge" if self.loose else ""
        if link is not None and not self.problem and not link.up:
            self.problem = "is down"


def _ports(networks: Networks) -> list[_Port]:
    """Every recorded end on a bridge, beside what the kernel has of that name."""
    host, store = networks.host, networks.store
    bridges = {n.id: (n, br.index_of(n.interface)) for n in store.networks() if n.driver == "bridge"}
    ports = []
    for name, owner, number in store.run(
        "select name, owner, network from interfaces where name not like '%/%'"
    ):
        network, bridge = bridges.get(int(str(number)), (None, 0))
        if network is not None:
            answer = host.ask(rt.link_get(str(name), ok=(_ENODEV,)))
            ports.append(_Port(str(name), str(owner), network, bridge, rt.Link(answer) if answer else None))
    return ports


def replug(networks: Networks, port: _Port) -> None:
    """Put a pod's end on its bridge again, with the flags that it had there, and up."""
    batch = [rt.link_set(port.index, master=port.bridge)]
    hairpin, isolated = bool(networks.store.ports(port.owner)), port.network.options.get("icc") == "false"
    if hairpin or isolated:
        batch.append(rt.port_set(port.name, hairpin=hairpin or None, isolated=isolated or None))
    batch.append(rt.link_set(port.index, up=True))
    for message in batch:
        message.ok = (_ENODEV,)
    networks.host.run(batch)


def replug_all(networks: Networks, network: Network) -> None:
    """Give a bridge that was made anew the ports that the one before it had."""
    for port in _ports(networks):
        if port.network.id == network.id and port.loose:
            replug(networks, port)


def _leaked(networks: Networks, repair: bool) -> list[Finding]:
    """Ports of our bridges that no attachment owns.

    A port that is down was unplugged, and the kernel removes it with its namespace: on a busy machine, seconds after
    the namespace's last process. Only one that stays is a finding. One that was up when it was looked at, and whose owner
    detached before the records were read, is down at the next look.
    """
    found = {}
    up_before: set[str] = set()
    deadline = time.monotonic() + UNPLUGGED_SECONDS
    while True:
        ports = _unowned(networks)
        found = {link.name: network for link, network in ports}
        up = {link.name for link, _ in ports if link.up}
        if not found or up & up_before or time.monotonic() > deadline:
            break
        up_before = up
        time.sleep(0.02)
    if repair and found:
        networks.host.run([rt.link_del(name, ok=(_ENODEV,)) for name in found])
    return [
        Finding(
            kind="interface",
            object=name,
            message=f"interface {name} on network {network} belongs to no container",
            repaired=repair,
        )
        for name, network in found.items()
    ]


def _unowned(networks: Networks) -> list[tuple[rt.Link, str]]:
    """Ports of ours without a record, and their network. Records are written first, so they are read last."""
    host = networks.host
    ports = []
    for network in networks.list():
        index = br.index_of(network.interface) if network.driver == "bridge" else 0
        if index:
            links = map(rt.Link, host.dump(rt.links_get(master=index)))
            ports += [(one, network.name) for one in links if one.master == index and one.name[:2] == "lv"]
    known = {str(row[0]) for row in networks.store.run("select name from interfaces")}
    return [(link, network) for link, network in ports if link.name not in known]


def _resolver(networks: Networks, repair: bool) -> list[Finding]:
    """The resolver process, where attachments count on it. Who attaches records that first, and starts it a moment later."""
    from lading.network import names

    deadline = time.monotonic() + RESOLVER_SECONDS
    while _resolver_needed(networks) and not names.refresh(networks.roots):
        if time.monotonic() < deadline:
            time.sleep(0.02)
            continue
        if repair:
            names.ensure_resolver(networks.roots)
        message = "the resolver of container names does not run"
        return [
            Finding(
                kind="resolver", object=networks.roots.tag, message=message, repaired=repair, fix="start it"
            )
        ]
    return []


def _resolver_needed(networks: Networks) -> bool:
    from lading.network import resolv

    joined = {n.name: n for n in networks.list()}
    return any(
        resolv.needs_resolver(a, [joined[i.network] for i in a.interfaces if i.network in joined])
        for a in networks.store.attachments()
    )
