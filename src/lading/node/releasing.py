"""Give back what a pod holds whose keeper is gone, and the control group that held its containers' groups."""

from __future__ import annotations

import os

from lading.errors import LadingError, NotFound
from lading.kernel import tree
from lading.node.engine import engine_of
from lading.node.shop import send_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.node.model import PodRecord
    from lading.node.shop import Shop

_SIGKILL = 9


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
    if record.pod.spec.extras.companions:
        from lading.node import companions

        companions.kill_recorded(shop, record.id)
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
