"""Memory volumes and the shared ``/dev/shm`` of a pod: tmpfs mounts below the run root, named by the pod's id.

The only mounts of Lading on the host. Several containers, and restarts of one, see the same memory, so it cannot live in
any one container's mount namespace. They are found by name, so a killed keeper's are unmounted by repair.
"""

from __future__ import annotations

import os

from lading.errors import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.node.shop import Shop

_NOSUID, _NODEV, _DETACH = 2, 4, 2


def mount(shop: Shop, pod_id: str, name: str, options: str) -> str:
    """Mount a tmpfs for ``name``, unless it is there already: its path."""
    path = f"{shop.memory_directory(pod_id)}/{name}"
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
