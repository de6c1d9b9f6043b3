"""Which namespaces are made, which are joined, and by whom.

Most can be asked of clone(2) in one go. A second, short-lived process is needed when the container's first process must
be *born* in something that can only be entered through a parent: a joined pid namespace, a time namespace with
offsets, a joined user namespace, or any joined one beside a new user namespace (whose root has no power over the
host's). That process joins, clones with CLONE_PARENT, and goes; the caller is the parent either way.
"""

from __future__ import annotations

import os

from lading.errors import InvalidInput, KernelError
from lading.kernel.namespaces import CLONE_NEWCGROUP, CLONE_NEWTIME, FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_runtime import Linux
    from lading.kernel import Kernel

#: runtime-spec's names → those of ``/proc/PID/ns``.
KINDS = {
    "user": "user",
    "mount": "mnt",
    "uts": "uts",
    "ipc": "ipc",
    "network": "net",
    "cgroup": "cgroup",
    "time": "time",
    "pid": "pid",
}


class Plan:
    """Namespaces of one container.

    ``new``    spec names of those to make; ``joins`` (spec name, flag, descriptor) of those to join, in order.
    """

    __slots__ = ("joins", "new", "offsets")

    def __init__(self) -> None:
        self.new: set[str] = set()
        self.joins: list[tuple[str, int, int]] = []
        self.offsets = ""

    @property
    def clone_flags(self) -> int:
        """What clone(2) is asked for: all new ones but cgroup (rooted where the process is) and time (for children)."""
        flags = 0
        for name in self.new:
            flags |= FLAGS[KINDS[name]]
        return flags & ~(CLONE_NEWCGROUP | CLONE_NEWTIME)

    @property
    def joins_mount(self) -> bool:
        """Whether the mount namespace is somebody else's, and every name in it in his hands."""
        return any(name == "mount" for name, _, _ in self.joins)

    @property
    def needs_helper(self) -> bool:
        """Whether a process between the caller and the container's first one has to do the joining."""
        joined = {name for name, _, _ in self.joins}
        return bool(joined & {"pid", "user", "time"} or "time" in self.new or ("user" in self.new and joined))

    def owns(self, name: str) -> bool:
        """Whether the container does not share this namespace with its creator."""
        return name in self.new or any(name == joined for joined, _, _ in self.joins)

    def close(self) -> None:
        """Close the descriptors."""
        for _, _, fd in self.joins:
            os.close(fd)
        self.joins = []


def plan(kernel: Kernel, linux: Linux) -> Plan:
    """Read ``linux.namespaces``, open the paths and check that each is of its kind.

    Raises :class:`InvalidInput` for unknown or repeated kinds and for a path that is something else.
    """
    made = Plan()
    seen: set[str] = set()
    for namespace in linux.namespaces:
        kind = namespace.type
        if kind not in KINDS:
            raise InvalidInput(f"linux.namespaces: type {kind!r} is not known")
        if kind in seen:
            raise InvalidInput(f"linux.namespaces: {kind} stands twice")
        seen.add(kind)
        if namespace.path:
            made.joins.append((kind, FLAGS[KINDS[kind]], _open(kernel, kind, namespace.path)))
        else:
            made.new.add(kind)
    if linux.time_offsets:
        if "time" not in made.new:
            raise InvalidInput("linux.timeOffsets needs a new time namespace")
        made.offsets = _offsets(linux)
    if (linux.uid_mappings or linux.gid_mappings) and "user" not in seen:
        raise InvalidInput("linux.uidMappings need a user namespace")
    if "user" in made.new and not (linux.uid_mappings and linux.gid_mappings):
        raise InvalidInput("a new user namespace needs linux.uidMappings and linux.gidMappings")
    return made


def _open(kernel: Kernel, kind: str, path: str) -> int:
    try:
        fd = kernel.open(path, os.O_RDONLY)
    except KernelError as error:
        raise InvalidInput(f"linux.namespaces: {kind}: {path}: {os.strerror(error.errno)}") from None
    try:
        found = kernel.namespace_type(fd)
    except OSError:
        found = 0
    if found != FLAGS[KINDS[kind]]:
        kernel.close(fd)
        raise InvalidInput(f"linux.namespaces: {kind}: {path} is not a {kind} namespace")
    return fd


def _offsets(linux: Linux) -> str:
    lines = []
    for clock, offset in linux.time_offsets.items():
        if clock not in ("monotonic", "boottime"):
            raise InvalidInput(f"linux.timeOffsets: clock {clock!r} is neither monotonic nor boottime")
        if not 0 <= offset.nanosecs < 1_000_000_000:
            raise InvalidInput(f"linux.timeOffsets.{clock}: nanosecs must be from 0 to 999999999")
        lines.append(f"{clock} {offset.secs} {offset.nanosecs}\n")
    return "".join(lines)


def enter(kernel: Kernel, joins: list[tuple[str, int, int]]) -> None:
    """Join namespaces with the power this process has; what needs the joined user namespace's power comes after it."""
    late = []
    for name, flag, fd in joins:
        if name == "user":
            continue
        try:
            kernel.setns(fd, flag)
        except KernelError as error:
            if error.errno != 1:
                raise KernelError(f"join {name} namespace: {error.call}", error.errno) from None
            late.append((name, flag, fd))
    users = [fd for name, _, fd in joins if name == "user"]
    # Who enters it becomes its root later: until then what our creator may reach can be opened.
    for fd in users:
        kernel.setns(fd, FLAGS["user"])
    for name, flag, fd in late:
        try:
            kernel.setns(fd, flag)
        except KernelError as error:
            raise KernelError(f"join {name} namespace: {error.call}", error.errno) from None
