"""UDP clients of a published port follow it: the connection that the kernel remembers for them is forgotten.

A packet that belongs to a remembered connection never asks our maps, and a client that keeps sending keeps the connection
remembered. So a server that was replaced would be sent packets at the address of its predecessor, and a port that was
published while somebody was asking already would stay unreachable for him. TCP needs none of it: the connection ends with
its server.
"""

from __future__ import annotations

from lading.errors import KernelError
from lading.kernel import netlink_route as rt
from lading.network import addresses as ad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.kernel.conntrack import Flow
    from lading.network.model import PublishedPort
    from lading.network.networks import Networks

_UDP = 17
#: This kernel keeps no connections, or lets nobody see them: then nothing is remembered either, or it times out.
_UNKNOWN = (1, 22, 93, 95)


def forget(networks: Networks, changed: Sequence[PublishedPort], now: Sequence[PublishedPort]) -> None:
    """Forget the UDP connections to the ``changed`` ports that do not lead where ``now`` says. Where the host is."""
    wanted = {(6 if ":" in p.container_ip else 4, p.host_port) for p in changed if p.protocol == "udp"}
    if not wanted:
        return
    from lading.kernel import conntrack

    changed = [p for p in changed if p.protocol == "udp"]
    local: set[bytes] = set()
    try:
        for family, port in sorted(wanted):
            for flow in conntrack.flows(networks.netfilter, family, _UDP, port):
                local = local or {rt.Address(p).local for p in networks.host.dump(rt.addresses_get())}
                if (flow.destination in local or flow.destination[0] == 127) and stale(flow, changed, now):
                    networks.netfilter.run([flow.deletion()])
    except KernelError as error:
        if error.errno not in _UNKNOWN:
            raise


def stale(flow: Flow, changed: Sequence[PublishedPort], now: Sequence[PublishedPort]) -> bool:
    """Whether the flow was to one of the ``changed`` ports and is answered by another than ``now`` says."""
    if _leads(flow, changed) is None:
        return False
    port = _leads(flow, now)
    if port is None:
        return True
    return (flow.server, flow.server_port) != (ad.pack(port.container_ip), port.container_port)


def _leads(flow: Flow, published: Sequence[PublishedPort]) -> PublishedPort | None:
    """The port that the flow's first packet would match: the one for its very address before the one for all."""
    length = 16 if flow.family == 6 else 4
    found = None
    for port in published:
        if port.host_port != flow.port or len(ad.pack(port.container_ip)) != length:
            continue
        if port.host_ip in ("", "0.0.0.0", "::"):
            found = found or port
        elif ad.pack(port.host_ip) == flow.destination:
            return port
    return found
