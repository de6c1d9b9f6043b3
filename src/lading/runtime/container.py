"""Containers: :class:`Runtime` makes and finds them, :class:`Container` is one (runtime-spec, runtime.md
"Operations")."""

from __future__ import annotations

import os

from lading.errors import Conflict, Corrupt, InvalidInput, KernelError, LadingError, NotFound, TimedOut
from lading.formats.oci_runtime import Linux, Spec, State
from lading.kernel import Kernel
from lading.runtime import channel, create, gate, resources
from lading.runtime.create import OCI_VERSION, RESULT, START
from lading.runtime.job import Stdio
from lading.runtime.request import RunRequest
from lading.runtime.store import StateRecord, Store, alive, status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lading.formats.oci_runtime import Hook, Process, Resources
    from lading.kernel.cgroups.stats import Stats
    from lading.runtime.execute import Exec
    from lading.runtime.nursery import Nursery
    from lading.runtime.resources import CgroupHandle

_SIGKILL = 9
_ENDS_WITHIN = 10_000  # milliseconds


class Runtime:
    """The containers below one state directory.

    ``root``            the state directory (``roots.runtime``; runc's ``--root``).
    ``cgroup_manager``  ``cgroupfs`` or ``systemd``.
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

    def forget(self, id: str) -> None:
        """Clear what an interrupted making left, or a container whose record cannot be read.

        Of the latter, what runs is found through the control group that its configuration leads to.
        """
        if self.store.complete(id):
            try:
                spec = Spec.decode(self.store.read_config(id), where=f"{id}: config", strict=False)
            except (NotFound, Corrupt, InvalidInput):
                spec = Spec()
            group = resources.load(self.group_of(spec, id, resources.is_rootless()))
            group.kill()
            group.wait_empty()
            group.delete()
        self.store.remove(id)

    def group_of(self, spec: Spec, id: str, rootless: bool) -> dict[str, object]:
        """Where the group will be, for the record that is written before it is made."""
        if self.cgroup_manager != "cgroupfs":
            return {}
        from lading.kernel.cgroups import detect

        wanted = spec.linux.cgroups_path if spec.linux is not None else ""
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
        with self.runtime.store.lock(self.id):
            self._refresh()
            now = self.status()
            if now != "created":
                raise Conflict(
                    f"container {self.id} is {now}, only a created one can be started", reason="state"
                )
            if self.spec.process is None:
                raise InvalidInput(f"container {self.id} has no process to start")
            self._release()
        hooks = self.spec.hooks
        if hooks is not None and hooks.poststart:
            from lading.runtime.hooks import run_all

            try:
                run_all(
                    self.runtime.kernel,
                    "poststart",
                    hooks.poststart,
                    self.state(),
                    directory=self.record.bundle,
                )
            except LadingError:
                # runtime-spec 1.3, Lifecycle 9: the error stops the container.
                _signal(self.runtime.kernel, self.pid, _SIGKILL, self.record.start_time)
                raise

    def _refresh(self) -> None:
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

    def _release(self) -> None:
        kernel = self.runtime.kernel
        directory = self.runtime.store.path(self.id)
        ended = Conflict(f"container {self.id} ended before it was started", reason="state")
        try:
            gated = gate.seize(kernel, self.pid)
        except KernelError as error:
            if error.errno == 3:
                raise ended from None
            raise
        result = os.open(f"{directory}/{RESULT}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        start = -1
        try:
            # Not blocking: it may be killed at this moment, and a pipe that nobody reads would be waited for for ever,
            # with the lock in our hands.
            try:
                start = os.open(f"{directory}/{START}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                os.write(start, channel.GO)
            except OSError as error:
                if error.errno not in (6, 32):  # ENXIO, EPIPE
                    raise
                raise ended from None
            os.set_blocking(result, True)
            os.unlink(f"{directory}/{START}")
            if gated and gate.watch(kernel, self.pid) is None:
                return
            # It ended with an error; or there is no gate, and the pipe closes with its execve.
            message = os.read(result, 65536)
            if message or gated:
                raise channel.decode_error(message)
        finally:
            if start >= 0:
                os.close(start)
            os.close(result)

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
        kernel = self.runtime.kernel
        if all:
            if signal == _SIGKILL:
                self.group.kill()
                return
            for pid in self.group.pids():
                _signal(kernel, pid, signal)
            return
        if signal == _SIGKILL and not self._owns_pids() and self.group.pids():
            # The end of its first process would end nobody else there, and may be long past.
            self.group.thaw()
            self.group.kill()
            return
        now = self.status()
        if now not in ("created", "running", "paused"):
            raise Conflict(f"container {self.id} is {now}: container not running", reason="state")
        _signal(kernel, self.pid, signal, self.record.start_time)
        if signal == _SIGKILL and now == "paused":
            self.group.thaw()  # v1: a frozen process dies only when it moves again

    def _owns_pids(self) -> bool:
        linux = self.spec.linux
        return linux is not None and any(n.type == "pid" and not n.path for n in linux.namespaces)

    def delete(self, force: bool = False) -> None:
        """Forget a stopped (or merely created) container and run its poststop hooks.

        ``force`` kills a running one first. Raises :class:`Conflict` otherwise.
        """
        with self.runtime.store.lock(self.id):
            self._refresh()
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
            self._poststop(hooks.poststop)

    def _end(self, now: str) -> None:
        """Make sure that nothing of it runs; with a pid namespace the first process takes all others
        along."""
        if now == "paused":
            self.group.thaw()
        if alive(self.record):
            pidfd = self.runtime.kernel.pidfd_open(self.pid)
            try:
                if alive(self.record):
                    self.runtime.kernel.pidfd_send_signal(pidfd, _SIGKILL)
                _wait_gone(pidfd, self.pid)
            finally:
                os.close(pidfd)
        self.group.kill()

    def _poststop(self, hooks: list[Hook]) -> None:
        from lading.runtime.hooks import run_poststop

        state = State(
            oci_version=OCI_VERSION,
            id=self.id,
            status="stopped",
            bundle=self.record.bundle,
            annotations=self.spec.annotations,
        )
        run_poststop(self.runtime.kernel, hooks, state, self.record.bundle, self.runtime.warn)

    def exec(
        self,
        process: Process,
        *,
        stdio: Stdio | None = None,
        console_socket: str = "",
        preserve_fds: int = 0,
        pid_file: str = "",
        no_new_keyring: bool = False,
        cgroup: Sequence[str] = (),
        ignore_paused: bool = False,
        plain_lines: bool = False,
    ) -> Exec:
        """Run another process inside; the caller reaps it (``Exec.wait``, ``Exec.pidfd``).

        ``process.capabilities`` of None means those of the container. With ``process.terminal`` the master is
        ``Exec.console``, or goes to ``console_socket``. ``cgroup`` names existing groups below the container's
        own, for some controllers (``cpu,memory:sub``) or all; with ``ignore_paused`` the process of a paused
        container is made and waits. Raises :class:`Conflict` unless the container is running (or created), and
        as :meth:`Runtime.run`.
        """
        from lading.runtime import execute

        now = self.status()
        if now not in ("running", "created") and not (now == "paused" and ignore_paused):
            what = "cannot exec in a paused container" if now == "paused" else "nothing can be executed in it"
            raise Conflict(f"container {self.id} is {now}: {what}", reason="state")
        if process.capabilities is None and self.spec.process is not None:
            process = process.replace(capabilities=self.spec.process.capabilities)
        linux = self.spec.linux or Linux()
        group = self.group.below(cgroup) if cgroup else self.group
        job = execute.ExecJob(process, linux, self.state(), self.record, group)
        job.stdio = stdio or Stdio()
        job.preserve_fds, job.no_new_keyring = preserve_fds, no_new_keyring
        job.plain_lines = plain_lines
        return execute.run(
            self.runtime.kernel, job, self.spec, self.runtime.filter_cache, console_socket, pid_file
        )

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


def _signal(kernel: Kernel, pid: int, signal: int, started: int = 0) -> None:
    """Signal by descriptor, so that a number the kernel gave to somebody else is never hit."""
    from lading.runtime.store import start_time

    try:
        pidfd = kernel.pidfd_open(pid)
    except KernelError as error:
        if error.errno == 3:
            return
        raise
    try:
        if started and start_time(pid) != started:
            return
        kernel.pidfd_send_signal(pidfd, signal)
    except KernelError as error:
        if error.errno != 3:
            raise
    finally:
        os.close(pidfd)


def _wait_gone(pidfd: int, pid: int) -> None:
    """Wait until the process has ended, and reap it when it is our child.

    Raises :class:`TimedOut` for one that does not: without a control group its record is all that leads to it.
    """
    import select

    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    if not poll.poll(_ENDS_WITHIN):
        raise TimedOut(
            f"process {pid} was killed and does not end: it is stuck in the kernel",
            hint="delete it again later",
        )
    try:
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        pass


__all__ = ["Container", "RunRequest", "Runtime", "Stdio"]
