"""What the node knows about pods and containers, as data: the records that ``list`` and ``inspect`` hand out.

Times are seconds since the epoch (0.0: never). A pod of one (``extras.container``) and its container share one id and
one name; in other pods a container is addressed as ``POD/CONTAINER``.
"""

from __future__ import annotations

from lading.formats.pod import Pod
from lading.formats.schema import Record

#: States of a container, in Docker's words.
CREATED, RUNNING, PAUSED, RESTARTING, EXITED, REMOVING = (
    "created",
    "running",
    "paused",
    "restarting",
    "exited",
    "removing",
)
#: Kinds of container within a pod.
MAIN, INIT, SIDECAR = "main", "init", "sidecar"


#: Stages of a container that runs something else than its command: its preStart, its postStop.
BEFORE, AFTER = "before", "after"


class PortRecord(Record):
    """One published port: ``host_ip:host_port`` leads to ``port`` of the pod."""

    port: int
    protocol: str = "tcp"
    host_ip: str = ""
    host_port: int = 0


class NetworkRecord(Record):
    """The pod's place in one network."""

    name: str
    interface: str = ""
    ipv4: str = ""
    ipv4_prefix: int = 0
    gateway4: str = ""
    ipv6: str = ""
    ipv6_prefix: int = 0
    gateway6: str = ""
    mac: str = ""


class Ended(Record):
    """How a container's run before this one ended."""

    exit_code: int = 0
    reason: str = ""
    message: str = ""
    started: float = 0.0
    finished: float = 0.0


class ContainerRecord(Record):
    """One container of a pod. ``exit_code`` means something once ``state`` is ``exited``.

    ``health`` is Docker's word (``starting``, ``healthy``, ``unhealthy``) or empty without a health check; ``ready`` is
    the readiness probe's verdict and ``turned`` when that last changed, ``up`` says of a manifest's container that its postStart
    hook and startup probe are done. ``first`` is when its first run since the pod's start began, of a manifest's container.
    ``last`` is the run before this one. ``reason``: ``Completed``, ``Error``, ``OOMKilled``, ``StartError``, ``KeeperLost`` …
    """

    id: str
    pod_id: str
    name: str
    kind: str = MAIN
    index: int = 0
    image: str = ""
    image_id: str = ""
    state: str = CREATED
    pid: int = 0
    pid_start: int = 0
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    reason: str = ""
    message: str = ""
    started: float = 0.0
    finished: float = 0.0
    restarts: int = 0
    health: str = ""
    health_log: list[object] = []
    ready: bool = False
    up: bool = False
    turned: float = 0.0
    first: float = 0.0
    stage: str = ""
    """``before`` or ``after`` while what runs is the container's preStart or postStop"""
    pipes: list[int] = []
    """inodes of its stdout and stderr, for a keeper that comes after one that was killed"""
    last: Ended | None = None
    volumes: dict[str, str] = {}
    """mount target → name, for named and anonymous volumes."""
    anonymous: list[str] = []
    """names of anonymous volumes that this container brought into being."""


class PodRecord(Record):
    """A pod and its containers (init containers and sidecars first, in the manifest's order).

    ``phase`` is Kubernetes' (Pending, Running, Succeeded, Failed). ``stopped`` says that a user asked it to stop, which
    restart policies honour. ``keeper_pid`` 0: nobody keeps it at present. ``users`` is what the pod's root is on the host, the
    first of 65536 ids, of a pod with users of its own; else 0.
    """

    id: str
    name: str
    pod: Pod
    created: float = 0.0
    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    stopped: bool = False
    keeper_pid: int = 0
    keeper_start: int = 0
    keeper_socket: str = ""
    networks: list[NetworkRecord] = []
    ports: list[PortRecord] = []
    containers: list[ContainerRecord] = []
    users: int = 0

    @property
    def single(self) -> bool:
        """Whether this is a container made by ``run`` or ``create`` rather than a pod of a manifest."""
        return self.pod.spec.extras.container

    @property
    def container(self) -> ContainerRecord:
        """The container of a pod of one; the first main container of any other."""
        for record in self.containers:
            if record.kind == MAIN:
                return record
        return self.containers[0]

    @property
    def first_failure(self) -> int:
        """The exit code of the first main container that failed; 0 when none did.

        The first in the manifest's order, and where containers fail together the first in time: that ended the others.
        """
        failed = [c for c in self.containers if c.kind == MAIN and c.exit_code]
        if self.pod.spec.extras.fail_together:
            failed.sort(key=lambda c: c.finished)
        return failed[0].exit_code if failed else 0

    @property
    def state(self) -> str:
        """The pod in a container's words: what its first main container is, or ``running`` while any runs."""
        if self.single:
            return self.container.state
        states = [record.state for record in self.containers]
        for word in (RUNNING, RESTARTING, PAUSED, REMOVING):
            if word in states:
                return word
        return CREATED if CREATED in states else EXITED


class Event(Record):
    """Something that happened. ``action`` in Docker's words (``create``, ``start``, ``die``, ``health_status`` …)."""

    number: int = 0
    time: float = 0.0
    kind: str = "container"
    action: str = ""
    id: str = ""
    name: str = ""
    attributes: dict[str, str] = {}


class Stdio(Record):
    """Where a foreground container's streams go: descriptors of the caller. -1 is ``/dev/null``."""

    stdin: int = -1
    stdout: int = 1
    stderr: int = 2


class ExecRequest(Record):
    """A further process for a running container. ``env`` adds to the container's own environment."""

    command: list[str]
    env: list[str] = []
    user: str = ""
    working_dir: str = ""
    tty: bool = False
    stdin: bool = False
    privileged: bool = False
    detach: bool = False
    rows: int = 0
    columns: int = 0


class LogLine(Record):
    """One line of a container's output, without its newline. ``partial``: the line goes on in the next record."""

    time: float
    stamp: str
    stream: str
    text: bytes
    partial: bool = False
    container: str = ""


class Changes(Record):
    """What ``update`` may change while a container runs. None leaves a value as it is."""

    memory: int | None = None
    memory_swap: int | None = None
    memory_reservation: int | None = None
    nano_cpus: int | None = None
    cpu_shares: int | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    pids_limit: int | None = None
    blkio_weight: int | None = None
    restart: str | None = None


class Finding(Record):
    """Something that is not as the records say. ``fix`` is what repair does, or did when ``fixed``."""

    what: str
    where: str
    fix: str
    fixed: bool = False
