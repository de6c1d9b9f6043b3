"""A process's own attributes, and processes held by descriptor (prctl(2), pidfd_open(2), ptrace(2), sched(7))."""

from __future__ import annotations

import _struct as struct
import os
import sys

from lading.errors import KernelError
from lading.kernel.ffi import addressof
from lading.kernel.libc import buffer, call

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NO_NEW_PRIVS = 38
PR_SET_CHILD_SUBREAPER = 36

PTRACE_CONT = 7
PTRACE_DETACH = 17
PTRACE_GETEVENTMSG = 0x4201
PTRACE_SEIZE = 0x4206
PTRACE_O_TRACECHILDREN = 0x2 | 0x4 | 0x8  # fork, vfork, clone
PTRACE_O_TRACEEXEC = 0x10
PTRACE_O_EXITKILL = 0x100000
PTRACE_EVENT_EXEC = 4
PTRACE_EVENTS_CHILD = (1, 2, 3)  # fork, vfork, clone
_WALL = 0x40000000

#: _IOWR(0xFF, 11, struct pidfd_info) with the 64 bytes of its first version.
_PIDFD_GET_INFO = 0xC040FF0B
_PIDFD_INFO_EXIT = 8
CLOSE_RANGE_CLOEXEC = 4
_KEYCTL_JOIN_SESSION_KEYRING = 1
_IOPRIO_WHO_PROCESS = 1


class Processes:
    """Calls about processes. Failures are :class:`KernelError`."""

    def prctl(self, option: int, value: int = 0, third: int = 0) -> int:
        """prctl(2)."""
        return call("prctl", option, value, third, 0, 0, about=option)

    def setsid(self) -> None:
        """setsid(2)."""
        os.setsid()

    def setgroups(self, groups: list[int]) -> None:
        """setgroups(2), for the calling thread."""
        call("setgroups", len(groups), struct.pack(f"{len(groups)}I", *groups) if groups else None)

    def setresgid(self, gid: int) -> None:
        """setresgid(2): real, effective and saved."""
        call("setresgid", gid, gid, gid, about=gid)

    def setresuid(self, uid: int) -> None:
        """setresuid(2): real, effective and saved."""
        call("setresuid", uid, uid, uid, about=uid)

    def setfsids(self, uid: int, gid: int) -> None:
        """setfsuid(2) and setfsgid(2) of the calling thread: who makes and opens files. They never say whether they could."""
        call("setfsgid", gid)
        call("setfsuid", uid)

    def setrlimit(self, resource: int, soft: int, hard: int, pid: int = 0) -> None:
        """prlimit(2); values are bytes, seconds or counts, all ones (2⁶⁴−1) is unlimited."""
        call("prlimit64", pid, resource, struct.pack("QQ", soft, hard), None, about=resource)

    def default_action(self, signal: int) -> None:
        """rt_sigaction(2) with SIG_DFL: for the signals 32 and 33, which glibc keeps to itself.

        Its posix_spawn(3) starts programs with both ignored when the caller handles them, make(1)'s for one.
        """
        call("rt_sigaction", signal, bytes(32), None, 8, about=signal)

    def personality(self, persona: int) -> None:
        """personality(2)."""
        call("personality", persona)

    def join_session_keyring(self, name: str) -> int:
        """keyctl(KEYCTL_JOIN_SESSION_KEYRING): a new session keyring called ``name``; its serial number."""
        raw = buffer(name.encode() + b"\0")
        return call("keyctl", _KEYCTL_JOIN_SESSION_KEYRING, addressof(raw), 0, 0, 0)

    def set_io_priority(self, value: int) -> None:
        """ioprio_set(2) for this process; ``value`` is class << 13 | level."""
        call("ioprio_set", _IOPRIO_WHO_PROCESS, 0, value, about=value)

    def sched_setattr(
        self,
        policy: int,
        flags: int,
        nice: int,
        priority: int,
        runtime: int = 0,
        deadline: int = 0,
        period: int = 0,
    ) -> None:
        """sched_setattr(2) for this process; times in nanoseconds."""
        data = struct.pack("IIQiIQQQ", 48, policy, flags, nice, priority, runtime, deadline, period)
        call("sched_setattr", 0, buffer(data), 0)

    def sched_setaffinity(self, pid: int, cpus: set[int]) -> None:
        """sched_setaffinity(2)."""
        try:
            os.sched_setaffinity(pid, cpus)
        except OSError as error:
            raise KernelError(f"sched_setaffinity({sorted(cpus)})", error.errno or 0) from None

    def use_all_processors(self) -> None:
        """sched_setaffinity(2) of this process to every processor that its cpuset(7) allows."""
        mask = b"\xff" * 128
        call("sched_setaffinity", 0, len(mask), mask)

    def set_mempolicy(self, mode: int, nodes: int) -> None:
        """set_mempolicy(2); ``nodes`` is a bit set of NUMA nodes."""
        mask = nodes.to_bytes(128, "little")
        call("set_mempolicy", mode, mask, 1024 + 1)

    def close_range(self, first: int, last: int = 0xFFFFFFFF, flags: int = CLOSE_RANGE_CLOEXEC) -> None:
        """close_range(2); marks close-on-exec by default."""
        call("close_range", first, last, flags)

    def seccomp_load(self, program: bytes, flags: int) -> int:
        """seccomp(SECCOMP_SET_MODE_FILTER): the listener's descriptor with FLAG_NEW_LISTENER, else 0.

        ``program`` is classic BPF, eight bytes an instruction.
        """
        code = buffer(program)
        head = struct.pack("HxxxxxxQ", len(program) // 8, addressof(code))
        return call("seccomp", 1, flags, head)

    def pidfd_open(self, pid: int) -> int:
        """pidfd_open(2)."""
        return call("pidfd_open", pid, 0, about=pid)

    def pidfd_getfd(self, pidfd: int, fd: int) -> int:
        """pidfd_getfd(2): a duplicate of another process's descriptor."""
        return call("pidfd_getfd", pidfd, fd, 0, about=fd)

    def pidfd_exit_status(self, pidfd: int) -> int | None:
        """The wait status of a process that has been reaped, by whomever; None before that. Fails before Linux 6.15.

        PIDFD_GET_INFO with PIDFD_INFO_EXIT (include/uapi/linux/pidfd.h); pidfd_info of its first version has 64 bytes.
        """
        import fcntl

        info = bytearray(64)
        info[0:8] = _PIDFD_INFO_EXIT.to_bytes(8, sys.byteorder)
        try:
            fcntl.ioctl(pidfd, _PIDFD_GET_INFO, info)
        except OSError as error:
            raise KernelError("ioctl PIDFD_GET_INFO", error.errno or 0) from None
        if not int.from_bytes(info[0:8], sys.byteorder) & _PIDFD_INFO_EXIT:
            return None
        return int.from_bytes(info[60:64], sys.byteorder)

    def pidfd_send_signal(self, pidfd: int, signal: int) -> None:
        """pidfd_send_signal(2)."""
        call("pidfd_send_signal", pidfd, signal, None, 0, about=signal)

    def ptrace_seize(self, pid: int, options: int) -> None:
        """ptrace(PTRACE_SEIZE): trace without stopping."""
        call("ptrace", PTRACE_SEIZE, pid, 0, options, about=f"seize {pid}")

    def ptrace_continue(self, pid: int, signal: int = 0) -> None:
        """ptrace(PTRACE_CONT)."""
        call("ptrace", PTRACE_CONT, pid, 0, signal, about=f"continue {pid}")

    def ptrace_detach(self, pid: int, signal: int = 0) -> None:
        """ptrace(PTRACE_DETACH)."""
        call("ptrace", PTRACE_DETACH, pid, 0, signal, about=f"detach {pid}")

    def ptrace_message(self, pid: int) -> int:
        """ptrace(PTRACE_GETEVENTMSG): what the event was about; the new process, where it was a fork."""
        made = buffer(8)
        call("ptrace", PTRACE_GETEVENTMSG, pid, 0, addressof(made), about=f"event of {pid}")
        return int.from_bytes(made.raw, sys.byteorder)

    def wait_stop(self, pid: int) -> int:
        """waitpid(2) with ``__WALL``: the status of the next stop or the end of ``pid``."""
        while True:
            try:
                return os.waitpid(pid, _WALL)[1]
            except ChildProcessError as error:
                raise KernelError(f"wait({pid})", error.errno or 0) from None

    def kill(self, pid: int, signal: int) -> None:
        """kill(2)."""
        try:
            os.kill(pid, signal)
        except OSError as error:
            raise KernelError(f"kill({pid}, {signal})", error.errno or 0) from None

    def execve(self, path: str, args: list[str], env: dict[bytes, bytes]) -> None:
        """execve(2). Returns only by raising OSError."""
        os.execve(path, args, env)
