"""What happens when a container ends, and when its pod does: each is written down before anything else is done about it."""

from __future__ import annotations

import os
import time

from lading.errors import Conflict, LadingError
from lading.node.ledger import AGAIN, PASSING
from lading.node.model import AFTER, CREATED, EXITED, RESTARTING
from lading.node.records import REMOVING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.node.runner import PodRunner
    from lading.node.running import Running

#: Seconds for init to take note of a process that has ended.
_REAPING = 5.0


def ended(runner: PodRunner, running: Running, until: float = 0.0) -> None:
    """The container's first process has ended: reap it and write that down before anything else.

    ``until``: how long to wait for who reaps it in our place.
    """
    made = running.record
    status, final = _status(runner, running)
    if not final and (not until or time.monotonic() < until):
        until = until or time.monotonic() + _REAPING
        runner.loop.forget(running.pidfd)
        runner.loop.after(_REAPING / 100, lambda: ended(runner, running, until))
        return
    code = 255 if status is None else os.waitstatus_to_exitcode(status)
    code = code if code >= 0 else 128 - code
    if running.instead:
        code, running.instead = (128 + running.instead if code == 137 else code), 0
    runner.loop.forget(running.pidfd)
    os.close(running.pidfd)
    running.pidfd = -1
    if made.stage:
        from lading.node import handlers

        handlers.ended(runner, running, None if status is None else code)
        return
    if status is None:
        made.reason = "KeeperLost"
    made.exit_code = code
    made.finished = time.time()
    made.oom_killed = code == 137 and _oom_killed(runner, running)
    made.pid = made.pid_start = 0
    made.ready = made.up = False
    made.health = ""
    if made.reason != "KeeperLost":
        made.reason = "OOMKilled" if made.oom_killed else ("Completed" if code == 0 else "Error")
    after = bool(running.container.extras.post_stop)
    after = after and runner.sequence.after(running.unit, code, time.monotonic())
    if after:
        made.state, made.stage = RESTARTING, AFTER
    again = after or count(runner, running)

    def note() -> None:
        records = runner.shop.records
        records.save(runner.record, made, "die", {"exitCode": str(code)})
        if made.oom_killed:
            records.event(runner.record, "oom", {}, made)
        stage(runner)

    runner.write(note, phase=True)
    if runner.checks is not None:
        runner.checks.forget(running)
    if running.streams is not None:
        running.streams.drain()
    if not runner.record.single:
        _termination_message(runner, running)
    delete(runner, running)
    if running.streams is not None and not again:
        running.streams.tell_exit(code)
    if after:
        from lading.node import handlers

        handlers.finish(runner, running)
    runner.turn()


def count(runner: PodRunner, running: Running) -> bool:
    """Tell the sequence that the container has ended, and say in the record what follows: whether it starts again."""
    made = running.record
    by_user = _stopped(runner)
    runner.sequence.exited(running.unit, made.exit_code, time.monotonic(), by_user=by_user)
    again = running.unit.due is not None and not runner.sequence.stopping
    made.state = RESTARTING if again else EXITED
    runner.staged = runner.record.single and runner.record.pod.spec.extras.remove and not again
    return again


def stage(runner: PodRunner) -> None:
    """Write down that the pod is being removed, when it goes with its container."""
    if runner.staged:
        runner.shop.records.stage(runner.record.id, REMOVING)


def _status(runner: PodRunner, running: Running) -> tuple[int | None, bool]:
    """The wait status of a process that has ended, if anybody can tell; and whether that will not change."""
    try:
        return os.waitpid(running.record.pid, 0)[1], True
    except ChildProcessError:
        pass
    # Adopted from a keeper that was killed, so init is its parent. What it learns of the end, newer kernels keep for us.
    try:
        status = runner.shop.kernel.pidfd_exit_status(running.pidfd)
    except LadingError:
        return None, True
    return status, status is not None


def _stopped(runner: PodRunner) -> bool:
    """Whether a user wants it to end; with the pod's name, that is what commands change without asking the keeper."""
    try:
        current = runner.shop.records.database.query(
            "SELECT stopped, name FROM pods WHERE id = ?", (runner.record.id,)
        )
    except PASSING:
        return runner.record.stopped
    if current:
        runner.record.name = current[0][1]
    by_user = bool(current and current[0][0])
    runner.record.stopped = by_user or runner.record.stopped
    return by_user


def undo(runner: PodRunner, running: Running) -> None:
    """End and forget a container that has just been born."""
    pid = running.record.pid
    delete(runner, running)
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass
    os.close(running.pidfd)
    running.pidfd = -1
    if running.streams is not None:
        running.streams.discard()


def _oom_killed(runner: PodRunner, running: Running) -> bool:
    handle = running.handle
    if handle is None:
        return False
    try:
        return handle.group.oom_kills() > 0
    except (LadingError, OSError):
        return False


def delete(runner: PodRunner, running: Running) -> None:
    """Have the engine forget a container that has ended, and what is left in its control group."""
    if running.handle is None:
        return
    try:
        running.handle.delete(force=True)
    except (LadingError, OSError) as error:
        running.record.message = running.record.message or f"cleaning up: {error}"
    running.handle = None


def _termination_message(runner: PodRunner, running: Running) -> None:
    from lading.node import termination

    message = termination.message(runner, running)
    if message and message != running.record.message:
        running.record.message = message
        runner.write(lambda: runner.shop.records.save(runner.record, running.record))


def end(runner: PodRunner) -> None:
    """Give everything back. Each step can be done again: a kill in the middle leaves work for ``check --repair``."""
    if runner.ending:
        return
    runner.ending = True
    for running in runner.running.values():
        if running.streams is not None:
            running.streams.tell_exit(running.unit.exit_code)
            running.streams.log.close(time.time_ns())
            if running.streams.outlet is not None:
                running.streams.outlet.stop()
                runner.outlets.append(running.streams.outlet)
            running.streams = None
        made = running.record
        if made.state in (RESTARTING, CREATED) and not runner.record.single:
            made.state = EXITED
            runner.write(lambda made=made: runner.shop.records.save(runner.record, made))  # type: ignore[misc]
    if not runner.record.single:
        from lading.node import membership

        membership.ask_to_stop(runner.shop, runner.record)
    if runner.companions is not None:
        runner.companions.end(lambda: _give_back(runner))
    else:
        _give_back(runner)


def _give_back(runner: PodRunner) -> None:
    """The pod's last program has ended, and so has what served it."""
    from lading.node import sandbox

    runner.companions = None
    sandbox.close_pod(runner)
    record = runner.record
    record.phase = runner.sequence.phase
    record.reason = record.reason or runner.sequence.reason
    _let_go(runner)


def _let_go(runner: PodRunner) -> None:
    """Forget the pod, or that we keep it, once all else is written."""
    record, later = runner.record, runner.owes
    try:
        if later:
            pass
        elif record.pod.spec.extras.remove:
            from lading.node import remove

            remove.collect(runner.shop, record, volumes=runner.volumes_too, staged=runner.staged)
        else:
            record.keeper_pid = record.keeper_start = 0
            record.keeper_socket = ""
            runner.shop.records.update(
                record, "phase", "reason", "message", "keeper_pid", "keeper_start", "keeper_socket"
            )
    except PASSING:
        if runner.stdio is not None:
            raise
        later = True
    if later:
        runner.loop.after(AGAIN, lambda: _let_go(runner))
        return
    runner.finished = True
    if runner.stdio is None:  # in the foreground, what ended it is told by the exit code
        runner.first(Conflict(f"{record.name} was stopped before it had started", reason="stopped"))
    for call in list(runner.at_end):
        call()
