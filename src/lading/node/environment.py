"""A container's environment, and Kubernetes' ``$(NAME)`` expansion.

Source: kubernetes.io "Define Dependent Environment Variables", the API reference of ``EnvVar``. Pure.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from lading.formats.pod import Container, Pod

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
            from lading.node.downward import source

            found = source(variable.value_from, pod, container, facts, f"env {variable.name}")
            if found is not None:
                own[variable.name] = found
        else:
            # Only what the container itself declared before may be referred to, as in Kubernetes.
            own[variable.name] = expand(variable.value, own)
    return own
