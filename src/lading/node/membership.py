"""Containers of their own that live in a pod: ``run --pod NAME``.

Such a container is a pod of one, with a keeper, log, restart policy and record like any other. It joins the network, IPC and
UTS namespaces (and PID, if the pod's own containers share theirs) of the pod that ``extras.pod`` names by its id, and follows
that pod's fate: what stops, kills, starts or removes the pod does it to its members too.
``docs/decisions/0012-containers-into-pods.md`` tells why it is no further container of the pod's own record.
"""

from __future__ import annotations

from lading.errors import Conflict, InvalidInput, LadingError, NotFound
from lading.node.shop import alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.pod import Pod
    from lading.node.model import PodRecord
    from lading.node.shop import Shop


def join(shop: Shop, pod: Pod) -> None:
    """Turn the name in ``extras.pod`` into the pod's id and the namespaces to join; the users are that pod's, too.

    Raises :class:`NotFound`, and :class:`InvalidInput` for a container that is no pod, or one with other users.
    """
    extras = pod.spec.extras
    try:
        target, container = shop.records.resolve(extras.pod)
    except NotFound:
        raise NotFound(f"pod {extras.pod} does not exist", hint="see `lading pod ps`") from None
    if target.single or container is not None:
        raise InvalidInput(
            f"--pod {extras.pod}: that is a container, not a pod",
            hint="join its namespaces with --network, --ipc and --pid container:NAME",
        )
    own = target.pod.spec.host_users is False
    if pod.spec.host_users is False and not own:
        raise InvalidInput(f"--pod {extras.pod}: that pod has the host's users, and so has what lives in it")
    if own and any(container.extras.userns == "host" for container in pod.spec.containers):
        raise InvalidInput(f"--pod {extras.pod}: that pod has users of its own, and so has what lives in it")
    pod.spec.host_users = target.pod.spec.host_users
    extras.pod = target.id
    mode = f"container:{target.id}"
    extras.network_mode = extras.ipc_mode = extras.uts_mode = mode
    if target.pod.spec.share_process_namespace:
        extras.pid_mode = mode


def members(shop: Shop, record: PodRecord, *, ended: bool = True) -> list[PodRecord]:
    """The containers that live in a pod, oldest first, also those that have ``ended``; none lives in a pod of one."""
    if record.single:
        return []
    from lading.node import lookup

    found = lookup.mentioning(shop.records.database, record.id, ended=ended)
    return [r for r in found if r.single and r.pod.spec.extras.pod == record.id]


def stop(shop: Shop, record: PodRecord, timeout: float | None, signal: int) -> None:
    """Stop a pod's members, the newest first, as sidecars are: before the pod they live in."""
    from lading.node import ending

    for member in reversed(members(shop, record)):
        ending.stop(shop, member.id, timeout, signal=signal)


def start(shop: Shop, record: PodRecord) -> None:
    """Start the members of a pod that has been started."""
    from lading.node import detached

    for member in members(shop, record):
        detached.start(shop, member.id)


def kill(shop: Shop, record: PodRecord, number: int) -> None:
    """Signal what lives in the pod."""
    from lading.node import ending

    for member in members(shop, record):
        if any(alive(c.pid, c.pid_start) for c in member.containers):
            ending.kill(shop, member.id, number)


def remove(shop: Shop, record: PodRecord, *, force: bool, volumes: bool) -> None:
    """Remove a pod's members. Raises :class:`Conflict` when one runs and must not be killed; then none is removed."""
    from lading.node import ending
    from lading.node.detached import is_running

    found = members(shop, record)
    running = [member.name for member in found if is_running(member)]
    if running and not force:
        raise Conflict(
            f"pod {record.name}: container {running[0]} runs in it",
            hint="stop the pod first, or use --force",
            reason="running",
        )
    for member in reversed(found):
        ending.remove(shop, member.id, force=force, volumes=volumes)


def ask_to_stop(shop: Shop, record: PodRecord) -> None:
    """A pod has ended by itself: ask the keepers of its members to end them, and wait for none of them."""
    for member in members(shop, record, ended=False):
        if not alive(member.keeper_pid, member.keeper_start) or not member.keeper_socket:
            continue
        from lading.node import sockets, wire  # few pods have any

        try:
            sock = sockets.connect(member.keeper_socket)
            try:
                wire.send(sock, {"op": "stop", "id": member.id, "timeout": None, "signal": 0})
            finally:
                sock.close()
        except (LadingError, OSError):
            continue  # it is ending already
