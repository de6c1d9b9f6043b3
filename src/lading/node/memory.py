"""Memory volumes and the shared ``/dev/shm`` of a pod: tmpfs mounts below the run root, named by the pod's id.

The only mounts of Lading on the host. Several containers, and restarts of one, see the same memory, so it cannot live in
any one container's mount namespace. They are found by name, so a killed keeper's are unmounted by repair.
"""

from __future__ import annotations

import os

from lading.errors import KernelError
from lading.roots import keep_private

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.podvolumes import EmptyDirVolumeSource
    from lading.node.model import PodRecord
    from lading.node.shop import Shop

#: The name of a pod's ``/dev/shm``, and how large it is unless somebody says so.
SHM, SHM_SIZE = ".shm", 64 << 20
_NOSUID, _NODEV, _DETACH = 2, 4, 2


def options(wanted: EmptyDirVolumeSource, fs_group: int | None) -> str:
    """How the tmpfs of an ``emptyDir`` in memory is mounted. A limit of 0 means the kernel's, half of the memory."""
    mode = 0o777 if wanted.mode is None else wanted.mode
    made = f"mode={mode:o}" if fs_group is None else f"mode={mode | 0o2770:o},gid={fs_group}"
    if wanted.uid is not None:
        made += f",uid={wanted.uid}"
    if wanted.gid is not None:
        made += f",gid={wanted.gid}"
    if wanted.size_limit is None:
        return made
    from lading.formats import quantity

    size = quantity.units(wanted.size_limit)
    return f"{made},size={size}" if size else made  # tmpfs(5): size=0 takes the limit away


def mount(shop: Shop, pod_id: str, name: str, options: str) -> str:
    """Mount a tmpfs for ``name``, unless it is there already: its path."""
    path = f"{shop.memory_directory(pod_id)}/{name}"
    keep_private(os.path.dirname(shop.memory_directory(pod_id)))
    os.makedirs(path, 0o711, exist_ok=True)
    if not os.path.ismount(path):
        shop.kernel.mount("tmpfs", path, "tmpfs", _NOSUID | _NODEV, options)
    return path


def unmount_all(shop: Shop, pod_id: str) -> None:
    """Unmount and remove everything of one pod; nothing is an error when there is nothing."""
    directory = shop.memory_directory(pod_id)
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return
    for name in names:
        path = f"{directory}/{name}"
        try:
            while os.path.ismount(path):
                shop.kernel.umount(path, _DETACH)
            os.rmdir(path)
        except (KernelError, OSError):
            continue
    try:
        os.rmdir(directory)
    except OSError:
        pass


def is_shared(record: PodRecord) -> bool:
    """Whether the container's ``/dev/shm`` is one that others may join (``--ipc shareable``)."""
    return record.single and record.pod.spec.extras.ipc_mode == "shareable"


def share(shop: Shop, record: PodRecord) -> str:
    """Make the ``/dev/shm`` of a container that others may join: its path on the host.

    A mount of another namespace cannot be bound (mount(2), open_tree(2): EINVAL), so what is to be joined is the host's.
    """
    size = record.pod.spec.containers[0].extras.shm_size or SHM_SIZE
    return mount(shop, record.id, SHM, f"mode=1777,size={size}")
