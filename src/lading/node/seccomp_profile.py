"""The system calls a container may make when nobody asked for something else.

The effect is that of the profile Docker, containerd and Podman ship, so that an image which runs there runs here: an
allow-list; what is not on it fails with EPERM. It takes away what reaches past the container or has mostly been used
to attack kernels (keyrings, modules, ``userfaultfd``, ``io_uring``, new user namespaces), and gives back what a granted
capability is useless without.

The profile is a value: the same capabilities and architecture always give the same one. :func:`cache_key` names it, so
that the compiled filter can be kept.

Sources: seccomp(2), capabilities(7), syscalls(2); runtime-spec config-linux.md, Seccomp.
"""

from __future__ import annotations

import os

from lading.formats.oci_runtime import Seccomp, Syscall, SyscallArg

VERSION = 1
"""Part of :func:`cache_key`; raised with every change of a table below."""

_EPERM = 1
_ENOSYS = 38
_AF_VSOCK = 40
_ALLOW = "SCMP_ACT_ALLOW"
_ERRNO = "SCMP_ACT_ERRNO"

# -- allowed to everybody, by what it is about. A name that an architecture or libseccomp does not know is no error:
# -- the tables hold 32-bit variants and calls newer than any one kernel.

_FILES = """
access cachestat chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync
flock fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64
inotify_add_watch inotify_init inotify_init1 inotify_rm_watch fanotify_mark ioctl lchown lchown32 link linkat _llseek
lseek lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pread64 preadv preadv2
pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv rename renameat renameat2 rmdir sendfile sendfile64
splice stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range syncfs tee truncate truncate64 umask
unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev
"""
_ATTRIBUTES = """
fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat llistxattr lremovexattr
lsetxattr removexattr removexattrat setxattr setxattrat
"""
_WAITING = """
epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2
futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list set_robust_list membarrier _newselect
pause pipe pipe2 poll ppoll ppoll_time64 pselect6 pselect6_time64 restart_syscall select io_cancel io_destroy
io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit rseq
"""
_MEMORY = """
brk madvise map_shadow_stack memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap mseal
msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages
"""
_PROCESSES = """
execve execveat exit exit_group fork vfork wait4 waitid waitpid getpgid getpgrp getpid getppid getsid gettid setpgid
setsid getpriority setpriority getrlimit setrlimit prlimit64 ugetrlimit getrusage times ioprio_get ioprio_set prctl
pidfd_open pidfd_send_signal getcpu sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr
sched_setparam sched_setscheduler sched_yield set_thread_area get_thread_area set_tid_address uretprobe
"""
_IDENTITY = """
capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32 getresuid
getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setregid
setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32
"""
_SIGNALS = """
kill tgkill tkill rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack signalfd signalfd4 sigprocmask sigreturn
"""
_TIME = """
adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete
timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
timerfd_gettime64 timerfd_settime timerfd_settime64
"""
_SOCKETS = """
accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 recvmsg
send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair
"""
_SYSTEM_V = """
ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink
msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget
"""
_SANDBOXING = "landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp"
_SYSTEM = "getrandom sysinfo uname"
# Inspecting one's own processes. Safe since Linux 4.8; before it ptrace(2) could change a call after the filter saw it.
_DEBUGGING = "process_vm_readv process_vm_writev ptrace"

_EVERYBODY = (
    f"{_FILES} {_ATTRIBUTES} {_WAITING} {_MEMORY} {_PROCESSES} {_IDENTITY} {_SIGNALS} {_TIME} {_SOCKETS} {_SYSTEM_V} "
    f"{_SANDBOXING} {_SYSTEM} {_DEBUGGING}"
)

# -- given back by a capability, which without the call would mean nothing.

_BY_CAPABILITY = {
    "CAP_BPF": "bpf",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_PERFMON": "perf_event_open",
    "CAP_SYSLOG": "syslog",
    "CAP_SYS_ADMIN": """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick listmount lookup_dcookie lsm_get_self_attr
        lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl
        quotactl_fd setdomainname sethostname setns statmount syslog umount umount2 unshare
    """,
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module finit_module init_module",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "CAP_SYS_RAWIO": "ioperm iopl",
    "CAP_SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "CAP_SYS_TTY_CONFIG": "vhangup",
}

# -- one architecture's own calls, and the ABIs that its kernel also runs.

_BY_MACHINE = {
    "x86_64": "arch_prctl modify_ldt",
    "i686": "modify_ldt",
    "aarch64": "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2",
    "armv7l": "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2",
    "ppc64le": "swapcontext sync_file_range2",
    "riscv64": "riscv_flush_icache",
    "s390x": "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr",
}
_ABIS = {
    "x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "i686": ["SCMP_ARCH_X86"],
    "aarch64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
    "armv7l": ["SCMP_ARCH_ARM"],
    "ppc64le": ["SCMP_ARCH_PPC64LE"],
    "riscv64": ["SCMP_ARCH_RISCV64"],
    "s390x": ["SCMP_ARCH_S390X", "SCMP_ARCH_S390"],
}

# personality(2): Linux and its 32-bit form, each also with UNAME26, and 0xffffffff, which only asks. Others switch off
# address space randomisation or bring execution domains nobody runs.
_PERSONALITIES = (0x0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)

# clone(2) flags that make namespaces: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
_NEW_NAMESPACES = 0x7E020000


def default_profile(capabilities: list[str], machine: str = "") -> Seccomp:
    """The profile for a process whose bounding set is ``capabilities`` (``CAP_…`` names).

    ``machine`` is what uname(2) says (``x86_64``, ``aarch64``); this machine's when empty. On one that no table names,
    the profile lists no architectures and holds for the native ABI alone.
    """
    machine = machine or os.uname().machine
    held = set(capabilities)
    allowed = set(_EVERYBODY.split())
    allowed.update(_BY_MACHINE.get(machine, "").split())
    for capability in held:
        allowed.update(_BY_CAPABILITY.get(capability, "").split())
    calls = [
        Syscall(names=sorted(allowed), action=_ALLOW),
        # AF_VSOCK reaches the hypervisor, past every network namespace.
        Syscall(
            names=["socket"], action=_ALLOW, args=[SyscallArg(index=0, value=_AF_VSOCK, op="SCMP_CMP_NE")]
        ),
    ]
    calls += [
        Syscall(
            names=["personality"], action=_ALLOW, args=[SyscallArg(index=0, value=value, op="SCMP_CMP_EQ")]
        )
        for value in _PERSONALITIES
    ]
    if "CAP_SYS_ADMIN" not in held:
        calls += _clone_without_namespaces(machine)
    return Seccomp(
        default_action=_ERRNO,
        default_errno_ret=_EPERM,
        architectures=list(_ABIS.get(machine, ())),
        syscalls=calls,
    )


def named(machine: str = "") -> set[str]:
    """Every call that a table here names for a machine, whether it is allowed or not."""
    texts = (_EVERYBODY, *_BY_CAPABILITY.values(), _BY_MACHINE.get(machine or os.uname().machine, ""))
    return {name for text in texts for name in text.split()} | {"socket", "personality", "clone", "clone3"}


_shared: dict[str, Seccomp] = {}
_SHARED = 16


def shared_profile(capabilities: list[str]) -> tuple[str, Seccomp]:
    """:func:`cache_key` and the default profile of its name: one for all containers of this process, never to be changed."""
    name = cache_key(capabilities)
    made = _shared.get(name)
    if made is None:
        made = default_profile(capabilities)
        if len(_shared) >= _SHARED:
            return "", made
        _shared[name] = made
    return name, made


def _clone_without_namespaces(machine: str) -> list[Syscall]:
    """Threads and processes, but no namespaces.

    The flags of clone3(2) lie in memory, where a filter cannot look: the call says ENOSYS, and every libc falls back
    to clone(2), whose flags are an argument (on s390x the second one).
    """
    flags = SyscallArg(
        index=1 if machine == "s390x" else 0, value=_NEW_NAMESPACES, value_two=0, op="SCMP_CMP_MASKED_EQ"
    )
    return [
        Syscall(names=["clone"], action=_ALLOW, args=[flags]),
        Syscall(names=["clone3"], action=_ERRNO, errno_ret=_ENOSYS),
    ]


def cache_key(capabilities: list[str], machine: str = "") -> str:
    """A short name, the same exactly for the arguments that give the same profile; fit for a file name."""
    machine = machine or os.uname().machine
    held = sorted(set(capabilities).intersection(_BY_CAPABILITY))
    return "-".join(["default", str(VERSION), machine, *(name[4:].lower() for name in held)])
