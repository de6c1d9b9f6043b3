"""Carry out one pod's sequence: the half of the keeper that acts.

:class:`~lading.node.sequence.Sequence` decides, this starts and kills, watches pidfds, and writes the records. Everything
happens in the keeper's one thread, from callbacks of its loop.
"""

from __future__ import annotations

import os
import time

from lading.errors import LadingError
from lading.node import prepare, spec
from lading.node.engine import engine_of
from lading.node.logwriter import LogWriter
from lading.node.model import (
    CREATED,
    EXITED,
    MAIN,
    RESTARTING,
    RUNNING,
    Ended,
    NetworkRecord,
    PortRecord,
)
from lading.node.records import REMOVING
from lading.node.restart import parse_policy, pod_policy
from lading.node.sequence import Sequence, Unit
from lading.node.shop import process_start
from lading.node.streams import Streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.formats.oci_runtime import Spec
    from lading.formats.pod import Container
    from lading.network import Attachment, Reserved
    from lading.node.checks import Checks
    from lading.node.engine import Handle
    from lading.node.holder import Holder
    from lading.node.loop import Loop, Timer
    from lading.node.model import ContainerRecord, PodRecord, Stdio
    from lading.node.sequence import Action
    from lading.node.shop import Shop

_SIGKILL = 9
#: SIGHUP, SIGINT, SIGQUIT and SIGTERM: what asks a pod in the foreground to end.
_ENDING = (1, 2, 3, 15)
_THAW_AGAIN = 0.1


class Running:
    """What the keeper holds of one container: its unit, record, streams, and (while it runs) process."""

    __slots__ = ("container", "handle", "pidfd", "record", "spec", "streams", "unit")

    def __init__(self, unit: Unit, container: Container, record: ContainerRecord) -> None:
        self.unit = unit
        self.container = container
        self.record = record
        self.streams: Streams | None = None
        self.handle: Handle | None = None
        self.pidfd = -1
        self.spec: Spec | None = None


class PodRunner:
    """One pod in its keeper. ``on_first`` is called once: when what starts first runs (None) or failed (why).

    What is in ``at_end`` is called when nothing of the pod runs any more and everything it took has been given back.
    """

    def __init__(
        self,
        shop: Shop,
        loop: Loop,
        record: PodRecord,
        *,
        stdio: Stdio | None = None,
        on_first: Callable[[LadingError | None], None] | None = None,
    ) -> None:
        self.shop = shop
        self.loop = loop
        self.record = record
        self.stop_with = 0  # the signal a user stops it by, instead of the container's own
        self.interrupted = 0  # the signal that ended it in the foreground
        self.stdio = stdio
        self.attachment: Attachment | None = None
        self.reserved: Reserved | None = None  # an attachment that the first container's birth completes
        self.holder: Holder | None = None
        self.checks: Checks | None = None
        self.error: LadingError | None = None
        self.finished = False
        self.started = False
        self.size = (0, 0)
        self._on_first = on_first
        self.at_end: list[Callable[[], None]] = []
        self.volumes_too = (
            True  # anonymous ones go with a pod that is removed at its end, unless rm says otherwise
        )
        #: Columns of the pod's row that the next change of its phase writes along.
        self.unsaved: set[str] = set()
        self._staged = False  # the record says that the pod is being removed
        self._timer: Timer | None = None
        self._busy = False
        now = time.monotonic()
        pod = record.pod.spec
        self.running: dict[str, Running] = {}
        units = []
        for (container, kind), made in zip(prepare.containers_of(record.pod), record.containers, strict=True):
            docker = container.extras.restart or "no"
            policy = (
                parse_policy(docker) if record.single else pod_policy(pod.restart_policy, kind, container)
            )
            unit = Unit(container, kind, policy, now, made.restarts)
            units.append(unit)
            self.running[container.name] = Running(unit, container, made)
        grace = float(pod.termination_grace_period_seconds)
        deadline = None
        if pod.active_deadline_seconds is not None:
            deadline = now + pod.active_deadline_seconds
        self.sequence = Sequence(units, grace=grace, deadline=deadline)

    # -- the way in ------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Take the network and start what comes first. Errors go to ``on_first`` and end the pod."""
        try:
            self._open_pod()
        except (LadingError, OSError) as caught:
            error = _as_ours(caught) if isinstance(caught, OSError) else caught
            self._first(error)
            self.record.message = str(error)
            self.sequence.failed = True
            self.sequence.stop(time.monotonic(), reason="SandboxFailed")
        self.turn()

    def _open_pod(self) -> None:
        from lading.node import sandbox

        sandbox.open_pod(self)

    def turn(self) -> None:
        """Carry out what the sequence wants now, and come back when it wants to be asked again."""
        if self._busy or self.finished:
            return  # an action's own consequence: the loop below asks once more anyway
        self._busy = True
        try:
            while True:
                now = time.monotonic()
                actions = self.sequence.actions(now)
                if not actions:
                    break
                for action in actions:
                    self._act(action)
        finally:
            self._busy = False
        if self.started:
            self._first(None)  # with all that start together, so that whoever waited finds each of them
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.sequence.done:
            self._end()
            return
        wake = self.sequence.wake(time.monotonic())
        if wake is not None:
            self._timer = self.loop.at(wake, self.turn)

    def _act(self, action: Action) -> None:
        running = self.running[action.unit.name]
        verb = action.verb
        if verb == "start":
            self._start(running)
        elif verb == "terminate":
            self.signal(running, self._stop_signal(running.container))
        elif verb == "kill":
            self.signal(running, _SIGKILL)
        elif verb == "probe":
            assert action.probe is not None
            self.checking.probe(running, action.probe)
        else:
            self.checking.hook(running, verb)

    @property
    def checking(self) -> Checks:
        """Probes, hooks and health checks; most containers have none."""
        if self.checks is None:
            from lading.node.checks import Checks

            self.checks = Checks(self)
        return self.checks

    def _stop_signal(self, container: Container) -> int:
        if self.stop_with:
            return self.stop_with
        lifecycle = container.lifecycle
        name = container.extras.stop_signal or (lifecycle.stop_signal if lifecycle is not None else "")
        if not name:
            return 15
        from lading.formats import signals

        return signals.number(name)

    def signal(self, running: Running, number: int) -> None:
        """Send a signal to a container's first process; nothing when it has ended."""
        if running.pidfd >= 0:
            try:
                self.shop.kernel.pidfd_send_signal(running.pidfd, number)
            except LadingError:
                pass
            if number == _SIGKILL:
                self._let_die(running, running.record.pid)

    def _let_die(self, running: Running, pid: int) -> None:
        """Thaw what was killed, again and again: commands freeze and thaw without asking us, before and after a kill."""
        if running.record.pid != pid or running.pidfd < 0 or running.handle is None:
            return
        from lading.node.freezing import let_run

        let_run(self.shop, self.record, running.record)
        self.loop.after(_THAW_AGAIN, lambda: self._let_die(running, pid))

    # -- one container ---------------------------------------------------------------------------------------------

    def _start(self, running: Running) -> None:
        made = running.record
        try:
            self._launch(running)
        except LadingError as error:
            self._start_failed(running, error)
            return
        self.started = True
        if made.finished and not self.record.single:
            made.last = Ended(
                exit_code=made.exit_code,
                reason=made.reason,
                message=made.message or made.error,
                started=made.started,
                finished=made.finished,
            )
        made.state = RUNNING
        made.started = time.time()
        made.finished = 0.0
        made.exit_code = 0
        made.oom_killed = False
        made.error = made.reason = made.message = ""
        made.restarts = running.unit.restarts.count
        check = running.container.extras.healthcheck
        health = check is not None and bool(check.test) and check.test != ["NONE"]
        made.health = "starting" if health else ""
        self.sequence.started(running.unit, time.monotonic())
        note_readiness(self.record, running)
        with self.shop.records.database:
            self.shop.records.save(self.record, made, "start")
            self._save_phase()
        self.loop.watch(running.pidfd, lambda _events: self.ended(running))
        if health and check is not None:
            self.checking.watch_health(running, check)

    def _launch(self, running: Running) -> None:
        try:
            ready = prepare.surroundings(
                self.shop, self.record, running.record, running.container, self.attachment
            )
            try:
                self._give_birth(running, ready)
            finally:
                ready.around.close()
        except OSError as error:
            raise _as_ours(error) from None

    def _give_birth(self, running: Running, ready: prepare.Ready) -> None:
        made, container = running.record, running.container
        shop = self.shop
        from lading.node import sandbox

        sandbox.join(self, running, ready.around)
        running.spec = spec.build(self.record.pod, container, ready.run_config, ready.around)
        if container.tty and self.size != (0, 0) and running.spec.process is not None:
            from lading.formats.oci_runtime import Box

            # Before its first instruction: a program may ask once and never again.
            running.spec.process.console_size = Box(height=self.size[0], width=self.size[1])
        streams = self.streams_of(running)
        from lading.runtime import RunRequest
        from lading.runtime import Stdio as RuntimeStdio

        try:
            request = RunRequest(
                made.id,
                running.spec,
                shop.container_directory(self.record, made),
                rootfs=ready.rootfs,
                stdio=RuntimeStdio(*streams.open()),
                profile=ready.around.profile,
                meanwhile=None if self.reserved is None else self._furnish_network,
            )
            handle: Handle = engine_of(shop, self.record).run(request)
        except BaseException:
            streams.discard()
            raise
        running.handle = handle
        running.pidfd = handle.pidfd
        made.pid = handle.pid
        made.pid_start = handle.start_time
        streams.begin(handle.console)

    def _furnish_network(self, pid: int) -> None:
        from lading.node import podnetwork

        podnetwork.furnish(self, pid)

    def _streams(self, running: Running) -> Streams:
        container = running.container
        log = LogWriter(self.shop.log_path(self.record, running.record))
        stdio = self.stdio if running.unit.kind == MAIN else None
        return Streams(
            self.loop,
            log,
            tty=container.tty,
            stdin=container.stdin or container.extras.open_stdin,
            once=container.stdin_once,
            stdio=stdio,
        )

    def streams_of(self, running: Running) -> Streams:
        """The container's streams, also before its first start (to attach early)."""
        if running.streams is None:
            directory = self.shop.container_directory(self.record, running.record)
            os.makedirs(directory, 0o711, exist_ok=True)
            running.streams = self._streams(running)
        return running.streams

    def _start_failed(self, running: Running, error: LadingError) -> None:
        made = running.record
        made.exit_code = error.exit_status
        made.error = made.message = str(error)
        made.reason = "StartError"
        made.finished = time.time()
        made.pid = made.pid_start = 0
        self.error = error
        self.sequence.exited(running.unit, error.exit_status, time.monotonic(), by_user=self.record.single)
        again = running.unit.due is not None and not self.sequence.stopping
        made.state = RESTARTING if again else EXITED
        self.shop.records.save(
            self.record, made, "die", {"exitCode": str(error.exit_status), "error": str(error)}
        )
        if not self.started:
            if again and not error.hint:
                error.hint = f"it is tried again until `lading pod rm -f {self.record.name}`"
            self._first(error)

    def on_first(self, call: Callable[[LadingError | None], None]) -> None:
        """Have ``call`` called when the first start worked or failed."""
        self._on_first = call

    def _first(self, error: LadingError | None) -> None:
        if self._on_first is not None:
            call, self._on_first = self._on_first, None
            call(error)

    def ended(self, running: Running) -> None:
        """The container's first process has ended: reap it and write that down before anything else."""
        made = running.record
        pid = made.pid
        try:
            status = os.waitpid(pid, 0)[1]
            code = os.waitstatus_to_exitcode(status)
            code = code if code >= 0 else 128 - code
        except ChildProcessError:
            # Adopted from a keeper that died: only its parent could have learned the status.
            code = 255
            made.reason = "KeeperLost"
        self.loop.forget(running.pidfd)
        os.close(running.pidfd)
        running.pidfd = -1
        made.exit_code = code
        made.finished = time.time()
        made.oom_killed = code == 137 and self._oom_killed(running)
        made.pid = made.pid_start = 0
        made.ready = made.up = False
        made.health = ""
        if made.reason != "KeeperLost":
            made.reason = "OOMKilled" if made.oom_killed else ("Completed" if code == 0 else "Error")
        with self.shop.records.database:
            # What commands may have changed without asking the keeper.
            current = self.shop.records.database.query(
                "SELECT stopped, name FROM pods WHERE id = ?", (self.record.id,)
            )
            by_user = bool(current and current[0][0])
            if current:
                self.record.name = current[0][1]
            self.record.stopped = by_user or self.record.stopped
            self.sequence.exited(running.unit, code, time.monotonic(), by_user=by_user)
            again = running.unit.due is not None and not self.sequence.stopping
            made.state = RESTARTING if again else EXITED
            self.shop.records.save(self.record, made, "die", {"exitCode": str(code)})
            if made.oom_killed:
                self.shop.records.event(self.record, "oom", {}, made)
            self._save_phase()
            self._staged = self.record.single and self.record.pod.spec.extras.remove and not again
            if self._staged:
                self.shop.records.stage(self.record.id, REMOVING)
        if self.checks is not None:
            self.checks.forget(running)
        if running.streams is not None:
            running.streams.drain()
        if not self.record.single:
            self._termination_message(running)
        self._delete(running)
        if running.streams is not None and not again:
            running.streams.tell_exit(code)
        self.turn()

    def _oom_killed(self, running: Running) -> bool:
        handle = running.handle
        if handle is None:
            return False
        try:
            return handle.group.oom_kills() > 0
        except (LadingError, OSError):
            return False

    def _delete(self, running: Running) -> None:
        if running.handle is None:
            return
        try:
            running.handle.delete(force=True)
        except LadingError as error:
            running.record.message = running.record.message or f"cleaning up: {error}"
        running.handle = None

    def _termination_message(self, running: Running) -> None:
        from lading.node import sandbox

        message = sandbox.termination_message(self, running)
        if message and message != running.record.message:
            running.record.message = message
            self.shop.records.save(self.record, running.record)

    def _save_phase(self) -> None:
        phase = self.sequence.phase
        if phase != self.record.phase:
            self.record.phase = phase
            self.unsaved.add("phase")
        if self.unsaved:
            self.shop.records.update(self.record, *sorted(self.unsaved))
            self.unsaved.clear()

    # -- from outside ----------------------------------------------------------------------------------------------

    def interrupt(self, number: int) -> None:
        """A signal that the foreground process got is the main container's; of a pod it is the end, and a second one at once.

        Which of a pod's containers it would be meant for nobody can know, and its init containers may be at work.
        """
        if not self.record.single and number in _ENDING:
            self.interrupted = self.interrupted or number
            self.stop(0.0 if self.sequence.stopping else None)
            return
        for running in self.running.values():
            if running.unit.kind == MAIN:
                self.signal(running, number)

    def stop(self, grace: float | None = None, signal: int = 0) -> None:
        """A user wants it to end, by ``signal`` if that is not 0."""
        self.stop_with = signal
        self.record.stopped = True
        self.shop.records.update(self.record, "stopped")
        self.sequence.stop(time.monotonic(), grace, "stopped")
        self.turn()

    @property
    def exit_code(self) -> int:
        """The first failure among the main containers, or 0."""
        for running in self.running.values():
            if running.unit.kind == MAIN and running.unit.exit_code:
                return running.unit.exit_code
        if self.interrupted and not self.sequence.initialized:
            return 128 + self.interrupted
        return 1 if self.sequence.failed and not self.record.single else 0

    # -- the end ---------------------------------------------------------------------------------------------------

    def _end(self) -> None:
        """Give everything back. Each step can be done again: a kill in the middle leaves work for ``check --repair``."""
        if self.finished:
            return
        self.finished = True
        from lading.node import sandbox

        for running in self.running.values():
            if running.streams is not None:
                running.streams.tell_exit(running.unit.exit_code)
                running.streams.log.close(time.time_ns())
                running.streams = None
            if running.record.state in (RESTARTING, CREATED) and not self.record.single:
                running.record.state = EXITED
                self.shop.records.save(self.record, running.record)
        if not self.record.single:
            from lading.node import membership

            membership.ask_to_stop(self.shop, self.record)
        sandbox.close_pod(self)
        record = self.record
        record.phase = self.sequence.phase
        record.reason = record.reason or self.sequence.reason
        record.keeper_pid = record.keeper_start = 0
        record.keeper_socket = ""
        if record.pod.spec.extras.remove:
            from lading.node import remove

            remove.collect(self.shop, record, volumes=self.volumes_too, staged=self._staged)
        else:
            self.shop.records.update(
                record, "phase", "reason", "message", "keeper_pid", "keeper_start", "keeper_socket"
            )
        for call in list(self.at_end):
            call()


def _as_ours(error: OSError) -> LadingError:
    """What the kernel said of a file (a full disk, a volume's path that is no directory), as one line of ours.

    Past here it would end the keeper of a pod, and of all pods where the keeper has more than one.
    """
    where = f"{error.filename}: " if error.filename else ""
    return LadingError(f"{where}{error.strerror or error}")


def note_readiness(record: PodRecord, running: Running) -> bool:
    """Copy what the probes and hooks say into the container's record. True when that changed it."""
    made, unit = running.record, running.unit
    before = made.ready, made.up
    made.ready = unit.ready
    made.up = unit.up and not record.single
    if made.ready != before[0] and not record.single:
        made.turned = time.time()
    return before != (made.ready, made.up)


def note_network(record: PodRecord, attachment: Attachment) -> None:
    """Copy what the network gave into the pod's record."""
    record.networks = []
    for interface in attachment.interfaces:
        made = NetworkRecord(name=interface.network, interface=interface.name, mac=interface.mac)
        for address, gateway in zip(interface.addresses, [*interface.gateways, "", ""], strict=False):
            plain, _, length = address.partition("/")
            if ":" in plain:
                made.ipv6, made.ipv6_prefix, made.gateway6 = plain, int(length or 128), gateway
            else:
                made.ipv4, made.ipv4_prefix, made.gateway4 = plain, int(length or 32), gateway
        record.networks.append(made)
    record.ports = [
        PortRecord(port=p.container_port, protocol=p.protocol, host_ip=p.host_ip, host_port=p.host_port)
        for p in attachment.ports
    ]


__all__ = ["PodRunner", "Running", "note_network", "note_readiness", "process_start"]
