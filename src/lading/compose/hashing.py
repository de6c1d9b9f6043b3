"""The hash of a service's definition: what decides whether its containers are made anew.

What does not change a container is left out, as docker compose leaves it out: how it is built, how many there are, what they
wait for, whose profile they are.
"""

from __future__ import annotations

import hashlib

from lading.compose.resources import Files, digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.compose.model import Project

_LEFT_OUT = (
    "build",
    "depends_on",
    "scale",
    "profiles",
    "develop",
    "pull_policy",
    "pull_refresh_after",
    "attach",
    "label_file",
    "pre_stop",
)


def of(project: Project, name: str, files: Files) -> str:
    """The hash of service ``name``, and of what its configs and secrets hold."""
    service = project.services[name]
    value = {k: v for k, v in service.encode().items() if k not in _LEFT_OUT}
    if isinstance(value.get("deploy"), dict):
        value["deploy"] = {k: v for k, v in value["deploy"].items() if k != "replicas"}
    value["networks"] = {
        project.networks[key].name: joined.encode() if joined is not None else None
        for key, joined in service.networks.items()
    }
    value["sources"] = [
        project.volumes[m.source].name for m in service.volumes if m.type == "volume" and m.source
    ]
    contents = []
    for section, granted in (("configs", service.configs), ("secrets", service.secrets)):
        for reference in granted:
            data = files.content(section, reference.source)
            contents.append(hashlib.sha256(data).hexdigest() if data is not None else "")
    value["contents"] = contents
    return digest(value)
