"""The end of a container: signals to its processes, and what follows when nothing of it runs any more."""

from __future__ import annotations

import os

from lading.errors import Conflict, Corrupt, InvalidInput, KernelError, NotFound, TimedOut
from lading.formats.oci_runtime import Spec, State
from lading.runtime import resources
from lading.runtime.store import alive, start_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_runtime import Hook
    from lading.kernel import Kernel
    from lading.runtime.container import Container, Runtime
    from lading.runtime.store import StateRecord

_SIGKILL = 9
_ENDS_WITHIN = 10_000  # milliseconds


def kill(container: Container, signal: int, all: bool) -> None:
    """Send ``signal`` to the first process, or with ``all`` to every process of the container.

    Raises :class:`Conflict` when it is stopped.
    """
    kernel, group = container.runtime.kernel, container.group
    if all:
        if signal == _SIGKILL:
            group.kill()
            return
        for pid in group.pids():
            send(kernel, pid, signal)
        return
    if signal == _SIGKILL and not _owns_pids(container.spec) and group.pids():
        # The end of its first process would end nobody else there, and may be long past.
        group.thaw()
        group.kill()
        return
    now = container.status()
    if now not in ("created", "running", "paused"):
        raise Conflict(f"container {container.id} is {now}: container not running", reason="state")
    send(kernel, container.pid, signal, container.record.start_time)
    if signal == _SIGKILL and now == "paused":
        group.thaw()  # v1: a frozen process dies only when it moves again


def _owns_pids(spec: Spec) -> bool:
    linux = spec.linux
    return linux is not None and any(n.type == "pid" and not n.path for n in linux.namespaces)


def send(kernel: Kernel, pid: int, signal: int, started: int = 0) -> None:
    """Signal by descriptor, so that a number the kernel gave to somebody else is never hit."""
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


def kill_first(kernel: Kernel, record: StateRecord) -> None:
    """Kill the first process and wait until it has ended; reap it when it is our child.

    Raises :class:`TimedOut` for one that does not: without a control group its record is all that leads to it.
    """
    pidfd = kernel.pidfd_open(record.pid)
    try:
        if alive(record):
            kernel.pidfd_send_signal(pidfd, _SIGKILL)
        _wait_gone(pidfd, record.pid)
    finally:
        os.close(pidfd)


def _wait_gone(pidfd: int, pid: int) -> None:
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


def poststop(runtime: Runtime, id: str, bundle: str, spec: Spec, hooks: list[Hook]) -> None:
    """Run a container's poststop hooks, the end of its life cycle (runtime.md, Lifecycle)."""
    from lading.runtime.create import OCI_VERSION
    from lading.runtime.hooks import run_poststop

    state = State(
        oci_version=OCI_VERSION, id=id, status="stopped", bundle=bundle, annotations=spec.annotations
    )
    run_poststop(runtime.kernel, hooks, state, bundle, runtime.warn)


def forget(runtime: Runtime, id: str) -> None:
    """Clear what an interrupted making left, or a container whose record cannot be read.

    Of the latter, what runs is found through the control group that its configuration leads to.
    """
    store = runtime.store
    if store.complete(id):
        try:
            spec = Spec.decode(store.read_config(id), where=f"{id}: config", strict=False)
        except (NotFound, Corrupt, InvalidInput):
            spec = Spec()
        group = resources.load(runtime.group_of(spec, id, resources.is_rootless()))
        group.kill()
        group.wait_empty()
        group.delete()
    store.remove(id)
