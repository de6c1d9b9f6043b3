"""ConfigMaps and Secrets as a pod's containers see them: as variables, and as the files of a volume. Pure.

Source: kubernetes.io "ConfigMaps", "Secrets", "Projected Volumes", and the API reference of their volume sources. The data
came with the pod (:class:`lading.formats.pod.ConfigSource`) and stays as it was then.
"""

from __future__ import annotations

import binascii

from lading.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.pod import ConfigSource, Container, EnvVarSource, Pod
    from lading.formats.podvolumes import DownwardAPIFile, KeyToPath, Volume
    from lading.node.environment import Facts

CONFIG_MAP, SECRET = "ConfigMap", "Secret"
_MODE = 0o644


class File:
    """One file of a volume: where below its root, what is in it, its mode."""

    __slots__ = ("data", "mode", "path")

    def __init__(self, path: str, data: bytes, mode: int) -> None:
        self.path = path
        self.data = data
        self.mode = mode


def find(pod: Pod, kind: str, name: str) -> ConfigSource | None:
    """The ConfigMap or Secret called ``name`` that came with the pod."""
    for source in pod.spec.extras.sources:
        if (source.kind, source.name) == (kind, name):
            return source
    return None


# -- variables -----------------------------------------------------------------------------------------------------


def from_everything(pod: Pod, container: Container) -> dict[str, str]:
    """``envFrom``: every key of each source, with its prefix; later sources over earlier ones."""
    values: dict[str, str] = {}
    for wanted in container.env_from:
        for kind, reference in ((CONFIG_MAP, wanted.config_map_ref), (SECRET, wanted.secret_ref)):
            if reference is None:
                continue
            source = find(pod, kind, reference.name)
            if source is None:
                if reference.optional:
                    continue
                raise InvalidInput(
                    f"container {container.name}: envFrom: there is no {kind} {reference.name!r}"
                )
            for key, value in source.values.items():
                values[wanted.prefix + key] = value
    return values


def of_key(wanted: EnvVarSource, pod: Pod, what: str) -> str | None:
    """``configMapKeyRef`` or ``secretKeyRef``: the value; None when it may be missing and is."""
    for kind, reference in ((CONFIG_MAP, wanted.config_map_key_ref), (SECRET, wanted.secret_key_ref)):
        if reference is None:
            continue
        source = find(pod, kind, reference.name)
        if source is not None and reference.key in source.values:
            return source.values[reference.key]
        if reference.optional:
            return None
        missing = "" if source is None else f" with a text under {reference.key!r}"
        raise InvalidInput(f"{what}: there is no {kind} {reference.name!r}{missing}")
    raise InvalidInput(f"{what}: valueFrom is empty")


# -- files ---------------------------------------------------------------------------------------------------------


def is_written(volume: Volume) -> bool:
    """Whether the volume's files are made from the pod's own data."""
    return (
        volume.config_map is not None
        or volume.secret is not None
        or volume.downward_api is not None
        or volume.projected is not None
    )


def files(volume: Volume, pod: Pod, facts: Facts) -> list[File]:
    """The files of a ``configMap``, ``secret``, ``downwardAPI`` or ``projected`` volume; later ones replace earlier."""
    what = f"volume {volume.name}"
    if volume.config_map is not None:
        wanted = volume.config_map
        return _keys(
            pod, CONFIG_MAP, wanted.name, wanted.items, wanted.default_mode, bool(wanted.optional), what
        )
    if volume.secret is not None:
        secret = volume.secret
        return _keys(
            pod, SECRET, secret.secret_name, secret.items, secret.default_mode, bool(secret.optional), what
        )
    if volume.downward_api is not None:
        return _downward(pod, volume.downward_api.items, volume.downward_api.default_mode, facts, what)
    made: dict[str, File] = {}
    assert volume.projected is not None
    mode = volume.projected.default_mode
    for source in volume.projected.sources:
        found: list[File] = []
        for kind, part in ((CONFIG_MAP, source.config_map), (SECRET, source.secret)):
            if part is not None:
                found += _keys(pod, kind, part.name, part.items, mode, bool(part.optional), what)
        if source.downward_api is not None:
            found += _downward(pod, source.downward_api.items, mode, facts, what)
        made.update({file.path: file for file in found})
    return list(made.values())


def _keys(
    pod: Pod, kind: str, name: str, items: list[KeyToPath], mode: int | None, optional: bool, what: str
) -> list[File]:
    default = _MODE if mode is None else mode
    source = find(pod, kind, name)
    if source is None:
        if optional:
            return []
        raise InvalidInput(f"{what}: there is no {kind} {name!r}")
    data = {key: text.encode() for key, text in source.values.items()}
    data.update({key: binascii.a2b_base64(text) for key, text in source.binary.items()})
    if not items:
        return [File(key, data[key], default) for key in sorted(data)]
    made = []
    for item in items:
        if item.key not in data:
            if optional:
                continue
            raise InvalidInput(f"{what}: {kind} {name!r} has no key {item.key!r}")
        made.append(File(item.path, data[item.key], default if item.mode is None else item.mode))
    return made


def _downward(
    pod: Pod, items: list[DownwardAPIFile], mode: int | None, facts: Facts, what: str
) -> list[File]:
    from lading.node import downward

    default = _MODE if mode is None else mode
    made = []
    for item in items:
        here = f"{what}: {item.path}"
        if item.field_ref is not None:
            text = downward.field(item.field_ref, pod, facts, here)
        elif item.resource_field_ref is not None:
            text = downward.resource(item.resource_field_ref, pod, pod.spec.containers[0], facts, here)
        else:
            raise InvalidInput(f"{here}: neither fieldRef nor resourceFieldRef")
        made.append(File(item.path, text.encode(), default if item.mode is None else item.mode))
    return made
