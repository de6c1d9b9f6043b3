"""``lading inspect``: containers in Docker's shape, pods in Kubernetes', images, networks and volumes."""

from __future__ import annotations

from lading.cli.translate import plain
from lading.errors import InvalidInput, NotFound
from lading.formats import duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.formats.pod import Container
    from lading.images import Image, Images
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


def image_json(images: Images, image: Image) -> dict[str, object]:
    """An image in the shape of ``docker image inspect``."""
    config = image.config
    run = config.config
    return {
        "Id": image.id,
        "RepoTags": [n for n in image.names if "@" not in n],
        "RepoDigests": _repository_digests(images, image),
        "Digest": image.digest,
        "Comment": config.history[-1].comment if config.history else "",
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


def _repository_digests(images: Images, image: Image) -> list[str]:
    """``repository@digest`` of all it was pulled or pushed as: the index's digest where a name stands for one."""
    from lading.cli.images import split_name
    from lading.images.travelling import is_final

    known = {
        f"{split_name(name)[0]}@{digest}"
        for name, digest in image.targets.items()
        if is_final(images, digest)
    }
    return sorted(known)


def when(seconds: float) -> str:
    """RFC 3339, or Docker's zero time."""
    return duration.rfc3339(seconds) if seconds else "0001-01-01T00:00:00Z"


# -- the commands --------------------------------------------------------------------------------------------------


def inspect(context: Context, parsed: Parsed) -> int:
    """Show objects of any kind in full: containers and pods first, then images, volumes and networks."""
    return _show(context, parsed, parsed["type"])


def containers(context: Context, parsed: Parsed) -> int:
    """Show containers in full."""
    return _show(context, parsed, "container")


def _show(context: Context, parsed: Parsed, kind: str) -> int:
    from lading.cli.output import inspected

    return inspected(
        parsed.args, lambda name: find(context, name, kind, size=parsed["size"]), parsed["format"]
    )


def find(context: Context, name: str, kind: str = "", *, size: bool = False) -> dict[str, object]:
    """The object called ``name``, of ``kind`` or of the first kind that has one. Raises :class:`NotFound`."""

    from lading.cli.inspect_pod import pod_json

    def container() -> dict[str, object]:
        from lading.cli.inspect_container import container_json

        record, inner = context.node.find(name)
        if not record.single and inner is None:
            if kind == "container":
                raise NotFound(f"{name} is a pod, not a container", hint=f"its containers are {name}/NAME")
            return pod_json(record)
        return container_json(context, record, inner or record.container, size=size)

    def pod() -> dict[str, object]:
        from lading.cli.pods import is_pod

        return pod_json(is_pod(context, name))

    def image() -> dict[str, object]:
        return image_json(context.images, context.images.get(name))

    def volume() -> dict[str, object]:
        from lading.cli.volumes import volume_json

        return volume_json(context, context.volumes.get(name))

    def network() -> dict[str, object]:
        from lading.cli.networks import network_json

        return network_json(context, name)

    lookups: dict[str, Callable[[], dict[str, object]]] = {
        "container": container,
        "pod": pod,
        "image": image,
        "volume": volume,
        "network": network,
    }
    if kind:
        return lookups[kind]()
    for look in (container, image, volume, network):
        try:
            return look()
        except NotFound:
            continue
        except InvalidInput as error:
            if error.reason == "ambiguous":
                raise
    raise NotFound(f"nothing is called {name!r}: no container, pod, image, volume or network")
