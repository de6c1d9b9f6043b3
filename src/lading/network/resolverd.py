"""The resolver process: records in, names out. Started by :mod:`lading.network.names`, never by hand."""

from __future__ import annotations

import fcntl
import os
import resource
import select
import socket as net
import sys
import time

from lading.errors import Conflict, Exhausted
from lading.network import addresses as ad
from lading.network import dnsmessage as dns
from lading.network import resolv
from lading.network.names import directory
from lading.network.relay import Relay
from lading.network.resolver import Names, Resolver
from lading.network.rootless import RESOLVER
from lading.network.store import Store
from lading.roots import Roots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.network.model import PublishedPort

#: Seconds without an attachment after which the process ends.
LINGER = 1.0


class RecordedNames(Names):
    """Names as the records have them, seen from the network (or networks) of whoever asks."""

    def __init__(self, store: Store, upstreams: Sequence[str] = ()) -> None:
        self._store = store
        self._upstreams = upstreams

    def _networks(self, client: str) -> list[tuple[int, str]]:
        rows = self._store.run(
            "select n.id, n.name from leases l join leases m on m.owner = l.owner"
            " join networks n on n.id = m.network where l.address = ? order by n.id",
            client,
        )
        return [(int(str(row[0])), str(row[1])) for row in rows]

    def lookup(self, client: str, name: str) -> list[bytes] | None:
        """The addresses of ``name`` or ``name.network`` on the networks ``client`` is on."""
        for number, network in self._networks(client):
            wanted = [name]
            if name.endswith("." + network.lower()):
                wanted.append(name[: -len(network) - 1])
            for candidate in wanted:
                rows = self._store.run(
                    "select address from names where network=? and name=? order by address", number, candidate
                )
                if rows:
                    return [ad.pack(str(row[0])) for row in rows]
        return None

    def reverse(self, client: str, address: bytes) -> str | None:
        """``name.network`` of an address on the client's networks."""
        family = 4 if len(address) == 4 else 6
        text = ad.show_address(family, int.from_bytes(address, "big"))
        for number, network in self._networks(client):
            rows = self._store.run(
                "select name from names where network=? and address=? order by rank", number, text
            )
            for name in (f"{row[0]}.{network}" for row in rows):
                if dns.is_name(name):
                    return name
        return None

    def upstreams(self, client: str) -> Sequence[str]:
        """The pod's own, else the host's, loopback ones too: this process is on the host. None for strangers."""
        for _number, name in self._networks(client):
            network = self._store.network(name)
            if network is not None and not network.internal:
                return self._chosen(client) or self._upstreams or list(resolv.of_host()["nameservers"])
        return ()

    def _chosen(self, client: str) -> list[str]:
        """What the pod at ``client`` wants asked in the host's place (``--dns``)."""
        rows = self._store.run("select owner from leases where address=?", client)
        attachment = self._store.attachment(str(rows[0][0])) if rows else None
        return attachment.upstreams if attachment is not None else []


def wanted_addresses(store: Store) -> list[str]:
    """The gateways to listen on: of every network in use that has names, or of all where the host only has stubs."""
    used = {row[0] for row in store.run("select distinct network from interfaces")}
    everything = not resolv.upstream()
    return [
        gateway
        for network in store.networks()
        if network.id in used and network.driver == "bridge" and (network.names or everything)
        for gateway in network.gateways
    ]


def relayed_ports(store: Store) -> list[PublishedPort]:
    """The published ports that this process carries."""
    return [port for port in store.ports() if port.relayed]


class Service:
    """The records, the loop, the relay and the control socket together."""

    def __init__(self, roots: Roots) -> None:
        self.roots = roots
        self.store = Store(roots.network)
        # An ordinary user's resolver is behind slirp4netns or pasta, which pass questions on to the host's servers.
        self.resolver = Resolver(RecordedNames(self.store, [RESOLVER] if roots.uid else []), say=_say)
        self.problem = ""
        self._version = -1
        self._idle_since = 0.0
        self._control = net.socket(net.AF_UNIX, net.SOCK_SEQPACKET | net.SOCK_CLOEXEC | net.SOCK_NONBLOCK)
        os.chdir(directory(roots))
        try:
            os.unlink("resolver.sock")
        except FileNotFoundError:
            pass
        self._control.bind("resolver.sock")
        self._control.listen(128)
        self.resolver.watch(self._control.fileno(), self._serve)
        self.relay = Relay()
        self.resolver.watch(self.relay.fileno(), self.relay.ready)

    def refresh(self) -> None:
        """Listen on what the records want, and on nothing else."""
        self.problem = self.relay.serve(relayed_ports(self.store))
        if self.problem:
            _say(self.problem)
        wanted = wanted_addresses(self.store)
        for address in self.resolver.addresses:
            if address not in wanted:
                self.resolver.forget(address)
        for address in wanted:
            try:
                self.resolver.listen(address)
            except OSError as error:
                self.problem = f"name server on {address} port 53: {error.strerror}"
                _say(self.problem)

    def tick(self) -> bool:
        """Follow changed records; False when nobody has needed us for :data:`LINGER` seconds."""
        try:
            ((version,),) = self.store.run("pragma data_version")
            if version != self._version:
                self.refresh()
                self._version = int(str(version))
        except (Conflict, Exhausted) as error:  # a full disk, or who keeps the records locked: it passes
            self.problem = error.message
            return True
        self.relay.expire()
        if self.resolver.addresses or self.relay.busy or self.problem:
            self._idle_since = 0.0
            return True
        now = time.monotonic()
        self._idle_since = self._idle_since or now
        if now - self._idle_since < LINGER:
            return True
        return not self._retire()

    def _retire(self) -> bool:
        """Go, unless somebody recorded an attachment meanwhile; who records one later starts a successor."""
        with self.store:
            if wanted_addresses(self.store) or relayed_ports(self.store):
                self._version = -1
                return False
            os.unlink("resolver.sock")
        self._control.close()
        return True

    def _serve(self) -> None:
        try:
            client, _ = self._control.accept()
        except OSError:
            return
        with client:
            try:
                client.settimeout(1.0)
                if client.recv(64) == b"stop":
                    os.unlink("resolver.sock")
                    client.send(b"ok")
                    os._exit(0)
                self.refresh()
                client.send(b"error " + self.problem.encode() if self.problem else b"ok")
            except OSError:
                pass  # it did not wait for the answer


def _say(words: str) -> None:
    print(words, flush=True)  # into the log


def main() -> None:
    """``data run config uid``: be the resolver of these roots, unless there is one."""
    data, run, config, uid = sys.argv[1:5]
    roots = Roots(data, run, config, int(uid))
    ready, announce = os.pipe()
    if os.fork():
        os.close(announce)
        # Whatever happens to the second process closes the pipe.
        select.select([ready], [], [], 10.0)
        os._exit(0)
    os.close(ready)
    lock = os.open(directory(roots) + "/resolver.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(0.02)  # another one is starting, or just leaving
        os._exit(0)
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))  # two sockets a gateway, two a connection
    service = Service(roots)
    service.refresh()
    os.close(announce)
    service.resolver.run(service.tick, every=0.5)
