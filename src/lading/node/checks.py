"""Probes, lifecycle hooks and health checks: run beside the containers, answered to the sequence.

Each is a child process with a deadline; the keeper never waits for one.
"""

from __future__ import annotations

import os
import time

from lading.errors import LadingError
from lading.node import aside, probing
from lading.node.health import HealthState
from lading.node.running import note_readiness
from lading.node.shop import alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.formats.pod import (
        GRPCAction,
        Healthcheck,
        HTTPGetAction,
        LifecycleHandler,
        TCPSocketAction,
    )
    from lading.node.health import ProbeState
    from lading.node.loop import Timer
    from lading.node.runner import PodRunner
    from lading.node.running import Running

    Done = Callable[[bool, str], None]

_OUTPUT = 4096
_HEALTH_LOG = 5
_HOOKS = {"post_start": "postStart", "pre_stop": "preStop"}
#: A hook without limit of its own; the grace period ends the container anyway.
_HOOK_LIMIT = 24 * 3600.0


class Task:
    """A child (:mod:`lading.node.aside`) that answers by its exit code; ``pipe`` carries what it says."""

    def __init__(
        self, checks: Checks, owner: Running, pid: int, pidfd: int, pipe: int, timeout: float, done: Done
    ) -> None:
        self.checks = checks
        self.owner = owner
        self.pid = pid
        self.pidfd = pidfd
        self.pipe = pipe
        self.done = done
        self.output = b""
        loop = checks.runner.loop
        os.set_blocking(pipe, False)
        loop.watch(pidfd, lambda _events: self._ended())
        loop.watch(pipe, self._readable)
        self.timer = loop.after(timeout, self._timed_out)
        self.late = False

    def _readable(self, _events: int) -> None:
        self._read()

    def _read(self) -> bool:
        try:
            data = os.read(self.pipe, _OUTPUT)
        except BlockingIOError:
            return False
        if not data:
            self.checks.runner.loop.forget(self.pipe)
            return False
        if len(self.output) < _OUTPUT:
            self.output += data
        return True

    def _timed_out(self) -> None:
        self.late = True
        self.kill()

    def kill(self) -> None:
        """End the child, which ends what it started; its answer is then a failure."""
        os.kill(self.pid, aside.SIGTERM)

    def _ended(self) -> None:
        loop = self.checks.runner.loop
        self.timer.cancel()
        # Not more than is kept: what it left behind in the container may write as fast as we read.
        while len(self.output) < _OUTPUT and self._read():
            pass
        loop.forget(self.pidfd)
        loop.forget(self.pipe)
        os.close(self.pidfd)
        os.close(self.pipe)
        status = os.waitpid(self.pid, 0)[1]
        self.checks.tasks.discard(self)
        text = self.output[:_OUTPUT].decode("utf-8", "replace")
        if self.late:
            text = f"timed out: {text}" if text else "timed out"
        self.done(status == 0 and not self.late, text)


class Checks:
    """All of one pod's."""

    def __init__(self, runner: PodRunner) -> None:
        self.runner = runner
        self.tasks: set[Task] = set()
        self.health: dict[str, HealthState] = {}
        self._timers: dict[str, Timer] = {}

    # -- running one -----------------------------------------------------------------------------------------------

    def _exec(self, running: Running, command: list[str], timeout: float, done: Done) -> None:
        """Run a command in the container."""
        handle, own = running.handle, running.spec
        if handle is None or own is None or own.process is None:
            done(False, "the container is not running")
            return
        process = own.process.replace(args=list(command), terminal=False)
        kernel = self.runner.shop.kernel
        read = write = -1
        try:
            read, write = os.pipe2(os.O_CLOEXEC)
            pid = aside.execute(kernel, handle, process, write)
            pidfd = kernel.pidfd_open(pid)
        except (LadingError, OSError) as error:
            if read >= 0:
                os.close(read)
            text = str(error)
            self._later(lambda: done(False, text))
            return
        finally:
            if write >= 0:
                os.close(write)
        self.tasks.add(Task(self, running, pid, pidfd, read, timeout, done))

    def _network(
        self,
        running: Running,
        action: HTTPGetAction | TCPSocketAction | GRPCAction,
        timeout: float,
        done: Done,
        *,
        judge: bool = True,
    ) -> None:
        attachment = self.runner.attachment
        address, namespace, opened = "", -1, -1
        try:
            if attachment is not None:
                address, namespace = attachment.address, attachment.namespace
            elif running.record.pid:
                opened = namespace = os.open(f"/proc/{running.record.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            kernel = self.runner.shop.kernel
            made = probing.start(kernel, action, running.container, address, namespace, timeout, judge=judge)
            pidfd = kernel.pidfd_open(made.pid)
        except (LadingError, OSError) as error:
            text = str(error)
            self._later(lambda: done(False, text))
            return
        finally:
            if opened >= 0:
                os.close(opened)
        self.tasks.add(Task(self, running, made.pid, pidfd, made.pipe, timeout, done))

    def _later(self, call: Callable[[], None]) -> None:
        """Answers come from the loop, never from within the action that asked."""
        self.runner.loop.after(0.0, call)

    # -- probes ----------------------------------------------------------------------------------------------------

    def probe(self, running: Running, state: ProbeState) -> None:
        """Run one probe and tell the sequence."""
        if _is_paused(running):
            # Who paused it does not want it restarted for being silent.
            state.skip(time.monotonic())
            return
        probe = state.probe
        pid = running.record.pid

        def done(success: bool, text: str) -> None:
            self._probed(running, state, pid, success, text)

        timeout = float(max(1, probe.timeout_seconds))
        if probe.exec is not None:
            self._exec(running, probe.exec.command, timeout, done)
            return
        action = probe.http_get or probe.tcp_socket or probe.grpc
        assert action is not None  # admission saw to it
        self._network(running, action, timeout, done)

    def _probed(self, running: Running, state: ProbeState, pid: int, success: bool, text: str) -> None:
        if running.record.pid != pid:
            return  # the answer concerns a container that has ended meanwhile
        runner = self.runner
        sequence, unit = runner.sequence, running.unit
        if sequence.probed(unit, state, success, time.monotonic()):
            made = running.record
            note_readiness(runner.record, running)
            action = ""
            if unit.stop_reason == "Unhealthy":
                made.message = f"{state.kind} probe failed: {text.strip()[:500]}"
                action = "unhealthy"
            said = {"probe": state.kind} if action else None
            runner.write(lambda: runner.shop.records.save(runner.record, made, action, said))
        runner.turn()

    # -- hooks -----------------------------------------------------------------------------------------------------

    def hook(self, running: Running, verb: str) -> None:
        """Run a postStart or preStop hook; its container waits for it."""
        lifecycle = running.container.lifecycle
        assert lifecycle is not None
        handler = lifecycle.post_start if verb == "post_start" else lifecycle.pre_stop
        assert handler is not None
        unit = running.unit
        pid = running.record.pid

        def done(success: bool, text: str) -> None:
            if running.record.pid != pid:
                return  # its container has ended, and the next one waits for a hook of its own
            runner = self.runner
            if unit.alive:
                runner.sequence.hook_done(unit, verb, success, time.monotonic())
            changed = note_readiness(runner.record, running)
            if not success:
                running.record.message = f"{_HOOKS[verb]} hook failed: {text.strip()[:500]}"
            if changed or not success:
                runner.write(lambda: runner.shop.records.save(runner.record, running.record))
            runner.turn()

        self._handle(running, handler, done)

    def _handle(self, running: Running, handler: LifecycleHandler, done: Done) -> None:
        if handler.exec is not None:
            self._exec(running, handler.exec.command, _HOOK_LIMIT, done)
        elif handler.sleep is not None:
            self.runner.loop.after(float(handler.sleep.seconds), lambda: done(True, ""))
        else:
            action = handler.http_get or handler.tcp_socket
            assert action is not None
            # As in the kubelet: a hook has succeeded when the server answered, whatever it thought of the request.
            self._network(running, action, 30.0, done, judge=False)

    # -- Docker's health check -------------------------------------------------------------------------------------

    def watch_health(self, running: Running, check: Healthcheck) -> None:
        """Check a container's health from now until it ends."""
        self.health[running.unit.name] = HealthState(check, time.monotonic())
        self._arm(running)

    def _arm(self, running: Running) -> None:
        state = self.health.get(running.unit.name)
        if state is not None:
            self._timers[running.unit.name] = self.runner.loop.at(state.due, lambda: self._check(running))

    def _check(self, running: Running) -> None:
        state = self.health.get(running.unit.name)
        if state is None or running.handle is None:
            return
        if _is_paused(running):
            state.skip(time.monotonic())
            self._arm(running)
            return
        test = state.check.test
        command = ["/bin/sh", "-c", " ".join(test[1:])] if test[0] == "CMD-SHELL" else list(test[1:])
        state.begin()
        started = time.time()

        def done(success: bool, text: str) -> None:
            if self.health.get(running.unit.name) is not state:
                return
            changed = state.finish(success, time.monotonic())
            made = running.record
            made.health = state.status
            entry: object = {
                "start": started,
                "end": time.time(),
                "exitCode": 0 if success else 1,
                "output": text,
            }
            made.health_log = [*made.health_log, entry][-_HEALTH_LOG:]
            if alive(made.pid, made.pid_start):
                action = f"health_status: {state.status}" if changed else ""
                runner = self.runner
                runner.write(lambda: runner.shop.records.save(runner.record, made, action))
            self._arm(running)

        self._exec(running, command, state.check.timeout, done)

    def forget(self, running: Running) -> None:
        """The container has ended: so does everything that looks at it."""
        self.health.pop(running.unit.name, None)
        timer = self._timers.pop(running.unit.name, None)
        if timer is not None:
            timer.cancel()
        for task in list(self.tasks):
            if task.owner is running:
                task.kill()


def _is_paused(running: Running) -> bool:
    """Whether a command has paused the container: commands do so without asking its keeper."""
    try:
        return running.handle is not None and running.handle.group.frozen()
    except (LadingError, OSError):
        return False
