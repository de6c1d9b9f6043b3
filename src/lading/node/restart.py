"""Whether and when an ended container starts again: pure decisions, no clock, no I/O.

Two habits exist side by side. Docker's: ``no``, ``on-failure[:N]``, ``always``, ``unless-stopped``, waiting 100 ms, then twice
as long after each quick death, at most a minute, and from the start again after a run of 10 s. Kubernetes':
``Always``, ``OnFailure``, ``Never``, at once the first time, then 10 s, 20 s … 5 min, and from the start again after 10 min.
Sources: docs.docker.com "Start containers automatically"; kubernetes.io "Pod Lifecycle, container restart policy".
"""

from __future__ import annotations

from lading.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.formats.pod import Container, RestartRule

_DOCKER = ("no", "always", "unless-stopped", "on-failure")
_KUBERNETES = {"Always": "always", "OnFailure": "on-failure", "Never": "no"}


class BackOff:
    """How long to wait: ``first`` seconds, then ``initial``, doubling up to ``limit``; forgotten after ``reset`` seconds up."""

    __slots__ = ("first", "initial", "limit", "reset")

    def __init__(self, first: float, initial: float, limit: float, reset: float) -> None:
        self.first = first
        self.initial = initial
        self.limit = limit
        self.reset = reset

    def delay(self, quick_deaths: int) -> float:
        """Seconds to wait before the start that follows ``quick_deaths`` deaths in a row."""
        if quick_deaths <= 1:
            return self.first
        return min(self.limit, self.initial * 2.0 ** min(quick_deaths - 2, 60))


DOCKER = BackOff(0.1, 0.2, 60.0, 10.0)
KUBERNETES = BackOff(0.0, 10.0, 300.0, 600.0)


class Policy:
    """When to restart. ``word`` is Docker's; ``maximum`` bounds ``on-failure`` (0: no bound).

    ``rules`` come first: a container that ends with a code one of them names starts again, whatever ``word`` says.
    """

    __slots__ = ("back_off", "maximum", "rules", "word")

    def __init__(self, word: str, maximum: int, back_off: BackOff, rules: Sequence[RestartRule] = ()) -> None:
        self.rules = rules
        self.word = word
        self.maximum = maximum
        self.back_off = back_off

    def __repr__(self) -> str:
        return f"Policy({self.word}{f':{self.maximum}' if self.maximum else ''})"

    def wants(self, exit_code: int, restarts: int) -> bool:
        """Whether a container that ended by itself starts again."""
        if any(_names(rule, exit_code) for rule in self.rules):
            return True
        if self.word == "no":
            return False
        if self.word == "on-failure":
            return exit_code != 0 and (not self.maximum or restarts < self.maximum)
        return True


def parse_policy(text: str) -> Policy:
    """Docker's ``--restart`` value. Raises :class:`InvalidInput`."""
    word, colon, count = text.partition(":")
    if word not in _DOCKER:
        raise InvalidInput(f"restart policy {text!r} is unknown", hint=f"use one of {', '.join(_DOCKER)}")
    if colon and word != "on-failure":
        raise InvalidInput(f"restart policy {text!r}: only on-failure takes a maximum")
    if colon and not (count.isascii() and count.isdigit()):
        raise InvalidInput(f"restart policy {text!r}: the maximum must be a whole number")
    return Policy(word, int(count) if colon else 0, DOCKER)


def _names(rule: RestartRule, exit_code: int) -> bool:
    codes = rule.exit_codes
    return codes is not None and (exit_code in codes.values) == (codes.operator == "In")


def pod_policy(restart_policy: str, kind: str, container: Container | None = None) -> Policy:
    """The policy of a container of a Pod: ``kind`` is ``main``, ``init`` or ``sidecar``.

    A sidecar always restarts; an init container that fails is tried again unless the pod says Never. The container's own
    policy and its rules, where it has them, come before the pod's (kubernetes.io, "Individual container restart policy
    and rules").
    """
    if container is not None and container.restart_policy:
        restart_policy = container.restart_policy
    word = _KUBERNETES[restart_policy]
    if kind == "sidecar":
        word = "always"
    elif kind == "init" and word == "always":
        word = "on-failure"
    return Policy(word, 0, KUBERNETES, container.restart_policy_rules if container is not None else ())


class Restarts:
    """The memory of one container's deaths. Give it each death; it says when the next start is due."""

    __slots__ = ("count", "policy", "quick_deaths")

    def __init__(self, policy: Policy, count: int = 0) -> None:
        self.policy = policy
        self.count = count
        self.quick_deaths = 0

    def died(self, exit_code: int, started: float, now: float) -> float | None:
        """The moment of the next start, or None when the container stays ended. ``now`` and ``started`` share a clock."""
        if now - started >= self.policy.back_off.reset:
            self.quick_deaths = 0
        self.quick_deaths += 1
        if not self.policy.wants(exit_code, self.count):
            return None
        self.count += 1
        return now + self.policy.back_off.delay(self.quick_deaths)
