"""Networks of one root: made, listed, removed; pods attached and detached."""

from __future__ import annotations

import os

from lading.errors import Conflict, Exhausted, NotFound, Unsupported
from lading.kernel.netlink import NETFILTER, Netlink
from lading.kernel.nftables import Nftables, table_exists
from lading.network import bridge as br
from lading.network import firewall
from lading.network.model import DEFAULT_NETWORK, Attachment, AttachRequest, Finding, Network, Reserved
from lading.network.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builtins import list as List  # noqa: N812  (the class has a method of that name)
    from collections.abc import Callable, Collection, Sequence
    from typing import TypeVar

    from lading.kernel import Kernel
    from lading.roots import Roots

    T = TypeVar("T")

#: Below the network directory: what was changed about the host and no command has said yet, a sentence a line.
UNTOLD = "untold"


class Networks:
    """The network package's front. One per process and root; cheap to make, opens its records on first use.

    Works for root and, inside a user namespace that has its own network namespace, for an ordinary user's root.
    """

    def __init__(self, roots: Roots, kernel: Kernel | None = None, *, cni_path: Sequence[str] = ()) -> None:
        self.roots = roots
        self.kernel = kernel
        self.cni_path = [*cni_path]
        self.tag = roots.tag
        self._store: Store | None = None
        self._host: Netlink | None = None
        self._nft: Nftables | None = None
        self._netfilter: Netlink | None = None
        self._pid = 0
        self.inside = False

    # -- handles -----------------------------------------------------------------------------------------------------

    @property
    def store(self) -> Store:
        """The records, opened by this very process: neither SQLite nor a netlink socket survives a fork."""
        if self._store is None or self._pid != os.getpid():
            self._store, self._host, self._nft = Store(self.roots.network), None, None
            self._netfilter = None
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

    def use_host(self, wire: Netlink | None) -> None:
        """Speak through ``wire`` from now on (None: open one in the current namespace); closes the one before.

        libnftables keeps a socket of the namespace it was opened in too, so its handle goes with it.
        """
        if self._host is not None:
            self._host.close()
        if self._nft is not None:
            self._nft.close()
        if self._netfilter is not None:
            self._netfilter.close()
        self._host, self._nft, self._netfilter = wire, None, None

    def in_place(self, work: Callable[[], T], *, make: bool = True) -> T | None:
        """Run ``work`` where bridges and rules are: here for root, in a namespace of the user's otherwise.

        None when that namespace is not there and ``make`` does not ask for it.
        """
        if self.roots.uid == 0:
            return work()
        from lading.network.rootless import run_in_place

        return run_in_place(self, work, make)

    @property
    def nft(self) -> Nftables:
        """libnftables, loaded when first used."""
        _ = self.store
        if self._nft is None:
            self._nft = Nftables()
        return self._nft

    @property
    def netfilter(self) -> Netlink:
        """nfnetlink of the host's namespace: for what changes with every pod, without libnftables."""
        _ = self.store
        if self._netfilter is None:
            self._netfilter = Netlink(NETFILTER)
        return self._netfilter

    def close(self) -> None:
        """Close the records and the sockets."""
        if self._pid == os.getpid():
            for handle in (self._store, self._host, self._nft, self._netfilter):
                if handle is not None:
                    handle.close()
        self._store = self._host = self._nft = self._netfilter = None

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
        reserved: dict[str, str] | None = None,
        ipv6: bool = False,
        internal: bool = False,
        isolate: bool = True,
        mtu: int = 0,
        interface: str = "",
        labels: dict[str, str] | None = None,
        options: dict[str, str] | None = None,
    ) -> Network:
        """Record a network and make it. Subnets not given are chosen free of every route and network of this host.

        ``interface``: the parent device of a macvlan network, or a name for the bridge. Options: ``masquerade`` and ``icc``
        (``true``/``false``), ``host_ip`` (where ports are published that name no host address), ``mode`` (macvlan).
        ``reserved``: addresses that nobody is given. Raises :class:`Conflict` for a name or subnet in use,
        :class:`InvalidInput`, :class:`Unsupported`.
        """
        from lading.network import making

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
        )
        return making.create(self, network, subnets, gateways, ranges, reserved or {}, ipv6)

    def get(self, name: str) -> Network:
        """A network by name; :class:`NotFound` otherwise. The default network is made when first asked for."""
        found = self.store.network(name)
        if found is None:
            if name != DEFAULT_NETWORK:
                from lading.network.cninetworks import find_network

                described = find_network(self.roots.config, name)
                if described is not None:
                    return described
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

    def list(self) -> List[Network]:
        """All networks: the recorded ones, then those that CNI configuration lists describe."""
        from lading.network.cninetworks import list_networks

        recorded = self.store.networks()
        names = {n.name for n in recorded}
        return recorded + [n for n in list_networks(self.roots.config) if n.name not in names]

    def users(self, name: str) -> List[str]:
        """The ids attached to a network."""
        network = self.get(name)
        rows = self.store.run("select distinct owner from interfaces where network=?", network.id)
        return [str(row[0]) for row in rows]

    def remove(self, name: str, *, force: bool = False) -> None:
        """Remove a network: rules, bridge, record. :class:`Conflict` while pods are attached, unless ``force``."""
        from lading.network import making

        making.remove(self, name, force)

    def prune(self, *, in_use: Collection[str] = ()) -> List[str]:
        """Remove the user-defined networks that nobody is attached to and ``in_use`` does not name; their names."""
        from lading.network import making

        return making.prune(self, in_use)

    def ensure(self, network: Network) -> int:
        """The bridge's index, the bridge and our table made if they are not there."""
        if network.driver == "cni" and self.roots.uid:
            raise Unsupported(
                f"network {network.name} of driver cni for an ordinary user",
                hint="its plugins work on the host's own network: run as root",
            )
        if network.driver in ("cni", "user"):
            return 0
        if network.driver != "bridge":
            index = br.index_of(network.interface)
            if not index:
                raise NotFound(f"interface {network.interface} of network {network.name} does not exist")
            return index
        return self.in_place(lambda: self._ensure_bridge(network)) or 0

    def _ensure_bridge(self, network: Network) -> int:
        index = br.index_of(network.interface)
        ready = f"{index} schema {firewall.SCHEMA}"
        if index and self.store.meta(f"ready {network.id}") == ready and table_exists(self.tag):
            return index
        with self.store as store:
            if not store.run("select 1 from networks where id=?", network.id):
                raise NotFound(f"network {network.name} was removed meanwhile")
            for sentence in br.make_bridge(self.host, network):
                if not self.roots.uid:
                    self._untold(sentence)
            if store.meta("schema") == firewall.SCHEMA and table_exists(self.tag):
                self.nft.run(firewall.network_elements(self.tag, network, "add"))
            else:
                self.rebuild_firewall([n for n in store.networks() if n.driver == "bridge"])
            index = br.index_of(network.interface)
            store.set_meta(f"ready {network.id}", f"{index} schema {firewall.SCHEMA}")
            if store.run("select 1 from interfaces where network=? limit 1", network.id):
                from lading.network.repair import replug_all

                replug_all(self, network)
        return index

    def rebuild_firewall(self, networks: Sequence[Network]) -> None:
        """Make our table anew for ``networks``, all that have bridges, and the ports that are recorded."""
        self.nft.run(firewall.table(self.tag, networks, self.store.ports()))
        self.store.set_meta("schema", firewall.SCHEMA)

    def _untold(self, sentence: str) -> None:
        """Leave a sentence for the next command to say; the process that makes a bridge may have nobody to tell."""
        try:
            with open(self.roots.network + "/" + UNTOLD, "a", encoding="utf-8") as stream:
                stream.write(sentence + "\n")
        except OSError as error:
            raise Exhausted(
                f"{self.roots.network}/{UNTOLD}: {error.strerror}", hint="free some space"
            ) from None

    # -- pods --------------------------------------------------------------------------------------------------------

    def attach(self, request: AttachRequest) -> Attachment:
        """Give a pod its network namespace: recorded, made, configured, returned as an open descriptor.

        The caller owns ``Attachment.namespace`` and ``reserved``. :class:`Conflict` when the id is attached already
        or a port is taken. A failure leaves nothing.
        """
        from lading.network.attaching import attach

        return attach(self, request)

    def adjust(self, request: AttachRequest, held: Sequence[int] = ()) -> Attachment:
        """Let a pod that lives join and leave networks until it is on those of ``request``, and finish what a kill left.

        ``request.namespace`` is the pod's namespace; ``held`` are the descriptors that keep its published ports: those of
        ports that it loses are closed, and ``reserved`` of the result replaces them. A failure changes nothing.
        """
        from lading.network.joining import adjust

        return adjust(self, request, held)

    def reserve(self, request: AttachRequest) -> Reserved:
        """Decide and record an attachment (of mode ``""``) without making it; :meth:`furnish` or :meth:`detach` follows.

        Raises as :meth:`attach` does; a failure leaves nothing.
        """
        from lading.network.attaching import reserve

        return reserve(self, request)

    def furnish(self, reserved: Reserved, namespace: int = -1) -> None:
        """Make what was reserved, in the open ``namespace`` (which stays the caller's) or in a new one.

        A failure takes the whole attachment back and raises.
        """
        from lading.network.attaching import furnish

        reserved.request.namespace = namespace
        furnish(self, reserved)

    def attachment(self, owner: str) -> Attachment | None:
        """What is recorded for an id; its ``namespace`` is -1."""
        return self.store.attachment(owner)

    def detach(self, owner: str, *, namespace: int = -1) -> None:
        """Cut a pod off and forget it: ports, interfaces, leases, names. Repeating it is harmless.

        ``namespace`` lets CNI plugins clean inside, where it is still open. Close it afterwards: the kernel removes the
        pod's interfaces with its last holder.
        """
        from lading.network.attaching import detach

        detach(self, owner, namespace)

    def release(self, owner: str) -> None:
        """:meth:`detach` if ``owner`` is attached, without writing anything if not."""
        if self.store.run("select 1 from attachments where id=?", owner):
            self.detach(owner)

    # -- repair ------------------------------------------------------------------------------------------------------

    def check(
        self, *, repair: bool = False, alive: Callable[[], Collection[str]] | None = None
    ) -> List[Finding]:
        """Compare records and kernel. ``alive`` gives the ids that exist; None skips what needs to know it."""
        from lading.network.repair import check

        return check(self, repair=repair, alive=alive)


def _boot() -> str:
    return br.read_sysctl("../kernel/random/boot_id")
