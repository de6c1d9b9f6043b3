"""A container's environment, and Kubernetes' ``$(NAME)`` expansion.

Source: kubernetes.io "Define Dependent Environment Variables", the API reference of ``EnvVar``, ``fieldRef`` and
``resourceFieldRef``. Pure.
"""

from __future__ import annotations

from lading.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from lading.formats.pod import Container, EnvVarSource, Pod
    from lading.formats.podvolumes import ObjectFieldSelector, ResourceFieldSelector

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Facts:
    """What the downward API can say of a pod: known once the network is."""

    __slots__ = ("cpus", "host_ip", "memory", "node", "pod_ips")

    def __init__(
        self, pod_ips: list[str], host_ip: str = "", node: str = "", cpus: int = 1, memory: int = 0
    ) -> None:
        self.pod_ips = pod_ips
        self.host_ip = host_ip
        self.node = node
        self.cpus = cpus
        self.memory = memory


def expand(text: str, values: Mapping[str, str], missing: list[str] | None = None) -> str:
    """Replace ``$(NAME)`` by its value; an unknown name stays as written (and joins ``missing``), ``$$`` is one dollar."""
    if "$" not in text:
        return text
    out: list[str] = []
    index = 0
    while True:
        dollar = text.find("$", index)
        if dollar < 0 or dollar + 1 >= len(text):
            out.append(text[index:])
            return "".join(out)
        out.append(text[index:dollar])
        after = text[dollar + 1]
        if after == "$":
            out.append("$")
            index = dollar + 2
        elif after == "(" and (end := text.find(")", dollar)) > 0:
            name = text[dollar + 2 : end]
            if missing is not None and name not in values:
                missing.append(name)
            out.append(values.get(name, text[dollar : end + 1]))
            index = end + 1
        else:
            out.append("$")
            index = dollar + 1


def environment(
    pod: Pod,
    container: Container,
    image_env: list[str],
    *,
    hostname: str,
    home: str,
    facts: Facts,
) -> dict[str, str]:
    """The variables by name, later sources over earlier: defaults, the image's, the container's own."""
    values = {"PATH": PATH, "HOSTNAME": hostname}
    if container.tty:
        values["TERM"] = "xterm"
    for text in image_env:
        name, _, value = text.partition("=")
        values[name] = value
    values.update(declared(pod, container, facts))
    values.setdefault("HOME", home or "/")
    return values


def declared(pod: Pod, container: Container, facts: Facts) -> dict[str, str]:
    """The variables of ``envFrom`` and ``env``, later over earlier: all that ``$(NAME)`` of command and arguments can mean."""
    own: dict[str, str] = {}
    if container.env_from:
        from lading.node import sources

        own.update(sources.from_everything(pod, container))
    for variable in container.env:
        if variable.value_from is not None:
            found = source(variable.value_from, pod, container, facts, f"env {variable.name}")
            if found is not None:
                own[variable.name] = found
        else:
            # Only what the container itself declared before may be referred to, as in Kubernetes.
            own[variable.name] = expand(variable.value, own)
    return own


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
    from lading.formats.jsontext import dumps

    return "\n".join(f"{key}={dumps(table[key])}" for key in sorted(table))


def resource(
    reference: ResourceFieldSelector, pod: Pod, container: Container, facts: Facts, what: str
) -> str:
    """A ``resourceFieldRef``: the quantity in units of its divisor, rounded up. The machine's own without a limit."""
    from lading.formats import quantity

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
