"""Take a pod off the machine, in an order that can be interrupted anywhere and done again."""

from __future__ import annotations

import os

from lading.errors import Conflict, LadingError
from lading.kernel import tree
from lading.node.records import REMOVING
from lading.node.shop import alive, process_start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.kernel import Kernel
    from lading.node.model import PodRecord
    from lading.node.shop import Shop


def collect(shop: Shop, record: PodRecord, *, volumes: bool, staged: bool = False) -> None:
    """Remove an ended pod's directory, anonymous volumes (with ``volumes``) and, last, its record.

    ``staged``: it is recorded already that the pod is being removed.
    """
    before = 0 if staged else _claimed(shop, record)
    if before < 0:
        return
    if before or any(
        os.path.lexists(f"{shop.roots.runtime}/{container.id}") for container in record.containers
    ):
        from lading.node.releasing import release

        release(shop, record)  # what a killed command left after the record said that it had ended
    try:
        _remove_files(shop.kernel, shop.pod_directory(record.id), record)
    except OSError as error:
        raise LadingError(f"container {record.name}: removing its files: {error.strerror}") from None
    if volumes:
        for container in record.containers:
            for name in container.anonymous:
                try:
                    shop.volumes.remove(name, force=True)
                except LadingError:
                    continue  # in use by another container by now
    if not record.single:
        _drop_group(shop, record)
    shop.records.delete(record)


def _claimed(shop: Shop, record: PodRecord) -> int:
    """Write down that this process removes the pod: the pid of a keeper that was killed, or 0.

    Returns -1 when somebody has removed it. Raises :class:`Conflict` when somebody is at it.

    Whoever wants to start it meanwhile sees it kept, and waits for what becomes of it.
    """
    with shop.records.database:
        found = shop.records.get(record.id)
        if found is None:
            return -1
        before = found.keeper_pid if found.keeper_pid != os.getpid() else 0
        if before and alive(found.keeper_pid, found.keeper_start):
            raise Conflict(f"container {record.name} is being started or removed", reason="running")
        found.keeper_pid, found.keeper_start = os.getpid(), process_start(os.getpid())
        shop.records.update(found, "keeper_pid", "keeper_start")
        shop.records.stage(record.id, REMOVING)
    return before


def _drop_group(shop: Shop, record: PodRecord) -> None:
    """The control group of a pod of several, which held its containers' groups."""
    from lading.node.releasing import drop_group

    try:
        drop_group(shop.pod_cgroup(record))
    except LadingError:
        return  # still busy: `check --repair` finds it, as it is nobody's now


def _remove_files(kernel: Kernel, directory: str, record: PodRecord) -> None:
    """The pod's directory; most hold what we put there and nothing more."""
    files = ["hosts", "hostname", "resolv.conf"]
    directories = []
    for container in record.containers:
        # The kernel's own work directory, with the mark of a root that is not synchronised.
        volatile = f"{container.name}/work/work/incompat/volatile"
        files += [f"{container.name}/log", f"{volatile}/dirty"]
        while "/" in volatile:
            directories.append(volatile)
            volatile = volatile.rpartition("/")[0]
        directories += [f"{container.name}/upper", container.name]
    tree.sweep(directory, directories, files)
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return
    except OSError:
        from lading.kernel import clearing

        clearing.clear(kernel, directory)
