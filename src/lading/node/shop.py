"""The parts of the house that a keeper works with, each opened when first needed."""

from __future__ import annotations

import os
from _weakref import ref

from lading.errors import LadingError
from lading.node.records import Records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.images import Images
    from lading.kernel import Kernel
    from lading.network import Networks
    from lading.node.database import Database
    from lading.node.model import ContainerRecord, PodRecord
    from lading.roots import Roots
    from lading.runtime import Runtime
    from lading.volumes import Volumes


_shops: list[ref[Shop]] = []
_orphans: list[tuple[Database, Networks | None]] = []


_ORPHANS = 8


#: What else is in a pod's directory: a container may be called so, too.
_TAKEN = frozenset("hosts hostname volumes pause empty keeper-error".split())


def _directory_of(container: str) -> str:
    # No name of a container has a dot in it.
    return f"{container}.container" if container in _TAKEN else container


def _close_orphan(database: Database, networks: Networks | None) -> None:
    database.close()
    if networks is not None:
        networks.close()


def before_fork() -> None:
    """Close, in every shop of this process, what must not exist twice.

    SQLite keeps its locks in the process: a child with a copy of an open database could never open it again
    (https://sqlite.org/howtocorrupt.html, section 2.6).
    """
    for known in _shops:
        shop = known()
        if shop is not None:
            shop.close()
    while _orphans:
        _close_orphan(*_orphans.pop())


class Shop:
    """Records, kernel and the parts of floor 2 below one pair of roots."""

    def __init__(self, roots: Roots, kernel: Kernel | None = None) -> None:
        self.roots = roots
        self.records = Records(roots.database)
        self._kernel = kernel
        self._images: Images | None = None
        self._networks: Networks | None = None
        self._runtime: Runtime | None = None
        self._scoped: bool | None = None
        self._volumes: Volumes | None = None
        _shops[:] = [known for known in _shops if known() is not None]
        _shops.append(ref(self))

    @property
    def kernel(self) -> Kernel:
        """The system calls."""
        if self._kernel is None:
            from lading.kernel import Kernel

            self._kernel = Kernel()
        return self._kernel

    @property
    def images(self) -> Images:
        """The image store."""
        if self._images is None:
            from lading.images import Images

            self._images = Images(self.roots.images, self.kernel)
        return self._images

    @property
    def networks(self) -> Networks:
        """Networks and attachments."""
        if self._networks is None:
            from lading.network import Networks

            self._networks = Networks(self.roots, self.kernel)
        return self._networks

    @property
    def runtime(self) -> Runtime:
        """The containers that have a process."""
        if self._runtime is None:
            from lading.runtime import Runtime

            self._runtime = Runtime(self.roots.runtime, self.kernel)
            if self.scoped:
                self._runtime.cgroup_manager = "systemd-optional"
        return self._runtime

    @property
    def scoped(self) -> bool:
        """Whether containers get their control groups from systemd: an ordinary user's, where it has groups to give."""
        if self._scoped is None:
            self._scoped = False
            if self.roots.uid:
                from lading.kernel.cgroups import detect
                from lading.runtime import systemd

                self._scoped = detect().mode == "v2" and systemd.serves_users()
        return self._scoped

    @property
    def volumes(self) -> Volumes:
        """Named volumes."""
        if self._volumes is None:
            from lading.volumes import Volumes

            self._volumes = Volumes(self.roots.volumes)
        return self._volumes

    def close(self) -> None:
        """Close the databases and sockets; they are opened again when needed."""
        self.records.database.close()
        if self._networks is not None:
            self._networks.close()
            self._networks = None

    def disinherit(self) -> None:
        """In a fork of the process that made this: let go of what only that one may speak to."""
        if self._runtime is not None:
            self._runtime.nursery = None

    def __del__(self) -> None:
        # A connection and its statement cache refer to each other, so it stays open until a collection, which nobody
        # may count on before a fork. Closing it here would cost every command a checkpoint at its end.
        if self._networks is not None or self.records.database.opened:
            _orphans.append((self.records.database, self._networks))
        if len(_orphans) > _ORPHANS:
            _close_orphan(*_orphans.pop(0))

    # -- where a pod's things lie ----------------------------------------------------------------------------------

    def pod_directory(self, pod_id: str) -> str:
        """Everything durable of one pod."""
        return f"{self.roots.pods}/{pod_id}"

    def container_directory(self, record: PodRecord, container: ContainerRecord) -> str:
        """One container's writable layer and log."""
        return f"{self.roots.pods}/{record.id}/{_directory_of(container.name)}"

    def log_path(self, record: PodRecord, container: ContainerRecord) -> str:
        """One container's log."""
        return f"{self.container_directory(record, container)}/log"

    def memory_directory(self, pod_id: str) -> str:
        """Where a pod's memory volumes and shared ``/dev/shm`` are mounted: below the run root, gone with a reboot."""
        return f"{self.roots.run}/pods/{pod_id}"

    def cgroup(self, record: PodRecord, container: ContainerRecord) -> str:
        """The container's control group below each hierarchy's root; with :attr:`scoped` SLICE:PREFIX:NAME of a scope."""
        if self.scoped and not record.pod.spec.extras.runtime:
            return f"{record.pod.spec.containers[0].extras.cgroup_parent}:lading:{container.id}"
        parent = record.pod.spec.containers[0].extras.cgroup_parent or f"/{self.roots.tag}"
        if record.single:
            return f"{parent}/{container.id}"
        return f"{self.pod_cgroup(record)}/{container.id}"

    def pod_cgroup(self, record: PodRecord) -> str:
        """The group above a pod's containers."""
        parent = record.pod.spec.containers[0].extras.cgroup_parent or f"/{self.roots.tag}"
        return f"{parent}/pod-{record.id}"


def process_start(pid: int) -> int:
    """When ``pid`` started, in clock ticks since boot; 0 when it is gone or a zombie. A pid and this name a process."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        fields = os.read(fd, 4096).rpartition(b")")[2].split()
    except OSError:
        return 0
    finally:
        os.close(fd)
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


def send_signal(kernel: Kernel, pid: int, start: int, number: int) -> None:
    """Signal a process if it still is the one that was ``pid`` when it started at ``start``, and nobody else."""
    try:
        pidfd = kernel.pidfd_open(pid)
    except LadingError:
        return
    try:
        if alive(
            pid, start
        ):  # looked at while the descriptor holds it: what it names cannot become another one now
            kernel.pidfd_send_signal(pidfd, number)
    except LadingError:
        pass
    finally:
        os.close(pidfd)


def alive(pid: int, start: int) -> bool:
    """Whether the process that was ``pid`` when it started at ``start`` still runs."""
    return pid > 0 and start > 0 and process_start(pid) == start
