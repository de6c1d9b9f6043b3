"""Carry out one pod's sequence: the half of the keeper that acts.

:class:`~lading.node.sequence.Sequence` decides, this starts and kills, watches pidfds, and writes the records. Everything
happens in the keeper's one thread, from callbacks of its loop.
"""

from __future__ import annotations

import os
import time

from lading.errors import LadingError
from lading.node import births, deaths, prepare
from lading.node.ledger import Ledger
from lading.node.logwriter import MAX_FILES, MAX_SIZE, LogWriter
from lading.node.model import EXITED, MAIN, PAUSED, RUNNING
from lading.node.restart import parse_policy, pod_policy
from lading.node.running import Running, stop_signal
from lading.node.sequence import Sequence, Unit
from lading.node.streams import Streams
from lading.roots import keep_private

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.network import Attachment, Reserved
    from lading.node.checks import Checks
    from lading.node.companions import Companions
    from lading.node.holder import Holder
    from lading.node.labels import Chorus, Voice
    from lading.node.listening import Listening
    from lading.node.loop import Loop, Timer
    from lading.node.model import PodRecord, Stdio
    from lading.node.outlet import Outlet
    from lading.node.sequence import Action
    from lading.node.shop import Shop

_SIGKILL = 9
#: SIGHUP, SIGINT, SIGQUIT and SIGTERM: what asks a pod in the foreground to end.
_ENDING = (1, 2, 3, 15)
_THAW_AGAIN = 0.1


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
        self._chorus: Chorus | None = None  # of several containers that speak to the caller
        # Of containers that have ended: what the caller has not read yet.
        self.outlets: list[Outlet | Voice] = []
        self.attachment: Attachment | None = None
        self.reserved: Reserved | None = None  # an attachment that the first container's birth completes
        self.users = -1  # the user namespace of a pod that has one
        self.holder: Holder | None = None
        self.companions: Companions | None = None
        self.listening: Listening | None = None
        self.checks: Checks | None = None
        self.error: LadingError | None = None
        self.lost: LadingError | None = None  # why this one has stopped keeping it, though it goes on
        self.finished = False
        self.started = False
        self.size = (0, 0)
        self._on_first = on_first
        self.at_end: list[Callable[[], None]] = []
        #: Whether anonymous volumes go with a pod that is removed at its end.
        self.volumes_too = True
        #: Columns of the pod's row that the next change of its phase writes along.
        self.unsaved: set[str] = set()
        self.ending = False
        self.staged = False  # the record says that the pod is being removed
        self._ledger = Ledger(shop.records.database, loop, patient=stdio is None, room=self._make_room)
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
            if made.state == PAUSED:
                made.state = RUNNING  # commands pause and go on by themselves: see Records.save
            unit = Unit(container, kind, policy, now, made.restarts)
            units.append(unit)
            self.running[container.name] = Running(unit, container, made)
        grace = float(pod.termination_grace_period_seconds)
        deadline = None
        if pod.active_deadline_seconds is not None:
            deadline = now + pod.active_deadline_seconds
        together = pod.extras.fail_together
        self.sequence = Sequence(units, grace=grace, deadline=deadline, fail_together=together)

    # -- the way in ------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Take the network and start what comes first. Errors go to ``on_first`` and end the pod."""
        try:
            self._open_pod()
        except (LadingError, OSError) as caught:
            self.give_up(births.as_ours(caught) if isinstance(caught, OSError) else caught)
        self.turn()

    def give_up(self, error: LadingError) -> None:
        """What the containers need before they start is not to be had: that ends the pod."""
        self.first(error)
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
        if self.companions is not None and self.companions.awaited and not self.sequence.stopping:
            return  # they ask once more
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
            self.first(None)  # with all that start together, so that whoever waited finds each of them
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.sequence.done:
            deaths.end(self)
            return
        wake = self.sequence.wake(time.monotonic())
        if wake is not None:
            self._timer = self.loop.at(wake, self.turn)

    def _act(self, action: Action) -> None:
        running = self.running[action.unit.name]
        verb = action.verb
        if verb == "start":
            births.start(self, running)
        elif verb == "terminate":
            number = self.stop_with or stop_signal(running.container)
            if running.container.extras.default_action:
                from lading.node.lostsignals import effective

                wanted, number = number, effective(running.record.pid, number)
                running.instead = wanted if number != wanted else 0
            self.signal(running, number)
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

    def streams_of(self, running: Running) -> Streams:
        """The container's streams, also before its first start (to attach early)."""
        if running.streams is None:
            directory = self.shop.container_directory(self.record, running.record)
            keep_private(self.shop.roots.pods)
            os.makedirs(directory, 0o711, exist_ok=True)
            running.streams = self._streams(running)
        return running.streams

    def _streams(self, running: Running) -> Streams:
        container = running.container
        extras = container.extras
        path = self.shop.log_path(self.record, running.record)
        log = LogWriter(path, extras.log_size or MAX_SIZE, extras.log_files or MAX_FILES)
        stdio = self.stdio if running.unit.kind == MAIN else None
        return Streams(
            self.loop,
            log,
            tty=container.tty,
            stdin=container.stdin or container.extras.open_stdin,
            once=container.stdin_once,
            stdio=stdio,
            voice=self._voice(running) if stdio is not None else None,
            discard=container.extras.discard,
        )

    def _voice(self, running: Running) -> Callable[[Callable[[], None]], Voice] | None:
        """What a container's share of the caller's streams is made with; None for one that has them for itself."""
        mains = [other.container.name for other in self.running.values() if other.unit.kind == MAIN]
        if len(mains) == 1 or self.stdio is None:
            return None
        if self._chorus is None:
            from lading.node.labels import Chorus

            self._chorus = Chorus(self.loop, self.stdio)
        chorus, name = self._chorus, running.container.name
        return lambda changed: chorus.voice(name, mains.index(name), changed)

    def on_first(self, call: Callable[[LadingError | None], None]) -> None:
        """Have ``call`` called when the first start worked or failed."""
        self._on_first = call

    def first(self, error: LadingError | None) -> None:
        """The first start worked, or failed: tell who waits for that."""
        if self._on_first is not None:
            call, self._on_first = self._on_first, None
            call(error)

    # -- records ---------------------------------------------------------------------------------------------------

    def write(self, act: Callable[[], object], *, phase: bool = False, now: bool = False) -> None:
        """Write what has happened into the records, with ``phase`` the pod's row as well.

        It is done later when it is not possible now; with ``now`` that is raised.
        """

        def both() -> None:
            act()
            if phase:
                self._save_phase()

        if self._ledger.write(both, now=now) and phase:
            self.unsaved.clear()

    def _make_room(self) -> bool:
        """Take away what the container wrote, where it has ended and nobody will see that any more."""
        extras, made = self.record.pod.spec.extras, self.record.containers[0]
        unwanted = self.staged or (extras.volatile and made.exit_code and made.state == EXITED)
        if not unwanted or not self.record.single:
            return False
        from lading.node import room

        return room.make(self.shop, self.record)

    @property
    def owes(self) -> bool:
        """Whether something that has happened could not be written yet."""
        return self._ledger.owes

    def _save_phase(self) -> None:
        phase = self.sequence.phase
        if phase != self.record.phase:
            self.record.phase = phase
            self.unsaved.add("phase")
        if self.unsaved:
            self.shop.records.update(self.record, *sorted(self.unsaved))

    # -- what happens ----------------------------------------------------------------------------------------------

    def ended(self, running: Running) -> None:
        """The container's first process has ended."""
        deaths.ended(self, running)

    def interrupt(self, number: int) -> None:
        """A signal that the foreground process got is the main container's; of a pod it is the end, and a second one at once.

        Which of a pod's containers it would be meant for nobody can know, and its init containers may be at work. A container
        that a signal is to end also as the first process of its namespace, without any grace, has nothing to say to it either.
        """
        if number in _ENDING and (not self.record.single or self._ends_at_once()):
            self.interrupted = self.interrupted or number
            self.stop(0.0 if self.sequence.stopping else None)
            return
        for running in self.running.values():
            if running.unit.kind == MAIN:
                self.signal(running, number)

    def _ends_at_once(self) -> bool:
        spec = self.record.pod.spec
        return not spec.termination_grace_period_seconds and spec.containers[0].extras.default_action

    def stop(self, grace: float | None = None, signal: int = 0) -> None:
        """A user wants it to end, by ``signal`` if that is not 0."""
        self.stop_with = signal
        self.record.stopped = True
        self.write(lambda: self.shop.records.update(self.record, "stopped"))
        self.sequence.stop(time.monotonic(), grace, "stopped")
        self.turn()

    @property
    def exit_code(self) -> int:
        """The first failure among the main containers, or 0."""
        if code := self.record.first_failure:
            return code
        if self.interrupted and not self.sequence.initialized:
            return 128 + self.interrupted
        return 1 if self.sequence.failed and not self.record.single else 0
