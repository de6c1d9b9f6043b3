"""What the network package takes and gives: networks, requests, attachments."""

from __future__ import annotations

from lading.formats.pod import NetworkRequest
from lading.formats.schema import Record

__all__ = [
    "AttachRequest",
    "Attachment",
    "Finding",
    "HostEntry",
    "Interface",
    "Network",
    "NetworkRequest",
    "PortMapping",
    "PublishedPort",
]

DEFAULT_NETWORK = "lading"


class Network(Record):
    """A network as it is recorded.

    ``driver``     ``bridge``, ``macvlan`` or ``cni``.
    ``interface``  the bridge's name on the host, or macvlan's parent.
    ``subnets``    at most one of each family, ``10.88.0.0/16``. ``gateways`` belong to them by position.
    ``ranges``     where addresses are taken from, by position; empty text for the whole subnet.
    ``internal``   no way out of the network, and no masquerade.
    ``isolate``    no traffic to and from other networks, and none from outside but to published ports.
    ``reserved``   addresses that nobody is given: name → address (Docker's ``--aux-address``).
    ``names``      containers on it find each other by name (every network but the default one).
    """

    name: str
    id: int = 0
    driver: str = "bridge"
    interface: str = ""
    subnets: list[str] = []
    gateways: list[str] = []
    ranges: list[str] = []
    reserved: dict[str, str] = {}
    internal: bool = False
    isolate: bool = True
    names: bool = True
    mtu: int = 0
    labels: dict[str, str] = {}
    options: dict[str, str] = {}
    created: float = 0.0


class PortMapping(Record):
    """A port to publish. ``host_port`` 0: any free one. ``count`` ports in a row. ``protocol``: tcp, udp, sctp.

    ``host_ip`` empty: every address of the host, IPv4 and (where the container has one) IPv6.
    """

    container_port: int
    host_port: int = 0
    host_ip: str = ""
    protocol: str = "tcp"
    count: int = 1


class PublishedPort(Record):
    """One published port as it is."""

    protocol: str
    host_ip: str
    host_port: int
    container_ip: str
    container_port: int

    @property
    def relayed(self) -> bool:
        """Whether a process carries it (:mod:`lading.network.relay`): no rule of the kernel can."""
        return ":" in self.host_ip and (":" not in self.container_ip or self.host_ip == "::1")


class AttachRequest(Record):
    """What one pod wants of the network.

    ``id``         the pod's or container's id; one attachment each.
    ``networks``   in order; the first gives the default route. Empty: the default network.
    ``mode``       ``""`` (``networks`` count), ``none`` (a namespace with loopback alone) or ``host`` (no namespace).
    ``name``       the container's name, which user-defined networks resolve, beside the request's aliases.
    ``hostname``   what its own address is called in its ``/etc/hosts``.
    ``upstreams``  name servers to ask in the host's place for what is not a container's name (``--dns``).
    ``sysctls``    ``net.*`` keys to set in the new namespace.
    ``namespace``  an open network namespace to furnish in place of a new one; -1 for a new one.
    """

    id: str
    name: str = ""
    hostname: str = ""
    networks: list[NetworkRequest] = []
    mode: str = ""
    ports: list[PortMapping] = []
    upstreams: list[str] = []
    sysctls: dict[str, str] = {}
    namespace: int = -1


class Interface(Record):
    """An interface in the pod's namespace. ``addresses`` carry their prefix length; ``priority`` for the default route."""

    name: str
    network: str
    mac: str = ""
    addresses: list[str] = []
    gateways: list[str] = []
    host_interface: str = ""
    mtu: int = 0
    priority: int = 0


class HostEntry(Record):
    """A line of ``/etc/hosts``."""

    ip: str
    hostnames: list[str]


class Attachment(Record):
    """A pod on its networks.

    ``namespace`` is an open descriptor that the caller owns (-1 for mode ``host``, and when read back by ``get``).
    ``reserved`` are descriptors of bound, unconnected sockets that keep other programs off the published ports:
    whoever keeps the pod holds them open; closing them early loses nothing but that.
    ``upstreams`` are the request's where our resolver asks them for the pod; empty where the pod has to ask itself.
    """

    id: str
    name: str = ""
    mode: str = ""
    namespace: int = -1
    interfaces: list[Interface] = []
    nameservers: list[str] = []
    upstreams: list[str] = []
    searches: list[str] = []
    resolver_options: list[str] = []
    hosts: list[HostEntry] = []
    ports: list[PublishedPort] = []
    notices: list[str] = []
    reserved: list[int] = []

    @property
    def address(self) -> str:
        """The first address without its prefix length; empty when there is none."""
        for interface in self.interfaces:
            for address in interface.addresses:
                return address.partition("/")[0]
        return ""


class Reserved:
    """An attachment that is decided and recorded, and not made yet.

    ``attachment``  what the pod will have; its ``namespace`` is -1 until :meth:`lading.network.Networks.furnish`.
    ``can_wait``    whether it may be made when the pod's first process exists already: CNI plugins and an ordinary
                    user's uplink want the namespace, and decide the addresses, before that.
    """

    __slots__ = ("attachment", "can_wait", "indexes", "joined", "request")

    def __init__(
        self,
        attachment: Attachment,
        request: AttachRequest,
        joined: list[Network],
        indexes: list[int],
        can_wait: bool,
    ) -> None:
        self.attachment = attachment
        self.request = request
        self.joined = joined
        self.indexes = indexes
        self.can_wait = can_wait


class Finding(Record):
    """Something ``check`` found. ``kind``: ``interface``, ``lease``, ``port``, ``rule``, ``namespace``, ``resolver``.

    ``fix`` is what a repair does, or what helps where it can do nothing; empty: it lets go of the object.
    """

    kind: str
    object: str
    message: str
    repaired: bool = False
    fix: str = ""
