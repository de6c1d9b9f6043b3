"""The gate before a container's first instruction (CVE-2019-5736).

Up to execve(2) the process in the container is our interpreter, a file of the host. An image whose command is
``/proc/self/exe`` (or a script or ELF file that names it as interpreter) would make the kernel run that very file
again, now with the container's libraries, and the container could then reopen it for writing.

So the creator traces the process for the length of one execve: it stops before the first instruction of the new
program, its ``/proc/PID/exe`` is compared with our own by device, inode and mount, and only a different file goes on.
It costs a handful of system calls where a copy of the interpreter would cost milliseconds. If ptrace(2) is not
permitted here the caller is told so by :func:`seize` and goes on without; docs/security.md says what that leaves.

A startContainer hook is a file of the container too, executed by a child of that process: the child goes through the gate
first. Hooks that are files of the host pass it, for they are reached by a mount of the container's copy of the host's tree.
"""

from __future__ import annotations

import os

from lading.errors import Denied, KernelError
from lading.kernel.files import O_PATH
from lading.kernel.process import (
    PTRACE_EVENT_EXEC,
    PTRACE_EVENTS_CHILD,
    PTRACE_O_EXITKILL,
    PTRACE_O_TRACECHILDREN,
    PTRACE_O_TRACEEXEC,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.kernel import Kernel

_SIGTRAP = 5
_SIGKILL = 9
_EVENT_STOP = 128
_OUR_OWN_TROUBLE = (12, 23, 24)  # ENOMEM, ENFILE, EMFILE


def seize(kernel: Kernel, pid: int) -> bool:
    """Trace ``pid`` up to its execve; it is killed if this process dies before. False where ptrace is forbidden."""
    try:
        kernel.ptrace_seize(pid, PTRACE_O_TRACEEXEC | PTRACE_O_TRACECHILDREN | PTRACE_O_EXITKILL)
    except KernelError as error:
        if error.errno in (1, 38):  # EPERM, ENOSYS: a policy above us forbids it
            return False
        raise
    return True


def watch(kernel: Kernel, pid: int, what: str = "command") -> int | None:
    """Wait until ``pid`` has executed its command (or a hook: ``what``) and let it go.

    None when it runs; its wait status when it ended instead (its error is on the channel). Raises :class:`Denied` after
    killing a process that tried to become our interpreter.
    """
    while True:
        status = kernel.wait_stop(pid)
        if not os.WIFSTOPPED(status):
            return status
        event, signal = status >> 16, status >> 8 & 0xFF
        if event == PTRACE_EVENT_EXEC:
            if is_ourselves(kernel, pid):
                kernel.kill(pid, _SIGKILL)
                raise Denied(
                    f"the container's {what} is the runtime itself, by way of /proc/self/exe",
                    hint="the image is hostile (CVE-2019-5736)",
                    reason="escape",
                )
            kernel.ptrace_detach(pid)
            return None
        if event in PTRACE_EVENTS_CHILD:
            _watch_hook(kernel, pid)
        # A signal on its way to the process, or a group stop: pass it on.
        kernel.ptrace_continue(pid, 0 if event == _EVENT_STOP or signal == _SIGTRAP else signal)


def _watch_hook(kernel: Kernel, pid: int) -> None:
    """``pid``, which waits meanwhile, has a child, and that is traced from its first instruction on."""
    child = kernel.ptrace_message(pid)
    try:
        watch(kernel, child, "hook")
    except Denied:
        kernel.kill(pid, _SIGKILL)
        kernel.wait_stop(child)  # while it is ours to trace nobody else can reap it
        raise


def is_ourselves(kernel: Kernel, pid: int) -> bool:
    """Whether ``pid`` executes the file we execute, reached through the mount we reached it by.

    The mount matters: a container that has the host's ``/usr`` bound runs the same inode rightly, by a mount of its own.
    """
    ours = kernel.open("/proc/self/exe", O_PATH)
    try:
        theirs = kernel.open(f"/proc/{pid}/exe", O_PATH)
    except KernelError as error:
        kernel.close(ours)
        if error.errno in _OUR_OWN_TROUBLE:
            raise  # not to be able to look is no reason to open the gate
        return False  # gone already, or not ours to read, as our own file is
    try:
        a, b = kernel.fstat(theirs), kernel.fstat(ours)
        if (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino):
            return kernel.mount_id(theirs) == kernel.mount_id(ours)
        return is_loaded_by_us(pid, b.st_ino)
    finally:
        kernel.close(theirs)
        kernel.close(ours)


def is_loaded_by_us(pid: int, inode: int) -> bool:
    """Whether another program's ELF header names ``/proc/self/exe`` as its loader: then our file is mapped as that.

    ``inode`` is our file's. Devices are compared as ``maps`` has them, which on btrfs and overlayfs is not what stat(2) says.
    """
    wanted = b" %d " % inode
    theirs = _read(f"/proc/{pid}/maps")
    if wanted not in theirs:
        return False
    ours = {line.split()[3] for line in _read("/proc/self/maps").splitlines() if wanted in line}
    return any(wanted in line and line.split()[3] in ours for line in theirs.splitlines())


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _OUR_OWN_TROUBLE:
            raise
        return b""  # gone already
    parts = []
    try:
        while part := os.read(fd, 65536):
            parts.append(part)
    except OSError:
        pass
    finally:
        os.close(fd)
    return b"".join(parts)
