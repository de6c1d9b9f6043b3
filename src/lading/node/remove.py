"""Take a pod off the machine, in an order that can be interrupted anywhere and done again."""

from __future__ import annotations

import os

from lading.errors import Conflict, LadingError, NotFound
from lading.kernel import tree
from lading.node.engine import engine_of
from lading.node.records import REMOVING
from lading.node.shop import alive, process_start, send_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.node.model import PodRecord
    from lading.node.shop import Shop


_SIGKILL = 9


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
        release(shop, record)  # what a killed command left after the record said that it had ended
    try:
        _remove_files(shop.pod_directory(record.id), record)
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
    try:
        drop_group(shop.pod_cgroup(record))
    except LadingError:
        return  # still busy: `check --repair` finds it, as it is nobody's now


def drop_group(path: str) -> None:
    """Remove the group ``path`` in every hierarchy: a foreign runtime also makes it where nothing is limited.

    Raises :class:`Conflict` for one that still has processes.
    """
    from lading.kernel.cgroups import detect, manager

    layout = detect()
    manager(path, layout).delete()
    if layout.unified is not None:
        try:
            os.rmdir(layout.unified.directory(path))
        except OSError:
            pass  # not there, or not empty: it is found again by who asks for what is left


def _remove_files(directory: str, record: PodRecord) -> None:
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
    tree.remove(directory)


def remove_pod_group(shop: Shop, record: PodRecord) -> None:
    """Remove the group above the containers of a pod, once they are gone."""
    if record.single:
        return
    from lading.kernel.cgroups import manager

    group = manager(shop.pod_cgroup(record))
    if group.exists():
        try:
            drop_group(group.path)
        except LadingError:
            pass  # something still runs in it: repair comes back to it


def release(shop: Shop, record: PodRecord) -> None:
    """Give back what a pod holds whose keeper is gone: processes, cgroups, runtime state, network, memory mounts.

    Raises the first failure, after everything else was given back: then the record stays, and with it the way to try again.
    """
    failure: LadingError | None = None
    for container in record.containers:
        try:
            handle = engine_of(shop, record).get(container.id)
        except NotFound:
            send_signal(shop.kernel, container.pid, container.pid_start, _SIGKILL)
            # Killed between claiming the id and writing its state: a bare directory, which is no container yet.
            tree.remove(f"{shop.roots.runtime}/{container.id}")
            continue
        try:
            handle.delete(force=True)
        except NotFound:
            continue
        except LadingError as error:
            failure = failure or error
    shop.networks.release(record.id)
    remove_pod_group(shop, record)
    from lading.node import holder, memory

    try:
        os.unlink(f"{shop.roots.keepers}/{record.id[:32]}")
    except OSError:
        pass

    holder.kill_recorded_pause(shop, record.id)
    memory.unmount_all(shop, record.id)
    if failure is not None:
        raise failure
