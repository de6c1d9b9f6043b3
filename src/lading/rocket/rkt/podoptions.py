"""What a command line says about a pod that its manifest has no word for: networks, names, name servers, rights, streams."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from lading.formats.pod import Container, DNSConfig, HostAlias, NetworkRequest, Pod, PodSpec

_LABEL = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


class Network:
    """Where a pod is in the network, and what it knows of it.

    ``mode``        as ``network_mode`` of a Pod's extras: empty, ``host`` or ``none``.
    ``requests``    the networks to join; none is the default bridge.
    ``hostname``    empty: the pod's own name.
    ``dns``         None: what the networks say; ``dns_only``: and nothing else than this.
    ``own_dns``     images have a resolv.conf of their own.
    """

    __slots__ = ("aliases", "dns", "dns_only", "hostname", "mode", "own_dns", "requests")

    def __init__(
        self,
        mode: str = "",
        requests: list[NetworkRequest] | None = None,
        *,
        hostname: str = "",
        dns: DNSConfig | None = None,
        dns_only: bool = False,
        aliases: list[HostAlias] | None = None,
    ) -> None:
        self.mode = mode
        self.requests = requests or []
        self.hostname = hostname
        self.dns = dns
        self.dns_only = dns_only
        self.own_dns = False
        self.aliases = aliases or []

    def apply(self, spec: PodSpec) -> None:
        """Say it in a Pod's words, in place of what it said before."""
        spec.host_network = self.mode == "host"
        spec.extras.network_mode = self.mode
        spec.extras.networks = list(self.requests)
        if self.mode == "host":
            for container in spec.containers:
                container.ports = []
        plain = _LABEL.issuperset(self.hostname) and len(self.hostname) <= 63
        spec.hostname = self.hostname if plain else ""
        spec.hostname_override = "" if plain else self.hostname
        spec.dns_policy = "None" if self.dns_only else "ClusterFirst"
        spec.dns_config = self.dns
        spec.host_aliases = list(self.aliases)
        spec.extras.own_files = ["resolv.conf"] if self.own_dns else []


class Streams:
    """An app's streams. ``stdin``: somebody may write to it; ``tty``: all three are a terminal; ``discard``: lead nowhere."""

    __slots__ = ("discard", "stdin", "tty")

    def __init__(self, *, stdin: bool = False, tty: bool = False, discard: Sequence[str] = ()) -> None:
        self.stdin = stdin
        self.tty = tty
        self.discard = discard

    def apply(self, container: Container) -> None:
        """Say it in a container's words."""
        container.stdin, container.tty = self.stdin, self.tty
        container.extras.discard = list(self.discard)


class PodOptions:
    """Everything beside the manifest.

    ``metadata``        the pod has a metadata service.
    ``mutable``         apps may be added to it while it runs.
    ``host_ipc``        it has the host's System V objects and message queues.
    ``private_users``   its users are its own, and nobody on the host.
    ``capable``         every app keeps all capabilities, whatever its isolators say.
    ``unmasked``        no path of ``/proc`` and ``/sys`` is hidden or read-only.
    ``unfiltered``      no system call is refused.
    ``restart``         what becomes of an app that has ended: ``Never``, ``OnFailure`` or ``Always`` it starts again.
    ``unlimited``       names of apps whose limits are left out, with a note: this user cannot have any.
    ``streams``         by app; others have an empty input and no terminal.
    """

    __slots__ = (
        "capable",
        "host_ipc",
        "metadata",
        "mutable",
        "network",
        "private_users",
        "restart",
        "streams",
        "unfiltered",
        "unlimited",
        "unmasked",
    )

    def __init__(
        self,
        *,
        network: Network | None = None,
        metadata: bool = False,
        mutable: bool = False,
        host_ipc: bool = False,
        private_users: bool = False,
        capable: bool = False,
        unmasked: bool = False,
        unfiltered: bool = False,
        unlimited: Collection[str] = (),
        restart: str = "Never",
        streams: dict[str, Streams] | None = None,
    ) -> None:
        self.network = network or Network()
        self.metadata = metadata
        self.mutable = mutable
        self.host_ipc = host_ipc
        self.private_users = private_users
        self.capable = capable
        self.unmasked = unmasked
        self.unfiltered = unfiltered
        self.unlimited = unlimited
        self.restart = restart
        self.streams = streams or {}

    def apply(self, pod: Pod) -> list[str]:
        """Say it in the Pod's words. Notes about what is not done."""
        spec = pod.spec
        self.network.apply(spec)
        spec.host_ipc = self.host_ipc
        if self.private_users:
            spec.host_users = False
        spec.restart_policy = self.restart
        # An app that is alone needs no process above it that only keeps the namespace.
        spec.share_process_namespace = self.mutable or len(spec.containers) > 1
        notes: list[str] = []
        for container in spec.containers:
            container.extras.default_action = True
            if container.name in self.unlimited:
                notes += _without_limits(container)
            streams = self.streams.get(container.name)
            if streams is not None:
                streams.apply(container)
            self.unprotect(container)
        return notes

    def unprotect(self, container: Container) -> None:
        """Put those protections of a container aside that are not wanted."""
        if self.capable:
            from lading.formats.pod import CapabilityChange, SecurityContext

            rights = container.security_context or SecurityContext()
            rights.capabilities = CapabilityChange(add=["ALL"])
            container.security_context = rights
        if self.unmasked:
            container.extras.unmask = ["ALL"]
        if self.unfiltered:
            container.extras.system_calls = None
            container.extras.seccomp = "unconfined"


def _without_limits(container: Container) -> list[str]:
    """Take away a container's limits: a note for each."""
    extras = container.extras
    limits = container.resources.limits if container.resources is not None else {}
    found = [f"resource/{name}" for name in limits]
    found += ["os/linux/cpu-shares"] if extras.cpu_shares is not None else []
    found += ["resource/block-bandwidth"] if extras.block_bandwidth else []
    found += ["resource/block-iops"] if extras.block_operations else []
    container.resources = None
    extras.cpu_shares = None
    extras.block_bandwidth, extras.block_operations = [], []
    why = "an ordinary user's limits need cgroup v2"
    return [f"app {container.name!r}: isolator {name}: not enforced: {why}" for name in found]
