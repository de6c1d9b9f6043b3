"""Stop, kill, wait, remove, prune: from a command's side, with the keeper's help where it lives and without where not."""

from __future__ import annotations

import os
import time

from lading.errors import Conflict, Exhausted, InvalidInput, LadingError, NotFound
from lading.node import lookup, releasing, sockets, wire
from lading.node import remove as removal
from lading.node.detached import is_running, whole
from lading.node.freezing import let_run
from lading.node.looking import refresh
from lading.node.model import AFTER, CREATED, EXITED, MAIN, PAUSED, RESTARTING, RUNNING
from lading.node.running import stop_signal
from lading.node.shop import alive, process_start, send_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.node.model import ContainerRecord, PodRecord
    from lading.node.shop import Shop

_LIVE = (RUNNING, PAUSED, RESTARTING)
#: How long a keeper may take to give a pod's things back after its last process has ended.
_FINISHING = 15.0
#: From here on (poll(2) takes 24 days) a grace period is no deadline for its keeper either, in seconds.
_LONGEST = 10.0**6
#: ``--timeout -1``, in seconds.
_FOREVER = 10.0**9


def _keeper_lives(record: PodRecord) -> bool:
    return alive(record.keeper_pid, record.keeper_start)


def _alive_containers(record: PodRecord) -> list[ContainerRecord]:
    return [c for c in record.containers if alive(c.pid, c.pid_start)]


def stop(
    shop: Shop, reference: str, timeout: float | None, *, restart: bool = False, signal: int = 0
) -> PodRecord:
    """End a pod in good order; nothing to do when it does not run.

    ``restart``: it will be started again at once. ``signal`` takes the place of each container's own stop signal.
    """
    record = whole(shop, reference, "restart" if restart else "stop")
    if timeout is not None and timeout < 0:
        timeout = _FOREVER
    if not record.single:
        from lading.node import membership

        membership.stop(shop, record, timeout, signal)
    if not is_running(record) and not any(c.state in _LIVE for c in record.containers):
        return record
    if not restart:
        record.stopped = True
        shop.records.update(record, "stopped")
    for container in _alive_containers(record):
        if container.state == PAUSED:
            from lading.node import control

            control.thaw(shop, record, container)
    request: dict[str, object] = {"op": "stop", "id": record.id, "timeout": timeout, "signal": signal}
    grace = timeout if timeout is not None else float(record.pod.spec.termination_grace_period_seconds)
    if not _ask_keeper(shop, record, request, grace):
        _stop_directly(shop, record, timeout, signal)
    return shop.records.get(record.id) or record


def _ask_keeper(shop: Shop, record: PodRecord, request: dict[str, object], grace: float) -> bool:
    """Have the keeper do it, which may take it ``grace`` seconds; False when nobody keeps the pod (any more)."""
    if not _keeper_lives(record) or not record.keeper_socket:
        return False
    try:
        sock = sockets.connect(record.keeper_socket)
    except NotFound:
        return False
    try:
        wire.ask(sock, request, within=grace + wire.PATIENCE if grace < _LONGEST else None)
        return True
    except LadingError as error:
        if error.reason in ("keeper-lost", "no-keeper"):
            return False
        raise
    finally:
        sock.close()


def _stop_directly(shop: Shop, record: PodRecord, timeout: float | None, signal: int = 0) -> None:
    """The keeper is gone: signal the processes ourselves, then give back what it would have."""
    end = time.monotonic() + (
        timeout if timeout is not None else float(record.pod.spec.termination_grace_period_seconds)
    )
    living = _alive_containers(record)
    for container in living:
        send_signal(
            shop.kernel, container.pid, container.pid_start, signal or _stop_signal(record, container)
        )
    for container in living:
        if not _wait_dead(shop, container, end):
            send_signal(shop.kernel, container.pid, container.pid_start, 9)
            for _ in range(100):
                let_run(shop, record, container)  # a pause may come after the kill
                if _wait_dead(shop, container, time.monotonic() + 0.1):
                    break
    if _keeper_lives(record):
        return
    settle(shop, record)


def settle(shop: Shop, record: PodRecord) -> PodRecord:
    """Write down that a pod whose keeper is gone has ended, and give back what it held.

    A pod that somebody keeps by now is left alone.
    """
    with shop.records.database:
        found = shop.records.get(record.id)
        if found is None:
            return record
        if found.keeper_pid != os.getpid() and _keeper_lives(found):
            return found
        # Ours until it is settled: who wants to start it waits, and what they would take is not given back below.
        found.keeper_pid, found.keeper_start = os.getpid(), process_start(os.getpid())
        shop.records.update(found, "keeper_pid", "keeper_start")
    record = found
    releasing.release(shop, record)
    with shop.records.database:
        fresh = shop.records.get(record.id)
        if fresh is None:
            return record
        refresh(fresh)
        for container in fresh.containers:
            if container.state in _LIVE:
                _mark_lost(container)
            shop.records.save(fresh, container, "die" if container.reason == "KeeperLost" else "")
        fresh.phase = "Failed" if any(c.exit_code for c in fresh.containers) else "Succeeded"
        fresh.keeper_pid = fresh.keeper_start = 0
        fresh.keeper_socket = ""
        shop.records.update(fresh, "phase", "keeper_pid", "keeper_start", "keeper_socket")
    if fresh.pod.spec.extras.remove:
        removal.collect(shop, fresh, volumes=True)
    return fresh


def _mark_lost(container: ContainerRecord) -> None:
    container.state = EXITED
    if container.stage != AFTER:  # else it is known how the command ended
        container.exit_code = 255
        container.reason = "KeeperLost"
        container.message = "its keeper was killed, so nobody learned its exit status"
        container.finished = time.time()
    container.stage = ""
    container.pid = container.pid_start = 0


def _stop_signal(record: PodRecord, made: ContainerRecord) -> int:
    for container in record.pod.spec.containers + record.pod.spec.init_containers:
        if container.name == made.name:
            return stop_signal(container)
    return 15


def _wait_dead(shop: Shop, container: ContainerRecord, end: float) -> bool:
    """Wait for the process until ``end`` (monotonic): whether it is gone."""
    import select

    try:
        pidfd = shop.kernel.pidfd_open(container.pid)
    except LadingError:
        return True
    try:
        if not alive(container.pid, container.pid_start):
            return True
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        return bool(poll.poll(min(max(0.0, end - time.monotonic()), 10.0**6) * 1000))
    finally:
        os.close(pidfd)


def kill(shop: Shop, reference: str, number: int) -> None:
    """Send a signal to the container or a pod's main containers. Raises :class:`Conflict` when none runs."""
    record, container = shop.records.resolve(reference)
    wanted = [container] if container is not None else [c for c in record.containers if c.kind == MAIN]
    living = [c for c in wanted if alive(c.pid, c.pid_start)]
    if not living:
        raise Conflict(f"container {reference} is not running", reason="state")
    whole = record.single or container is None
    if whole and (number == 9 or number == _stop_signal(record, living[0])):
        # As Docker: who kills a container by hand does not want it restarted. Of one in a pod the pod's policy says that.
        record.stopped = True
        shop.records.update(record, "stopped")
    for target in living:
        send_signal(shop.kernel, target.pid, target.pid_start, number)
        if number == 9:
            let_run(shop, record, target)
    if not record.single and container is None:
        from lading.node import membership

        membership.kill(shop, record, number)
    from lading.formats import signals

    for target in living:
        shop.records.event(record, "kill", {"signal": signals.name(number)}, target)


# -- waiting -------------------------------------------------------------------------------------------------------


def wait(shop: Shop, reference: str, condition: str) -> int:
    """Wait for the end (or the removal) of a container: its exit code."""
    if condition not in ("not-running", "next-exit", "removed", ""):
        raise InvalidInput(f"wait condition {condition!r} is not not-running, next-exit or removed")
    record, container = shop.records.resolve(reference)
    name = (container or record.container).name
    first = next(c for c in record.containers if c.name == name)
    restarts = (first.restarts, first.started, first.finished)
    code = first.exit_code
    pause = 0.002
    while True:
        found = shop.records.get(record.id)
        if found is None:
            return _last_code(shop, record, name, code)
        refresh(found)
        now = next(c for c in found.containers if c.name == name)
        ended = (EXITED,) if _pending(found) else (EXITED, CREATED)
        over = now.state in ended if condition != "next-exit" else _exited_since(now, restarts)
        code = now.exit_code
        if over and condition != "removed":
            if condition != "next-exit" and found.single is False and container is None:
                unended = (*_LIVE, CREATED) if _pending(found) else _LIVE
                over = not any(c.kind == MAIN and c.state in unended for c in found.containers)
                code = found.first_failure
            if over:
                return code
        if alive(now.pid, now.pid_start):
            _wait_dead(shop, now, time.monotonic() + 60.0)
            pause = 0.002
        else:
            time.sleep(pause)
            pause = min(0.05, pause * 1.5)


def _pending(record: PodRecord) -> bool:
    """Whether containers that are only created will still start: their keeper is at the ones before them."""
    return record.phase in ("Pending", "Running") and alive(record.keeper_pid, record.keeper_start)


def _exited_since(now: ContainerRecord, before: tuple[int, float, float]) -> bool:
    return now.finished > before[2] and now.finished > 0


def _last_code(shop: Shop, record: PodRecord, name: str, known: int) -> int:
    """The exit code of a container whose record went with it (``--rm``): its last ``die`` event says."""
    wanted = record.id if record.single else next(c.id for c in record.containers if c.name == name)
    for event in reversed(lookup.events(shop.records.database, since=record.created - 1.0)):
        if event.action == "die" and event.id == wanted:
            return int(event.attributes.get("exitCode", known))
    return known


# -- removing ------------------------------------------------------------------------------------------------------


def remove(shop: Shop, reference: str, *, force: bool, volumes: bool) -> PodRecord:
    """Remove a pod; ``force`` ends it first."""
    record = whole(shop, reference, "rm -f")
    patience = time.monotonic() + _FINISHING
    while True:
        try:
            return _remove(shop, record, force=force, volumes=volumes)
        except Exhausted:
            if not _make_room(shop, record, force=force):
                raise
        except _Again as again:
            # Started again: by somebody, or by its keeper, which had not yet noticed the end that we saw.
            # Or it is being removed by somebody else.
            if not force or time.monotonic() > patience:
                raise again.conflict from None
            fresh = shop.records.get(record.id)
            if fresh is None:
                return record  # --rm was faster, or another rm
            record = fresh


def _make_room(shop: Shop, record: PodRecord, *, force: bool) -> bool:
    """The disk is full, and takes no record of what is done: the reserve goes, and what the containers wrote. Whether any did."""
    if shop.records.database.make_room():
        return True
    living = _alive_containers(record)
    if living and not force:
        return False
    for container in living:
        send_signal(shop.kernel, container.pid, container.pid_start, 9)
        _wait_dead(shop, container, time.monotonic() + _FINISHING)
    from lading.node import room

    return room.make(shop, record)


class _Again(Exception):
    """Somebody else does something to the pod at the same moment."""

    def __init__(self, conflict: Conflict) -> None:
        super().__init__(str(conflict))
        self.conflict = conflict


def _remove(shop: Shop, record: PodRecord, *, force: bool, volumes: bool) -> PodRecord:
    refresh(record)
    if not record.single:
        from lading.node import membership

        if force or not is_running(record):
            membership.remove(shop, record, force=force, volumes=volumes)
    if is_running(record):
        if not force:
            raise Conflict(
                f"{'container' if record.single else 'pod'} {record.name} is running",
                hint="stop it first, or use --force",
                reason="running",
            )
        stop(shop, record.id, 0.0)
    _await_keeper(shop, record)
    fresh = shop.records.get(record.id)
    if fresh is None:
        return record  # --rm was faster, or another rm
    if is_running(fresh):
        raise _Again(Conflict(f"container {record.name} was started again", reason="running"))
    try:
        removal.collect(shop, fresh, volumes=volumes or fresh.pod.spec.extras.remove)
    except Conflict as conflict:
        raise _Again(conflict) from None
    return fresh


def _await_keeper(shop: Shop, record: PodRecord) -> None:
    """A keeper whose pod has ended still gives its things back: let it finish."""
    end = time.monotonic() + _FINISHING
    while time.monotonic() < end:
        found = shop.records.get(record.id)
        if found is None or found.keeper_pid in (0, os.getpid()) or not _keeper_lives(found):
            return
        if is_running(found):
            return
        time.sleep(0.005)


def prune(shop: Shop, chosen: Callable[[PodRecord], bool]) -> list[PodRecord]:
    """Remove everything ``chosen`` that does not run."""
    removed = []
    for record in shop.records.list():
        refresh(record)
        if not chosen(record) or is_running(record) or any(c.state in _LIVE for c in record.containers):
            continue
        try:
            removed.append(remove(shop, record.id, force=False, volumes=False))
        except (Conflict, NotFound):
            continue
    return removed
