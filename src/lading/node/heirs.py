"""A mistake of ours in what keeps a pod: the pod gets another keeper, and no other pod of the process notices.

It is as if the keeper had been killed and ``check --repair`` had come at once: the containers go on, what ended meanwhile is
settled, and why is written beside the pod's logs (``keeper-error``). Only once: what fails again soon after is left to a
person, with the pod as it is.
"""

from __future__ import annotations

import os

from lading.errors import LadingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.node.loop import Loop
    from lading.node.model import PodRecord
    from lading.node.runner import PodRunner
    from lading.node.shop import Shop

#: Seconds within which a new keeper must not fail, or nobody tries once more.
YOUNG = 60.0
#: No process starts at this moment: the records then know the keeper for a dead one, whoever has its number.
_NEVER = 1
_SHUT_RDWR = 2


def abandon(runner: PodRunner, loop: Loop) -> None:
    """Stop keeping a pod in a process that goes on: who waits for it or is attached to it is told, and leaves.

    Its containers stay children of this process, which reaps them when they end.
    """
    runner.finished = True
    runner.lost = LadingError(
        f"container {runner.record.name}: its keeper met an error and another one has taken over",
        hint="ask again; what happened is in keeper-error, beside its logs",
        reason="keeper-lost",
    )
    runner.first(runner.lost)
    for call in list(runner.at_end):
        call()
    for running in runner.running.values():
        for client in list(running.streams.clients) if running.streams is not None else ():
            try:
                client.sock.shutdown(_SHUT_RDWR)
            except OSError:
                continue
        if running.pidfd >= 0:
            _reap_later(loop, running.record.pid, running.pidfd)


def _reap_later(loop: Loop, pid: int, pidfd: int) -> None:
    def ended(_events: int) -> None:
        loop.forget(pidfd)
        os.close(pidfd)
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass  # born of another keeper

    loop.watch(pidfd, ended)


def bequeath(shop: Shop, record: PodRecord) -> None:
    """Give the pod, which this process kept, a keeper of its own; called while the error is handled.

    Raises nothing: what fails here is written down, too, and left to ``check --repair``.
    """
    from lading.node import check, detached

    detached.note_crash(shop, record)
    try:
        found = shop.records.get(record.id)
        if found is None or found.keeper_pid != os.getpid():
            return
        found.keeper_start = _NEVER
        shop.records.update(found, "keeper_start")
        check.unkept(shop, found)
    except Exception:
        detached.note_crash(shop, record)
