"""Memory volumes and the shared ``/dev/shm`` of a pod: tmpfs mounts below the run root, named by the pod's id.

The only mounts of Lading on the host. Several containers, and restarts of one, see the same memory, so it cannot live in
any one container's mount namespace. They are found by name, so a killed keeper's are unmounted by repair.

Those of a pod with users of its own are nobody else's, so they are born with what its users are called on the host, and need
not be shown with other ids: the kernel can do that to a tmpfs only since Linux 6.3.
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


def options(wanted: EmptyDirVolumeSource, fs_group: int | None, users: int = 0) -> str:
    """How the tmpfs of an ``emptyDir`` in memory is mounted. A limit of 0 means the kernel's, half of the memory.

    ``users`` is what the pod's root is on the host.
    """
    mode = 0o777 if wanted.mode is None else wanted.mode
    made = f"mode={mode:o}" if fs_group is None else f"mode={mode | 0o2770:o}"
    uid, gid = wanted.uid, fs_group if wanted.gid is None else wanted.gid
    if gid is not None or users:
        made += f",gid={users + (gid or 0)}"
    if uid is not None or users:
        made += f",uid={users + (uid or 0)}"
    if wanted.size_limit is None:
        return made
    from lading.formats import quantity

    size = quantity.units(wanted.size_limit)
    return f"{made},size={size}" if size else made  # tmpfs(5): size=0 takes the limit away


def shared_options(record: PodRecord, size: int = SHM_SIZE) -> str:
    """How the ``/dev/shm`` that a pod's containers share is mounted."""
    owner = f",uid={record.users},gid={record.users}" if record.users else ""
    return f"mode=1777,size={size}{owner}"


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
    return mount(shop, record.id, SHM, shared_options(record, size))


def is_volume(shop: Shop, source: str) -> bool:
    """Whether a mount's source lies in a pod's memory, be it by a descriptor of this process."""
    if source.startswith("/proc/self/fd/"):
        try:
            source = os.readlink(source)
        except OSError:
            return False
    return source.startswith(os.path.dirname(shop.memory_directory("x")) + "/")
