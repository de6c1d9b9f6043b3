"""What takes the creator's own power: sources of mounts that the container's root may not reach, idmapped mounts, and the
root of a container in a user namespace."""

from __future__ import annotations

import os

from lading.errors import InvalidInput, Unsupported
from lading.formats.oci_runtime import Linux
from lading.runtime import mounts, rootfs
from lading.runtime.options import Options, is_bind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_runtime import IDMapping
    from lading.kernel import Kernel
    from lading.runtime.job import Job

_CAP_SYS_ADMIN = 21


def prepare(kernel: Kernel, job: Job) -> None:
    """Fill ``job.sources`` and ``job.root_mount``. Raises :class:`Unsupported`, :class:`InvalidInput`, :class:`KernelError`."""
    # An ordinary user has no such power; what it may not reach, root of its user namespace may not reach either.
    below = job.plan.owns("user")
    powerful = not below or bool(kernel.capget()[0] >> _CAP_SYS_ADMIN & 1)
    for index, mount in enumerate(job.spec.mounts):
        if not is_bind(mount):
            if mount.uid_mappings or mount.gid_mappings:
                raise Unsupported(f"mount on {mount.destination}: mappings on a mount of type {mount.type}")
            continue
        options = Options(mount.options)
        if options.idmap or mount.uid_mappings or mount.gid_mappings:
            job.sources[index] = _idmapped(kernel, job, index, options)
        elif below and powerful:
            job.sources[index] = mounts.make_bind(kernel, mount, options)
    if below and "mount" in job.plan.new and powerful:
        root = job.spec.root
        path = os.path.join(job.bundle, root.path) if root else ""
        job.root_mount = _root(kernel, job, path)


def _root(kernel: Kernel, job: Job, path: str) -> int:
    if job.rootfs is None or not job.rootfs.mapped:
        return rootfs.make(kernel, job.rootfs, path)
    from lading.kernel import idmap

    joined = _joined(job)
    if joined >= 0:
        return rootfs.make(kernel, job.rootfs, path, joined)
    linux = job.spec.linux or Linux()
    users = idmap.user_namespace(kernel, _ids(linux.uid_mappings), _ids(linux.gid_mappings))
    try:
        return rootfs.make(kernel, job.rootfs, path, users)
    finally:
        os.close(users)


def _joined(job: Job) -> int:
    """The descriptor of the user namespace that the container joins, or -1."""
    return next((fd for name, _, fd in job.plan.joins if name == "user"), -1)


def _idmapped(kernel: Kernel, job: Job, index: int, options: Options) -> int:
    from lading.kernel import idmap

    mount = job.spec.mounts[index]
    linux = job.spec.linux or Linux()
    if not mount.uid_mappings and not linux.uid_mappings:
        joined = _joined(job)
        if joined >= 0:
            return mounts.make_bind(kernel, mount, options, joined)
    uids = _ids(mount.uid_mappings or linux.uid_mappings)
    gids = _ids(mount.gid_mappings or linux.gid_mappings)
    if not uids or not gids:
        raise InvalidInput(
            f"mount on {mount.destination}: idmap without mappings, here or in linux.uidMappings"
        )
    idmap.check(uids, f"mount on {mount.destination}: uidMappings")
    idmap.check(gids, f"mount on {mount.destination}: gidMappings")
    userns = idmap.user_namespace(kernel, uids, gids)
    try:
        return mounts.make_bind(kernel, mount, options, userns)
    finally:
        os.close(userns)


def _ids(rows: list[IDMapping]) -> list[tuple[int, int, int]]:
    return [(row.container_id, row.host_id, row.size) for row in rows]
