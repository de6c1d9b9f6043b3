"""The life of a pod as a state machine: what to start, stop, probe and kill now. No clock and no I/O.

The runner tells it what happened (:meth:`Sequence.started`, :meth:`Sequence.exited` …) and carries out what
:meth:`Sequence.actions` says; ``now`` is any clock that only goes forward. A Docker container is a pod of one with
Docker's restart policy. Source: kubernetes.io "Pod Lifecycle", "Init Containers", "Sidecar Containers".
"""

from __future__ import annotations

from lading.node.model import AFTER, BEFORE, INIT, MAIN, SIDECAR
from lading.node.restart import Policy, Restarts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence as Seq

    from lading.formats.pod import Container
    from lading.node.health import Probes, ProbeState

WAITING, STARTING, HOOK, RUNNING, ENDING, ENDED = "waiting", "starting", "hook", "running", "ending", "ended"
#: What a preStop hook, or whoever waited for its turn to end, gets beyond the grace period, once.
EXTRA_GRACE = 2.0


class Action:
    """One thing to do: ``start``, ``post_start``, ``pre_stop``, ``terminate``, ``kill``, ``probe`` a container."""

    __slots__ = ("probe", "unit", "verb")

    def __init__(self, verb: str, unit: Unit, probe: ProbeState | None = None) -> None:
        self.verb = verb
        self.unit = unit
        self.probe = probe

    def __repr__(self) -> str:
        return f"{self.verb} {self.unit.name}" + (f" {self.probe.kind}" if self.probe else "")


class Unit:
    """One container in the sequence.

    A container with a preStart is in BEFORE while that runs, one with a postStop in AFTER; ``prepared``: the preStart is done.
    ``due`` is when it may start (None: never again). ``hook`` is ``wanted`` or ``running`` while its life waits for
    postStart (in HOOK) or preStop (in ENDING). ``terminated``: the stop signal has been sent.
    """

    __slots__ = (
        "container",
        "due",
        "exit_code",
        "hook",
        "kill_at",
        "kind",
        "name",
        "prepared",
        "probes",
        "restarts",
        "started_at",
        "state",
        "stop_reason",
        "terminated",
    )

    def __init__(self, container: Container, kind: str, policy: Policy, now: float, count: int = 0) -> None:
        self.container = container
        self.name = container.name
        self.kind = kind
        self.restarts = Restarts(policy, count)
        self.state = WAITING
        self.due: float | None = now
        self.exit_code = 0
        self.started_at = now
        self.probes: Probes | None = None
        self.kill_at: float | None = None
        self.hook = ""
        self.terminated = False
        self.stop_reason = ""
        self.prepared = False

    @property
    def alive(self) -> bool:
        """Whether it has a process, or is about to."""
        return self.state not in (WAITING, ENDED)

    @property
    def up(self) -> bool:
        """Whether it runs, its postStart hook is done and its startup probe has passed."""
        return self.state == RUNNING and (self.probes is None or self.probes.started)

    @property
    def over(self) -> bool:
        """Whether it has ended for good."""
        return self.state == ENDED and self.due is None

    @property
    def ready(self) -> bool:
        """Whether it may get traffic."""
        return self.state == RUNNING and (self.probes is None or self.probes.ready)


class Sequence:
    """One pod. ``grace`` is its termination grace period in seconds.

    While it is stopping, ``stop_by`` is the end of that period, and ``mercy`` what is left for who has not had its turn by then.
    """

    def __init__(
        self,
        units: Seq[Unit],
        *,
        grace: float = 30.0,
        deadline: float | None = None,
        fail_together: bool = False,
    ) -> None:
        self.fail_together = fail_together
        self.units = list(units)
        self.grace = grace
        self.deadline = deadline
        self.stopping = False
        self.stop_by = 0.0
        self.mercy = 0.0
        self.reason = ""
        self.failed = False
        self.initialized = False

    def unit(self, name: str) -> Unit:
        """The unit of the container called ``name``."""
        for unit in self.units:
            if unit.name == name:
                return unit
        raise KeyError(name)

    # -- what happened ---------------------------------------------------------------------------------------------

    def started(self, unit: Unit, now: float) -> None:
        """Its process runs."""
        unit.started_at = now
        unit.probes = None
        unit.kill_at = None
        unit.terminated = False
        unit.stop_reason = ""
        unit.hook = ""
        lifecycle = unit.container.lifecycle
        if lifecycle is not None and lifecycle.post_start is not None:
            unit.state = HOOK
            unit.hook = "wanted"
        else:
            self._running(unit, now)

    def before(self, unit: Unit, now: float) -> None:
        """Its preStart runs."""
        unit.started_at = now
        unit.kill_at = None
        unit.terminated = False
        unit.stop_reason = ""
        unit.state = BEFORE

    def prepared(self, unit: Unit, now: float) -> bool:
        """Its preStart is done: whether it may start, which is due then."""
        if unit.state != BEFORE or self.stopping:
            return False
        unit.prepared = True
        unit.state = WAITING
        unit.due = now
        return True

    def after(self, unit: Unit, code: int, now: float) -> bool:
        """Its command has ended with ``code``: whether its postStop has its turn, which gets the grace period."""
        if self.stopping and self.mercy <= 0:
            return False
        unit.exit_code = code
        unit.probes = None
        unit.hook = ""
        unit.state = AFTER
        unit.kill_at = max(self.stop_by, now + EXTRA_GRACE) if self.stopping else now + self.grace
        return True

    def _running(self, unit: Unit, now: float) -> None:
        unit.state = RUNNING
        container = unit.container
        if container.startup_probe or container.liveness_probe or container.readiness_probe:
            from lading.node.health import Probes

            unit.probes = Probes(container, now)

    def hook_done(self, unit: Unit, verb: str, success: bool, now: float) -> None:
        """The hook ``verb`` (``post_start``, ``pre_stop``) has finished. A failed preStop changes nothing."""
        if unit.state == HOOK and verb == "post_start":
            unit.hook = ""
            if success:
                self._running(unit, now)
            else:
                self._end(unit, now, self.grace, "PostStartHookError")
        elif unit.state == ENDING and verb == "pre_stop":
            unit.hook = ""
            if unit.kill_at is not None:
                unit.kill_at = max(unit.kill_at, now + EXTRA_GRACE)

    def exited(self, unit: Unit, code: int, now: float, *, by_user: bool = False) -> None:
        """Its process has ended (or could not be started) with ``code``. ``by_user``: it was asked to, so no restart."""
        unit.state = ENDED
        unit.exit_code = code
        unit.probes = None
        unit.kill_at = None
        unit.hook = ""
        unit.prepared = False
        if self.stopping or by_user:
            unit.due = None
            return
        if unit.kind == INIT and code == 0:
            unit.due = None
            return
        # Killed for a probe, it has failed however well it ended.
        failed = unit.stop_reason == "Unhealthy"
        unit.due = unit.restarts.died(code or int(failed), unit.started_at, now)

    def probed(self, unit: Unit, probe: ProbeState, success: bool, now: float) -> bool:
        """A probe has answered. True when readiness, startup or the wish to restart changed."""
        if unit.probes is None:
            return False
        changed = unit.probes.finish(probe, success, now)
        if unit.probes.restart and unit.state == RUNNING:
            own = probe.probe.termination_grace_period_seconds
            self._end(unit, now, self.grace if own is None else float(own), "Unhealthy")
        return changed

    def stop(self, now: float, grace: float | None = None, reason: str = "") -> None:
        """End everything: main containers first, then sidecars in reverse order, all within ``grace`` seconds."""
        given = self.grace if grace is None else grace
        by = now + given
        self.stop_by = min(self.stop_by, by) if self.stopping else by
        if given <= 0 or not self.stopping:
            self.mercy = EXTRA_GRACE if given > 0 else 0.0
        for unit in self.units:
            # Also of one that was ending before, by a probe with more patience than who stops the pod.
            if unit.kill_at is not None and unit.state in (ENDING, AFTER):
                unit.kill_at = min(unit.kill_at, self.stop_by)
        if self.stopping:
            return
        self.stopping = True
        self.reason = self.reason or reason
        for unit in self.units:
            if not unit.alive:
                unit.due = None
                if unit.state == WAITING:
                    unit.state = ENDED

    # -- what to do ------------------------------------------------------------------------------------------------

    def actions(self, now: float) -> list[Action]:
        """Everything to do at ``now``; each thing is said once."""
        out: list[Action] = []
        if not self.stopping and self.deadline is not None and now >= self.deadline and not self.done:
            self.failed = True
            self.stop(now, reason="DeadlineExceeded")
        if not self.stopping:
            self._advance(now, out)
        if self.stopping:
            self._wind_down(now)
        for unit in self.units:
            if unit.state == HOOK and unit.hook == "wanted":
                unit.hook = "running"
                out.append(Action("post_start", unit))
            elif unit.state == ENDING:
                self._ending(unit, now, out)
            elif unit.state == AFTER and unit.kill_at is not None and now >= unit.kill_at:
                unit.kill_at = None
                out.append(Action("kill", unit))
        return out

    def _advance(self, now: float, out: list[Action]) -> None:
        for unit in self.units:
            if unit.kind == MAIN:
                continue
            if unit.kind == INIT and unit.over:
                if unit.exit_code == 0:
                    continue
                self.failed = True
                self.stop(now, reason="InitContainerFailed")
                return
            if unit.state in (WAITING, ENDED):
                self._start(unit, now, out)
            if unit.probes is not None:
                self._probe(unit, now, out)
            if not self.initialized and not (unit.kind == SIDECAR and unit.up):
                return
        self.initialized = True
        mains = [unit for unit in self.units if unit.kind == MAIN]
        for unit in mains:
            if unit.state in (WAITING, ENDED):
                self._start(unit, now, out)
            elif unit.probes is not None:
                self._probe(unit, now, out)
        if self.fail_together and any(unit.over and unit.exit_code for unit in mains):
            self.failed = True
            self.stop(now, reason="ContainerFailed")
        elif all(unit.over for unit in mains):
            self.failed = self.failed or any(unit.exit_code for unit in mains)
            self.stop(now)

    def _start(self, unit: Unit, now: float, out: list[Action]) -> None:
        if unit.due is not None and unit.due <= now:
            unit.state = STARTING
            # Also of a start that fails: else it would be a death after the long life of the run before.
            unit.started_at = now
            out.append(Action("start", unit))

    def _probe(self, unit: Unit, now: float, out: list[Action]) -> None:
        if unit.probes is not None and unit.state == RUNNING:
            for state in unit.probes.due(now):
                state.begin()
                out.append(Action("probe", unit, state))

    def _wind_down(self, now: float) -> None:
        alive = [unit for unit in self.units if unit.alive]
        first = [unit for unit in alive if unit.kind != SIDECAR]
        # Sidecars serve the others to the end, and each other in the order they were started. When the others have eaten
        # the grace period, all that is left ends at once, in two seconds (kubernetes.io, "Termination with sidecars").
        late = now >= self.stop_by
        for unit in alive if late else first or alive[-1:]:
            if unit.state in (BEFORE, HOOK, RUNNING):
                self._end(unit, now, self.mercy if late else self.stop_by - now, self.reason or "stopped")

    def _end(self, unit: Unit, now: float, grace: float, reason: str) -> None:
        begun = unit.state != BEFORE
        unit.state = ENDING
        unit.stop_reason = reason
        unit.kill_at = now + grace
        unit.terminated = False
        lifecycle = unit.container.lifecycle if begun else None
        wanted = lifecycle is not None and lifecycle.pre_stop is not None and grace > 0
        unit.hook = "wanted" if wanted else ""

    def _ending(self, unit: Unit, now: float, out: list[Action]) -> None:
        if unit.hook == "wanted":
            unit.hook = "running"
            out.append(Action("pre_stop", unit))
        if not unit.hook and not unit.terminated:
            unit.terminated = True
            out.append(Action("terminate", unit))
        if unit.kill_at is None or now < unit.kill_at:
            return
        if unit.hook:
            # The hook ate the grace period: the process still gets its signal and two seconds, as in Kubernetes.
            unit.hook = ""
            unit.terminated = True
            unit.kill_at = now + EXTRA_GRACE
            out.append(Action("terminate", unit))
        else:
            unit.kill_at = None
            out.append(Action("kill", unit))

    def wake(self, now: float) -> float | None:
        """When :meth:`actions` should be asked again if nothing happens before."""
        times: list[float] = []
        for unit in self.units:
            if unit.kill_at is not None:
                times.append(unit.kill_at)
            if not self.stopping:
                if unit.state in (WAITING, ENDED) and unit.due is not None and unit.due > now:
                    times.append(unit.due)
                if unit.state == RUNNING and unit.probes is not None:
                    due = unit.probes.next_due()
                    if due is not None:
                        times.append(due)
        if self.deadline is not None and not self.stopping:
            times.append(self.deadline)
        if (
            self.stopping
            and self.stop_by > now
            and any(u.state in (BEFORE, HOOK, RUNNING) for u in self.units)
        ):
            times.append(self.stop_by)
        return min(times) if times else None

    # -- where it stands -------------------------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """Whether nothing runs and nothing will."""
        return self.stopping and not any(unit.alive for unit in self.units)

    @property
    def phase(self) -> str:
        """Kubernetes' phase."""
        if self.done:
            # Stopped before its main containers had their turn, it has not done what it was for.
            bad = not self.initialized or self.failed
            bad = bad or any(unit.exit_code for unit in self.units if unit.kind == MAIN)
            return "Failed" if bad else "Succeeded"
        if any(unit.kind == MAIN and unit.state != WAITING for unit in self.units):
            return "Running"
        return "Pending"
