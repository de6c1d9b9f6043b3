"""Values that a Pod points at: the downward API (``fieldRef``, ``resourceFieldRef``), keys of ConfigMaps and Secrets.

Source: kubernetes.io "Downward API", the API reference of ``EnvVarSource``. Pure but for reading the keys.
"""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats import quantity
from lading.formats.jsontext import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from lading.formats.pod import Container, EnvVarSource, Pod
    from lading.formats.podvolumes import ObjectFieldSelector, ResourceFieldSelector
    from lading.node.environment import Facts


def source(wanted: EnvVarSource, pod: Pod, container: Container, facts: Facts, what: str) -> str | None:
    """The value that a ``valueFrom`` points at; None for an optional key that is not there."""
    if wanted.field_ref is not None:
        return field(wanted.field_ref, pod, facts, what)
    if wanted.resource_field_ref is not None:
        return resource(wanted.resource_field_ref, pod, container, facts, what)
    from lading.node import sources

    return sources.of_key(wanted, pod, what)


def field(reference: ObjectFieldSelector, pod: Pod, facts: Facts, what: str) -> str:
    """A ``fieldRef`` of the downward API."""
    path = reference.field_path
    meta = pod.metadata
    head, bracket, rest = path.partition("[")
    if bracket and rest.endswith("]") and head in ("metadata.labels", "metadata.annotations"):
        table = meta.labels if head == "metadata.labels" else meta.annotations
        return table.get(rest[:-1].strip("'\""), "")
    simple = {
        "metadata.name": meta.name,
        "metadata.namespace": meta.namespace or "default",
        "metadata.uid": meta.uid,
        "spec.nodeName": pod.spec.node_name or facts.node,
        "spec.serviceAccountName": pod.spec.service_account_name or "default",
        "status.hostIP": facts.host_ip,
        "status.hostIPs": facts.host_ip,
        "status.podIP": facts.pod_ips[0] if facts.pod_ips else "",
        "status.podIPs": ",".join(facts.pod_ips),
    }
    if path in simple:
        return simple[path]
    if path == "metadata.labels":
        return _pairs(meta.labels)
    if path == "metadata.annotations":
        return _pairs(meta.annotations)
    raise InvalidInput(f"{what}: fieldPath {path!r} is not one that the downward API has")


def _pairs(table: Mapping[str, str]) -> str:
    return "\n".join(f"{key}={dumps(table[key])}" for key in sorted(table))


def resource(
    reference: ResourceFieldSelector, pod: Pod, container: Container, facts: Facts, what: str
) -> str:
    """A ``resourceFieldRef``: the quantity in units of its divisor, rounded up. The machine's own without a limit."""
    target = container
    if reference.container_name and reference.container_name != container.name:
        everyone = pod.spec.containers + pod.spec.init_containers
        found = [c for c in everyone if c.name == reference.container_name]
        if not found:
            raise InvalidInput(f"{what}: the pod has no container {reference.container_name!r}")
        target = found[0]
    kind, _, name = reference.resource.partition(".")
    if kind not in ("limits", "requests") or name not in ("cpu", "memory", "ephemeral-storage"):
        raise InvalidInput(f"{what}: resource {reference.resource!r} is not supported")
    given = target.resources
    table = {} if given is None else (given.limits if kind == "limits" else given.requests or given.limits)
    if name in table:
        value = quantity.nanos(table[name])
    elif kind == "requests":
        value = 0
    else:
        value = {"cpu": facts.cpus, "memory": facts.memory}.get(name, 0) * 10**9
    divisor = quantity.nanos(reference.divisor) if reference.divisor not in ("", "0", 0) else 10**9
    return str(-(-value // divisor))
