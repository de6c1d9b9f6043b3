"""Wildcards in sets of system calls: ``@SCOPE/NAME`` for many calls at once.

Source: spec/ace.md, "os/linux/seccomp-remove-set" and "-retain-set"; Rocket's documentation, "Seccomp Isolators Guide". The scope
``appc.io`` is the specification's, ``rkt`` and ``docker`` mean one list each of what is usually let through and one of what
is usually not, ``systemd`` the groups of systemd.exec(5).
"""

from __future__ import annotations

ALL = "@appc.io/all"
EMPTY = "@appc.io/empty"
USUAL = frozenset(("@rkt/default-whitelist", "@docker/default-whitelist"))
UNUSUAL = frozenset(("@rkt/default-blacklist", "@docker/default-blacklist"))
SYSTEMD = {
    "@systemd/clock": "clock",
    "@systemd/default-whitelist": "basic",
    "@systemd/mount": "mount",
    "@systemd/network-io": "network-io",
    "@systemd/obsolete": "obsolete",
    "@systemd/privileged": "privileged",
    "@systemd/process": "process",
    "@systemd/raw-io": "raw-io",
}
"""Wildcards and the name of the group, whose calls are whoever filters them's to know."""

BLACKLIST = """
    _sysctl acct add_key adjtimex bpf clock_adjtime clock_settime create_module delete_module finit_module get_kernel_syms
    get_mempolicy init_module ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mbind mount move_pages
    name_to_handle_at nfsservctl open_by_handle_at perf_event_open pivot_root process_vm_readv process_vm_writev ptrace
    query_module quotactl reboot request_key set_mempolicy setns settimeofday stime swapoff swapon sysfs umount umount2 unshare
    uselib userfaultfd ustat vm86 vm86old
""".split()
"""The calls that :data:`UNUSUAL` stands for."""

KNOWN = (ALL, EMPTY, *sorted(USUAL), *sorted(UNUSUAL), *SYSTEMD)
