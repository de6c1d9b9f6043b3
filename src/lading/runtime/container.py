"""Containers: :class:`Runtime` makes and finds them, :class:`Container` is one (runtime-spec, runtime.md "Operations")."""

from __future__ import annotations

import os
import time

from lading.errors import Conflict, InvalidInput, KernelError, LadingError
from lading.formats.oci_runtime import Linux, Spec, State
from lading.kernel import Kernel
from lading.runtime import channel, create, gate, init, join, masks
from lading.runtime._interim import StateRecord, Store
from lading.runtime.job import Job, Stdio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_runtime import Process
    from lading.formats.rootfs import Rootfs
    from lading.runtime.execute import Exec

OCI_VERSION = "1.2.0"
_START, _RESULT = "start.fifo", "result.fifo"


class Runtime:
    """The containers below one state directory.

    ``root``            the state directory (``roots.runtime``; runc's ``--root``).
    ``cgroup_manager``  ``cgroupfs`` or ``systemd``.
    """

    def __init__(self, root: str, kernel: Kernel | None = None, cgroup_manager: str = "cgroupfs") -> None:
        self.root = root
        self.kernel = kernel or Kernel()
        self.cgroup_manager = cgroup_manager
        self.store = Store(root)

    def create(
        self,
        id: str,
        spec: Spec,
        bundle: str,
        *,
        rootfs: Rootfs | None = None,
        stdio: Stdio | None = None,
        console_socket: str = "",
        preserve_fds: int = 0,
        pid_file: str = "",
        no_pivot: bool = False,
        no_new_keyring: bool = False,
    ) -> Container:
        """Set a container up so that nothing but its command is missing; :meth:`Container.start` runs that.

        The state directory, ``pid_file`` and the process exist when this returns. The process is the caller's child.
        Raises :class:`Conflict` for an id in use, and every error of setting up; nothing is left behind then.
        """
        return self._make(
            id,
            spec,
            bundle,
            rootfs,
            stdio,
            console_socket,
            preserve_fds,
            pid_file,
            no_pivot,
            no_new_keyring,
            True,
        )

    def run(
        self,
        id: str,
        spec: Spec,
        bundle: str,
        *,
        rootfs: Rootfs | None = None,
        stdio: Stdio | None = None,
        console_socket: str = "",
        preserve_fds: int = 0,
        pid_file: str = "",
        no_pivot: bool = False,
        no_new_keyring: bool = False,
    ) -> Container:
        """Create and start in one go; the fast way. When this returns the command runs (or has ended already).

        The process is the caller's child, to be waited for by :attr:`Container.pidfd` (``Container.wait``); the caller must
        not reap unknown children (``waitpid(-1)``) while this call is under way. With ``process.terminal`` and no
        ``console_socket`` the pty's master is :attr:`Container.console`.

        Raises :class:`CommandNotFound` (127), :class:`CommandNotExecutable` (126) and every error of setting up;
        nothing is left behind then.
        """
        return self._make(
            id,
            spec,
            bundle,
            rootfs,
            stdio,
            console_socket,
            preserve_fds,
            pid_file,
            no_pivot,
            no_new_keyring,
            False,
        )

    def get(self, id: str) -> Container:
        """The container called ``id``. Raises :class:`NotFound`."""
        return Container(self, self.store.read(id))

    def list(self) -> list[Container]:
        """All containers, by id."""
        found = []
        for id in self.store.ids():
            try:
                found.append(self.get(id))
            except LadingError:
                continue  # being made or removed at this moment
        return found

    def _make(
        self,
        id: str,
        spec: Spec,
        bundle: str,
        rootfs: Rootfs | None,
        stdio: Stdio | None,
        console_socket: str,
        preserve_fds: int,
        pid_file: str,
        no_pivot: bool,
        no_new_keyring: bool,
        hold: bool,
    ) -> Container:
        kernel = self.kernel
        bundle = os.path.abspath(bundle)
        linux = spec.linux or Linux()
        state = State(
            oci_version=OCI_VERSION, id=id, status="creating", bundle=bundle, annotations=spec.annotations
        )
        job = Job(spec, bundle, state, join.plan(kernel, linux))
        own = {name for name in join.KINDS if job.plan.owns(name)}
        for name in linux.sysctl:
            masks.check_sysctl(name, own)
        create.refuse_unsupported(kernel, job)
        job.rootfs, job.preserve_fds, job.no_pivot, job.no_new_keyring = (
            rootfs,
            preserve_fds,
            no_pivot,
            no_new_keyring,
        )
        job.stdio = stdio or Stdio()
        job.anchor = self.store.create(id)
        record = StateRecord(
            id=id, bundle=bundle, created=time.time(), owner=os.geteuid(), spec=spec.encode()
        )
        born = None
        console_end = -1
        try:
            self.store.write(record)
            if spec.process is not None and spec.process.terminal:
                console_end = _console(job, console_socket)
            if hold:
                job.start = _hold_channel(job.anchor)
            born = create.give_birth(kernel, job, init.become)
            state.pid = record.pid = born.pid
            create.from_outside(kernel, job, born)
            if not hold:
                born.gated = gate.seize(kernel, born.pid)
            born.up.send(channel.GO)
            record.start_time = start_time(born.pid)
            self.store.write(record)
            if pid_file:
                write_pid_file(pid_file, born.pid)
            create.converse(kernel, born, lambda: None, lambda fd: None)
            if not hold:
                create.pass_gate(kernel, born)
        except BaseException:
            if born is not None:
                create.destroy(born.pid)
            self.store.remove(id)
            raise
        finally:
            job.plan.close()
            if job.start is not None:
                job.start.close()
            if born is not None:
                born.up.close()
        container = Container(self, record)
        container.pidfd = kernel.pidfd_open(born.pid)
        if console_end >= 0:
            from lading.runtime.console import receive_master

            container.console = receive_master(console_end)
            os.close(console_end)
        return container


class Container:
    """One container.

    ``pidfd``    of its first process, -1 when this object was looked up rather than made here.
    ``console``  master of its terminal, -1 when it has none or a console socket took it. Both are the caller's to close.
    """

    def __init__(self, runtime: Runtime, record: StateRecord) -> None:
        self.runtime = runtime
        self.record = record
        self.id = record.id
        self.pid = record.pid
        self.pidfd = -1
        self.console = -1

    def state(self) -> State:
        """runtime-spec's state; ``status`` is creating, created, running, paused or stopped."""
        status = self._status()
        spec = self.record.spec
        annotations = spec.get("annotations", {})
        return State(
            oci_version=OCI_VERSION,
            id=self.id,
            status=status,
            bundle=self.record.bundle,
            pid=self.pid if status not in ("stopped", "creating") else 0,
            annotations=annotations if isinstance(annotations, dict) else {},
        )

    def _status(self) -> str:
        if not self.record.pid:
            return "creating"
        if not self.alive():
            return "stopped"
        if os.path.exists(f"{self.runtime.store.path(self.id)}/{_START}"):
            return "created"
        return "running"

    def alive(self) -> bool:
        """Whether its first process is that very process still, and not a zombie."""
        return bool(self.pid) and start_time(self.pid) == self.record.start_time

    def start(self) -> None:
        """Run the command of a created container. Raises :class:`Conflict` in any other state, and what execve says."""
        status = self._status()
        if status != "created":
            raise Conflict(f"container {self.id} is {status}, only a created one can be started")
        kernel = self.runtime.kernel
        directory = self.runtime.store.path(self.id)
        gated = gate.seize(kernel, self.pid)
        result = os.open(f"{directory}/{_RESULT}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        start = os.open(f"{directory}/{_START}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.unlink(f"{directory}/{_START}")
            os.set_blocking(result, True)
            os.write(start, channel.GO)
            message = os.read(result, 65536)
            if message:
                raise channel.decode_error(message)
            if gated:
                status_code = gate.watch(kernel, self.pid)
                if status_code is not None:
                    raise channel.decode_error(b"")
        finally:
            os.close(start)
            os.close(result)

    def wait(self) -> int:
        """Wait for the first process and reap it: its exit status, 128 + n for signal n. Only in the process that made it."""
        status = os.waitpid(self.pid, 0)[1]
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code

    def kill(self, signal: int, all: bool = False) -> None:
        """Send ``signal`` to the first process, or to every process. Raises :class:`Conflict` when it is stopped."""
        if not self.alive():
            raise Conflict(f"container {self.id} is not running")
        self.runtime.kernel.kill(self.pid, signal)

    def delete(self, force: bool = False) -> None:
        """Forget a stopped container; ``force`` kills a running one first. Raises :class:`Conflict`."""
        if self.alive():
            if not force and self._status() != "created":
                raise Conflict(f"container {self.id} is running", hint="kill it first, or use force")
            create.destroy(self.pid)
        self.runtime.store.remove(self.id)

    def exec(self, process: Process, *, stdio: Stdio | None = None) -> Exec:
        """Run another process inside."""
        raise NotImplementedError


def _console(job: Job, console_socket: str) -> int:
    """Give the job a socket for its master; the end to receive it from, -1 when it goes to ``console_socket``."""
    from lading.runtime.console import connect

    if console_socket:
        job.console_fd = connect(console_socket)
        return -1
    import _socket

    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    job.console_fd = theirs.detach()
    return ours.detach()


def _hold_channel(directory: str) -> channel.Channel:
    """The two pipes in the state directory through which ``start`` speaks to a created container.

    Both are opened for reading and writing: an open never blocks, and no end closes while nobody is there.
    """
    ends = []
    for name in (_START, _RESULT):
        os.mkfifo(f"{directory}/{name}", 0o600)
        ends.append(os.open(f"{directory}/{name}", os.O_RDWR | os.O_CLOEXEC))
    return channel.Channel(ends[0], ends[1])


def write_pid_file(path: str, pid: int) -> None:
    """Write ``pid`` whole or not at all."""
    temporary = f"{path}.{os.getpid()}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, str(pid).encode())
    finally:
        os.close(fd)
    os.rename(temporary, path)


def start_time(pid: int) -> int:
    """When ``pid`` was started, in clock ticks since boot (proc(5), stat field 22); 0 when it is gone or a zombie."""
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


__all__ = ["Container", "InvalidInput", "KernelError", "Runtime", "Stdio"]
