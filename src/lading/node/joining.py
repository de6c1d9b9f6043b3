"""Joining other containers: what ``container:NAME`` means for the network, the IPC and the processes of a new one."""

from __future__ import annotations

from lading.errors import Conflict, InvalidInput
from lading.node import etcfiles
from lading.node.memory import SHM, is_shared
from lading.node.shop import alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.node.shop import Shop
    from lading.node.spec import Surroundings

#: How many containers may join one another's network, or IPC, in a row.
_CHAIN = 40


def other_process(shop: Shop, reference: str, what: str) -> int:
    """The pid of a running container that another one wants to share ``what`` with. Raises NotFound, Conflict."""
    record, container = shop.records.resolve(reference)
    target = container or record.container
    if container is None:  # of a pod any container will do: they share what can be joined
        target = next((c for c in record.containers if alive(c.pid, c.pid_start)), target)
    if not alive(target.pid, target.pid_start):
        raise Conflict(f"{what} container:{reference}: it is not running", hint=f"lading start {reference}")
    return target.pid


def share_files(shop: Shop, reference: str, around: Surroundings) -> None:
    """The name and the generated files of the container whose network is joined, as Docker does.

    That one may itself have joined another's: the files are those of the pod that the namespace was made for.
    """
    for _ in range(_CHAIN):
        record, _container = shop.records.resolve(reference)
        mode = record.pod.spec.extras.network_mode
        if record.pod.spec.host_network or not mode.startswith("container:"):
            around.hostname = etcfiles.hostname(record.pod, record.id)
            around.directory = shop.pod_directory(record.id)
            return
        reference = mode.partition(":")[2]
    raise InvalidInput(f"network container:{reference}: too many containers join one another's network")


def shared_memory(shop: Shop, reference: str) -> str:
    """The ``/dev/shm`` of the container or pod whose IPC is joined. Raises :class:`Conflict` for a private one."""
    for _ in range(_CHAIN):
        record, _container = shop.records.resolve(reference)
        spec = record.pod.spec
        mode = spec.extras.ipc_mode
        if spec.host_ipc or mode == "host":
            return "/dev/shm"
        if not mode.startswith("container:"):
            if record.single and not is_shared(record):
                raise Conflict(
                    f"ipc container:{reference}: its IPC is private",
                    hint=f"start {record.name} with --ipc shareable",
                    reason="not-shareable",
                )
            return f"{shop.memory_directory(record.id)}/{SHM}"
        reference = mode.partition(":")[2]
    raise InvalidInput(f"ipc container:{reference}: too many containers join one another's IPC")
