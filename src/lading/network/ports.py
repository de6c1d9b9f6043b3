"""Published ports: which host address and port lead to which container's, and keeping other programs off them."""

from __future__ import annotations

import os
from _socket import (
    AF_INET,
    AF_INET6,
    IPPROTO_IPV6,
    IPV6_V6ONLY,
    SO_REUSEADDR,
    SOCK_DGRAM,
    SOCK_STREAM,
    SOL_SOCKET,
)
from _socket import socket as _RawSocket  # noqa: N812

from lading.errors import Conflict, Exhausted, InvalidInput, KernelError, Unsupported
from lading.network import addresses as ad
from lading.network.model import PortMapping, PublishedPort

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_IPPROTO_SCTP = 132
_EADDRINUSE, _EADDRNOTAVAIL, _EPROTONOSUPPORT, _ESOCKTNOSUPPORT, _EACCES = 98, 99, 93, 94, 13
_PROTOCOLS = ("tcp", "udp", "sctp")
_TRIES = 64


def check_mapping(mapping: PortMapping) -> None:
    """Refuse a mapping that cannot be: protocol, port numbers, range, host address."""
    if mapping.protocol not in _PROTOCOLS:
        raise InvalidInput(f"published port protocol {mapping.protocol!r} is none of tcp, udp, sctp")
    if mapping.count < 1 or not 1 <= mapping.container_port <= 65536 - mapping.count:
        raise InvalidInput(f"container port {mapping.container_port} is not between 1 and 65535")
    if not 0 <= mapping.host_port <= 65536 - mapping.count:
        raise InvalidInput(f"host port {mapping.host_port} is not between 1 and 65535")
    if mapping.host_ip:
        ad.parse_address(mapping.host_ip, "host address of a published port")


class Reservation:
    """Bound sockets on published host ports: proof that nobody else listens there, and a lock for as long as open."""

    def __init__(self) -> None:
        self._sockets: list[_RawSocket] = []

    def bind(self, protocol: str, host_ip: str, port: int) -> int:
        """Bind one port (0: any) and return its number. :class:`Conflict` when another program has it."""
        family = AF_INET6 if ":" in host_ip else AF_INET
        try:
            return self._bind(family, protocol, host_ip, port, reuse=False)
        except OSError as error:
            problem = error
        if problem.errno == _EADDRINUSE and protocol == "tcp":
            # A server that just ended leaves connections in TIME-WAIT, which only SO_REUSEADDR may pass; a listener
            # is refused either way.
            try:
                return self._bind(family, protocol, host_ip, port, reuse=True)
            except OSError as error:
                problem = error
        raise _explained(problem, protocol, host_ip, port) from None

    def _bind(self, family: int, protocol: str, host_ip: str, port: int, *, reuse: bool) -> int:
        kind = SOCK_DGRAM if protocol == "udp" else SOCK_STREAM
        made = _RawSocket(family, kind, _IPPROTO_SCTP if protocol == "sctp" else 0)
        try:
            if family == AF_INET6:
                made.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1)
            if reuse:
                made.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            made.bind((host_ip, port))
        except BaseException:
            made.close()
            raise
        self._sockets.append(made)
        return int(made.getsockname()[1])

    def release(self) -> None:
        """Close all of them."""
        for held in self._sockets:
            held.close()
        self._sockets.clear()

    def leave(self, published: Sequence[PublishedPort]) -> None:
        """Let go of ports that another process of ours will listen on."""
        wanted = {(p.protocol, p.host_ip, p.host_port) for p in published if p.relayed}
        for held in [s for s in self._sockets if _bound(s) in wanted]:
            self._sockets.remove(held)
            held.close()

    def detach(self) -> list[int]:
        """Hand the descriptors over to the caller."""
        held = [s.detach() for s in self._sockets]
        self._sockets.clear()
        return held


def _explained(error: OSError, protocol: str, host_ip: str, port: int) -> Exception:
    where = f"{host_ip}:{port}/{protocol}" if ":" not in host_ip else f"[{host_ip}]:{port}/{protocol}"
    if error.errno == _EADDRINUSE:
        return Conflict(
            f"host port {where} is in use by another program", hint="stop it or publish on another port"
        )
    if error.errno == _EADDRNOTAVAIL:
        return InvalidInput(f"host address {host_ip} of published port {port} is not an address of this host")
    if error.errno in (_EPROTONOSUPPORT, _ESOCKTNOSUPPORT):
        return Unsupported(
            f"this kernel does not have {protocol.upper()}, asked for by published port {port}",
            hint=f"as root: modprobe {protocol}, if the kernel has it as a module",
        )
    if error.errno == _EACCES:
        return Conflict(f"host port {where} needs privileges", hint="publish on a port above 1023")
    return KernelError(f"bind {where}", error.errno or 0)


def missing(
    mappings: Sequence[PortMapping], container: dict[int, str], published: Sequence[PublishedPort]
) -> list[PortMapping]:
    """What ``mappings`` ask for and ``published`` lacks, one port and host address each.

    Only what the families of ``container`` can carry; a port that the network chose keeps its number in the other family.
    """
    made = []
    for mapping in mappings:
        if mapping.host_ip and not target(container, mapping.host_ip):
            continue
        for host_ip in _host_addresses(mapping, container):
            for step in range(mapping.count):
                port = mapping.container_port + step
                wanted = mapping.host_port + step if mapping.host_port else 0
                same = [
                    p for p in published
                    if p.protocol == mapping.protocol and p.container_port == port and wanted in (0, p.host_port)
                ]  # fmt: skip
                if not any(p.host_ip == host_ip for p in same):
                    number = wanted or next((p.host_port for p in same), 0)
                    made.append(
                        mapping.replace(container_port=port, host_port=number, host_ip=host_ip, count=1)
                    )
    return made


def target(container: dict[int, str], host_ip: str) -> str:
    """The container's address that a host address leads to, the same family's if it has one; empty for none.

    What arrives at an IPv6 address can be relayed to IPv4; the other way round nobody asks for.
    """
    return container.get(6, container.get(4, "")) if ":" in host_ip else container.get(4, "")


def keep_only(held: Sequence[int], published: Sequence[PublishedPort]) -> list[int]:
    """Close the descriptors of :meth:`Reservation.detach` whose port is not ``published`` any more; the others."""
    wanted = {(p.protocol, p.host_ip, p.host_port) for p in published}
    kept = []
    for fd in held:
        probe = _RawSocket(fileno=fd)
        if _bound(probe) in wanted:
            kept.append(probe.detach())
        else:
            probe.close()
    return kept


def let_relay(held: Sequence[int], published: Sequence[PublishedPort]) -> None:
    """Unbind ports that our relay will listen on from now. The descriptors stay open, for they are the caller's."""
    wanted = {(p.protocol, p.host_ip, p.host_port) for p in published if p.relayed}
    for fd in held if wanted else ():
        probe = _RawSocket(fileno=fd)
        if _bound(probe) in wanted:
            unbound = _RawSocket(probe.family, probe.type)
            os.dup2(unbound.fileno(), fd, inheritable=False)
            unbound.close()
        probe.detach()


def _bound(held: _RawSocket) -> tuple[str, str, int]:
    """Protocol, address and port that a socket is bound to."""
    protocol = "udp" if held.type == SOCK_DGRAM else "sctp" if held.proto == _IPPROTO_SCTP else "tcp"
    address = held.getsockname()
    return protocol, address[0], address[1]


def publish(
    mappings: Sequence[PortMapping],
    container: dict[int, str],
    taken: Callable[[str, int, str], str],
    reservation: Reservation,
) -> list[PublishedPort]:
    """Decide and reserve the ports of one pod.

    ``container`` maps the family (4, 6) to the pod's address. ``taken(protocol, port, host_ip)`` names the owner that
    the records give a port to, or is empty. Raises :class:`Conflict` naming port and owner.
    """
    made: list[PublishedPort] = []
    # The host addresses that each protocol and port is published on so far.
    numbers: dict[tuple[str, int], list[str]] = {}
    for mapping in mappings:
        check_mapping(mapping)
        hosts = _host_addresses(mapping, container)
        for step in range(mapping.count):
            wanted = mapping.host_port + step if mapping.host_port else 0
            port = _reserve(mapping, hosts, wanted, taken, reservation, numbers)
            numbers.setdefault((mapping.protocol, port), []).extend(hosts)
            made.extend(
                PublishedPort(
                    protocol=mapping.protocol,
                    host_ip=host_ip,
                    host_port=port,
                    container_ip=target(container, host_ip),
                    container_port=mapping.container_port + step,
                )
                for host_ip in hosts
            )
    return made


def _host_addresses(mapping: PortMapping, container: dict[int, str]) -> list[str]:
    if not mapping.host_ip:
        return [a for family, a in ((4, "0.0.0.0"), (6, "::")) if family in container]
    family, number = ad.parse_address(mapping.host_ip)
    if not target(container, mapping.host_ip):
        raise InvalidInput(
            f"port {mapping.container_port} is published on {mapping.host_ip}, "
            f"but the container has no IPv{family} address"
        )
    if mapping.protocol == "sctp" and (family == 6 and (6 not in container or number == 1)):
        raise Unsupported(
            f"port {mapping.container_port}/sctp on {mapping.host_ip}: only TCP and UDP are relayed to the container"
        )
    return [ad.show_address(family, number)]


def _reserve(
    mapping: PortMapping,
    hosts: list[str],
    wanted: int,
    taken: Callable[[str, int, str], str],
    reservation: Reservation,
    numbers: dict[tuple[str, int], list[str]],
) -> int:
    """Bind ``wanted`` on every host address, or find one number that is free on all of them."""
    for _ in range(1 if wanted else _TRIES):
        trial = Reservation()
        try:
            port = wanted or trial.bind(mapping.protocol, hosts[0], 0)
            owner = next((o for h in hosts if (o := taken(mapping.protocol, port, h))), "")
            if not owner and any(
                _same(ours, h) for ours in numbers.get((mapping.protocol, port), ()) for h in hosts
            ):
                owner = "the same container"
            if owner:
                raise Conflict(
                    f"host port {port}/{mapping.protocol} is published by {owner} already",
                    hint="publish on another port",
                )
            for host_ip in hosts[0 if wanted else 1 :]:
                trial.bind(mapping.protocol, host_ip, port)
        except Conflict:
            trial.release()
            if wanted:
                raise
            continue
        except BaseException:
            trial.release()
            raise
        reservation._sockets += trial._sockets
        return port
    raise Exhausted(f"no free host port found for container port {mapping.container_port}/{mapping.protocol}")


def _same(one: str, other: str) -> bool:
    """Whether two host addresses share a port: they are the same, or one of them is every address of the family."""
    if (":" in one) != (":" in other):
        return False
    return one == other or one in ("0.0.0.0", "::") or other in ("0.0.0.0", "::")
