"""What a service mounts, as the mounts of its Pod. Source: Compose specification, "volumes", "tmpfs", "configs", "secrets"."""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats import mountspec, sizes
from lading.formats.pod import BindMount, BlockLimit, TmpfsMount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from lading.compose.pods import World
    from lading.formats.compose.model import Project
    from lading.formats.compose.model_service import BlockIO, FileReference, Mount
    from lading.formats.pod import Container


def into(
    project: Project, service_name: str, container: Container, world: World, kept: Mapping[str, str]
) -> None:
    """Volumes, files and block limits into ``container``; ``kept``: anonymous volumes to go on with, by target."""
    service = project.services[service_name]
    where = f"services.{service_name}"
    made: dict[str, BindMount] = {}
    for text in service.volumes_from:
        _taken_over(text, made, world, where)
    memory = list(container.extras.tmpfs)
    for index, mount in enumerate(service.volumes):
        path = f"{where}.volumes[{index}]"
        if not mount.target.startswith("/"):
            raise InvalidInput(f"{path}.target: {mount.target[:80]!r} is not an absolute path")
        target = mountspec.clean(mount.target)
        if target == "/":
            raise InvalidInput(f"{path}.target: / cannot be mounted over")
        if mount.type == "tmpfs":
            memory.append(_tmpfs(mount, target, path))
            made.pop(target, None)
        else:
            made[target] = _bind(project, mount, target, path, kept)
    for section, granted in (("configs", service.configs), ("secrets", service.secrets)):
        for index, reference in enumerate(granted):
            target = _file_target(section, reference)
            if not target.startswith("/"):
                raise InvalidInput(
                    f"{where}.{section}[{index}].target: {target[:80]!r} is not an absolute path"
                )
            source = world.file(section, reference.source, reference.uid, reference.gid, reference.mode)
            made[target] = BindMount(target=target, source=source, read_only=True)
    for target, volume in kept.items():
        made.setdefault(target, BindMount(target=target, volume=volume))
    container.extras.mounts = list(made.values())
    container.extras.tmpfs = memory
    if service.blkio_config is not None:
        _block_limits(service.blkio_config, container, f"{where}.blkio_config")


def _taken_over(text: str, made: dict[str, BindMount], world: World, where: str) -> None:
    """One row of ``volumes_from``: ``SERVICE[:ro]`` or ``container:NAME[:ro]``."""
    parts = text.split(":")
    named = parts[0] == "container"
    name = parts[1] if named and len(parts) > 1 else world.container(parts[0])
    mode = parts[2 if named else 1] if len(parts) > (2 if named else 1) else "rw"
    if mode not in ("ro", "rw"):
        raise InvalidInput(f"{where}.volumes_from: {text[:80]!r}: {mode!r} is not ro or rw")
    for mount in world.volumes(name):
        made[mount.target] = mount.replace(read_only=mount.read_only or mode == "ro")


def _bind(project: Project, mount: Mount, target: str, path: str, kept: Mapping[str, str]) -> BindMount:
    made = BindMount(target=target, read_only=mount.read_only)
    if mount.type == "bind":
        made.source = mount.source
        made.create_source = True
        if mount.bind is not None:
            made.create_source = mount.bind.create_host_path is not False
            made.propagation = mount.bind.propagation
            made.recursive = mount.bind.recursive != "disabled"
            if made.propagation and made.propagation not in mountspec.PROPAGATIONS:
                raise InvalidInput(f"{path}.bind.propagation: {made.propagation[:40]!r} is unknown")
            if mount.bind.selinux:
                mountspec.refuse_labels(mount.bind.selinux, f"{path}.bind.selinux")
        return made
    if mount.source:
        made.volume = project.volumes[mount.source].name
    else:
        made.volume = kept.get(target, "")
    if mount.volume is not None:
        made.copy_up = not mount.volume.nocopy
        made.sub_path = mount.volume.subpath
        if made.sub_path:
            if made.sub_path.startswith("/") or ".." in made.sub_path.split("/") or not mount.source:
                raise InvalidInput(
                    f"{path}.volume.subpath: {made.sub_path[:80]!r} is no path inside a named volume"
                )
            made.copy_up = False
    return made


def _tmpfs(mount: Mount, target: str, path: str) -> TmpfsMount:
    options = ["ro"] if mount.read_only else []
    if mount.tmpfs is not None and mount.tmpfs.size:
        options.append(f"size={sizes.parse(mount.tmpfs.size, what=path + '.tmpfs.size')}")
    if mount.tmpfs is not None and mount.tmpfs.mode:
        options.append(f"mode={mode_of(mount.tmpfs.mode, path + '.tmpfs.mode'):o}")
    return TmpfsMount(path=target, options=options)


def mode_of(text: str, where: str) -> int:
    """A mode, in octal digits. Raises :class:`InvalidInput`."""
    digits = text.removeprefix("0o")
    if digits and set(digits) <= set("01234567") and len(digits) < 8 and int(digits, 8) <= 0o7777:
        return int(digits, 8)
    raise InvalidInput(f"{where}: {text[:40]!r} is not a mode", hint="write 0440")


def _file_target(section: str, reference: FileReference) -> str:
    """Where a config or secret is found: ``/NAME``, ``/run/secrets/NAME``."""
    target = reference.target or reference.source
    if section == "secrets" and not target.startswith("/"):
        return f"/run/secrets/{target}"
    return f"/{target}" if not reference.target else target


def _block_limits(config: BlockIO, container: Container, where: str) -> None:
    extras = container.extras
    for field, kind, bucket in (
        ("device_read_bps", "read", extras.block_bandwidth),
        ("device_write_bps", "write", extras.block_bandwidth),
        ("device_read_iops", "read", extras.block_operations),
        ("device_write_iops", "write", extras.block_operations),
    ):
        for index, row in enumerate(getattr(config, field)):
            path = f"{where}.{field}[{index}]"
            if not row.path:
                raise InvalidInput(f"{path}.path: required field is missing", reason="missing-field")
            rate = sizes.parse(row.rate, what=f"{path}.rate")
            found = next((entry for entry in bucket if entry.device == row.path), None)
            if found is None:
                found = BlockLimit(device=row.path)
                bucket.append(found)
            setattr(found, kind, rate)
