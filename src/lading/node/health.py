"""When to probe and what the answers mean: pure state machines; time is passed in.

Kubernetes' three probes: the startup probe comes first and holds the others back; a failed startup or liveness probe asks
for a restart; readiness only says ready or not. Docker's health check: failures during the start period do not count, one
success makes healthy, ``retries`` failures in a row make unhealthy.
Sources: kubernetes.io "Configure Liveness, Readiness and Startup Probes"; docs.docker.com "HEALTHCHECK".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.pod import Container, Healthcheck, Probe

STARTUP, LIVENESS, READINESS = "startup", "liveness", "readiness"
STARTING, HEALTHY, UNHEALTHY = "starting", "healthy", "unhealthy"


class ProbeState:
    """One probe of one running container: when it is due, and its verdict.

    ``verdict`` is None before the first threshold is reached, then True or False.
    """

    __slots__ = ("due", "failures", "kind", "probe", "running", "successes", "verdict")

    def __init__(self, kind: str, probe: Probe, now: float) -> None:
        self.kind = kind
        self.probe = probe
        self.verdict: bool | None = None
        self.successes = 0
        self.failures = 0
        self.running = False
        self.due = now + probe.initial_delay_seconds

    def begin(self) -> None:
        """A check is under way; nothing is due until :meth:`finish`."""
        self.running = True

    def skip(self, now: float) -> None:
        """This once there is no answer, neither good nor bad."""
        self.running = False
        self.due = now + self.probe.period_seconds

    def finish(self, success: bool, now: float) -> bool:
        """Take a check's answer. True when the verdict changed (or was reached for the first time)."""
        self.running = False
        # From when it was due: a check that takes long does not make the next one late.
        self.due = max(now, self.due + self.probe.period_seconds)
        before = self.verdict
        if success:
            self.successes, self.failures = self.successes + 1, 0
            if self.successes >= self.probe.success_threshold:
                self.verdict = True
        else:
            self.successes, self.failures = 0, self.failures + 1
            if self.failures >= self.probe.failure_threshold:
                self.verdict = False
        return self.verdict is not before


class Probes:
    """All probes of one running container, in their right order.

    ``started``: the startup probe has passed, or there is none; ``ready``: what readiness says, True without one once
    started; ``restart``: the name of the probe that wants the container killed, or empty.
    """

    __slots__ = ("_container", "restart", "states")

    def __init__(self, container: Container, started_at: float) -> None:
        self._container = container
        self.restart = ""
        self.states: dict[str, ProbeState] = {}
        if container.startup_probe is not None:
            self.states[STARTUP] = ProbeState(STARTUP, container.startup_probe, started_at)
        else:
            self._arm(started_at)

    def _arm(self, now: float) -> None:
        if self._container.liveness_probe is not None:
            self.states[LIVENESS] = ProbeState(LIVENESS, self._container.liveness_probe, now)
        if self._container.readiness_probe is not None:
            self.states[READINESS] = ProbeState(READINESS, self._container.readiness_probe, now)

    @property
    def started(self) -> bool:
        """Whether the startup probe has passed, or there is none."""
        state = self.states.get(STARTUP)
        return state is None or state.verdict is True

    @property
    def ready(self) -> bool:
        """Whether the container may get traffic."""
        state = self.states.get(READINESS)
        if state is not None:
            return state.verdict is True
        return self.started

    def due(self, now: float) -> list[ProbeState]:
        """The probes to run now."""
        return [s for s in self._active() if not s.running and s.due <= now]

    def next_due(self) -> float | None:
        """The moment of the next probe, or None when none waits for time."""
        times = [s.due for s in self._active() if not s.running]
        return min(times) if times else None

    def _active(self) -> list[ProbeState]:
        return [s for s in self.states.values() if s.kind != STARTUP or s.verdict is None]

    def finish(self, state: ProbeState, success: bool, now: float) -> bool:
        """Take an answer. True when ``started``, ``ready`` or ``restart`` changed."""
        if self.restart or not state.finish(success, now):
            return False
        if state.kind == STARTUP and state.verdict:
            self._arm(now)
        if state.kind != READINESS and state.verdict is False:
            self.restart = state.kind
        return state.kind != LIVENESS or bool(self.restart)


class HealthState:
    """Docker's health check of one running container."""

    __slots__ = ("check", "due", "failures", "running", "started_at", "status")

    def __init__(self, check: Healthcheck, started_at: float) -> None:
        self.check = check
        self.started_at = started_at
        self.status = STARTING
        self.failures = 0
        self.running = False
        self.due = started_at + self._interval(started_at)

    def _interval(self, now: float) -> float:
        starting = self.status == STARTING and now - self.started_at < self.check.start_period
        return self.check.start_interval if starting else self.check.interval

    def begin(self) -> None:
        """A check is under way."""
        self.running = True

    def skip(self, now: float) -> None:
        """This once there is no answer, neither good nor bad."""
        self.running = False
        self.due = now + self._interval(now)

    def finish(self, success: bool, now: float) -> bool:
        """Take an answer. True when the status changed."""
        self.running = False
        before = self.status
        if success:
            self.failures = 0
            self.status = HEALTHY
        elif self.status != STARTING or now - self.started_at >= self.check.start_period:
            self.failures += 1
            if self.failures >= self.check.retries:
                self.status = UNHEALTHY
        self.due = now + self._interval(now)
        return self.status != before
