"""Turning a process that set up a container into the container's process: limits, labels, identity,
capabilities.

The order is the kernel's: limits before the identity is given up, groups before users, the bounding set while
CAP_SETPCAP is still there, the other sets after setresuid(2), ambient last. A seccomp filter without
no_new_privs needs CAP_SYS_ADMIN and so comes before the capabilities go; with it, as late as possible.
"""

from __future__ import annotations

import os

from lading.errors import InvalidInput, KernelError, Unsupported
from lading.kernel.capabilities import NAMES, mask
from lading.kernel.process import PR_SET_KEEPCAPS, PR_SET_NO_NEW_PRIVS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_runtime import Capabilities, Process, Rlimit
    from lading.kernel import Kernel

#: setrlimit(2), the asm-generic numbers.
RLIMITS = (
    "RLIMIT_CPU RLIMIT_FSIZE RLIMIT_DATA RLIMIT_STACK RLIMIT_CORE RLIMIT_RSS RLIMIT_NPROC RLIMIT_NOFILE RLIMIT_MEMLOCK "
    "RLIMIT_AS RLIMIT_LOCKS RLIMIT_SIGPENDING RLIMIT_MSGQUEUE RLIMIT_NICE RLIMIT_RTPRIO RLIMIT_RTTIME"
).split()
_UNLIMITED = 0xFFFFFFFFFFFFFFFF
_EINVAL = 22
_SCHED = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_ISO": 4,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
_SCHED_FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}
_IOPRIO = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
PERSONALITIES = {"LINUX": 0, "LINUX32": 8}
MEMORY_MODES = {
    "MPOL_DEFAULT": 0,
    "MPOL_PREFERRED": 1,
    "MPOL_BIND": 2,
    "MPOL_INTERLEAVE": 3,
    "MPOL_LOCAL": 4,
    "MPOL_PREFERRED_MANY": 5,
    "MPOL_WEIGHTED_INTERLEAVE": 6,
}
MEMORY_FLAGS = {
    "MPOL_F_NUMA_BALANCING": 1 << 13,
    "MPOL_F_RELATIVE_NODES": 1 << 14,
    "MPOL_F_STATIC_NODES": 1 << 15,
}


def look_up(table: dict[str, int], name: str, field: str) -> int:
    """``table[name]``; :class:`InvalidInput` that names the field otherwise."""
    try:
        return table[name]
    except KeyError:
        raise InvalidInput(f"{field}: {name!r} is not known") from None


def parse_cpus(text: str, field: str) -> set[int]:
    """``0-2,5`` as a set (cpuset(7), list format)."""
    cpus: set[int] = set()
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        try:
            first, last = int(low), int(high if dash else low)
        except ValueError:
            raise InvalidInput(f"{field}: {text!r} is not a list such as 0-2,5") from None
        if not 0 <= first <= last < 8192:
            raise InvalidInput(f"{field}: {part!r} is out of range")
        cpus.update(range(first, last + 1))
    return cpus


def set_limits(kernel: Kernel, limits: list[Rlimit]) -> None:
    """Apply rlimits. Raising a hard limit without CAP_SYS_RESOURCE is an error that says so."""
    for limit in limits:
        if limit.type not in RLIMITS:
            raise InvalidInput(f"process.rlimits: type {limit.type!r} is not known")
        soft, hard = limit.soft & _UNLIMITED, limit.hard & _UNLIMITED
        try:
            kernel.setrlimit(RLIMITS.index(limit.type), soft, hard)
        except KernelError as error:
            hint = ""
            if error.errno == 1:
                hint = "raising a hard limit needs CAP_SYS_RESOURCE, or for files a value below fs.nr_open"
            raise KernelError(
                f"process.rlimits: {limit.type} soft={limit.soft} hard={limit.hard}", error.errno, hint=hint
            ) from None


def raise_limits(kernel: Kernel, limits: list[Rlimit], pid: int = 0) -> None:
    """Raise the hard limits of ``pid`` (this process) as far as ``limits`` wants them, while somebody may: root of a user
    namespace may not. Soft ones stay: what sets itself up still needs them. What cannot be raised is told when it is set.
    """
    import resource

    for limit in limits:
        if limit.type in RLIMITS:
            number = RLIMITS.index(limit.type)
            soft, hard = (value & _UNLIMITED for value in resource.getrlimit(number))
            if limit.hard & _UNLIMITED > hard:
                try:
                    kernel.setrlimit(number, soft, limit.hard & _UNLIMITED, pid)
                except KernelError:
                    continue


def schedule(kernel: Kernel, process: Process) -> None:
    """Scheduler and I/O priority of the process."""
    wanted = process.scheduler
    if wanted is not None:
        policy = look_up(_SCHED, wanted.policy, "process.scheduler.policy")
        flags = 0
        for flag in wanted.flags:
            flags |= look_up(_SCHED_FLAGS, flag, "process.scheduler.flags")
        try:
            kernel.sched_setattr(
                policy, flags, wanted.nice, wanted.priority, wanted.runtime, wanted.deadline, wanted.period
            )
        except KernelError as error:
            raise KernelError(f"process.scheduler: {error.call}", error.errno, hint=error.hint) from None
    if process.io_priority is not None:
        kind = look_up(_IOPRIO, process.io_priority.class_, "process.ioPriority.class")
        kernel.set_io_priority(kind << 13 | process.io_priority.priority)


def set_memory_policy(kernel: Kernel, mode: str, nodes: str, flags: list[str]) -> None:
    """NUMA policy (set_mempolicy(2))."""
    value = look_up(MEMORY_MODES, mode, "linux.memoryPolicy.mode")
    for flag in flags:
        value |= look_up(MEMORY_FLAGS, flag, "linux.memoryPolicy.flags")
    bits = 0
    for node in parse_cpus(nodes, "linux.memoryPolicy.nodes") if nodes else ():
        bits |= 1 << node
    if bits >> 1024:
        raise InvalidInput(f"linux.memoryPolicy.nodes: {nodes!r} is out of range")
    kernel.set_mempolicy(value, bits)


class Sets:
    """The five capability sets as bits, limited to what this kernel and this process can give."""

    __slots__ = ("ambient", "bounding", "effective", "inheritable", "permitted", "warnings")

    def __init__(self, wanted: Capabilities | None) -> None:
        self.warnings: list[str] = []
        self.bounding = self._bits(wanted.bounding if wanted else [])
        self.effective = self._bits(wanted.effective if wanted else [])
        self.permitted = self._bits(wanted.permitted if wanted else [])
        self.inheritable = self._bits(wanted.inheritable if wanted else [])
        self.ambient = self._bits(wanted.ambient if wanted else [])

    def _bits(self, names: list[str]) -> int:
        bits, unknown = mask(names)
        for name in unknown:
            if name not in self.warnings:
                self.warnings.append(name)
        return bits


def drop_bounding(kernel: Kernel, keep: int) -> None:
    """Leave only ``keep`` in the bounding set."""
    for number in range(len(NAMES)):
        if not keep >> number & 1:
            try:
                kernel.bounding_drop(number)
            except KernelError as error:
                if error.errno != 22:  # an older kernel does not know it
                    raise
    number = len(NAMES)
    while kernel.bounding_read(number):  # capabilities of a kernel newer than our table
        kernel.bounding_drop(number)
        number += 1


_RANGE_OF_IDS = "an ordinary user needs a range of ids in /etc/subuid and /etc/subgid for it, and newuidmap"


def become(kernel: Kernel, process: Process, *, setgroups: bool = True) -> None:
    """Take the process's user, groups and capabilities. A process that names none gets none, root too, as with runc and crun.

    ``setgroups``: False in a user namespace that denies it.
    """
    user = process.user
    sets = Sets(process.capabilities)
    drop_bounding(kernel, sets.bounding)
    kernel.prctl(PR_SET_KEEPCAPS, 1)
    if setgroups:
        kernel.setgroups(user.additional_gids)
    elif any(gid != user.gid for gid in user.additional_gids):
        # Its own group once more is no loss: where setgroups(2) is denied, no set of groups can be given up.
        raise Unsupported(
            "process.user.additionalGids: this user namespace forbids setgroups(2)", hint=_RANGE_OF_IDS
        )
    try:
        kernel.setresgid(user.gid)
        kernel.setresuid(user.uid)
    except KernelError as error:
        if error.errno != _EINVAL:
            raise
        raise InvalidInput(
            f"user {user.uid}:{user.gid}: the container's user namespace has no such id", hint=_RANGE_OF_IDS
        ) from None
    kernel.prctl(PR_SET_KEEPCAPS, 0)
    _, have, _ = kernel.capget()
    # What this process does not have itself (a reduced root, a user namespace) it cannot give.
    permitted = sets.permitted & have
    kernel.capset(sets.effective & permitted, permitted, sets.inheritable & sets.bounding & have)
    kernel.ambient_clear()
    ambient = sets.ambient & permitted & sets.inheritable & sets.bounding & have
    for number in range(len(NAMES)):
        if ambient >> number & 1:
            kernel.ambient_raise(number)


def no_new_privileges(kernel: Kernel) -> None:
    """prctl(PR_SET_NO_NEW_PRIVS)."""
    kernel.prctl(PR_SET_NO_NEW_PRIVS, 1)


def set_label(kernel: Kernel, proc_fd: int, process: Process) -> None:
    """The AppArmor profile or SELinux label that the next execve applies."""
    from lading.runtime.masks import write_proc

    if not process.apparmor_profile and not process.selinux_label:
        return
    me = kernel.readlinkat(proc_fd, "self")
    if process.apparmor_profile:
        if not apparmor_enabled():
            raise Unsupported("process.apparmorProfile: AppArmor is not enabled on this machine")
        value = f"exec {process.apparmor_profile}".encode()
        try:
            write_proc(kernel, proc_fd, f"{me}/attr/apparmor/exec", value)
        except KernelError as error:
            if error.errno != 2:
                raise
            write_proc(kernel, proc_fd, f"{me}/attr/exec", value)
    if process.selinux_label:
        try:
            write_proc(kernel, proc_fd, f"{me}/attr/exec", process.selinux_label.encode())
        except KernelError as error:
            if error.errno not in (2, 22) or os.path.isdir("/sys/fs/selinux/booleans"):
                raise KernelError(f"process.selinuxLabel: {error.call}", error.errno) from None
            raise Unsupported("process.selinuxLabel: SELinux is not enabled on this machine") from None


def apparmor_enabled() -> bool:
    """Whether the AppArmor module is loaded and switched on."""
    try:
        fd = os.open("/sys/module/apparmor/parameters/enabled", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.read(fd, 1) == b"Y"
    finally:
        os.close(fd)


def selinux_enabled() -> bool:
    """Whether SELinux's own file system is mounted."""
    return os.path.isdir("/sys/fs/selinux/policy_capabilities")
