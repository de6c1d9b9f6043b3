"""Pause, unpause, rename, update."""

from __future__ import annotations

from lading.errors import Conflict, InvalidInput, NotFound
from lading.node import amending
from lading.node.engine import engine_of
from lading.node.freezing import Freezing, let_run
from lading.node.model import PAUSED, RUNNING
from lading.node.shop import alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.formats.oci_runtime import Resources
    from lading.formats.pod import Pod
    from lading.node.model import Changes, ContainerRecord, PodRecord
    from lading.node.shop import Shop


def _select(shop: Shop, reference: str, states: tuple[str, ...]) -> tuple[PodRecord, list[ContainerRecord]]:
    record, container = shop.records.resolve(reference)
    wanted = [container] if container is not None else record.containers
    chosen = [c for c in wanted if c.state in states and alive(c.pid, c.pid_start)]
    if not chosen:
        state = (container or record).state
        # Killed a moment ago, and its keeper has not said so yet.
        now = "ending" if state in states else f"{state}, not {' or '.join(states)}"
        raise Conflict(f"container {reference} is {now}", reason="state")
    return record, chosen


def pause(shop: Shop, reference: str) -> None:
    """Freeze. Raises :class:`Conflict` unless running."""
    record, chosen = _select(shop, reference, (RUNNING,))
    for container in chosen:
        with Freezing(shop, record, container):
            engine_of(shop, record).get(container.id).pause()
            container.state = PAUSED
            amending.set_state(shop.records, record, container, "pause")


def unpause(shop: Shop, reference: str) -> None:
    """Thaw. Raises :class:`Conflict` unless paused."""
    record, chosen = _select(shop, reference, (PAUSED,))
    for container in chosen:
        thaw(shop, record, container)


def thaw(shop: Shop, record: PodRecord, container: ContainerRecord) -> None:
    """Let one paused container run on."""
    with Freezing(shop, record, container):
        let_run(shop, record, container)
        container.state = RUNNING
        amending.set_state(shop.records, record, container, "unpause")


def rename(shop: Shop, reference: str, name: str) -> None:
    """Another name for a pod, with the same rules as at its making."""
    record, container = shop.records.resolve(reference)
    if container is not None and not record.single:
        raise InvalidInput(f"{reference} is a container of pod {record.name}: only pods are renamed")
    body = name.replace("_", "a").replace(".", "a").replace("-", "a")
    if not name.isascii() or not body.isalnum() or not name[0].isalnum() or len(name) > 128:
        raise InvalidInput(
            f"name {name[:80]!r}: letters, digits, '_', '.' and '-' only, the first a letter or digit"
        )
    amending.rename(shop.records, record, name)


def amend(shop: Shop, reference: str, change: Callable[[Pod], None]) -> PodRecord:
    """Change a pod's Pod in one transaction: nobody else's change is lost, and a Pod that is not admitted not written."""
    from lading.node import lifecycle

    with shop.records.database:
        record, _ = shop.records.resolve(reference)
        change(record.pod)
        lifecycle.admitted(record.pod)
        amending.set_pod(shop.records, record, "update")
    return record


def update(shop: Shop, reference: str, changes: Changes) -> None:
    """Change limits in the Pod, and in the control group when it runs. All or nothing: the kernel is asked first."""
    record, container = shop.records.resolve(reference)
    made = container or record.container
    spec = next(
        c for c in record.pod.spec.containers + record.pod.spec.init_containers if c.name == made.name
    )
    from lading.node import refused

    if changes.nano_cpus is not None:
        refused.cpus(changes.nano_cpus)
    refused.cpuset("--cpuset-cpus", changes.cpuset_cpus or "")
    refused.cpuset("--cpuset-mems", changes.cpuset_mems or "")
    if changes.restart is not None:
        from lading.node.restart import parse_policy

        parse_policy(changes.restart)
        if record.pod.spec.extras.remove and changes.restart != "no":
            raise Conflict(f"container {reference} is removed when it ends (--rm), so it cannot be restarted")
    wanted = _resources(changes)
    if alive(made.pid, made.pid_start) and wanted is not None:
        engine_of(shop, record).get(made.id).update(wanted)
    extras = spec.extras
    from lading.formats.pod import ResourceRequirements

    limits = dict(spec.resources.limits) if spec.resources is not None else {}
    if changes.memory is not None:
        limits["memory"] = str(changes.memory)
    if changes.nano_cpus is not None:
        limits["cpu"] = f"{changes.nano_cpus}n"
    if limits:
        requests = spec.resources.requests if spec.resources is not None else {}
        spec.resources = ResourceRequirements(limits=limits, requests=requests)
    for name in (
        "memory_swap",
        "memory_reservation",
        "cpu_shares",
        "cpu_period",
        "cpu_quota",
        "cpuset_cpus",
        "cpuset_mems",
        "pids_limit",
        "blkio_weight",
        "restart",
    ):
        value = getattr(changes, name)
        if value is not None:
            setattr(extras, name, value)
    amending.set_pod(shop.records, record, "update")
    if changes.restart is not None and alive(record.keeper_pid, record.keeper_start):
        from lading.node import sockets, wire

        try:
            sock = sockets.connect(record.keeper_socket)
        except NotFound:
            return  # it is ending: the next one reads the record
        try:
            wire.ask(sock, {"op": "policy", "id": record.id, "policy": changes.restart}, within=wire.PATIENCE)
        finally:
            sock.close()


def _resources(changes: Changes) -> Resources | None:
    from lading.formats.oci_runtime import CPU, BlockIO, Memory, Pids, Resources

    made = Resources()
    memory = Memory(limit=changes.memory, swap=changes.memory_swap, reservation=changes.memory_reservation)
    cpu = CPU(
        shares=changes.cpu_shares,
        period=changes.cpu_period,
        quota=changes.cpu_quota,
        cpus=changes.cpuset_cpus or "",
        mems=changes.cpuset_mems or "",
    )
    if changes.nano_cpus is not None:
        cpu.period, cpu.quota = 100_000, max(1000, changes.nano_cpus // 10_000)
    if memory != Memory():
        made.memory = memory
    if cpu != CPU():
        made.cpu = cpu
    if changes.pids_limit is not None:
        made.pids = Pids(limit=changes.pids_limit)
    if changes.blkio_weight is not None:
        made.block_io = BlockIO(weight=changes.blkio_weight)
    return made if made != Resources() else None
