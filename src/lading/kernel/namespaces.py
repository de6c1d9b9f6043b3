"""Namespaces: making, joining, naming (namespaces(7))."""

from __future__ import annotations

import os

from lading.errors import KernelError
from lading.kernel.libc import call, fork_like

CLONE_NEWTIME = 0x80
CLONE_NEWNS = 0x20000
CLONE_NEWCGROUP = 0x2000000
CLONE_NEWUTS = 0x4000000
CLONE_NEWIPC = 0x8000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_PARENT = 0x8000
_SIGCHLD = 17

#: The names in ``/proc/PID/ns``.
FLAGS = {
    "user": CLONE_NEWUSER,
    "mnt": CLONE_NEWNS,
    "uts": CLONE_NEWUTS,
    "ipc": CLONE_NEWIPC,
    "net": CLONE_NEWNET,
    "cgroup": CLONE_NEWCGROUP,
    "time": CLONE_NEWTIME,
    "pid": CLONE_NEWPID,
}
_NS_GET_USERNS = 0xB701
_NS_GET_NSTYPE = 0xB703


class Namespaces:
    """Calls on namespaces."""

    def unshare(self, flags: int) -> None:
        """unshare(2); for pid and time only children enter the new one."""
        call("unshare", flags, about=hex(flags))

    def setns(self, fd: int, kind: int = 0) -> None:
        """setns(2): join a namespace descriptor, or with a pidfd all the ``kind`` flags of that process."""
        call("setns", fd, kind, about=hex(kind))

    def clone(self, flags: int) -> int:
        """fork(2) with ``CLONE_*`` flags: 0 in the child. Only in a process with a single thread."""
        return fork_like("clone", flags | _SIGCHLD, None, None, None, None)

    def fork(self) -> int:
        """fork(2), safe beside other threads."""
        return os.fork()

    def namespace_type(self, fd: int) -> int:
        """The ``CLONE_NEW*`` flag of a namespace descriptor. Raises OSError (ENOTTY) for another kind of file."""
        import fcntl

        return fcntl.ioctl(fd, _NS_GET_NSTYPE)

    def namespace_owner(self, fd: int) -> int:
        """A close-on-exec descriptor of the user namespace that owns a namespace (ioctl_ns(2), NS_GET_USERNS)."""
        import fcntl

        try:
            return fcntl.ioctl(fd, _NS_GET_USERNS)
        except OSError as error:
            raise KernelError("owner of a namespace", error.errno or 0) from None

    def sethostname(self, name: str) -> None:
        """sethostname(2)."""
        raw = name.encode()
        call("sethostname", raw, len(raw), about=name)

    def setdomainname(self, name: str) -> None:
        """setdomainname(2)."""
        raw = name.encode()
        call("setdomainname", raw, len(raw), about=name)

    def interface_up(self, name: str) -> None:
        """Bring a network interface up (netdevice(7), SIOCSIFFLAGS with IFF_UP | IFF_RUNNING)."""
        import _struct as struct
        import fcntl

        fd = call("socket", 2, 2 | os.O_CLOEXEC, 0)
        try:
            fcntl.ioctl(fd, 0x8914, struct.pack("16sH22x", name.encode(), 0x41))
        except OSError as error:
            raise KernelError(f"bring up {name}", error.errno or 0) from None
        finally:
            os.close(fd)
