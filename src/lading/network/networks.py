"""Networks of one root: made, listed, removed; pods attached and detached."""

from __future__ import annotations

import os
import time

from lading.errors import Conflict, InvalidInput, LadingError, NotFound, Unsupported
from lading.formats import jsontext
from lading.kernel import netlink_netns as netns
from lading.kernel import netlink_route as rt
from lading.kernel.netlink import Netlink
from lading.kernel.nftables import Nftables, table_exists
from lading.network import addresses as ad
from lading.network import bridge as br
from lading.network import firewall, ipam, ports, resolv
from lading.network.model import (
    DEFAULT_NETWORK,
    Attachment,
    AttachRequest,
    Finding,
    HostEntry,
    Interface,
    Network,
    NetworkRequest,
    PublishedPort,
)
from lading.network.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from lading.kernel import Kernel
    from lading.roots import Roots

_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_RESERVED = ("none", "host", "default", "bridge")


class Networks:
    """The network package's front. One per process and root; cheap to make, opens its records on first use.

    Works for root and, inside a user namespace that has its own network namespace, for an ordinary user's root.
    """

    def __init__(self, roots: Roots, kernel: Kernel | None = None) -> None:
        self.roots = roots
        self.kernel = kernel
        self._tag = roots.tag
        self._store: Store | None = None
        self._host: Netlink | None = None
        self._nft: Nftables | None = None
        self._pid = 0

    # -- handles -----------------------------------------------------------------------------------------------------

    @property
    def store(self) -> Store:
        """The records, opened by this very process: neither SQLite nor a netlink socket survives a fork."""
        if self._store is None or self._pid != os.getpid():
            self._store, self._host, self._nft = Store(self.roots.network), None, None
            self._pid = os.getpid()
            self._forget_before_boot(self._store)
        return self._store

    @property
    def host(self) -> Netlink:
        """rtnetlink of the host's namespace."""
        _ = self.store
        if self._host is None:
            self._host = Netlink()
        return self._host

    @property
    def nft(self) -> Nftables:
        """libnftables, loaded when first used."""
        _ = self.store
        if self._nft is None:
            self._nft = Nftables()
        return self._nft

    def close(self) -> None:
        """Close the records and the sockets."""
        if self._pid == os.getpid():
            for handle in (self._store, self._host, self._nft):
                if handle is not None:
                    handle.close()
        self._store = self._host = self._nft = None

    def _forget_before_boot(self, store: Store) -> None:
        """Attachments do not outlive the kernel they were made in."""
        boot = _boot()
        if store.meta("boot") == boot:
            return
        with store:
            if store.meta("boot") != boot:
                for table in ("attachments", "leases", "interfaces", "ports", "names"):
                    store.run(f"delete from {table}")
                store.set_meta("boot", boot)

    # -- networks ----------------------------------------------------------------------------------------------------

    def create(
        self,
        name: str,
        *,
        driver: str = "bridge",
        subnets: Sequence[str] = (),
        gateways: Sequence[str] = (),
        ranges: Sequence[str] = (),
        ipv6: bool = False,
        internal: bool = False,
        isolate: bool = True,
        mtu: int = 0,
        interface: str = "",
        labels: dict[str, str] | None = None,
        options: dict[str, str] | None = None,
    ) -> Network:
        """Record a network and make it. Subnets not given are chosen free of every route and network of this host.

        ``interface``: the parent device of a macvlan network. Options: ``masquerade`` (``true``/``false``), ``mode``
        (macvlan). Raises :class:`Conflict` for a name or subnet in use, :class:`InvalidInput`, :class:`Unsupported`.
        """
        if not name or name[0] in "-._" or len(name) > 128 or not set(name) <= _NAME:
            raise InvalidInput(
                f"network name {name!r} has other characters than letters, digits, '_', '.', '-'"
            )
        if name in _RESERVED:
            raise InvalidInput(f"network name {name!r} is reserved")
        network = Network(
            name=name,
            driver=driver,
            internal=internal,
            isolate=isolate,
            names=name != DEFAULT_NETWORK,
            mtu=mtu,
            interface=interface,
            labels=dict(labels or {}),
            options=dict(options or {}),
            created=time.time(),
        )
        _check_options(network)
        with self.store as store:
            self._number(network, store, list(subnets), list(gateways), list(ranges), ipv6)
            made = store.add_network(network)
            if driver == "bridge":
                made.interface = self._bridge_name(made)
                store.save_network(made)
        try:
            self.ensure(made)
        except BaseException:
            self.remove(name, force=True)
            raise
        return made

    def _number(
        self,
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
            used = br.host_subnets(self.host) if network.driver == "bridge" else []
            for subnet in chosen:
                clash = next((u for u in recorded + used if ad.overlaps(u, subnet)), None)
                if clash:
                    raise Conflict(
                        f"subnet {ad.show_subnet(subnet)} overlaps {ad.show_subnet(clash)}, which this host has",
                        hint="choose another subnet",
                    )
            if not any(s[0] == 4 for s in chosen) and not (chosen and not ipv6 and chosen[0][0] == 6):
                from lading.network.pools import choose_ipv4

                chosen.insert(0, choose_ipv4(self._tag, network.name == DEFAULT_NETWORK, recorded + used))
            if ipv6 and not any(s[0] == 6 for s in chosen):
                from lading.network.pools import choose_ipv6

                chosen.append(choose_ipv6(self._tag, recorded + used))
        network.subnets = [ad.show_subnet(s) for s in chosen]
        network.gateways = _gateways(network, chosen, gateways)
        network.ranges = _ranges(chosen, ranges)
        if not network.mtu and network.driver == "bridge":
            network.mtu = br.uplink_mtu(self.host)

    def _bridge_name(self, network: Network) -> str:
        if self._tag == "lading":
            return "lading0" if network.name == DEFAULT_NETWORK else f"lading{network.id}"
        return f"ld{self._tag[-6:]}-{network.id}"

    def get(self, name: str) -> Network:
        """A network by name; :class:`NotFound` otherwise. The default network is made when first asked for."""
        found = self.store.network(name)
        if found is None:
            if name != DEFAULT_NETWORK:
                raise NotFound(
                    f"network {name} does not exist", hint=f"create it: lading network create {name}"
                )
            try:
                return self.create(name)
            except Conflict:
                found = self.store.network(name)  # another process was first
                if found is None:
                    raise
        return found

    def list(self) -> list[Network]:
        """All recorded networks."""
        return self.store.networks()

    def users(self, name: str) -> list[str]:
        """The ids attached to a network."""
        network = self.get(name)
        rows = self.store.run("select distinct owner from interfaces where network=?", network.id)
        return [str(row[0]) for row in rows]

    def remove(self, name: str, *, force: bool = False) -> None:
        """Remove a network: rules, bridge, record. :class:`Conflict` while pods are attached, unless ``force``."""
        with self.store as store:
            network = store.network(name)
            if network is None:
                raise NotFound(f"network {name} does not exist")
            rows = store.run("select distinct owner from interfaces where network=?", network.id)
            if rows and not force:
                raise Conflict(f"network {name} is used by {', '.join(str(r[0])[:12] for r in rows)}")
            for row in rows:
                self.detach(str(row[0]))
            if network.driver == "bridge":
                if table_exists(self._tag):
                    others = [n for n in store.networks() if n.driver == "bridge" and n.id != network.id]
                    if others:
                        self._rebuild_firewall(others)
                    else:
                        self.nft.run(firewall.remove(self._tag))
                br.remove_bridge(self.host, network.interface)
            store.remove_network(network.id)

    def prune(self, *, in_use: Collection[str] = ()) -> list[str]:
        """Remove the user-defined networks that nobody is attached to and ``in_use`` does not name; their names."""
        removed = []
        for network in self.list():
            if network.name == DEFAULT_NETWORK or network.name in in_use or self.users(network.name):
                continue
            try:
                self.remove(network.name)
            except (Conflict, NotFound):
                continue  # somebody attached, or pruned, at the same moment
            removed.append(network.name)
        return removed

    def ensure(self, network: Network) -> int:
        """The bridge's index, the bridge and our table made if they are not there."""
        if network.driver != "bridge":
            index = br.index_of(network.interface)
            if not index:
                raise NotFound(f"interface {network.interface} of network {network.name} does not exist")
            return index
        index = br.index_of(network.interface)
        if index and table_exists(self._tag):
            return index
        with self.store as store:
            if not br.index_of(network.interface) or not store.meta(f"ready {network.id}"):
                said = br.make_bridge(self.host, network)
                for sentence in said:
                    store.set_meta("changed " + sentence.split(" ", 1)[0], sentence)
                store.set_meta(f"ready {network.id}", "1")
            self._rebuild_firewall([n for n in store.networks() if n.driver == "bridge"])
        return br.index_of(network.interface)

    def _rebuild_firewall(self, networks: Sequence[Network]) -> None:
        rows = self.store.run("select protocol, host_ip, host_port, container_ip, container_port from ports")
        self.nft.run(firewall.table(self._tag, networks, [_port(row) for row in rows]))

    def host_changes(self) -> list[str]:
        """What was changed about the host beyond our own interfaces and table (``ip_forward``), as sentences."""
        rows = self.store.run("select value from meta where key like 'changed %' order by key")
        return [str(row[0]) for row in rows]

    # -- pods --------------------------------------------------------------------------------------------------------

    def attach(self, request: AttachRequest) -> Attachment:
        """Give a pod its network namespace: recorded, made, configured, returned as an open descriptor.

        The caller owns ``Attachment.namespace`` and ``reserved``. :class:`Conflict` when the id is attached already
        or a port is taken. A failure leaves nothing.
        """
        if request.mode == "host":
            self._refuse(request, "host")
            return Attachment(id=request.id, mode="host", **resolv.of_host())
        if request.mode == "none":
            self._refuse(request, "none")
            return self._attach_none(request)
        if request.mode:
            raise Unsupported(
                f"network mode {request.mode!r}", hint="join an existing namespace by its descriptor"
            )
        wants = request.networks or [NetworkRequest(name=DEFAULT_NETWORK)]
        networks = [self.get("lading" if w.name in ("default", "bridge") else w.name) for w in wants]
        if len({n.id for n in networks}) != len(networks):
            raise InvalidInput(f"{request.id[:12]}: a network is named twice")
        indexes = [self.ensure(n) for n in networks]
        reservation = ports.Reservation()
        try:
            attachment = self._record(request, wants, networks, reservation)
        except BaseException:
            reservation.release()
            raise
        try:
            self._furnish(attachment, request, networks, indexes)
            if attachment.ports:
                self.nft.run(firewall.port_elements(self._tag, attachment.ports, "add"))
            attachment.reserved = reservation.detach()
        except BaseException:
            reservation.release()
            if request.namespace < 0 and attachment.namespace >= 0:
                os.close(attachment.namespace)
            self.detach(request.id)
            raise
        return attachment

    def _refuse(self, request: AttachRequest, mode: str) -> None:
        if request.ports:
            raise InvalidInput(f"ports cannot be published with network mode {mode}")
        if request.networks:
            raise InvalidInput(
                f"network mode {mode} and network {request.networks[0].name} exclude each other"
            )

    def _attach_none(self, request: AttachRequest) -> Attachment:
        """Loopback alone. Nothing of it is on the host, so nothing is recorded."""
        namespace, inner = self._namespace(request)
        try:
            br.configure(inner, ())
        except BaseException:
            os.close(namespace)
            raise
        finally:
            inner.close()
        return Attachment(id=request.id, name=request.name, mode="none", namespace=namespace)

    def _namespace(self, request: AttachRequest) -> tuple[int, Netlink]:
        def prepare() -> Netlink:
            for key, value in request.sysctls.items():
                if not key.startswith("net."):
                    raise InvalidInput(f"sysctl {key} does not belong to the network namespace")
                br.set_sysctl(key[4:].replace(".", "/"), value)
            return Netlink()

        if request.namespace >= 0:
            return request.namespace, netns.inside(request.namespace, prepare)
        return netns.create(prepare)

    def _record(
        self,
        request: AttachRequest,
        wants: Sequence[NetworkRequest],
        networks: Sequence[Network],
        reservation: ports.Reservation,
    ) -> Attachment:
        """Decide everything about the attachment and write it down, in one transaction."""
        attachment = Attachment(id=request.id, name=request.name)
        stem = "".join(c for c in request.id[:6] if c in _NAME)
        nonce = os.urandom(3).hex()
        with self.store as store:
            if store.run("select 1 from attachments where id=?", request.id):
                raise Conflict(f"{request.id[:12]} is attached already", hint="detach it first")
            for position, (want, network) in enumerate(zip(wants, networks, strict=True)):
                interface = Interface(name=f"eth{position}", network=network.name, mtu=network.mtu)
                ipam.lease(store, network, request.id, want, interface)
                interface.mac = _mac(want, interface)
                if network.driver == "bridge":
                    interface.host_interface = f"lv{stem}{nonce}{position:x}"
                store.run(
                    "insert into interfaces values (?, ?, ?, ?)",
                    interface.host_interface or f"{request.id}/{interface.name}",
                    request.id,
                    network.id,
                    interface.mac,
                )
                if network.names:
                    self._record_names(store, request, want, network, interface)
                attachment.interfaces.append(interface)
            if request.ports:
                self._record_ports(store, request, networks, attachment, reservation)
            resolv.fill(attachment, networks)
            _hosts(attachment, request)
            store.run(
                "insert into attachments values (?, ?, ?, ?)",
                request.id,
                0,
                os.getpid(),
                jsontext.dumps(attachment.encode()),
            )
        return attachment

    def _record_names(
        self,
        store: Store,
        request: AttachRequest,
        want: NetworkRequest,
        network: Network,
        interface: Interface,
    ) -> None:
        names = {n.lower() for n in (request.name, *want.aliases, request.id[:12], request.hostname) if n}
        store.many(
            "insert or ignore into names values (?, ?, ?, ?)",
            [(network.id, n, a.partition("/")[0], request.id) for n in names for a in interface.addresses],
        )

    def _record_ports(
        self,
        store: Store,
        request: AttachRequest,
        networks: Sequence[Network],
        attachment: Attachment,
        reservation: ports.Reservation,
    ) -> None:
        container: dict[int, str] = {}
        for interface, network in zip(attachment.interfaces, networks, strict=True):
            if network.driver != "bridge" or network.internal:
                continue
            for address in interface.addresses:
                container.setdefault(6 if ":" in address else 4, address.partition("/")[0])
        if not container:
            raise InvalidInput(
                f"{request.id[:12]} publishes ports but is on no bridge network that has a way out"
            )

        def taken(protocol: str, port: int, host_ip: str) -> str:
            wild = "::" if ":" in host_ip else "0.0.0.0"
            rows = store.run(
                "select owner, host_ip from ports where protocol=? and host_port=?", protocol, port
            )
            for owner, other in rows:
                same_family = (":" in str(other)) == (":" in host_ip)
                if same_family and (host_ip in (other, wild) or other == wild):
                    return str(owner)[:12]
            return ""

        attachment.ports = ports.publish(request.ports, container, taken, reservation)
        store.many(
            "insert into ports values (?, ?, ?, ?, ?, ?)",
            [
                (p.protocol, p.host_port, p.host_ip, request.id, p.container_ip, p.container_port)
                for p in attachment.ports
            ],
        )

    def _furnish(
        self,
        attachment: Attachment,
        request: AttachRequest,
        networks: Sequence[Network],
        indexes: Sequence[int],
    ) -> None:
        """Make in the kernel what was recorded."""
        namespace, inner = self._namespace(request)
        attachment.namespace = namespace
        try:
            for network, interface, index in zip(networks, attachment.interfaces, indexes, strict=True):
                if network.driver == "macvlan":
                    br.plug_macvlan(self.host, network, interface, index, namespace)
                else:
                    br.plug(self.host, network, interface, index, namespace)
            br.configure(inner, attachment.interfaces)
        finally:
            inner.close()

    def attachment(self, owner: str) -> Attachment | None:
        """What is recorded for an id; its ``namespace`` is -1."""
        return self.store.attachment(owner)

    def detach(self, owner: str) -> None:
        """Cut a pod off and forget it: ports, interfaces, leases, names. Repeating it is harmless.

        Close the namespace's descriptor too: the kernel removes the pod's interfaces with its last holder.
        """
        store = self.store
        rows = store.run("select name from interfaces where owner=? and name not like '%/%'", owner)
        published = [
            _port(row)
            for row in store.run(
                "select protocol, host_ip, host_port, container_ip, container_port from ports where owner=?",
                owner,
            )
        ]
        if published:
            self._unpublish(published)
        br.unplug(self.host, [str(row[0]) for row in rows])
        with store:
            store.forget(owner)

    def _unpublish(self, published: Sequence[PublishedPort]) -> None:
        try:
            self.nft.run(firewall.port_elements(self._tag, published, "delete"))
        except LadingError:
            # All in one transaction, so one element that is gone already keeps the others: take them one by one.
            for port in published:
                try:
                    self.nft.run(firewall.port_elements(self._tag, [port], "delete"))
                except LadingError as error:
                    if error.reason != "not-found":
                        raise

    # -- repair ------------------------------------------------------------------------------------------------------

    def check(self, *, repair: bool = False, alive: Collection[str] | None = None) -> list[Finding]:
        """Compare records and kernel. ``alive`` are the ids that exist; None skips what needs to know it."""
        from lading.network.repair import check

        return check(self, repair=repair, alive=alive)


def _boot() -> str:
    return br.read_sysctl("../kernel/random/boot_id")


def _port(row: tuple[object, ...]) -> PublishedPort:
    protocol, host_ip, host_port, container_ip, container_port = row
    return PublishedPort(
        protocol=str(protocol),
        host_ip=str(host_ip),
        host_port=int(str(host_port)),
        container_ip=str(container_ip),
        container_port=int(str(container_port)),
    )


def _mac(want: NetworkRequest, interface: Interface) -> str:
    if want.mac:
        return ad.parse_mac(want.mac).hex(":")
    if interface.addresses:
        return ad.mac_for(ad.pack(interface.addresses[0].partition("/")[0])).hex(":")
    return (b"\x0a" + os.urandom(5)).hex(":")


def _hosts(attachment: Attachment, request: AttachRequest) -> None:
    names = [n for n in dict.fromkeys((request.hostname or request.id[:12], request.name)) if n]
    for interface in attachment.interfaces:
        for address in interface.addresses:
            attachment.hosts.append(HostEntry(ip=address.partition("/")[0], hostnames=names))


def _check_options(network: Network) -> None:
    known = {"bridge": ("masquerade",), "macvlan": ("mode",)}.get(network.driver)
    if known is None:
        raise Unsupported(f"network driver {network.driver!r}", hint="use bridge, macvlan or cni")
    for key in network.options:
        if key not in known:
            raise Unsupported(f"option {key!r} of network driver {network.driver}")
    if network.options.get("masquerade", "true") not in ("true", "false"):
        raise InvalidInput("network option masquerade is neither true nor false")
    if network.options.get("mode", "bridge") not in ("private", "vepa", "bridge", "passthru"):
        raise InvalidInput("network option mode is none of private, vepa, bridge, passthru")
    if network.mtu and not 68 <= network.mtu <= 65535:
        raise InvalidInput(f"network MTU {network.mtu} is not between 68 and 65535")
    if network.driver == "macvlan" and not network.interface:
        raise InvalidInput("a macvlan network needs its parent interface")


def _gateways(network: Network, subnets: Sequence[ad.Subnet], given: list[str]) -> list[str]:
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


def _ranges(subnets: Sequence[ad.Subnet], given: list[str]) -> list[str]:
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
