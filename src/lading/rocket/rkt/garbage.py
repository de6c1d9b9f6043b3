"""Which pods go: what ``gc`` decides, from pods and a time alone.

A pod that has ended is *marked* by the first pass, and removed by the first one that finds its mark older than the grace
period. Pods that were never run are given up when they are old, and what a killed preparation left at once.
Source: Rocket's documentation, devel/pod-lifecycle.md, "Garbage collection".
"""

from __future__ import annotations

from lading.rocket.rkt.pods import ABORTED, DELETING, EXITED, GARBAGE_STATE, PREPARED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    class Pod(Protocol):
        """What is looked at: a state in Rocket's words, and seconds since the epoch (0.0: never)."""

        @property
        def uuid(self) -> str: ...
        @property
        def state(self) -> str: ...
        @property
        def created(self) -> float: ...
        @property
        def garbage_since(self) -> float: ...


class Plan:
    """What a pass does, in this order: ``mark``, give up (``aborted``, ``expired``), ``remove``; ``kept`` is too young.

    All are UUIDs. ``remove`` holds those of the others that are to go now, too.
    """

    __slots__ = ("aborted", "expired", "kept", "mark", "remove")

    def __init__(self) -> None:
        self.mark: list[str] = []
        self.aborted: list[str] = []
        self.expired: list[str] = []
        self.remove: list[str] = []
        self.kept: list[str] = []


def plan(pods: Sequence[Pod], now: float, *, grace: float, expire: float, mark_only: bool = False) -> Plan:
    """What is to be done with ``pods``. Times are in seconds.

    A pod that is marked in this pass is old enough for a grace period of nothing.
    """
    made = Plan()
    for pod in pods:
        state, marked = pod.state, pod.garbage_since
        if state == EXITED:
            made.mark.append(pod.uuid)
            marked = now
        elif state == ABORTED:
            made.aborted.append(pod.uuid)
        elif state == PREPARED and not mark_only and now - pod.created >= expire:
            made.expired.append(pod.uuid)
        elif state not in (GARBAGE_STATE, DELETING):
            continue
        if mark_only:
            continue
        if state in (EXITED, GARBAGE_STATE) and now - marked < grace:
            made.kept.append(pod.uuid)
        else:
            made.remove.append(pod.uuid)
    return made
