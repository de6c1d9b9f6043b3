"""``rkt stop``, ``rm`` and ``gc``: the end of pods. How a pod is ended and removed is the engine's."""

from __future__ import annotations

import sys
import time

from lading.cli.output import each
from lading.errors import Conflict, LadingError, NotFound
from lading.formats import duration
from lading.rocket.rkt import pods
from lading.rocket.rkt.garbage import plan
from lading.rocket.rkt.looking import time_of
from lading.rocket.rkt.statuses import FAILED, as_rocket
from lading.rocket.rkt.uuids import chosen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.node import Node
    from lading.rocket.rkt.pods import RocketPod

_KILL = 9
_OVER = (pods.EXITED, pods.GARBAGE_STATE)


@as_rocket
def stop(context: Context, parsed: Parsed) -> int:
    """Stop pods; print the UUID of each that was."""

    def act(text: str) -> None:
        pod = pods.find(context.node, text)
        if pod.state in _OVER:
            print(f'pod "{pod.uuid}" is already stopped', flush=True)
            return
        if pod.state != pods.RUNNING:
            raise Conflict(
                f'pod "{pod.uuid}" is not running: it is {pod.state}',
                hint=f"lading rkt rm {pod.uuid[:8]}",
                reason="not-running",
            )
        if parsed["force"]:
            context.node.stop(pod.record.id, timeout=0.0, signal=_KILL)
        else:
            context.node.stop(pod.record.id)
        print(f'"{pod.uuid}"', flush=True)

    return _each(chosen(parsed), act, "stop")


@as_rocket
def rm(context: Context, parsed: Parsed) -> int:
    """Remove pods that do not run; print the UUID of each that was."""

    def act(text: str) -> None:
        pod = pods.find(context.node, text)
        if pod.state == pods.RUNNING:
            raise _runs(pod)
        try:
            context.node.remove(pod.record.id, volumes=True)
        except Conflict as error:
            if error.reason != "running":
                raise
            raise _runs(pod) from None
        print(f'"{pod.uuid}"', flush=True)

    return _each(chosen(parsed), act, "remove")


def _runs(pod: RocketPod) -> Conflict:
    return Conflict(
        f'pod "{pod.uuid}" is currently running', hint=f"lading rkt stop {pod.uuid[:8]}", reason="running"
    )


def _each(texts: Sequence[str], act: Callable[[str], object], verb: str) -> int:
    """Do ``act`` for each pod. Of several, how many failed is said at the end."""
    failed = 0

    def counted(text: str) -> None:
        nonlocal failed
        failed += 1
        act(text)
        failed -= 1

    status = each(texts, counted, say=False)
    if failed and len(texts) > 1:
        _say(f"failed to {verb} {failed} pod(s)")
    return FAILED if status else 0


@as_rocket
def gc(context: Context, parsed: Parsed) -> int:
    """One pass: mark what has ended, remove what was marked long enough ago."""
    grace, expire = (time_of(f"--{name}", parsed[name]) for name in ("grace-period", "expire-prepared"))
    node = context.node
    now = time.time()
    half = [pods.RocketPod(record) for record in node.half_removed() if pods.is_app_pod(record)]
    found = {pod.uuid: pod for pod in pods.every(node)}
    todo = plan(list(found.values()), now, grace=grace, expire=expire, mark_only=parsed["mark-only"])
    wrong = sum(not _mark(node, found[uuid], now) for uuid in todo.mark)
    for uuid in todo.aborted:
        _say(f'moving failed prepare "{uuid}" to garbage')
    for uuid in todo.expired:
        _say(f'moving expired prepared pod "{uuid}" to garbage')
    for uuid in todo.kept:
        _say(f'pod "{uuid}" not removed: still within grace period ({duration.shown(grace)})')
    for pod in [found[uuid] for uuid in todo.remove] + ([] if parsed["mark-only"] else half):
        wrong += not _collect(node, pod)
    return FAILED if wrong else 0


def _mark(node: Node, pod: RocketPod, now: float) -> bool:
    """Mark one pod as garbage; False, and said, when that failed."""
    _say(f'moving pod "{pod.uuid}" to garbage')
    return _tried(
        pod,
        lambda: node.amend(
            pod.record.id, lambda made: made.metadata.annotations.update({pods.GARBAGE: repr(now)})
        ),
    )


def _collect(node: Node, pod: RocketPod) -> bool:
    """Remove one pod; False, and said, when that failed."""
    print(f'Garbage collecting pod "{pod.uuid}"', flush=True)
    return _tried(pod, lambda: node.remove(pod.record.id, volumes=True))


def _tried(pod: RocketPod, act: Callable[[], object]) -> bool:
    """Whether ``act`` worked, or has become needless; what else stopped it is said, and stops nothing else."""
    try:
        act()
    except (NotFound, Conflict):
        return True  # another pass was faster, or somebody started it: the next pass looks again
    except LadingError as error:
        from lading.cli.main import complain

        error.message = f'pod "{pod.uuid}": {error.message}'
        complain(error)
        return False
    return True


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
