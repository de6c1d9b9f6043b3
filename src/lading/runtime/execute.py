"""Another process in a running container (``exec``).

A helper joins the container's control group and namespaces and clones the process with CLONE_PARENT: it is
born in the container's pid namespace and yet a child of the caller, who reaps it like any child; no
subreaper is needed and nothing of the caller has entered a namespace. The same gate as for the first process
stands before its first instruction.
"""

from __future__ import annotations

import os

from lading.errors import Conflict, Denied, KernelError
from lading.formats.oci_runtime import Linux
from lading.kernel.files import O_PATH
from lading.kernel.namespaces import CLONE_PARENT, FLAGS
from lading.kernel.process import PR_SET_DUMPABLE
from lading.kernel.seccomp_flags import FLAG_NEW_LISTENER
from lading.runtime import birth, channel, command, console, filters, helper, masks, security
from lading.runtime.job import Stdio
from lading.runtime.join import KINDS
from lading.runtime.store import alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lading.formats.oci_runtime import Process, Spec, State
    from lading.kernel import Kernel
    from lading.runtime.container import Container
    from lading.runtime.resources import CgroupHandle
    from lading.runtime.store import StateRecord


class Exec:
    """A process started by ``exec``.

    ``pid`` in the caller's pid namespace; ``pidfd`` and ``console`` (the pty's master, -1 without) are the
    caller's to close.

    A caller that has several must reap them as they end: the container's first process does not finish dying before the
    last process of its pid namespace is reaped, so waiting for the first alone would wait for ever.
    """

    __slots__ = ("console", "pid", "pidfd")

    def __init__(self, pid: int, pidfd: int, console: int = -1) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.console = console

    def wait(self) -> int:
        """Wait for it and reap it: its exit status, 128 + n for signal n."""
        status = os.waitpid(self.pid, 0)[1]
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code


class ExecJob:
    """What the new process needs; decided before anything is forked."""

    sockets: Sequence[int] = ()
    __slots__ = (
        "cgroup",
        "channel",
        "console_fd",
        "filter",
        "filter_flags",
        "linux",
        "no_new_keyring",
        "plain_lines",
        "preserve_fds",
        "process",
        "record",
        "state",
        "stdio",
        "target",
    )

    start: channel.Channel | None = None  # nobody waits between its making and its start

    def __init__(
        self, process: Process, linux: Linux, state: State, record: StateRecord, cgroup: CgroupHandle
    ) -> None:
        self.process = process
        self.linux = linux
        self.state = state
        self.record = record
        self.target = record.pid  # the container's first process
        self.cgroup = cgroup
        self.channel: channel.Channel
        self.console_fd = -1
        self.filter = b""
        self.filter_flags = 0
        self.no_new_keyring = False
        self.plain_lines = False
        self.preserve_fds = 0
        self.stdio = Stdio()


class Entrant:
    """Becomes a process of a container; born inside, with everything still to be given up."""

    def __init__(self, kernel: Kernel, job: ExecJob, proc_fd: int, setgroups: bool) -> None:
        self.kernel = kernel
        self.job = job
        self.proc_fd = proc_fd
        self.setgroups = setgroups

    def run(self) -> None:
        """From birth to execve, in order."""
        kernel, job, process = self.kernel, self.job, self.job.process
        if job.channel.receive() != channel.GO:
            os._exit(1)
        kernel.setsid()
        if not job.no_new_keyring:
            command.join_keyring(kernel, job.state.id)
        if process.terminal:
            self._terminal()
        else:
            command.place_streams(kernel, job.stdio)
        affinity = process.exec_cpu_affinity
        if affinity is not None and affinity.final:
            kernel.sched_setaffinity(0, security.parse_cpus(affinity.final, "process.execCPUAffinity.final"))
        elif affinity is None or not affinity.initial:
            command.use_all_processors(kernel)
        command.limit_process(kernel, process, job.linux)
        security.set_label(kernel, self.proc_fd, process)
        command.close_descriptors(kernel, job)
        if not process.no_new_privileges:
            command.load_filter(kernel, job)
        cwd = process.cwd or "/"
        entered = command.enter_directory(kernel, cwd)
        command.become_user(kernel, process, self.setgroups)
        command.settle_in_directory(kernel, cwd, entered)
        if process.no_new_privileges:
            security.no_new_privileges(kernel)
            command.load_filter(kernel, job)
        path = command.find_command(process)
        command.execute(kernel, path, process)

    def _terminal(self) -> None:
        kernel, job = self.kernel, self.job
        root = kernel.open("/", O_PATH | os.O_DIRECTORY)
        master, slave = console.open_pty(kernel, root, job.process.console_size, plain_lines=job.plain_lines)
        kernel.close(root)
        kernel.fchown(slave, job.process.user.uid, -1)
        console.send_master(job.console_fd, master)
        kernel.close(master)
        console.take_terminal(kernel, slave)


def enter(
    container: Container,
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
    """Run another process inside ``container``; the caller reaps it (``Exec.wait``, ``Exec.pidfd``).

    ``process.capabilities`` of None means those of the container. With ``process.terminal`` the master is
    ``Exec.console``, or goes to ``console_socket``. ``cgroup`` names existing groups below the container's
    own, for some controllers (``cpu,memory:sub``) or all; with ``ignore_paused`` the process of a paused
    container is made and waits. Raises :class:`Conflict` unless the container is running (or created), and
    as :meth:`Runtime.run`.
    """
    now = container.status()
    if now not in ("running", "created") and not (now == "paused" and ignore_paused):
        what = "cannot exec in a paused container" if now == "paused" else "nothing can be executed in it"
        raise Conflict(f"container {container.id} is {now}: {what}", reason="state")
    spec, runtime = container.spec, container.runtime
    if process.capabilities is None and spec.process is not None:
        process = process.replace(capabilities=spec.process.capabilities)
    group = container.group
    if cgroup:
        from lading.runtime.subgroups import below

        group = below(group, cgroup)
    job = ExecJob(process, spec.linux or Linux(), container.state(), container.record, group)
    job.stdio = stdio or Stdio()
    job.preserve_fds, job.no_new_keyring = preserve_fds, no_new_keyring
    job.plain_lines = plain_lines
    return run(runtime.kernel, job, spec, runtime.filter_cache, console_socket, pid_file)


def run(kernel: Kernel, job: ExecJob, spec: Spec, cache: str, console_socket: str, pid_file: str) -> Exec:
    """Prepare the filter and the terminal's way out, then :func:`start`."""
    end = -1
    try:
        if job.linux.seccomp is not None:
            made_filter = filters.prepare(job.linux.seccomp, cache)
            job.filter, job.filter_flags = made_filter.program, made_filter.flags
        if job.process.terminal:
            end = console.way_out(job, console_socket)
        made = start(
            kernel, job, pid_file, lambda pid, fd: birth.hand_over_listener(kernel, pid, fd, spec, job.state)
        )
        if end >= 0:
            made.console = console.receive_master(end)
        return made
    finally:
        for fd in (end, job.console_fd):
            if fd >= 0:
                os.close(fd)


def start(kernel: Kernel, job: ExecJob, pid_file: str, on_listener: Callable[[int, int], None]) -> Exec:
    """Start ``job.process`` in the container of ``job.target``.

    Raises :class:`Conflict` when the container is gone, :class:`CommandNotFound`,
    :class:`CommandNotExecutable` and every error of setting up; the process is then dead and reaped.
    """
    command.preload(job.process, False)
    target_fd = _first_process(kernel, job)
    up, down = channel.pair()
    job.channel = down

    def work(write_fd: int) -> None:
        up.close()
        _help(kernel, job, target_fd, write_fd)

    try:
        born = birth.Born(helper.through_helper(kernel, work), up)
    except BaseException:
        up.close()
        raise
    finally:
        os.close(target_fd)
        down.close()
    try:
        if pid_file:
            birth.write_pid_file(pid_file, born.pid)
        born.questions = 1 if job.filter_flags & FLAG_NEW_LISTENER else 0
        birth.permit(kernel, born, channel.GO)
        birth.converse(kernel, born, _no_hooks, lambda fd: on_listener(born.pid, fd))
        birth.pass_gate(kernel, born)
        return Exec(born.pid, kernel.pidfd_open(born.pid))
    except BaseException:
        birth.destroy(born.pid)
        raise
    finally:
        up.close()


def _first_process(kernel: Kernel, job: ExecJob) -> int:
    """A pidfd of the container's first process; never of one that the kernel has given its number since."""
    gone = Conflict(f"container {job.state.id} is not running", reason="state")
    try:
        fd = kernel.pidfd_open(job.target)
    except KernelError as error:
        if error.errno == 3:
            raise gone from None
        raise
    if not alive(job.record):
        kernel.close(fd)
        raise gone
    return fd


def _no_hooks() -> None:
    raise Denied("an exec has no hooks")


def _help(kernel: Kernel, job: ExecJob, target_fd: int, write_fd: int) -> None:
    """In the helper: enter everything, then give birth to the process as our own parent's child."""
    affinity = job.process.exec_cpu_affinity
    if affinity is not None and affinity.initial:
        kernel.sched_setaffinity(0, security.parse_cpus(affinity.initial, "process.execCPUAffinity.initial"))
    proc_fd = masks.open_proc(kernel)
    kinds = {namespace.type for namespace in job.linux.namespaces}
    plain = "user" not in kinds and not job.cgroup.rootless
    setgroups = plain
    if not plain:
        from lading.kernel import idmap

        setgroups = idmap.may_set_groups(kernel, job.target)
    if "user" in kinds and job.process.rlimits:
        security.raise_limits(kernel, job.process.rlimits)
    root_fd = -1 if "mount" in kinds else kernel.open(f"/proc/{job.target}/root", O_PATH | os.O_DIRECTORY)
    if not job.process.terminal:
        job.stdio = command.with_null(kernel, job.stdio)
    job.cgroup.join()
    if job.process.oom_score_adj is not None:
        # Here, where it is inherited: an ordinary user may not write into /proc/PID of what is not dumpable.
        birth.set_oom_score(kernel, os.getpid(), job.process.oom_score_adj)
    kernel.prctl(PR_SET_DUMPABLE, 0)
    command.forbid_imports()
    flags = 0
    for kind in kinds:
        flags |= FLAGS[KINDS[kind]]
    if flags:
        try:
            kernel.setns(target_fd, flags)
        except KernelError as error:
            if error.errno == 3:
                raise Conflict(f"container {job.state.id} is not running") from None
            raise
    if "user" in kinds:
        kernel.setresgid(0)
        kernel.setresuid(0)
    if root_fd >= 0:
        kernel.fchdir(root_fd)
        kernel.chroot(".")
        kernel.chdir("/")
    pid = kernel.clone(CLONE_PARENT)
    if pid == 0:
        os.close(write_fd)
        entrant = Entrant(kernel, job, proc_fd, setgroups)
        try:
            entrant.run()
        except BaseException as error:
            job.channel.send(channel.encode_error(error))
        os._exit(1)
    os.write(write_fd, str(pid).encode())
