"""Containers: :class:`Runtime` makes and finds them, :class:`Container` is one (runtime-spec, runtime.md
"Operations")."""

from __future__ import annotations

import os

from lading.errors import Conflict, Corrupt, NotFound
from lading.formats.oci_runtime import Spec, State
from lading.kernel import Kernel
from lading.runtime import create, resources
from lading.runtime.create import OCI_VERSION
from lading.runtime.job import Stdio
from lading.runtime.request import RunRequest
from lading.runtime.store import START, StateRecord, Store, alive, status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.formats.oci_runtime import Process, Resources
    from lading.kernel.cgroups.stats import Stats
    from lading.runtime.execute import Exec
    from lading.runtime.nursery import Nursery
    from lading.runtime.resources import CgroupHandle


class Runtime:
    """The containers below one state directory.

    ``root``            the state directory (``roots.runtime``; runc's ``--root``).
    ``cgroup_manager``  ``cgroupfs``, ``systemd``, or ``systemd-optional``: without limits it is no error that there is none.
    """

    def __init__(self, root: str, kernel: Kernel | None = None, cgroup_manager: str = "cgroupfs") -> None:
        self.kernel = kernel or Kernel()
        self.cgroup_manager = cgroup_manager
        self.store = Store(root)
        self.root = self.store.root
        self.filter_cache = self.root + "/@seccomp"  # no container id has an @
        #: Who clones containers' first processes for this one; None: itself.
        self.nursery: Nursery | None = None
        #: Who hears of what went wrong when a container was gone already; None: standard error.
        self.warn: Callable[[str], None] | None = None

    def create(self, request: RunRequest) -> Container:
        """Set a container up so that nothing but its command is missing; :meth:`Container.start` runs that.

        The state directory, the pid file and the process exist when this returns. The process is the
        caller's child and :attr:`Container.pidfd` refers to it; :attr:`Container.console` as for :meth:`run`.

        Raises :class:`Conflict` for an id in use, and every error of setting up; nothing is left behind then.
        """
        request.hold = True
        return self._make(request)

    def run(self, request: RunRequest) -> Container:
        """Create and start in one go; the fast way. When this returns the command runs (or has ended
        already).

        The process is the caller's child, to be waited for by :attr:`Container.pidfd` (``Container.wait``);
        the caller must not reap unknown children (``waitpid(-1)``) while this call is under way. With
        ``process.terminal`` and no console socket the pty's master is :attr:`Container.console`.

        Raises :class:`CommandNotFound` (127), :class:`CommandNotExecutable` (126) and every error of setting
        up; nothing is left behind then.
        """
        request.hold = False
        return self._make(request)

    def get(self, id: str) -> Container:
        """The container called ``id``. Raises :class:`NotFound`."""
        return Container(self, self.store.read(id))

    def list(self) -> list[Container]:
        """All containers, by id; those whose making was interrupted before it was recorded are left out."""
        found = []
        for id in self.store.ids():
            try:
                found.append(self.get(id))
            except NotFound:
                continue  # being made or removed at this moment
        return found

    def group_of(self, spec: Spec, id: str, rootless: bool) -> dict[str, object]:
        """Where the group will be, for the record that is written before it is made."""
        if self.cgroup_manager == "disabled":
            return {}
        from lading.kernel.cgroups import detect

        wanted = spec.linux.cgroups_path if spec.linux is not None else ""
        if self.cgroup_manager != "cgroupfs":
            from lading.runtime import scopes

            return scopes.planned(wanted, id, detect(), rootless=rootless)
        return {"path": resources.group_path(wanted, id, detect(), rootless=rootless), "rootless": rootless}

    def _make(self, request: RunRequest) -> Container:
        made = create.make(self, request)
        container = Container(self, made.record)
        container.pidfd, container.console = made.pidfd, made.console
        container._spec = request.spec
        return container


class Container:
    """One container.

    ``pidfd``    of its first process, -1 when this object was looked up rather than made here.
    ``console``  master of its terminal, -1 when it has none or a console socket took it. Both are the
                 caller's to close.
    """

    def __init__(self, runtime: Runtime, record: StateRecord) -> None:
        self.runtime = runtime
        self.record = record
        self.id = record.id
        self.pid = record.pid
        self.pidfd = -1
        self.console = -1
        self._spec: Spec | None = None
        self._group: CgroupHandle | None = None

    @property
    def spec(self) -> Spec:
        """``config.json`` as it was at creation."""
        if self._spec is None:
            self._spec = Spec.decode(self.config, where=f"{self.id}: config", strict=False)
        return self._spec

    @property
    def config(self) -> dict[str, object]:
        """The same as it is written there."""
        return self.runtime.store.read_config(self.id)

    @property
    def start_time(self) -> int:
        """When the first process started, in clock ticks since boot: with the pid it names a process."""
        return self.record.start_time

    @property
    def group(self) -> CgroupHandle:
        """The container's control group."""
        if self._group is None:
            self._group = resources.load(self.record.cgroup)
        return self._group

    def status(self) -> str:
        """creating, created, running, paused or stopped."""
        waiting = os.path.exists(f"{self.runtime.store.path(self.id)}/{START}")
        frozen = alive(self.record) and self.group.frozen()
        return status(self.record, waiting=waiting, frozen=frozen)

    def state(self) -> State:
        """runtime-spec's state (runtime.md, "State")."""
        now = self.status()
        return State(
            oci_version=OCI_VERSION,
            id=self.id,
            status=now,
            bundle=self.record.bundle,
            pid=self.pid if now not in ("stopped", "creating") else 0,
            annotations=self.spec.annotations,
        )

    def start(self) -> None:
        """Run the command of a created container; poststart hooks follow.

        Raises :class:`Conflict` in any other state, and what execve says.
        """
        from lading.runtime import starting

        starting.start(self)

    def refresh(self) -> None:
        """Under the lock, look again: it may have got its first process since it was read, or be gone and another
        container have its id, whose processes are none of ours to kill."""
        try:
            record = self.runtime.store.read(self.id)
        except (NotFound, Corrupt):
            return  # an interrupted removal is being finished
        if record.created != self.record.created:
            raise NotFound(f"container {self.id} does not exist any more, another one has its id")
        if record.pid != self.pid:
            self.record, self.pid, self._group = record, record.pid, None

    def wait(self) -> int:
        """Wait for the first process and reap it: its exit status, 128 + n for signal n.

        Only in the process that made it. Closes :attr:`pidfd`.
        """
        result = os.waitpid(self.pid, 0)[1]
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
        code = os.waitstatus_to_exitcode(result)
        return code if code >= 0 else 128 - code

    def kill(self, signal: int, all: bool = False) -> None:
        """Send ``signal`` to the first process, or with ``all`` to every process of the container.

        Raises :class:`Conflict` when it is stopped.
        """
        from lading.runtime import ending

        ending.kill(self, signal, all)

    def delete(self, force: bool = False) -> None:
        """Forget a stopped (or merely created) container and run its poststop hooks.

        ``force`` kills a running one first. Raises :class:`Conflict` otherwise.
        """
        with self.runtime.store.lock(self.id):
            self.refresh()
            now = self.status()
            if now in ("running", "paused", "creating") and not force:
                raise Conflict(
                    f"container {self.id} is {now}",
                    hint="kill it first, or delete it by force",
                    reason="state",
                )
            try:
                hooks = self.spec.hooks
            except (NotFound, Corrupt):
                hooks = None  # a removal that was interrupted has come that far already
            self._end(now)
            self.group.delete()
            self.runtime.store.remove(self.id)
        if hooks is not None and hooks.poststop:
            from lading.runtime import ending

            ending.poststop(self.runtime, self.id, self.record.bundle, self.spec, hooks.poststop)

    def _end(self, now: str) -> None:
        """Make sure that nothing of it runs; with a pid namespace the first process takes all others
        along."""
        if now == "paused":
            self.group.thaw()
        if alive(self.record):
            from lading.runtime import ending

            ending.kill_first(self.runtime.kernel, self.record)
        self.group.kill()

    def exec(self, process: Process, *, stdio: Stdio | None = None) -> Exec:
        """Run another process inside; the caller reaps it (``Exec.wait``, ``Exec.pidfd``).

        What else can be asked for, and the errors, see :func:`lading.runtime.execute.enter`.
        """
        from lading.runtime import execute

        return execute.enter(self, process, stdio=stdio)

    def pids(self) -> list[int]:
        """Every process of the container, as this process sees them."""
        return self.group.pids() or ([self.pid] if alive(self.record) else [])

    def pause(self) -> None:
        """Freeze all processes. Raises :class:`Conflict` unless running."""
        now = self.status()
        if now not in ("running", "created"):
            raise Conflict(f"container {self.id} is {now} and cannot be paused", reason="state")
        self.group.freeze()

    def resume(self) -> None:
        """Let them run again. Raises :class:`Conflict` unless paused."""
        if self.status() != "paused":
            raise Conflict(f"container {self.id} is not paused", reason="state")
        self.group.thaw()

    def update(self, wanted: Resources) -> None:
        """Change limits; what is not named stays as it is."""
        self.group.update(wanted)

    def stats(self) -> Stats:
        """What it uses."""
        return self.group.stats()


__all__ = ["Container", "RunRequest", "Runtime", "Stdio"]
