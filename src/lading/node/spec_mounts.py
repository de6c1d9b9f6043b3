"""What a container finds mounted: the defaults every Linux container has, then what its Pod asks for. Pure.

Sources: runtime-spec config-linux.md "Default Filesystems"; Docker's defaults; kubernetes.io "Volumes" (propagation).
"""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats.oci_runtime import Mount
from lading.kernel import userns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from lading.formats.pod import Container

SHM_SIZE = 64 << 20
_PROPAGATION = {
    "": "rprivate",
    "None": "rprivate",
    "HostToContainer": "rslave",
    "Bidirectional": "rshared",
}
_DOCKER_PROPAGATION = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_TMPFS_DEFAULTS = ("nosuid", "nodev", "noexec")


class Source:
    """Where a Pod's volume lies: ``bind`` a path, or a fresh ``tmpfs`` with options."""

    __slots__ = ("kind", "options", "path")

    def __init__(self, kind: str, path: str = "", options: Sequence[str] = ()) -> None:
        self.kind = kind
        self.path = path
        self.options = list(options)


def _tty_group() -> list[str]:
    """The group of terminals, unless this is a user namespace of a single id, where the kernel refuses any other."""
    return ["gid=5"] if userns.has_range() else []


def _of_the_host(path: str, access: str) -> Mount:
    options = ["rbind", "rprivate", "nosuid", "noexec", "nodev", "rro" if access == "ro" else "rw"]
    return Mount(destination=path, type="bind", source=path, options=options)


def defaults(
    container: Container,
    *,
    privileged: bool,
    shared: Collection[str],
    ordinary: bool,
    shm_source: str,
) -> list[Mount]:
    """The file systems of every container. ``shm_source``: the pod's shared ``/dev/shm`` on the host, or empty.

    ``shared`` are the namespaces it has in common with the host. What shows one of them may be mounted by the user namespace
    that owns it alone: an ``ordinary`` user's container gets the host's own mount instead.
    """
    access = "rw" if privileged else "ro"
    borrowed = shared if ordinary else ()
    mounts = [
        _of_the_host("/proc", "rw")
        if "pid" in borrowed
        else Mount(destination="/proc", type="proc", source="proc", options=["nosuid", "noexec", "nodev"]),
        Mount(
            destination="/dev",
            type="tmpfs",
            source="tmpfs",
            options=["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        Mount(
            destination="/dev/pts",
            type="devpts",
            source="devpts",
            options=["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", *_tty_group()],
        ),
        _of_the_host("/sys", access)
        if "network" in borrowed
        else Mount(
            destination="/sys", type="sysfs", source="sysfs", options=["nosuid", "noexec", "nodev", access]
        ),
        Mount(
            destination="/sys/fs/cgroup",
            type="cgroup",
            source="cgroup",
            options=[access, "nosuid", "noexec", "nodev", "relatime"],
        ),
    ]
    # A fresh mqueue mount shows the IPC namespace it is made in, also when that is the host's, which may mount none.
    # Queues are opened without it.
    if "ipc" not in borrowed:
        mounts.append(
            Mount(
                destination="/dev/mqueue",
                type="mqueue",
                source="mqueue",
                options=["nosuid", "noexec", "nodev"],
            )
        )
    if "ipc" in shared:
        mounts.append(
            Mount(
                destination="/dev/shm",
                type="bind",
                source="/dev/shm",
                options=["rbind", "nosuid", "noexec", "nodev"],
            )
        )
        return mounts
    if shm_source:
        mounts.append(
            Mount(
                destination="/dev/shm",
                type="bind",
                source=shm_source,
                options=["rbind", "nosuid", "noexec", "nodev"],
            )
        )
    else:
        size = container.extras.shm_size or SHM_SIZE
        mounts.append(
            Mount(
                destination="/dev/shm",
                type="tmpfs",
                source="shm",
                options=["nosuid", "noexec", "nodev", "mode=1777", f"size={size}"],
            )
        )
    return mounts


def generated(directory: str, *, names: Sequence[str], read_only: bool) -> list[Mount]:
    """Bind mounts of ``/etc/hosts``, ``/etc/hostname`` and ``/etc/resolv.conf`` from the pod's directory."""
    options = ["rbind", "rprivate"] + (["ro"] if read_only else [])
    return [
        Mount(destination=f"/etc/{name}", type="bind", source=f"{directory}/{name}", options=list(options))
        for name in names
    ]


def volume(
    source: Source,
    target: str,
    *,
    read_only: bool = False,
    recursive_read_only: bool = False,
    propagation: str = "",
    recursive: bool = True,
) -> Mount:
    """One mount of a volume at ``target``. Raises :class:`InvalidInput` for a propagation that does not exist."""
    if source.kind == "tmpfs":
        options = [*_TMPFS_DEFAULTS[:2], *source.options]
        if read_only:
            options.append("ro")
        return Mount(destination=target, type="tmpfs", source="tmpfs", options=options)
    mode = _PROPAGATION.get(propagation) or (propagation if propagation in _DOCKER_PROPAGATION else "")
    if not mode:
        raise InvalidInput(f"mount {target}: propagation {propagation!r} is unknown")
    options = ["rbind" if recursive else "bind", mode, *source.options]
    if read_only:
        options.append("rro" if recursive_read_only else "ro")
    return Mount(destination=target, type="bind", source=source.path, options=options)


def tmpfs(path: str, options: Sequence[str]) -> Mount:
    """``--tmpfs PATH:OPTIONS`` with Docker's defaults, each of which an option overrides."""
    given = list(options)
    made = [word for word in _TMPFS_DEFAULTS if word.removeprefix("no") not in given and word not in given]
    if not any(word.startswith("mode=") for word in given):
        given.append("mode=1777")
    return Mount(destination=path, type="tmpfs", source="tmpfs", options=made + given)


def ordered(base: list[Mount], own: list[Mount]) -> list[Mount]:
    """``own`` after ``base``, parents before children; a mount of one's own replaces a default at the same place."""
    targets = {_clean(mount.destination) for mount in own}
    kept = [mount for mount in base if _clean(mount.destination) not in targets]
    return kept + sorted(own, key=lambda mount: _clean(mount.destination).count("/"))


def _clean(path: str) -> str:
    import posixpath

    return posixpath.normpath("/" + path.lstrip("/"))
