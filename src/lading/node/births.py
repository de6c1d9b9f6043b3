"""Starting one container: everything it needs is made, it is born, and that is written down."""

from __future__ import annotations

import time

from lading.errors import LadingError
from lading.node import deaths, prepare, spec
from lading.node.engine import engine_of
from lading.node.model import EXITED, RESTARTING, RUNNING, Ended
from lading.node.running import note_readiness

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.pod import Container
    from lading.node.handle import Handle
    from lading.node.model import ContainerRecord
    from lading.node.runner import PodRunner
    from lading.node.running import Running


def start(runner: PodRunner, running: Running) -> None:
    """Start a container. A failure is written down as its end, and told to who waits for the pod's first start."""
    made = running.record
    if running.container.extras.pre_start and not running.unit.prepared:
        from lading.node import handlers

        handlers.begin(runner, running)
        return
    try:
        launch(runner, running, running.container)
    except LadingError as error:
        failed(runner, running, error)
        return
    made.state, made.stage = RUNNING, ""
    anew(runner, made)
    made.restarts = running.unit.restarts.count
    if not runner.record.single and not (made.restarts and made.first):
        made.first = made.started
    check = running.container.extras.healthcheck
    health = check is not None and bool(check.test) and check.test != ["NONE"]
    made.health = "starting" if health else ""
    runner.sequence.started(running.unit, time.monotonic())
    note_readiness(runner.record, running)
    try:
        runner.write(
            lambda: runner.shop.records.save(runner.record, made, "start"), phase=True, now=not runner.started
        )
    except LadingError as error:
        # Nobody has been told of it yet: better not begun than running behind the records' back.
        deaths.undo(runner, running)
        failed(runner, running, error)
        return
    runner.started = True
    runner.loop.watch(running.pidfd, lambda _events: runner.ended(running))
    if health and check is not None:
        runner.checking.watch_health(running, check)


def anew(runner: PodRunner, made: ContainerRecord) -> None:
    """A new run begins in the record; a pod's remembers how the one before ended."""
    if made.finished and not runner.record.single:
        made.last = Ended(
            exit_code=made.exit_code,
            reason=made.reason,
            message=made.message or made.error,
            started=made.started,
            finished=made.finished,
        )
    made.started = time.time()
    made.finished = 0.0
    made.exit_code = 0
    made.oom_killed = False
    made.error = made.reason = made.message = ""


def launch(runner: PodRunner, running: Running, container: Container) -> None:
    """Give birth to ``container``: the running one, or that with other words for its command."""
    try:
        ready = prepare.surroundings(runner.shop, runner.record, running.record, container, runner.attachment)
        try:
            _give_birth(runner, running, container, ready)
        finally:
            ready.around.close()
    except OSError as error:
        raise as_ours(error) from None


def _give_birth(runner: PodRunner, running: Running, container: Container, ready: prepare.Ready) -> None:
    made = running.record
    shop = runner.shop
    from lading.node import sandbox

    sandbox.join(runner, running, ready.around)
    running.spec = spec.build(runner.record.pod, container, ready.run_config, ready.around)
    if runner.companions is not None:
        runner.companions.add_to(running.spec)
    elif runner.record.pod.spec.extras.pod:
        from lading.node import companions

        companions.lend(shop, runner.record.pod.spec.extras.pod, running.spec)
    if runner.record.users:
        from lading.node import podusers

        podusers.enter(runner, container, running.spec, ready.around)
        ready.rootfs = ready.rootfs.replace(mapped=True)
    sockets: list[int] = []
    if runner.listening is not None and container is running.container:
        sockets = runner.listening.hand_to(container, running.spec)
    if container.tty and runner.size != (0, 0) and running.spec.process is not None:
        from lading.formats.oci_runtime import Box

        # Before its first instruction: a program may ask once and never again.
        running.spec.process.console_size = Box(height=runner.size[0], width=runner.size[1])
    streams = runner.streams_of(running)
    made.pipes = []
    from lading.runtime import RunRequest
    from lading.runtime import Stdio as RuntimeStdio

    def furnish(pid: int) -> None:
        from lading.node import podnetwork

        podnetwork.furnish(runner, pid)

    try:
        stdio = RuntimeStdio(*streams.open())
        if runner.record.users:
            podusers.give_pipes(stdio, runner.record.users)
        request = RunRequest(
            made.id,
            running.spec,
            shop.container_directory(runner.record, made),
            rootfs=ready.rootfs,
            stdio=stdio,
            profile=ready.around.profile,
            sockets=sockets,
            make_cwd=not container.extras.must_have_directory,
            make_way=container.extras.make_way,
            meanwhile=None if runner.reserved is None else furnish,
        )
        handle: Handle = engine_of(shop, runner.record).run(request)
    except BaseException:
        streams.discard()
        raise
    running.handle = handle
    running.pidfd = handle.pidfd
    made.pid = handle.pid
    made.pid_start = handle.start_time
    made.pipes = streams.pipes()
    streams.begin(handle.console)


def as_ours(error: OSError) -> LadingError:
    """What the kernel said of a file (a full disk, a volume's path that is no directory), as one line of ours.

    Past here it would end the keeper of a pod, and of all pods where the keeper has more than one.
    """
    where = f"{error.filename}: " if error.filename else ""
    return LadingError(f"{where}{error.strerror or error}")


def failed(runner: PodRunner, running: Running, error: LadingError) -> None:
    """Write a start that failed down as the container's end, and tell who waits for the pod's first start."""
    made = running.record
    made.exit_code = error.exit_status
    made.error = made.message = str(error)
    made.reason = "StartError"
    made.finished = time.time()
    made.pid = made.pid_start = 0
    runner.error = error
    runner.sequence.exited(running.unit, error.exit_status, time.monotonic(), by_user=runner.record.single)
    again = running.unit.due is not None and not runner.sequence.stopping
    made.state = RESTARTING if again else EXITED
    said = {"exitCode": str(error.exit_status), "error": str(error)}
    runner.write(lambda: runner.shop.records.save(runner.record, made, "die", said))
    if not runner.started:
        if again and not error.hint:
            error.hint = f"it is tried again until `lading pod rm -f {runner.record.name}`"
        runner.first(error)
