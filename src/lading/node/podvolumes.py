"""The volumes of one container: where each lies on this machine, made if it has to be, and how it is mounted.

Source: kubernetes.io "Volumes" and "Configure a Security Context" (fsGroup); core/v1 VolumeMount.
"""

from __future__ import annotations

import os
import stat

from lading.errors import InvalidInput, LadingError, NotFound, Unsupported
from lading.node import spec_mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lading.formats.oci_runtime import Mount
    from lading.formats.pod import BindMount, Container, PodSecurityContext
    from lading.formats.podvolumes import Volume, VolumeMount
    from lading.formats.rootfs import Rootfs
    from lading.node import spec
    from lading.node.model import ContainerRecord, PodRecord
    from lading.node.shop import Shop


def mounts(
    shop: Shop,
    record: PodRecord,
    made: ContainerRecord,
    container: Container,
    rootfs: Rootfs,
    around: spec.Surroundings,
) -> list[Mount]:
    """The container's volumes as mounts. Descriptors in them are in ``around.opened``, for the caller to close."""
    found: list[Mount] = []
    try:
        for wanted in container.volume_mounts:
            owner, volume = _named(shop, record, container, wanted.name)
            found.append(_mount(shop, record, owner, container, volume, wanted, around))
        for bind in container.extras.mounts:
            found.append(_bind(shop, made, bind, rootfs, around))
    except BaseException:
        around.close()
        raise
    return found


def _named(shop: Shop, record: PodRecord, container: Container, name: str) -> tuple[PodRecord, Volume]:
    """The volume of this name and the pod that has it: the container's own, or the one that it lives in (``extras.pod``)."""
    pods: list[PodRecord | None] = [record]
    if record.pod.spec.extras.pod:
        pods.append(shop.records.get(record.pod.spec.extras.pod))
    for owner in pods:
        if owner is None:
            continue
        for volume in owner.pod.spec.volumes:
            if volume.name == name:
                return owner, volume
    raise InvalidInput(f"container {container.name}: volumeMounts names {name!r}, which is no volume")


def _mount(
    shop: Shop,
    record: PodRecord,
    owner: PodRecord,
    container: Container,
    volume: Volume,
    wanted: VolumeMount,
    around: spec.Surroundings,
) -> Mount:
    source = volume_source(shop, owner, volume, around)
    sub = _sub_path_of(record, container, wanted, around)
    if sub:
        if source.kind != "bind":
            raise Unsupported(f"volume {volume.name}: subPath of a volume that is a tmpfs is not supported")
        inside = _inside(shop, owner, source.path, sub)
        around.opened.append(inside)
        source = spec_mounts.Source("bind", f"/proc/self/fd/{inside}")
    from lading.node import sources

    source.options += wanted.bind_mount_options
    claim = volume.persistent_volume_claim
    return spec_mounts.volume(
        source,
        wanted.mount_path,
        read_only=wanted.read_only or sources.is_written(volume) or (claim is not None and claim.read_only),
        recursive_read_only=wanted.recursive_read_only in ("Enabled", "IfPossible"),
        propagation=wanted.mount_propagation,
    )


def _inside(shop: Shop, owner: PodRecord, path: str, sub: str) -> int:
    """:func:`sub_path`; in memory that belongs to the pod's own users, directories are made as theirs."""
    if not owner.users:
        return sub_path(shop, path, sub)
    from lading.node import memory
    from lading.node.fileids import Ids

    with Ids(owner.users if memory.is_volume(shop, path) else 0).acting(shop.kernel):
        return sub_path(shop, path, sub)


def _sub_path_of(
    record: PodRecord, container: Container, wanted: VolumeMount, around: spec.Surroundings
) -> str:
    if not wanted.sub_path_expr:
        return wanted.sub_path
    from lading.node import environment

    values = environment.declared(record.pod, container, around.facts)
    missing: list[str] = []
    sub = environment.expand(wanted.sub_path_expr, values, missing)
    if missing:
        raise InvalidInput(
            f"container {container.name}: subPathExpr {wanted.sub_path_expr!r}: there is no variable {missing[0]}",
            hint="declare it in env",
        )
    return sub


def _bind(
    shop: Shop, made: ContainerRecord, bind: BindMount, rootfs: Rootfs, around: spec.Surroundings
) -> Mount:
    if bind.source:
        if not os.path.lexists(bind.source):
            if not bind.create_source:
                raise InvalidInput(
                    f"bind source {bind.source} does not exist", hint="make it first", reason="no-source"
                )
            os.makedirs(bind.source, exist_ok=True)
        source = spec_mounts.Source("bind", bind.source, [o for o in bind.options if o not in ("z", "Z")])
    else:
        source = named_volume(
            shop,
            bind.volume,
            driver=bind.driver,
            options=bind.driver_options,
            anonymous=bind.volume in made.anonymous,
            copy_from=(rootfs, bind.target) if bind.copy_up else None,
        )
        if bind.sub_path:
            source = _part(shop, source, bind, around)
    return spec_mounts.volume(
        source,
        bind.target,
        read_only=bind.read_only,
        propagation=bind.propagation,
        recursive=bind.recursive,
    )


def _part(
    shop: Shop, source: spec_mounts.Source, bind: BindMount, around: spec.Surroundings
) -> spec_mounts.Source:
    """``volume-subpath``: a part of a volume, which has to be there, as in Docker; links in it lead nowhere else."""
    if source.kind != "bind":
        raise Unsupported(f"volume {bind.volume}: volume-subpath of a volume in memory is not supported")
    inside = sub_path(shop, source.path, bind.sub_path, make=False)
    around.opened.append(inside)
    return spec_mounts.Source("bind", f"/proc/self/fd/{inside}", source.options)


def named_volume(
    shop: Shop,
    name: str,
    *,
    driver: str = "",
    options: dict[str, str] | None = None,
    anonymous: bool = False,
    copy_from: tuple[Rootfs, str] | None = None,
) -> spec_mounts.Source:
    """The named volume's source, made when it does not exist, filled from the image when it is new and empty."""
    volumes = shop.volumes
    try:
        volume = volumes.get(name)
    except NotFound:
        volume = volumes.create(name, driver or "local", options or {}, anonymous=anonymous)
    found = volumes.source(name)
    if found.kind == "bind" and copy_from is not None and not volume.populated:
        from lading.formats.rootfs import Rootfs
        from lading.volumes.copyup import copy_up

        # Of a private copy (no layers below) nothing but the copy itself is there to read.
        shown = copy_from[0]
        image = Rootfs(lower=shown.lower) if shown.lower else Rootfs(upper=shown.upper)
        with volumes.filling(name) as filling:
            if not volumes.get(name).populated:
                copy_up(shop.kernel, image, copy_from[1], found.path, filling.marker)
                volumes.mark_populated(name)
    return spec_mounts.Source(found.kind, found.path, found.options)


def volume_source(
    shop: Shop, record: PodRecord, volume: Volume, around: spec.Surroundings
) -> spec_mounts.Source:
    """Where a Pod's volume lies on this machine, made if it has to be."""
    context = record.pod.spec.security_context
    fs_group = context.fs_group if context is not None else None
    if volume.empty_dir is not None:
        if volume.empty_dir.medium == "Memory":
            return spec_mounts.Source("bind", f"{shop.memory_directory(record.id)}/{volume.name}")
        directory = f"{shop.pod_directory(record.id)}/volumes"
        path = f"{directory}/{volume.name}"
        if not os.path.isdir(path):
            # With its name once it is whole: a kill in between would leave one that only root may write to.
            part = f"{directory}/.{volume.name}"
            os.makedirs(part, exist_ok=True)
            mode = volume.empty_dir.mode
            _give(part, volume)
            os.chmod(part, 0o777 if mode is None else mode)
            if fs_group is not None:
                own(part, fs_group)
            os.rename(part, path)
        return spec_mounts.Source("bind", path)
    if volume.host_path is not None:
        from lading.node import hostpaths

        return spec_mounts.Source("bind", hostpaths.source(shop.kernel, volume, around.opened))
    if volume.persistent_volume_claim is not None:
        return named_volume(shop, volume.persistent_volume_claim.claim_name)
    from lading.node import atomicdir, sources

    if sources.is_written(volume):
        path = f"{shop.pod_directory(record.id)}/volumes/{volume.name}"
        atomicdir.write(path, sources.files(volume, record.pod, around.facts), group=fs_group)
        return spec_mounts.Source("bind", path)
    raise Unsupported(f"volume {volume.name}: its source is not supported")


def _give(path: str, volume: Volume) -> None:
    """``emptyDir.uid`` and ``.gid``."""
    wanted = volume.empty_dir
    if wanted is None or (wanted.uid is None and wanted.gid is None):
        return
    uid, gid = (-1 if number is None else number for number in (wanted.uid, wanted.gid))
    try:
        os.chown(path, uid, gid)
    except OSError as error:
        raise InvalidInput(
            f"volume {volume.name}: emptyDir cannot belong to {uid}:{gid}: {error.strerror}"
        ) from None


def own_claims(shop: Shop, record: PodRecord) -> None:
    """Give the pod's claims to its fsGroup: once for each start of the pod.

    What a container then does to the modes of its files (a private key that no group may read) stays when it, or the next
    container, starts.
    """
    context = record.pod.spec.security_context
    if context is None or context.fs_group is None:
        return
    for volume in record.pod.spec.volumes:
        claim = volume.persistent_volume_claim
        if claim is None or claim.read_only:
            continue
        source = named_volume(shop, claim.claim_name)
        if source.kind == "bind" and not _owned_already(source.path, context):
            own(source.path, context.fs_group)


def _owned_already(path: str, context: PodSecurityContext) -> bool:
    """fsGroupChangePolicy ``OnRootMismatch``: whether the root says that the rest has been done before."""
    if context.fs_group_change_policy != "OnRootMismatch":
        return False
    info = os.stat(path)
    return info.st_gid == context.fs_group and info.st_mode & 0o2770 == 0o2770


def own(path: str, group: int) -> None:
    """fsGroup: everything below ``path`` belongs to ``group``, which may do what the owner may, and new files inherit it.

    Descriptor by descriptor, without following links: other pods may be at work in the same volume.
    """
    try:
        for name, directory in _everything(path):
            fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            try:
                mode = os.fstat(fd).st_mode
                if not stat.S_ISLNK(mode):
                    here = f"/proc/self/fd/{fd}"
                    os.chown(here, -1, group)
                    os.chmod(here, stat.S_IMODE(mode) | (0o2770 if stat.S_ISDIR(mode) else 0o660))
            finally:
                os.close(fd)
    except OSError as error:
        raise LadingError(f"volume {path}: giving it to group {group}: {error.strerror}") from None
    except RecursionError:
        raise LadingError(
            f"volume {path}: giving it to group {group}: its directories are nested too deeply"
        ) from None


def _everything(path: str) -> Iterator[tuple[str, int]]:
    # The root last: with OnRootMismatch it says that all the rest is done.
    for _, directories, files, fd in os.fwalk(path):
        for name in (*directories, *files):
            yield name, fd
    root = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield ".", root
    finally:
        os.close(root)


def sub_path(shop: Shop, volume: str, sub: str, *, make: bool = True) -> int:
    """A descriptor of what ``subPath`` names, so that no link swapped in later can lead out of the volume.

    ``make`` makes a directory of what is not there; else it is :class:`NotFound`.

    CVE-2021-25741 is this check done by name. The caller closes the descriptor once the container runs.
    """
    if sub.startswith("/") or ".." in sub.split("/"):
        raise InvalidInput(f"subPath {sub!r} must be relative and stay inside its volume")
    from lading.kernel.paths import make_directory_inside, open_inside

    try:
        root = os.open(volume, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except NotADirectoryError:
        raise InvalidInput(f"subPath {sub!r}: {volume} is no directory, so nothing is in it") from None
    try:
        try:
            found = open_inside(shop.kernel, root, sub)
        except LadingError:
            if not make:
                raise NotFound(f"{sub} does not exist in the volume", reason="no-source") from None
            found = make_directory_inside(shop.kernel, root, sub)
    finally:
        os.close(root)
    return found
