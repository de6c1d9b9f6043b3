"""A container's own choice of system calls as a seccomp profile.

``remove`` takes names out of the profile that every container has, so nothing is ever gained by it. ``retain`` is a list of
all that may be called; the kernel still asks for the capability that a call needs. Sets of names add to both. Source:
seccomp(2); runtime-spec config-linux.md, Seccomp.

The filter is loaded while the container is still being set up, for that takes CAP_SYS_ADMIN (seccomp(2)). The calls between
there and the command's first instruction are therefore always retained, and cannot be removed.
"""

from __future__ import annotations

from lading.formats.oci_runtime import Seccomp, Syscall
from lading.node import callsets
from lading.node.seccomp_profile import default_profile, named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from lading.formats.podextras import SystemCalls

RETAIN, REMOVE = "retain", "remove"

#: What a process calls from its filter to its command, in whichever form the architecture and the C library have.
SETUP = frozenset(
    """
    access brk capget capset chdir clock_gettime close close_range dup dup2 dup3 execve exit exit_group faccessat faccessat2
    fchown fcntl fcntl64 fstat fstat64 fstatat64 futex getcwd getdents64 getpid getrandom gettid ioctl lseek lstat
    madvise mmap mmap2 mprotect mremap munmap newfstatat open openat prctl read readlink readlinkat restart_syscall
    rt_sigaction rt_sigprocmask rt_sigreturn sched_setaffinity set_robust_list setgroups setgroups32 setresgid
    setresgid32 setresuid setresuid32 sigreturn stat stat64 statx umask write
    """.split()
)
_ALLOW = "SCMP_ACT_ALLOW"


def profile(wanted: SystemCalls, capabilities: list[str], machine: str = "") -> Seccomp:
    """The profile for a process whose bounding set is ``capabilities``; ``machine`` as for :func:`default_profile`.

    ``wanted`` has been checked.
    """
    made = default_profile(capabilities, machine)
    blocked, answer = (
        ("SCMP_ACT_ERRNO", errno_of(wanted.errno)) if wanted.errno else ("SCMP_ACT_KILL_PROCESS", None)
    )
    names = set(wanted.names) | callsets.members(wanted.sets)
    whole = callsets.DEFAULT in wanted.sets
    # To name a call is to know it: those newer than all that are named answer ENOSYS, whatever is asked for.
    known = named(machine) | {name for rule in made.syscalls for name in rule.names}
    if wanted.mode == REMOVE:
        gone = (names | known if whole else names) - SETUP
        calls = [_without(rule, gone) for rule in made.syscalls]
        made.syscalls = [rule for rule in calls if rule.names]
        made.syscalls.append(Syscall(names=sorted(gone), action=blocked, errno_ret=answer))
        return made
    kept = names | SETUP
    made.default_action, made.default_errno_ret = blocked, answer
    # What the default profile lets through under a condition is let through under it, unless it is named itself.
    calls = [_without(rule, kept) for rule in made.syscalls] if whole else []
    calls = [rule for rule in calls if rule.names]
    rest = known - kept - {name for rule in calls for name in rule.names}
    made.syscalls = [
        Syscall(names=sorted(kept), action=_ALLOW),
        *calls,
        Syscall(names=sorted(rest), action=blocked, errno_ret=answer),
    ]
    return made


def _without(rule: Syscall, gone: set[str]) -> Syscall:
    return rule.replace(names=[name for name in rule.names if name not in gone])


def errno_of(name: str) -> int | None:
    """The number of an error by its name (``EPERM``); None when there is none of that name."""
    import errno

    number = getattr(errno, name, None) if name.startswith("E") else None
    return number if isinstance(number, int) else None


def unknown(names: Iterable[str]) -> list[str]:
    """Those of ``names`` that are no system calls to this machine's libseccomp, so that nothing is done about them."""
    from lading.kernel import seccomp

    return seccomp.unknown(list(names))
