"""Attaching a pod to its networks and taking it off again: decide and record, then make.

Everything about an attachment is decided in one transaction (:func:`_record`) before the kernel hears of it; what
follows only carries the record out. A kill in between leaves a record that ``check`` finishes.
"""

from __future__ import annotations

import os

from lading.errors import Conflict, InvalidInput, LadingError, NotFound, Unsupported
from lading.formats import jsontext
from lading.kernel import netlink_netns as netns
from lading.kernel.netlink import Netlink
from lading.network import addresses as ad
from lading.network import bridge as br
from lading.network import ipam, resolv
from lading.network.model import (
    DEFAULT_NETWORK,
    Attachment,
    AttachRequest,
    HostEntry,
    Interface,
    Network,
    NetworkRequest,
    PublishedPort,
    Reserved,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.network.networks import Networks
    from lading.network.ports import Reservation
    from lading.network.store import Store

_STEM = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
BY_US = ("bridge", "macvlan")


def attach(networks: Networks, request: AttachRequest) -> Attachment:
    """See :meth:`lading.network.Networks.attach`."""
    if request.mode == "host":
        _refuse(request, "host")
        return Attachment(id=request.id, name=request.name, mode="host", **resolv.of_host())
    if request.mode == "none":
        _refuse(request, "none")
        return _made(networks, Attachment(id=request.id, name=request.name, mode="none"), request, (), ())
    made = reserve(networks, request)
    furnish(networks, made)
    return made.attachment


def reserve(networks: Networks, request: AttachRequest) -> Reserved:
    """See :meth:`lading.network.Networks.reserve`."""
    if request.mode:
        raise Unsupported(f"network mode {request.mode!r}", hint="open the namespace and pass its descriptor")
    reservation: Reservation | None = None
    if request.ports:
        from lading.network import ports, publishing

        publishing.refuse_for_user(networks, request.ports)
        reservation = ports.Reservation()
    wants = request.networks or [NetworkRequest(name=DEFAULT_NETWORK)]
    joined = [networks.get(DEFAULT_NETWORK if w.name in ("default", "bridge") else w.name) for w in wants]
    if len({n.id for n in joined}) != len(joined):
        raise InvalidInput(f"{request.id[:12]}: a network is named twice")
    indexes = [networks.ensure(n) for n in joined]
    try:
        attachment = _record(networks.store, request, wants, joined, reservation)
    except BaseException:
        if reservation is not None:
            reservation.release()
        raise
    if reservation is not None:
        if networks.roots.uid:
            reservation.release()  # a port that is proven free; pasta or slirp4netns is who binds it
        attachment.reserved = reservation.detach()
    can_wait = not networks.roots.uid and all(network.driver in BY_US for network in joined)
    return Reserved(attachment, request, joined, indexes, can_wait)


def furnish(networks: Networks, reserved: Reserved) -> None:
    """See :meth:`lading.network.Networks.furnish`."""
    attachment = reserved.attachment
    try:
        _made(networks, attachment, reserved.request, reserved.joined, reserved.indexes)
    except BaseException:
        attachment.namespace = -1
        for fd in attachment.reserved:
            os.close(fd)
        attachment.reserved = []
        raise


def _refuse(request: AttachRequest, mode: str) -> None:
    if request.ports:
        raise InvalidInput(f"ports cannot be published with network mode {mode}")
    if request.networks:
        raise InvalidInput(f"network mode {mode} and network {request.networks[0].name} exclude each other")


def _made(
    networks: Networks,
    attachment: Attachment,
    request: AttachRequest,
    joined: Sequence[Network],
    indexes: Sequence[int],
) -> Attachment:
    """Carry ``attachment`` out. After a failure its namespace is closed, unless it was the caller's."""
    try:
        _furnish(networks, attachment, request, joined, indexes)
    except BaseException:
        if joined:
            _take_back(networks, request.id, attachment.namespace)
        if request.namespace < 0 and attachment.namespace >= 0:
            os.close(attachment.namespace)
        raise
    return attachment


def _take_back(networks: Networks, owner: str, namespace: int) -> None:
    """Detach after a failure, which stays the one that is told: what cannot be detached is recorded for ``check``."""
    try:
        detach(networks, owner, namespace)
    except LadingError:
        pass


def _namespace(request: AttachRequest) -> tuple[int, Netlink]:
    """A new namespace, or the one given, with the request's sysctls set; and a socket that speaks to it."""

    def prepare() -> Netlink:
        br.refuse_advertisements()
        for key, value in request.sysctls.items():
            if not key.startswith("net.") or ".." in key or "/../" in key:
                raise InvalidInput(f"sysctl {key} does not belong to the network namespace")
            br.set_sysctl(key[4:].replace(".", "/"), value)
        return Netlink()

    if request.namespace >= 0:
        return request.namespace, netns.inside(request.namespace, prepare)
    return netns.create(prepare)


# -- deciding and recording ------------------------------------------------------------------------------------------


def _record(
    store: Store,
    request: AttachRequest,
    wants: Sequence[NetworkRequest],
    joined: Sequence[Network],
    reservation: Reservation | None,
) -> Attachment:
    attachment = Attachment(id=request.id, name=request.name)
    nonce = os.urandom(3).hex()
    with store:
        if store.run("select 1 from attachments where id=?", request.id):
            raise Conflict(f"{request.id[:12]} is attached already", hint="detach it first")
        for position, (want, network) in enumerate(zip(wants, joined, strict=True)):
            interface = take(store, request, want, network, f"eth{position}", nonce)
            attachment.interfaces.append(interface)
        if reservation is not None and joined[0].driver != "cni":
            from lading.network import publishing

            publishing.record(store, request, joined, attachment, reservation)
        resolv.fill(attachment, joined, request.upstreams)
        name_hosts(attachment, request)
        save(store, attachment)
    return attachment


def take(
    store: Store, request: AttachRequest, want: NetworkRequest, network: Network, name: str, nonce: str
) -> Interface:
    """Decide the interface ``name`` on ``network`` and record it, its addresses and names. Inside a transaction."""
    if network.id > 0 and not store.run("select 1 from networks where id=?", network.id):
        raise NotFound(f"network {network.name} was removed meanwhile")
    interface = Interface(name=name, network=network.name, mtu=network.mtu, priority=want.gateway_priority)
    if network.driver in BY_US:
        ipam.lease(store, network, request.id, want, interface)
        interface.mac = _mac(want, interface)
    if network.driver == "user":
        from lading.network.rootless import ADDRESS, GATEWAY, PREFIX

        interface.addresses, interface.gateways = [f"{ADDRESS}/{PREFIX}"], [GATEWAY]
    if network.driver == "bridge":
        stem = "".join(c for c in request.id if c in _STEM)[:6]
        interface.host_interface = f"lv{stem}{nonce}{name[3:]}"[:15]
    store.run(
        "insert into interfaces values (?, ?, ?, ?)",
        interface.host_interface or f"{request.id}/{interface.name}",
        request.id,
        network.id,
        interface.mac,
    )
    if network.names:
        _record_names(store, request, want, network, interface)
    return interface


def save(store: Store, attachment: Attachment) -> None:
    """Write an attachment's record."""
    record = jsontext.dumps(attachment.replace(namespace=-1, reserved=[]).encode())
    store.run("insert or replace into attachments values (?, ?, ?)", attachment.id, os.getpid(), record)


def _record_names(
    store: Store, request: AttachRequest, want: NetworkRequest, network: Network, interface: Interface
) -> None:
    """What the pod is called on this network; the first name is the one its address is turned back into."""
    names = dict.fromkeys(
        n.lower() for n in (request.name, *want.aliases, request.hostname, request.id[:12]) if n
    )
    store.many(
        "insert or ignore into names values (?, ?, ?, ?, ?)",
        [
            (network.id, name, address.partition("/")[0], request.id, rank)
            for rank, name in enumerate(names)
            for address in interface.addresses
        ],
    )


def _mac(want: NetworkRequest, interface: Interface) -> str:
    if want.mac:
        return ad.parse_mac(want.mac).hex(":")
    if interface.addresses:
        return ad.mac_for(ad.pack(interface.addresses[0].partition("/")[0])).hex(":")
    return (b"\x0a" + os.urandom(5)).hex(":")


def name_hosts(attachment: Attachment, request: AttachRequest) -> None:
    """What the pod's own ``/etc/hosts`` says of it."""
    names = [n for n in dict.fromkeys((request.hostname or request.id[:12], request.name)) if n]
    attachment.hosts = [
        HostEntry(ip=address.partition("/")[0], hostnames=names)
        for interface in attachment.interfaces
        for address in interface.addresses
    ]


# -- making ----------------------------------------------------------------------------------------------------------


def _furnish(
    networks: Networks,
    attachment: Attachment,
    request: AttachRequest,
    joined: Sequence[Network],
    indexes: Sequence[int],
) -> None:
    namespace, inner = _namespace(request)
    attachment.namespace = namespace
    try:
        ours: list[Interface] = []
        for network, interface, index in zip(joined, attachment.interfaces, indexes, strict=True):
            if network.driver in BY_US:
                plug(networks, attachment, network, interface, index)
                ours.append(interface)
        # The way out of an ordinary user's default network brings its own default route, and fails where there is one.
        mixed = bool(ours) and any(n.driver == "user" for n in joined)
        br.configure(inner, [i.replace(gateways=[]) for i in ours] if mixed else ours)
    finally:
        inner.close()
    if networks.roots.uid:
        _connect_user(networks, attachment, joined)
        if mixed:
            from lading.network.joining import set_default_routes

            with netns.open_route(namespace) as inner:
                set_default_routes(inner, attachment.interfaces, attachment.interfaces)
    elif attachment.ports:
        from lading.network import publishing

        publishing.publish(networks, attachment.ports)
    for position, network in enumerate(joined):
        if network.driver == "cni":
            from lading.network.cninetworks import attach_cni

            attach_cni(networks, network, attachment, position, request)
            name_hosts(attachment, request)
            with networks.store as store:
                save(store, attachment)
    if resolv.needs_resolver(attachment, joined):
        from lading.network.names import ensure_resolver

        networks.in_place(lambda: ensure_resolver(networks.roots))


def plug(
    networks: Networks, attachment: Attachment, network: Network, interface: Interface, index: int
) -> None:
    """Make the interface on its network; its other end is born in the attachment's namespace."""
    if network.driver == "macvlan":
        br.plug_macvlan(networks.host, network, interface, index, attachment.namespace)
        return
    hairpin = bool(attachment.ports)
    networks.in_place(
        lambda: br.plug(networks.host, network, interface, index, attachment.namespace, hairpin=hairpin)
    )


def _connect_user(networks: Networks, attachment: Attachment, joined: Sequence[Network]) -> None:
    """An ordinary user's way out: a program for the pod on the default network, forwarded ports on the others."""
    from lading.network import rootless

    ours = {i.addresses[0].partition("/")[0] for i in attachment.interfaces if i.addresses}
    direct = False
    for network, interface in zip(joined, attachment.interfaces, strict=True):
        if network.driver == "user":
            direct = any(p.container_ip == rootless.ADDRESS for p in attachment.ports)
            rootless.start_uplink(
                networks.roots,
                uplink_name(attachment.id),
                attachment.namespace,
                interface.name,
                attachment.ports if direct else (),
                changing=False,
            )
    if attachment.ports and not direct and ours:
        from lading.network import publishing

        everywhere = publishing.anywhere(attachment.ports)
        networks.in_place(lambda: publishing.publish(networks, everywhere))
        rootless.forward(networks.roots, "host", [(p, p.host_port) for p in attachment.ports])


def uplink_name(owner: str) -> str:
    """The name of a pod's own pasta or slirp4netns; short, for it becomes a Unix socket's path."""
    return "pod-" + owner[:16]


# -- taking off ------------------------------------------------------------------------------------------------------


def detach(networks: Networks, owner: str, namespace: int) -> None:
    """See :meth:`lading.network.Networks.detach`."""
    store = networks.store
    rows = [str(row[0]) for row in store.run("select name from interfaces where owner=?", owner)]
    published = store.ports(owner)
    if networks.roots.uid:
        _disconnect_user(networks, owner, published, rows)
    else:
        if published:
            from lading.network import publishing

            publishing.unpublish(networks, published)
        br.unplug(networks.host, [name for name in rows if "/" not in name])
    try:
        if any("/" in name for name in rows):
            from lading.network.cninetworks import detach_cni

            detach_cni(networks, owner, namespace)
    finally:  # what a plugin would not give back is in its own record
        with store:
            store.forget(owner)
            leave_user_host(networks)
        stop_relaying(networks, published)


def stop_relaying(networks: Networks, published: Sequence[PublishedPort]) -> None:
    """Have relayed ports free again now, and not when the relay next looks into the records."""
    if any(p.relayed for p in published):
        from lading.network.names import refresh

        try:
            refresh(networks.roots)
        except LadingError:
            pass  # about another port, or from one that hangs: check tells


def leave_user_host(networks: Networks) -> None:
    """Take an ordinary user's own host namespace away once nothing stands in it. Inside a transaction."""
    rows = networks.store.run("select 1 from interfaces where name not like '%/%' limit 1")
    if networks.roots.uid and not rows:
        from lading.network.rootless import tear_down

        tear_down(networks.roots)


def _disconnect_user(
    networks: Networks, owner: str, published: Sequence[PublishedPort], interfaces: Sequence[str]
) -> None:
    from lading.network import publishing, rootless

    rootless.stop_uplink(networks.roots, uplink_name(owner))
    rootless.withdraw(networks.roots, "host", published)

    def there() -> None:
        if published:
            publishing.unpublish(networks, publishing.anywhere(published))
        br.unplug(networks.host, [name for name in interfaces if "/" not in name])

    networks.in_place(there, make=False)
