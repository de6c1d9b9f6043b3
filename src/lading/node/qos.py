"""A pod's class of service by its requests and limits, and whom the kernel kills first when memory is short. Pure.

Source: kubernetes.io "Pod Quality of Service Classes" and "Node-pressure Eviction" (node out of memory behavior).
"""

from __future__ import annotations

from lading.formats import quantity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.pod import Container, Pod

GUARANTEED, BURSTABLE, BEST_EFFORT = "Guaranteed", "Burstable", "BestEffort"
_RESOURCES = ("cpu", "memory")


def class_of(pod: Pod) -> str:
    """The word that ``status.qosClass`` says."""
    containers = [*pod.spec.init_containers, *pod.spec.containers]
    given = [_amounts(container) for container in containers]
    if not any(amount for limits, requests in given for amount in (*limits.values(), *requests.values())):
        return BEST_EFFORT
    for limits, requests in given:
        for name in _RESOURCES:
            limit = limits.get(name, 0)
            if not limit or requests.get(name, limit) != limit:
                return BURSTABLE
    return GUARANTEED


def _amounts(container: Container) -> tuple[dict[str, int], dict[str, int]]:
    resources = container.resources
    if resources is None:
        return {}, {}
    return tuple(  # type: ignore[return-value]
        {name: quantity.nanos(table[name]) for name in _RESOURCES if name in table}
        for table in (resources.limits, resources.requests)
    )


def oom_score_adj(pod: Pod, container: Container, memory: int) -> int:
    """The container's ``oom_score_adj`` on a machine of ``memory`` bytes. A sidecar goes no sooner than those it serves."""
    kind = class_of(pod)
    if kind == GUARANTEED:
        return -997
    if kind == BEST_EFFORT:
        return 1000
    own = _burstable(container, memory)
    if container.restart_policy == "Always" and any(container is c for c in pod.spec.init_containers):
        return min(own, *(_burstable(main, memory) for main in pod.spec.containers))
    return own


def _burstable(container: Container, memory: int) -> int:
    limits, requests = _amounts(container)
    wanted = requests.get("memory", limits.get("memory", 0)) // quantity.NANO
    return min(max(2, 1000 - 1000 * wanted // memory), 999)
