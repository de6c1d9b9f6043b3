"""The C library and the raw system calls, bound one by one when first used.

Declaring a prototype costs a few microseconds and a table of sixty would cost a millisecond; so a call is declared
the first time somebody makes it. :func:`call` is the only way in: it checks the result and turns
``errno`` into :class:`~lading.errors.KernelError`. The types' letters are those of :mod:`lading.kernel.ffi`.
"""

from __future__ import annotations

import os

from lading.errors import KernelError, Unsupported
from lading.kernel.ffi import Library, buffer, get_errno, pointer_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["buffer", "call", "fork_like", "number"]

#: One letter an argument.
_SIGNATURES = {
    "mount": "sssLp",
    "umount2": "si",
    "unshare": "i",
    "setns": "ii",
    "sethostname": "sL",
    "setdomainname": "sL",
    "prctl": "iLLLL",
    "ptrace": "LiLL",
    "personality": "L",
    "rt_sigaction": "ippL",
    "capset": "pp",
    "capget": "pp",
    "prlimit64": "iipp",
    "fstatfs": "ip",
    "statx": "isiIp",
    "sched_setaffinity": "iLp",
    "setfsuid": "I",
    "setfsgid": "I",
    # by number
    "pivot_root": "ss",
    "open_tree": "isI",
    "move_mount": "isisI",
    "fsopen": "sI",
    "fsconfig": "iIspi",
    "fsmount": "iII",
    "fspick": "isI",
    "mount_setattr": "isIpL",
    "openat2": "ispL",
    "renameat2": "isisI",
    "close_range": "III",
    "pidfd_open": "iI",
    "pidfd_getfd": "iiI",
    "pidfd_send_signal": "iipI",
    "seccomp": "IIp",
    "keyctl": "iLLLL",
    "ioprio_set": "iii",
    "ioprio_get": "ii",
    "sched_setattr": "ipI",
    "set_mempolicy": "ipL",
    "clone": "Lpppp",
    "getcwd": "pL",
    "socket": "iii",
    "setgroups": "Lp",
    "setresuid": "III",
    "setresgid": "III",
}

#: Numbers that differ between architectures: (x86_64, the generic table of aarch64, riscv64, loongarch64).
_NUMBERS = {
    "pivot_root": (155, 41),
    "rt_sigaction": (13, 134),  # glibc's refuses its own two signals, and hands them down
    "seccomp": (317, 277),
    "keyctl": (250, 219),
    "ioprio_set": (251, 30),
    "ioprio_get": (252, 31),
    "sched_setattr": (314, 274),
    "set_mempolicy": (238, 237),
    "clone": (56, 220),
    "getcwd": (79, 17),
    "statx": (332, 291),
    "prlimit64": (302, 261),
    # The raw calls change the calling thread alone; glibc's wrappers would signal every thread of a fresh fork.
    "setgroups": (116, 159),
    "setresuid": (117, 147),
    "setresgid": (119, 149),
    "pidfd_send_signal": (424, 424),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "pidfd_open": (434, 434),
    "close_range": (436, 436),
    "renameat2": (316, 276),
    "openat2": (437, 437),
    "pidfd_getfd": (438, 438),
    "mount_setattr": (442, 442),
}

# Asked once: after personality(PER_LINUX32) the answer is another.
_MACHINE = os.uname().machine
if _MACHINE in ("i686", "i586", "i386") and pointer_size() == 8:
    _MACHINE = "x86_64"
_GENERIC = ("aarch64", "riscv64", "loongarch64")

_libc = Library()
_bound: dict[str, tuple[Any, int]] = {}


def number(name: str) -> int:
    """The system call's number on this architecture. Raises :class:`Unsupported` on one we have no table for."""
    if _MACHINE == "x86_64":
        return _NUMBERS[name][0]
    if _MACHINE in _GENERIC:
        return _NUMBERS[name][1]
    raise Unsupported(f"system call {name}: architecture {_MACHINE} is not known")


def _bind(name: str, *, locked: bool = False) -> tuple[Any, int]:
    types = _SIGNATURES[name]
    if name in _NUMBERS:
        bound = _libc.function("syscall", "l", "l" + types, locked=locked), number(name)
    else:
        bound = _libc.function(name, "l" if name == "ptrace" else "i", types), -1
    _bound[name] = bound
    return bound


def bind_all() -> None:
    """Look up every call now: a process that will have many children does it once for all of them."""
    for name in _SIGNATURES:
        if name not in _bound and name != "clone":  # :func:`fork_like` binds that one in its own way
            _bind(name)


def call(name: str, *args: object, about: object = "") -> int:
    """Make one call and return its result; ``about`` (a path, a name) is only used in the error's text.

    Raises :class:`KernelError` with the kernel's errno.
    """
    function, nr = _bound.get(name) or _bind(name)
    result: int = function(*args) if nr < 0 else function(nr, *args)
    if result == -1:
        errno = get_errno()
        raise KernelError(f"{name}({about})" if about != "" else name, errno)
    return result


def fork_like(name: str, *args: object) -> int:
    """:func:`call` for calls that return twice: the interpreter is told, and keeps its lock across the call.

    The caller makes sure that this process has one thread; ``os.fork`` is the way for all others.
    """
    if "fork:" + name not in _bound:
        bound = _bind(name, locked=True)
        _bound["fork:" + name] = bound
        del _bound[name]
    function, nr = _bound["fork:" + name]
    before, child, parent = (
        _libc.function(f"PyOS_{when}", "v", "", locked=True)
        for when in ("BeforeFork", "AfterFork_Child", "AfterFork_Parent")
    )
    before()
    result: int = function(nr, *args)
    if result == 0:
        child()
    else:
        errno = get_errno()
        parent()
        if result < 0:
            raise KernelError(name, errno)
    return result
