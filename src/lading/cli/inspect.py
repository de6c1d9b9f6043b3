"""``lading inspect``: containers in Docker's shape, pods in Kubernetes', images, networks and volumes."""

from __future__ import annotations

from lading.cli.translate import plain
from lading.formats import duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.pod import Container
    from lading.images import Image
    from lading.node import ContainerRecord, PodRecord


def definition_of(record: PodRecord, container: ContainerRecord) -> Container:
    """What the Pod says of this container."""
    spec = record.pod.spec
    for definition in (*spec.init_containers, *spec.containers):
        if definition.name == container.name:
            return definition
    return spec.containers[0]


def command_of(definition: Container) -> list[str]:
    """The command as its user typed it (empty: the image's own)."""
    return [plain(word) for word in (*definition.command, *definition.args)]


def labels_of(record: PodRecord, definition: Container) -> dict[str, str]:
    """The labels a person gave: the container's own, or its pod's."""
    return {**record.pod.metadata.labels, **definition.extras.labels}


def image_json(image: Image) -> dict[str, object]:
    """An image in the shape of ``docker image inspect``."""
    config = image.config
    run = config.config
    return {
        "Id": image.id,
        "RepoTags": [n for n in image.names if "@" not in n],
        "RepoDigests": [
            f"{n.partition('@')[0]}@{image.digest}" if "@" not in n else n for n in _repositories(image)
        ],
        "Digest": image.digest,
        "Created": config.created,
        "Author": config.author,
        "Architecture": config.architecture,
        "Variant": config.variant,
        "Os": config.os,
        "Size": image.size,
        "Config": run.encode() if run is not None else {},
        "RootFS": {"Type": "layers", "Layers": list(image.diff_ids)},
        "Descriptor": image.descriptor.encode(),
    }


def _repositories(image: Image) -> list[str]:
    from lading.cli.images import split_name

    return sorted({split_name(name)[0] for name in image.names})


def when(seconds: float) -> str:
    """RFC 3339, or Docker's zero time."""
    return duration.rfc3339(seconds) if seconds else "0001-01-01T00:00:00Z"
