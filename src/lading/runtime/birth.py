"""The creator's side: give birth to the first process, do for it what only the outside can do, and let it go on.

With one thread and nothing unusual to join it is a single clone(2) with all namespaces at once, done here or by a
:mod:`~lading.runtime.nursery`. Otherwise a :mod:`~lading.runtime.helper` clones with CLONE_PARENT: the container's process
is the caller's child in every case, so the caller alone reaps it.
"""

from __future__ import annotations

import gc
import os

from lading.errors import KernelError, LadingError
from lading.runtime import channel, command, gate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from lading.formats.oci_runtime import Spec, State
    from lading.kernel import Kernel
    from lading.runtime.job import Job
    from lading.runtime.nursery import Nursery

_SIGKILL = 9


class Born:
    """A process that waits for permission.

    ``pid``         in the caller's pid namespace; ``up`` the caller's channel.
    ``questions``   how many it will ask before it can execute its command: runtime-side hooks, a seccomp listener.
    ``wants_gate``  whether this caller is to see it through its execve; ``gated``: whether it does.
    """

    __slots__ = ("gated", "pid", "questions", "up", "wants_gate")

    def __init__(self, pid: int, up: channel.Channel) -> None:
        self.pid = pid
        self.up = up
        self.questions = 0
        self.wants_gate = True
        self.gated = False


def give_birth(
    kernel: Kernel, job: Job, main: Callable[[Kernel, Job], object], nursery: Nursery | None = None
) -> Born:
    """Start ``main(kernel, job)`` as a child of the caller in its new (and, with a helper, joined) namespaces.

    ``main`` must not return. It blocks until the caller sends :data:`channel.GO`. ``nursery`` clones where it can.
    """
    command.preload(job.spec.process, job.spec.hooks is not None)
    up, down = channel.pair()
    job.channel = down
    pid = 0
    try:
        if nursery is not None and nursery.takes(job):
            pid = nursery.bear(job)
        if not pid:
            pid = _by_ourselves(kernel, job, up, main)
    except BaseException:
        up.close()
        down.close()
        raise
    down.close()
    return Born(pid, up)


def _by_ourselves(
    kernel: Kernel, job: Job, up: channel.Channel, main: Callable[[Kernel, Job], object]
) -> int:
    plan = job.plan
    if plan.needs_helper or not _single_threaded():
        from lading.runtime import helper

        return helper.bear(kernel, plan, _score_of(job), lambda: _child(kernel, job, up, main))
    pid = kernel.clone(plan.clone_flags)
    if pid == 0:
        _child(kernel, job, up, main)
    return pid


def _single_threaded() -> bool:
    """Whether a raw clone is safe: another thread could hold a lock of the C library that no one would release."""
    return len(os.listdir("/proc/self/task")) == 1


def _child(kernel: Kernel, job: Job, up: channel.Channel, main: Callable[[Kernel, Job], object]) -> NoReturn:
    gc.disable()  # a collection would touch, and so copy, every page that it shares with the creator
    try:
        up.close()
        main(kernel, job)
    finally:
        os._exit(1)


def from_outside(kernel: Kernel, job: Job, born: Born) -> bytes:
    """What the outside does before the first step inside: id maps, the OOM score, the control group.

    Returns the permission to send: it says whether setgroups(2) is possible inside.
    """
    permission = channel.GO
    linux = job.spec.linux
    if linux is not None and "user" in job.plan.new:
        from lading.kernel import idmap

        if not idmap.write(
            kernel,
            born.pid,
            [(m.container_id, m.host_id, m.size) for m in linux.uid_mappings],
            [(m.container_id, m.host_id, m.size) for m in linux.gid_mappings],
        ):
            permission = channel.GO_WITHOUT_GROUPS
    elif job.cgroup.rootless or job.plan.owns("user"):
        from lading.kernel import idmap

        if not idmap.may_set_groups(kernel, born.pid):
            permission = channel.GO_WITHOUT_GROUPS  # a user namespace around all of us
    process = job.spec.process
    if process is not None and process.rlimits and job.plan.owns("user"):
        from lading.runtime import security

        security.raise_limits(kernel, process.rlimits, born.pid)
    if not job.joins_cgroup_itself:
        job.cgroup.add(born.pid)
    score = _score_of(job)
    if score is not None and not job.plan.needs_helper:
        set_oom_score(kernel, born.pid, score)
    return permission


def _score_of(job: Job) -> int | None:
    process = job.spec.process
    return process.oom_score_adj if process is not None else None


def set_oom_score(kernel: Kernel, pid: int, value: int) -> None:
    """Write ``/proc/PID/oom_score_adj``; lowering it needs CAP_SYS_RESOURCE and that is a clear error."""
    try:
        fd = kernel.open(f"/proc/{pid}/oom_score_adj", os.O_WRONLY)
        try:
            kernel.write(fd, str(value).encode())
        finally:
            kernel.close(fd)
    except KernelError as error:
        hint = "lowering the score needs CAP_SYS_RESOURCE" if error.errno in (1, 13) else ""
        raise KernelError(f"process.oomScoreAdj={value}", error.errno, hint=hint) from None


def permit(kernel: Kernel, born: Born, permission: bytes) -> None:
    """Let the process go on. The gate is put up before the last permission, not earlier.

    A traced process stops at every signal, a hook's SIGCHLD for one, and while we wait for its next question nobody would
    let it go on.
    """
    if born.wants_gate and not born.questions:
        born.gated = gate.seize(kernel, born.pid)
    born.up.send(permission)


def do_meanwhile(born: Born, work: Callable[[int], None]) -> None:
    """The creator's own part, while the new process sets itself up. Raises what ``work`` raises, and the process's own
    error in its place where it reported one: that one came first."""
    try:
        work(born.pid)
    except LadingError:
        said = born.up.waiting()
        if channel.is_error(said):
            raise channel.decode_error(said) from None
        raise


def converse(
    kernel: Kernel, born: Born, on_hooks: Callable[[], None], on_listener: Callable[[int], None]
) -> None:
    """Answer the questions that the new process will ask. Raises the error that it reported instead."""
    while born.questions:
        message = born.up.receive()
        if message == channel.HOOKS:
            on_hooks()
        elif message[:1] == channel.LISTENER:
            on_listener(int(message[1:]))
        elif message != channel.MEANWHILE:  # that has been done by now
            raise channel.decode_error(message)
        born.questions -= 1
        permit(kernel, born, channel.GO)


def hand_over_listener(kernel: Kernel, pid: int, fd: int, spec: Spec, state: State) -> None:
    """Answer a process that made a seccomp listener, see :mod:`lading.runtime.listener`."""
    from lading.runtime.listener import hand_over

    hand_over(kernel, pid, fd, spec, state)


def wait_until_ready(born: Born) -> None:
    """Wait until a process that will be started later has done all before that. Raises the error that it reported."""
    message = born.up.receive()
    if message != channel.READY:
        raise channel.decode_error(message)


def pass_gate(kernel: Kernel, born: Born) -> None:
    """Wait until the command is executed. Raises the error that the process reported instead."""
    if born.gated and gate.watch(kernel, born.pid) is None:
        return
    # It ended; or nothing stops it at the gate, and its end of the pipe closes with its execve.
    message = born.up.receive()
    if message or born.gated:
        raise channel.decode_error(message)


def destroy(pid: int) -> None:
    """Kill and reap a child that will not become a container."""
    try:
        os.kill(pid, _SIGKILL)
    except ProcessLookupError:
        pass
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass


def write_pid_file(path: str, pid: int) -> None:
    """Write ``pid`` whole or not at all."""
    temporary = f"{path}.{os.getpid()}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, str(pid).encode())
    finally:
        os.close(fd)
    os.rename(temporary, path)
