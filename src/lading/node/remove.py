"""Take a pod off the machine, in an order that can be interrupted anywhere and done again."""

from __future__ import annotations

import os

from lading.errors import LadingError, NotFound
from lading.node import tree
from lading.node.records import REMOVING
from lading.node.shop import alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.node.model import PodRecord
    from lading.node.shop import Shop


def collect(shop: Shop, record: PodRecord, *, volumes: bool) -> None:
    """Remove an ended pod's directory, anonymous volumes (with ``volumes``) and, last, its record."""
    shop.records.stage(record.id, REMOVING)
    try:
        tree.remove(shop.pod_directory(record.id))
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


def _drop_group(shop: Shop, record: PodRecord) -> None:
    """The control group of a pod of several, which held its containers' groups."""
    from lading.kernel.cgroups import manager

    try:
        manager(shop.cgroup(record, record.containers[0]).rpartition("/")[0]).delete()
    except LadingError:
        return  # still busy: `check --repair` finds it, as it is nobody's now


def remove_pod_group(shop: Shop, record: PodRecord) -> None:
    """Remove the group above the containers of a pod, once they are gone."""
    if record.single:
        return
    from lading.kernel.cgroups import manager

    group = manager(shop.pod_cgroup(record))
    if group.exists():
        try:
            group.delete()
        except LadingError:
            pass  # something still runs in it: repair comes back to it


def release(shop: Shop, record: PodRecord) -> None:
    """Give back what a pod holds whose keeper is gone: processes, cgroups, runtime state, network, memory mounts."""
    for container in record.containers:
        try:
            handle = shop.runtime.get(container.id)
        except NotFound:
            if alive(container.pid, container.pid_start):
                os.kill(container.pid, 9)
            continue
        try:
            handle.delete(force=True)
        except LadingError:
            continue
    networks = shop.networks
    if networks.attachment(record.id) is not None:
        networks.detach(record.id)
    remove_pod_group(shop, record)
    from lading.node import holder, memory

    try:
        os.unlink(f"{shop.roots.keepers}/{record.id[:32]}")
    except OSError:
        pass

    pause = holder.recorded_pause(shop, record.id)
    if pause:
        os.kill(pause, 9)
    memory.unmount_all(shop, record.id)
