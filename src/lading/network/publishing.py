"""Published ports in the records and in our table: which of a pod's addresses they lead to, made and taken back."""

from __future__ import annotations

from lading.errors import InvalidInput, KernelError, Unsupported
from lading.kernel.nftelements import change
from lading.network import firewall, flows, ports, routing
from lading.network.model import Attachment, AttachRequest, Network, PortMapping, PublishedPort

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lading.network.networks import Networks
    from lading.network.store import Store

_ENOENT, _EEXIST = 2, 17


def carriers(attachment: Attachment, joined: Sequence[Network]) -> dict[int, str]:
    """Family (4, 6) → the pod's address that published ports lead to: on the network of its default route, if it can."""
    drivers = {n.name: n for n in joined}
    found: dict[int, str] = {}
    for interface in routing.ranked(attachment.interfaces):
        network = drivers.get(interface.network)
        if network is None or network.driver not in ("bridge", "user") or network.internal:
            continue
        for address in interface.addresses:
            found.setdefault(6 if ":" in address else 4, address.partition("/")[0])
    return found


def record(
    store: Store,
    request: AttachRequest,
    joined: Sequence[Network],
    attachment: Attachment,
    reservation: ports.Reservation,
) -> None:
    """Decide a new attachment's ports and write them down. Inside a transaction."""
    container = carriers(attachment, joined)
    if not container:
        raise InvalidInput(
            f"{request.id[:12]} publishes ports but is on no bridge network that has a way out"
        )
    wanted = with_host_ip(request.ports, attachment, joined)
    attachment.ports = ports.publish(wanted, container, taken_by(store), reservation)
    reservation.leave(attachment.ports)
    write(store, request.id, attachment.ports)


def with_host_ip(
    mappings: Sequence[PortMapping], attachment: Attachment, joined: Sequence[Network]
) -> list[PortMapping]:
    """The mappings, those without a host address on the one that the network of the default route names."""
    options = {n.name: n.options for n in joined}
    for interface in routing.ranked(attachment.interfaces):
        host_ip = options.get(interface.network, {}).get("host_ip", "")
        if interface.gateways:
            return [m if m.host_ip or not host_ip else m.replace(host_ip=host_ip) for m in mappings]
    return list(mappings)


def write(store: Store, owner: str, published: Sequence[PublishedPort]) -> None:
    """Write ports down for ``owner``; one that is recorded gets a new container address."""
    store.many(
        "insert or replace into ports values (?, ?, ?, ?, ?, ?)",
        [(p.protocol, p.host_port, p.host_ip, owner, p.container_ip, p.container_port) for p in published],
    )


def taken_by(store: Store) -> Callable[[str, int, str], str]:
    """A function that names who has ``(protocol, port, host address)`` by the records; empty text for nobody."""

    def taken(protocol: str, port: int, host_ip: str) -> str:
        wild = "::" if ":" in host_ip else "0.0.0.0"
        rows = store.run("select owner, host_ip from ports where protocol=? and host_port=?", protocol, port)
        for owner, other in rows:
            same_family = (":" in str(other)) == (":" in host_ip)
            if same_family and (host_ip in (other, wild) or other == wild):
                return f"container {str(owner)[:12]}"
        return ""

    return taken


def refuse_for_user(networks: Networks, mappings: Sequence[PortMapping]) -> None:
    """Refuse what neither pasta nor slirp4netns forwards, before anything is touched."""
    if not networks.roots.uid:
        return
    for mapping in mappings:
        if mapping.protocol == "sctp":
            raise Unsupported(
                f"port {mapping.container_port}/sctp: neither pasta nor slirp4netns forwards SCTP",
                hint="publish TCP or UDP, or run as root",
            )
        if ":" in mapping.host_ip:
            raise Unsupported(
                f"port {mapping.container_port} on {mapping.host_ip}: an ordinary user publishes on IPv4 alone",
                hint="name an IPv4 address of this host",
            )


def anywhere(published: Sequence[PublishedPort]) -> list[PublishedPort]:
    """The ports as they arrive in an ordinary user's own host namespace: always at the uplink's address."""
    return [p.replace(host_ip="") for p in published]


def publish(networks: Networks, published: Sequence[PublishedPort]) -> None:
    """Put ports into our table. Where the host is: in place."""
    move(networks, (), published)


def unpublish(networks: Networks, published: Sequence[PublishedPort]) -> None:
    """Take ports out of our table, there or not. Where the host is: in place."""
    move(networks, published, ())


def move(networks: Networks, before: Sequence[PublishedPort], after: Sequence[PublishedPort]) -> None:
    """Let ports lead elsewhere in one transaction, so that no connection falls between. Where the host is.

    Ports of ``before`` that are not in the table any more, or lead elsewhere, are no error.
    """
    before, after = ([p for p in given if not p.relayed] for given in (before, after))
    if not before and not after:
        return
    wire, tag = networks.netfilter, networks.tag
    gone = [firewall.port_element(p, add=False) for p in before]
    come = [firewall.port_element(p, add=True) for p in after]
    try:
        change(wire, tag, [*gone, *come])
    except KernelError as problem:
        if problem.errno not in (_ENOENT, _EEXIST):
            raise
        # One element that is gone already keeps the others: take them one by one.
        for element in gone + [firewall.port_element(p, add=False) for p in after]:
            try:
                change(wire, tag, [element])
            except KernelError as error:
                if error.errno != _ENOENT:
                    raise
        change(wire, tag, come)
    flows.forget(networks, [*before, *after], after)
