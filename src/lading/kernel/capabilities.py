"""Capabilities by name (capabilities(7)) and the calls that set a thread's five sets."""

from __future__ import annotations

import _struct as struct

from lading.kernel.libc import buffer, call

_VERSION_3 = 0x20080522
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT = 47
_RAISE, _CLEAR_ALL = 2, 4

#: Names in the kernel's order: the index is the capability's number.
NAMES = (
    "CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID CAP_SETPCAP "
    "CAP_LINUX_IMMUTABLE CAP_NET_BIND_SERVICE CAP_NET_BROADCAST CAP_NET_ADMIN CAP_NET_RAW CAP_IPC_LOCK CAP_IPC_OWNER "
    "CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_CHROOT CAP_SYS_PTRACE CAP_SYS_PACCT CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_NICE "
    "CAP_SYS_RESOURCE CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_MKNOD CAP_LEASE CAP_AUDIT_WRITE CAP_AUDIT_CONTROL "
    "CAP_SETFCAP CAP_MAC_OVERRIDE CAP_MAC_ADMIN CAP_SYSLOG CAP_WAKE_ALARM CAP_BLOCK_SUSPEND CAP_AUDIT_READ "
    "CAP_PERFMON CAP_BPF CAP_CHECKPOINT_RESTORE"
).split()


def mask(names: list[str]) -> tuple[int, list[str]]:
    """The bit set of ``names`` and those that are no capability we know."""
    bits, unknown = 0, []
    for name in names:
        try:
            bits |= 1 << NAMES.index(name)
        except ValueError:
            unknown.append(name)
    return bits, unknown


class Capabilities:
    """Capability calls of the calling thread. Failures are :class:`KernelError`."""

    def capget(self) -> tuple[int, int, int]:
        """The effective, permitted and inheritable bit sets."""
        data = buffer(24)
        call("capget", buffer(struct.pack("Ii", _VERSION_3, 0)), data)
        low = struct.unpack("6I", data.raw)
        return low[0] | low[3] << 32, low[1] | low[4] << 32, low[2] | low[5] << 32

    def capset(self, effective: int, permitted: int, inheritable: int) -> None:
        """Set the effective, permitted and inheritable bit sets."""
        sets = (effective, permitted, inheritable)
        low = 0xFFFFFFFF
        data = struct.pack("6I", *(s & low for s in sets), *(s >> 32 for s in sets))
        call("capset", buffer(struct.pack("Ii", _VERSION_3, 0)), buffer(data))

    def bounding_read(self, capability: int) -> bool:
        """Whether the bounding set holds it; False too for one this kernel does not know."""
        from lading.errors import KernelError

        try:
            return call("prctl", _PR_CAPBSET_READ, capability, 0, 0, 0) == 1
        except KernelError:
            return False

    def bounding_drop(self, capability: int) -> None:
        """Drop one from the bounding set."""
        call("prctl", _PR_CAPBSET_DROP, capability, 0, 0, 0, about=f"bounding drop {capability}")

    def ambient_clear(self) -> None:
        """Empty the ambient set."""
        call("prctl", _PR_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0, about="ambient clear")

    def ambient_raise(self, capability: int) -> None:
        """Raise one in the ambient set; it must be permitted and inheritable."""
        call("prctl", _PR_CAP_AMBIENT, _RAISE, capability, 0, 0, about=f"ambient raise {capability}")
