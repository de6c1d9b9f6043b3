"""What runs in a container before its command and after it: ``preStart`` and ``postStop``.

Each is the container itself with other words: the same id, spec, root and namespaces. So it is found, entered, stopped and
repaired as the container is, and there is never more than one of them, for overlayfs has no upper directory mounted twice.
``stage`` of the record says which one runs; without one it is the command.
"""

from __future__ import annotations

import time

from lading.errors import LadingError
from lading.node import births, deaths
from lading.node.model import AFTER, BEFORE, RESTARTING, RUNNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.node.runner import PodRunner
    from lading.node.running import Running


def begin(runner: PodRunner, running: Running) -> None:
    """Run preStart. One that cannot be run is a start that failed."""
    error = _launch(runner, running, BEFORE)
    if error is not None:
        births.failed(runner, running, error)
    else:
        runner.sequence.before(running.unit, time.monotonic())


def finish(runner: PodRunner, running: Running) -> None:
    """Run postStop. One that cannot be run changes nothing about how the command ended."""
    error = _launch(runner, running, AFTER)
    if error is not None:
        _over(runner, running, str(error))


def _launch(runner: PodRunner, running: Running, stage: str) -> LadingError | None:
    made, container = running.record, running.container
    words = container.extras.pre_start if stage == BEFORE else container.extras.post_stop
    try:
        births.launch(runner, running, container.replace(command=words, args=[]))
    except LadingError as error:
        return error
    made.state, made.stage = RUNNING, stage
    if stage == BEFORE:
        births.anew(runner, made)
    try:
        runner.write(
            lambda: runner.shop.records.save(runner.record, made), phase=True, now=not runner.started
        )
    except LadingError as error:
        deaths.undo(runner, running)
        return error
    runner.loop.watch(running.pidfd, lambda _events: runner.ended(running))
    return None


def ended(runner: PodRunner, running: Running, code: int | None) -> None:
    """The handler has ended, and been reaped: the command's turn, or the end. ``code`` is None where nobody knows it."""
    made, unit = running.record, running.unit
    stage, made.stage = made.stage, ""
    made.pid = made.pid_start = 0
    if running.streams is not None:
        running.streams.drain()
    deaths.delete(runner, running)
    how = "ended, and nobody learned how, for its keeper was killed" if code is None else f"ended with {code}"
    if stage == AFTER:
        _over(runner, running, f"its postStop {how}" if code else "")
    elif code == 0 and runner.sequence.prepared(unit, time.monotonic()):
        made.state = RESTARTING
        runner.write(lambda: runner.shop.records.save(runner.record, made))
    else:
        how = "was stopped" if code == 0 else how
        error = LadingError(f"container {made.name}: its preStart {how}", reason="pre-start")
        births.failed(runner, running, error)
    runner.turn()


def _over(runner: PodRunner, running: Running, complaint: str) -> None:
    made = running.record
    made.stage = ""
    made.message = made.message or complaint
    again = deaths.count(runner, running)

    def note() -> None:
        runner.shop.records.save(runner.record, made)
        deaths.stage(runner)

    runner.write(note, phase=True)
    if running.streams is not None and not again:
        running.streams.tell_exit(made.exit_code)


def adopt(runner: PodRunner, running: Running) -> None:
    """Go on with a handler whose keeper was killed, or with the postStop that it did not come to."""
    made, now = running.record, time.monotonic()
    if made.stage == BEFORE:
        runner.sequence.before(running.unit, now)
        return
    runner.sequence.after(running.unit, made.exit_code, now)
    if not made.pid:
        finish(runner, running)
