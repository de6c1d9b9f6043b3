"""Take a running pod over from a keeper that was killed.

The containers go on; what only the dead one had is lost: the masters of their terminals and the other end of their input.
Their output is found again through the descriptors that they have of it, their exit status through a pidfd where the kernel
tells it (Linux 6.15); everything else (namespaces, network, records) by id.
"""

from __future__ import annotations

import os
import time

from lading.errors import LadingError
from lading.node.engine import engine_of
from lading.node.model import AFTER, CREATED, EXITED, MAIN, PAUSED, RUNNING
from lading.node.sequence import ENDED, STARTING
from lading.node.shop import alive
from lading.node.streams import OUTPUTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lading.node.runner import PodRunner
    from lading.node.running import Running


def adopt(runner: PodRunner) -> None:
    """Watch what runs, count what has ended, and go on as the keeper that was killed would have."""
    shop, record = runner.shop, runner.record
    _network(runner)
    if not record.single:
        _holder(runner)
    if any(running.container.extras.listen for running in runner.running.values()):
        from lading.node.listening import Listening

        runner.listening = Listening(runner)
    if record.pod.spec.extras.companions:
        from lading.node.companions import Companions

        runner.companions = Companions(runner)
        runner.companions.adopt()
    now = time.monotonic()
    for running in runner.running.values():
        made = running.record
        if made.state in (RUNNING, PAUSED) and alive(made.pid, made.pid_start):
            _watch(runner, running, now)
        elif made.state in (RUNNING, PAUSED):
            if made.stage != AFTER:  # else it is known how the command ended
                made.exit_code, made.reason, made.finished = 255, "KeeperLost", time.time()
            made.state, made.stage, made.pid, made.pid_start = EXITED, "", 0, 0
            shop.records.save(record, made, "die", {"exitCode": str(made.exit_code)})
            _forget_state(runner, running)
            runner.sequence.exited(running.unit, made.exit_code, now)
        elif made.stage:
            from lading.node import handlers

            handlers.adopt(runner, running)
        elif made.state == EXITED:
            running.unit.state = ENDED
            running.unit.exit_code = made.exit_code
            running.unit.due = None
    begun = [made.first for made in record.containers if made.first]
    if runner.sequence.deadline is not None and begun:
        # activeDeadlineSeconds counts from the pod's start, not from its keeper's.
        runner.sequence.deadline -= max(0.0, time.time() - min(begun))
    runner.sequence.initialized = any(
        r.unit.kind == MAIN and r.record.state != CREATED for r in runner.running.values()
    )
    runner.turn()


def _watch(runner: PodRunner, running: Running, now: float) -> None:
    made = running.record
    running.handle = engine_of(runner.shop, runner.record).get(made.id)
    running.spec = running.handle.spec
    running.pidfd = runner.shop.kernel.pidfd_open(made.pid)
    if made.stage:
        from lading.node import handlers

        handlers.adopt(runner, running)
    else:
        _go_on(runner, running, now)
    pipes = find_pipes(_pids(running), [inode for inode in made.pipes if inode])
    if pipes:
        sources = {fd: OUTPUTS[made.pipes.index(inode)] for inode, fd in pipes.items()}
        runner.streams_of(running).resume(sources, -1, -1)
    runner.loop.watch(running.pidfd, lambda _events: runner.ended(running))


def _go_on(runner: PodRunner, running: Running, now: float) -> None:
    """With the command, as if it had started now."""
    running.unit.state = STARTING
    runner.sequence.started(running.unit, now)
    running.unit.hook = ""  # its postStart hook ran long ago, or is lost with the keeper
    if running.unit.state != RUNNING:
        runner.sequence.hook_done(running.unit, "post_start", True, now)
    check = running.container.extras.healthcheck
    if check is not None and check.test and check.test != ["NONE"]:
        runner.checking.watch_health(running, check)


def _pids(running: Running) -> Iterator[int]:
    """The processes of a container, the first one first."""
    yield running.record.pid
    try:
        if running.handle is not None:
            yield from running.handle.pids()
    except (LadingError, OSError):
        return


def find_pipes(pids: Iterable[int], inodes: list[int]) -> dict[int, int]:
    """Pipes that some of these processes have open: inode → a descriptor of ours to read from.

    The processes are strangers, and may have changed their descriptors: nothing is opened but a pipe of that very inode.
    """
    found: dict[int, int] = {}
    wanted = {f"pipe:[{inode}]": inode for inode in inodes}  # no path begins like this
    for pid in pids:
        if len(found) == len(wanted):
            break
        try:
            numbers = sorted(os.listdir(f"/proc/{pid}/fd"), key=int)
        except OSError:
            continue  # it has ended
        for number in numbers:
            inode = wanted.get(_target(f"/proc/{pid}/fd/{number}"))
            if inode is None or inode in found:
                continue
            try:
                fd = os.open(f"/proc/{pid}/fd/{number}", os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                if _target(f"/proc/self/fd/{fd}") == f"pipe:[{inode}]":  # still: it may have become a device
                    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
                    found[inode] = os.open(f"/proc/self/fd/{fd}", flags)
            except OSError:
                continue
            finally:
                os.close(fd)
    return found


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def _forget_state(runner: PodRunner, running: Running) -> None:
    try:
        engine_of(runner.shop, runner.record).get(running.record.id).delete(force=True)
    except LadingError:
        pass


def _network(runner: PodRunner) -> None:
    """The attachment as recorded, and its namespace through a process that lives in it."""
    from lading.node import podnetwork

    request = podnetwork.request_of(runner.record)
    if request is None:
        return
    from lading.network import Attachment

    attachment = runner.shop.networks.attachment(runner.record.id)
    if attachment is None:
        attachment = Attachment(id=runner.record.id, mode=request.mode)
    if request.mode != "host":
        attachment.namespace = _open_namespace(runner, "net")
    runner.attachment = attachment
    from lading.node import connecting

    try:
        connecting.follow(runner)  # what a keeper killed while it connected or disconnected left half done
    except LadingError as error:  # a network that has gone: no reason to leave the pod without a keeper
        runner.record.message = str(error)
        runner.shop.records.update(runner.record, "message")


def _holder(runner: PodRunner) -> None:
    from lading.node import holder, memory

    made = holder.Holder(runner)
    spec = runner.record.pod.spec
    if not spec.host_ipc and not spec.extras.ipc_mode:
        made.spaces["ipc"] = _open_namespace(runner, "ipc")
        made.shm = memory.mount(
            runner.shop, runner.record.id, memory.SHM, memory.shared_options(runner.record)
        )
    if not spec.host_network and not spec.extras.uts_mode:
        made.spaces["uts"] = _open_namespace(runner, "uts")
    pause = holder.recorded_pause(runner.shop, runner.record.id)
    if pause:
        made.pause_pid = pause
        made.spaces["pid"] = os.open(f"/proc/{pause}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    runner.holder = made


def _open_namespace(runner: PodRunner, kind: str) -> int:
    for running in runner.running.values():
        made = running.record
        if alive(made.pid, made.pid_start):
            return os.open(f"/proc/{made.pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
    raise LadingError(f"pod {runner.record.name}: nothing of it runs any more", reason="state")
