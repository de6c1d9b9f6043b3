"""Sets of system calls with names, for a container's own choice (:mod:`lading.node.systemcalls`).

``default`` is what every container may call, with its conditions; the others are those of systemd.exec(5), ``SystemCallFilter=``,
as systemd 252 and its successors have them (its ``@default`` is called ``basic`` here). A name that a machine does not know means
nothing there: the sets hold calls of every architecture and age.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT = "default"

_CLOCK = "adjtimex clock_adjtime clock_adjtime64 clock_settime clock_settime64 settimeofday"
_RAW_IO = "ioperm iopl pciconfig_iobase pciconfig_read pciconfig_write s390_pci_mmio_read s390_pci_mmio_write"
_OWNERS = "chown chown32 fchown fchown32 fchownat lchown lchown32"
_MODULES = "delete_module finit_module init_module"
_REBOOT = "kexec_file_load kexec_load reboot"
_SWAP = "swapoff swapon"

SETS = {
    name: frozenset(text.split())
    for name, text in {
        "basic": """
            arch_prctl brk cacheflush clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
            clock_nanosleep_time64 execve exit exit_group futex futex_time64 futex_waitv get_robust_list get_thread_area
            getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid
            getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getsid gettid gettimeofday getuid getuid32
            membarrier mmap mmap2 mprotect munmap nanosleep pause prlimit64 restart_syscall riscv_flush_icache
            riscv_hwprobe rseq rt_sigreturn sched_getaffinity sched_yield set_robust_list set_thread_area set_tid_address
            set_tls sigreturn time ugetrlimit uretprobe
        """,
        "clock": _CLOCK,
        "mount": "chroot fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree pivot_root umount umount2",
        "network-io": """
            accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64
            recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socket socketcall socketpair
        """,
        "obsolete": """
            _sysctl afs_syscall bdflush break create_module ftime get_kernel_syms getpmsg gtty idle lock mpx prof profil
            putpmsg query_module security sgetmask ssetmask stime stty sysfs tuxcall ulimit uselib ustat vserver
        """,
        "privileged": f"""
            {_CLOCK} {_MODULES} {_OWNERS} {_RAW_IO} {_REBOOT} {_SWAP} _sysctl acct bpf capset chroot fanotify_init
            fanotify_mark nfsservctl open_by_handle_at pivot_root quotactl quotactl_fd setdomainname setfsuid setfsuid32
            setgroups setgroups32 sethostname setresuid setresuid32 setreuid setreuid32 setuid setuid32 vhangup
        """,
        "process": """
            capget clone clone3 execveat fork getrusage kill pidfd_open pidfd_send_signal prctl rt_sigqueueinfo
            rt_tgsigqueueinfo setns swapcontext tgkill times tkill unshare vfork wait4 waitid waitpid
        """,
        "raw-io": _RAW_IO,
    }.items()
}
NAMES = (DEFAULT, *SETS)


def members(sets: Iterable[str]) -> set[str]:
    """The calls in all of ``sets``; nothing for ``default``, which is more than names."""
    return {name for each in sets for name in SETS.get(each, ())}
