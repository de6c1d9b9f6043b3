"""A living pod joins and leaves networks: the attachment is made to be what the pod asks for now.

One function serves both directions and repair too: :func:`adjust` compares what is asked with what is recorded, and
what is recorded with what is in the namespace, and does what is missing. What joins is recorded before it is made; what
leaves is forgotten after it is gone; so a kill anywhere leaves work for the next call and nothing else.
"""

from __future__ import annotations

import os

from lading.errors import Conflict, KernelError, LadingError, Unsupported
from lading.kernel import netlink_netns as netns
from lading.kernel import netlink_route as rt
from lading.network import addresses as ad
from lading.network import attaching, ports, publishing, resolv, routing
from lading.network import bridge as br
from lading.network.model import DEFAULT_NETWORK, Attachment, Interface, NetworkRequest, PublishedPort

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.kernel.netlink import Netlink
    from lading.network.model import AttachRequest, Network
    from lading.network.networks import Networks

_ENODEV, _ESRCH = 19, 3


def adjust(networks: Networks, request: AttachRequest, held: Sequence[int]) -> Attachment:
    """See :meth:`lading.network.Networks.adjust`."""
    wants = list(request.networks)
    if not wants and not request.mode:
        wants = [NetworkRequest(name=DEFAULT_NETWORK)]
    joined = [networks.get(DEFAULT_NETWORK if w.name in ("default", "bridge") else w.name) for w in wants]
    before = networks.store.attachment(request.id) or Attachment(id=request.id, name=request.name)
    plan = Plan(networks, request, before, joined)
    plan.refuse()
    indexes = {n.name: networks.ensure(n) for n in joined}
    reservation = ports.Reservation()
    try:
        plan.record(wants, reservation, held)
        plan.carry_out(indexes, held)
    except BaseException:
        reservation.release()
        plan.undo()
        raise
    if networks.roots.uid:
        reservation.release()
    attachment = plan.finish()
    attachment.reserved = [*ports.keep_only(held, attachment.ports), *reservation.detach()]
    return attachment


class Plan:
    """The steps of one adjustment. ``after`` is the attachment as it shall be, ``leaving`` what shall be gone."""

    def __init__(
        self, networks: Networks, request: AttachRequest, before: Attachment, joined: Sequence[Network]
    ) -> None:
        self.networks = networks
        self.request = request
        self.before = before
        self.joined = joined
        wanted = {n.name for n in joined}
        self.staying = [i for i in before.interfaces if i.network in wanted]
        self.leaving = [i for i in before.interfaces if i.network not in wanted]
        self.coming: list[Interface] = []
        self.recorded = False
        self.after = before.replace(
            namespace=request.namespace, mode="", interfaces=list(self.staying), ports=list(before.ports)
        )

    def _network(self, interface: Interface) -> Network:
        return next(n for n in self.joined if n.name == interface.network)

    # -- what cannot be ----------------------------------------------------------------------------------------------

    def refuse(self) -> None:
        """Refuse what a running pod cannot do, before anything is touched."""
        publishing.refuse_for_user(self.networks, self.request.ports)
        if not self.networks.roots.uid:
            return
        had = {i.network for i in self.before.interfaces}
        direct = [n for n in self.joined if n.driver == "user"]
        if direct and direct[0].name not in had and had:
            raise Unsupported(
                "an ordinary user's running container cannot be connected to the default network beside others",
                hint="stop it first",
            )
        gone = {a.partition("/")[0] for i in self.leaving for a in i.addresses}
        if any(p.container_ip in gone for p in self.before.ports):
            raise Unsupported(
                f"network {self.leaving[0].network} carries published ports, which pasta and slirp4netns cannot move",
                hint="stop the container first",
            )

    # -- writing down ------------------------------------------------------------------------------------------------

    def record(
        self, wants: Sequence[NetworkRequest], reservation: ports.Reservation, held: Sequence[int]
    ) -> None:
        """Record what comes: interfaces, addresses, names, ports; what leaves stays recorded until it is gone."""
        request, after, store = self.request, self.after, self.networks.store
        with netns.open_route(request.namespace) as inner:  # a privileged pod makes interfaces of its own
            names = {rt.Link(payload).name for payload in inner.dump(rt.links_get())}
        names.update(i.name for i in self.before.interfaces)
        nonce = os.urandom(3).hex()
        there = {i.network for i in self.staying}
        with store:
            if self.before.interfaces and store.attachment(request.id) is None:
                raise Conflict(f"{request.id[:12]} was detached meanwhile", reason="state")
            for want, network in zip(wants, self.joined, strict=True):
                if network.name in there:
                    continue
                name = next(f"eth{n}" for n in range(1 << 16) if f"eth{n}" not in names)
                names.add(name)
                self.coming.append(attaching.take(store, request, want, network, name, nonce))
            order = [n.name for n in self.joined]
            after.interfaces = sorted(self.staying + self.coming, key=lambda i: order.index(i.network))
            after.ports = self._ports(reservation)
            publishing.write(store, request.id, after.ports)
            resolv.fill(after, self.joined, request.upstreams)
            attaching.name_hosts(after, request)
            attaching.save(store, after.replace(interfaces=[*after.interfaces, *self.leaving]))
        self.recorded = True

    def _ports(self, reservation: ports.Reservation) -> list[PublishedPort]:
        """The ports as they shall lead: moved to another address, dropped with the last, published with the first."""
        if self.joined and self.joined[0].driver == "cni":
            return list(self.before.ports)
        container = publishing.carriers(self.after, self.joined)
        wanted = publishing.with_host_ip(self.request.ports, self.after, self.joined)
        # On every IPv6 address of the host without having asked for it: not relayed when the container has none itself.
        implied = 6 not in container and not any(w.host_ip == "::" for w in wanted)
        kept = [
            p.replace(container_ip=address)
            for p in self.before.ports
            if (address := ports.target(container, p.host_ip)) and not (implied and p.host_ip == "::")
        ]
        if self.networks.roots.uid and self.before.ports:
            return kept
        missing = ports.missing(wanted, container, kept)
        taken = publishing.taken_by(self.networks.store)
        fresh = ports.publish(missing, container, taken, reservation) if missing else []
        reservation.leave(fresh)
        return kept + fresh

    # -- making ------------------------------------------------------------------------------------------------------

    def carry_out(self, indexes: dict[str, int], held: Sequence[int]) -> None:
        """Interfaces in, ports over, interfaces out, default route, resolver."""
        networks, request, after = self.networks, self.request, self.after
        # A container that made its namespace itself, for loopback alone, did not.
        netns.inside(request.namespace, br.refuse_advertisements)
        with netns.open_route(request.namespace) as inner:
            made = []
            for interface in after.interfaces:
                network = self._network(interface)
                if network.driver not in attaching.BY_US:
                    continue
                if not inner.ask(rt.link_get(interface.name, ok=(_ENODEV,))):
                    attaching.plug(networks, after, network, interface, indexes[network.name])
                if not _addressed(inner, interface):
                    made.append(interface.replace(gateways=[]))
            if made:
                br.configure(inner, made, loopback=False)
            for interface in self.coming:
                self._by_others(interface)
            self._move_ports()
            self._unplug(inner, self.leaving)
            set_default_routes(inner, self._ours(after.interfaces), self._ours(self.before.interfaces))
        if resolv.needs_resolver(after, self.joined):
            from lading.network.names import ensure_resolver

            ports.let_relay(held, after.ports)
            networks.in_place(lambda: ensure_resolver(networks.roots))

    def _by_others(self, interface: Interface) -> None:
        """An interface that a program makes: a CNI plugin, pasta, slirp4netns."""
        network = self._network(interface)
        if network.driver == "cni":
            from lading.network.cninetworks import attach_cni

            attach_cni(
                self.networks, network, self.after, self.after.interfaces.index(interface), self.request
            )
        elif network.driver == "user":
            from lading.network import rootless

            rootless.start_uplink(
                self.networks.roots,
                attaching.uplink_name(self.request.id),
                self.request.namespace,
                interface.name,
                self.after.ports,
                changing=False,
            )

    def _move_ports(self) -> None:
        networks, before, after = self.networks, self.before.ports, self.after.ports
        if networks.roots.uid or not (before or after) or (self.joined and self.joined[0].driver == "cni"):
            return
        publishing.move(networks, before, after)
        ends = [i.host_interface for i in self.after.interfaces if i.host_interface]
        if after and ends:
            networks.host.run([rt.port_set(name, hairpin=True) for name in ends])

    def _ours(self, interfaces: Sequence[Interface]) -> list[Interface]:
        """The interfaces whose routes are our business: a CNI plugin sets the routes that its list asks for."""
        store = self.networks.store
        return [i for i in interfaces if store.network(i.network) is not None]

    def _unplug(self, inner: Netlink, interfaces: Sequence[Interface]) -> None:
        networks = self.networks
        ends = [i.host_interface for i in interfaces if i.host_interface]
        if ends:
            networks.in_place(
                lambda: networks.host.run([rt.link_del(name, ok=(_ENODEV,)) for name in ends]), make=False
            )
        for interface in interfaces:
            if interface.host_interface:
                continue
            network = networks.store.network(interface.network)
            if network is None:
                from lading.network.cninetworks import detach_cni

                detach_cni(networks, self.request.id, self.request.namespace, interface.name)
            elif network.driver == "macvlan":
                inner.run([rt.link_del(interface.name, ok=(_ENODEV,))])
            else:
                from lading.network import rootless

                rootless.stop_uplink(networks.roots, attaching.uplink_name(self.request.id))
                inner.run([rt.link_del(interface.name, ok=(_ENODEV,))])

    # -- the end -----------------------------------------------------------------------------------------------------

    def undo(self) -> None:
        """What came goes again, what should have left stays; best effort: what cannot be undone stays recorded."""
        if not self.recorded:
            return
        store, owner = self.networks.store, self.request.id
        try:
            with netns.open_route(self.request.namespace) as inner:
                self._unplug(inner, self.coming)
                if not self.networks.roots.uid and self.after.ports != self.before.ports:
                    publishing.move(self.networks, self.after.ports, self.before.ports)
                set_default_routes(
                    inner, self._ours(self.before.interfaces), self._ours(self.after.interfaces)
                )
        except LadingError:
            return
        with store:
            for interface in self.coming:
                _forget(self.networks, owner, interface)
            store.run("delete from ports where owner=?", owner)
            publishing.write(store, owner, self.before.ports)
            if self.before.interfaces:
                attaching.save(store, self.before)
            else:
                store.forget(owner)

    def finish(self) -> Attachment:
        """Forget what has left; the attachment as it is now."""
        store, owner, after = self.networks.store, self.request.id, self.after
        with store:
            for interface in self.leaving:
                _forget(self.networks, owner, interface)
            store.run("delete from ports where owner=?", owner)
            publishing.write(store, owner, after.ports)
            if after.interfaces:
                attaching.name_hosts(after, self.request)
                attaching.save(store, after)
            else:
                after.mode = "none"
                store.forget(owner)
                attaching.leave_user_host(self.networks)
        attaching.stop_relaying(self.networks, self.before.ports)
        return after


def _forget(networks: Networks, owner: str, interface: Interface) -> None:
    """Drop one interface's record, addresses and names."""
    store = networks.store
    row = interface.host_interface or f"{owner}/{interface.name}"
    for (number,) in store.run("select network from interfaces where name=? and owner=?", row, owner):
        for table in ("names", "leases"):
            store.run(f"delete from {table} where owner=? and network=?", owner, number)
    store.run("delete from interfaces where name=? and owner=?", row, owner)


def _addressed(inner: Netlink, interface: Interface) -> bool:
    """Whether the interface has its addresses: one that a killed keeper left half made has not."""
    index = rt.Link(inner.ask(rt.link_get(interface.name))).index
    there = {a.local for a in map(rt.Address, inner.dump(rt.addresses_get())) if a.index == index}
    return all(ad.pack(a.partition("/")[0]) in there for a in interface.addresses)


def set_default_routes(inner: Netlink, interfaces: Sequence[Interface], before: Sequence[Interface]) -> None:
    """Give the namespace the default routes of ``interfaces``; a route that is nobody's of ours is left alone."""
    wanted = routing.default_routes(interfaces)
    ours = {ad.pack(g) for i in [*interfaces, *before] for g in i.gateways}
    for family, number in ((4, rt.AF_INET), (6, rt.AF_INET6)):
        name, gateway = wanted.get(family, ("", ""))
        index = rt.Link(inner.ask(rt.link_get(name))).index if name else 0
        target = (ad.pack(gateway), index) if gateway else (b"", 0)
        present = [r for r in map(rt.Route, inner.dump(rt.routes_get(number))) if not r.prefix and r.gateway]
        kept = False
        for route in present:
            if (route.gateway, route.index) == target or route.gateway not in ours:
                kept = True
                continue
            message = rt.route_del(b"", 0, gateway=route.gateway, index=route.index)
            message.ok = (_ESRCH,)
            inner.run([message])
        if gateway and not kept:
            try:
                inner.run([rt.route_add(b"", 0, gateway=target[0], index=index)])
            except KernelError as error:
                raise KernelError(f"default route by {name}", error.errno) from None
