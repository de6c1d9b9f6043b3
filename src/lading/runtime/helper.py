"""A helper: a short-lived process that enters namespaces on the caller's behalf and clones the caller's child there.

CLONE_PARENT makes the new process a child of the caller, who reaps it like any other; nothing of the caller has entered a
namespace.
"""

from __future__ import annotations

import os

from lading.errors import KernelError
from lading.kernel.namespaces import CLONE_NEWTIME, CLONE_PARENT
from lading.kernel.process import PR_SET_DUMPABLE
from lading.runtime import birth, channel, command, join

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from lading.kernel import Kernel


def through_helper(kernel: Kernel, work: Callable[[int], None]) -> int:
    """The pid of our new child, which ``work`` makes in a short-lived process and writes to the descriptor it is given.

    Raises the error that ``work`` raised there.
    """
    read_fd, write_fd = os.pipe()
    try:
        helper = kernel.fork()
        if helper == 0:
            try:
                os.close(read_fd)
                work(write_fd)
            except BaseException as error:
                os.write(write_fd, channel.encode_error(error))
            finally:
                os._exit(0)
        os.close(write_fd)
        write_fd = -1
        answer = os.read(read_fd, 4096)
        os.waitpid(helper, 0)
    finally:
        os.close(read_fd)
        if write_fd >= 0:  # there was no process to be had
            os.close(write_fd)
    if not answer.isdigit():
        raise channel.decode_error(answer)
    return int(answer)


def bear(kernel: Kernel, plan: join.Plan, score: int | None, child: Callable[[], NoReturn]) -> int:
    """The pid of a child that runs ``child`` in the namespaces that ``plan`` joins and makes, with the OOM score ``score``."""
    return through_helper(kernel, lambda write_fd: _clone(kernel, plan, score, child, write_fd))


def _clone(
    kernel: Kernel, plan: join.Plan, score: int | None, child: Callable[[], NoReturn], write_fd: int
) -> None:
    if plan.needs_helper:
        if score is not None:
            # Here, where it is inherited: an ordinary user may not write into /proc/PID of what is not dumpable.
            birth.set_oom_score(kernel, os.getpid(), score)
        if plan.joins:
            kernel.prctl(PR_SET_DUMPABLE, 0)
        if plan.offsets or "time" in plan.new:
            kernel.unshare(CLONE_NEWTIME)
            if plan.offsets:
                _write_offsets(kernel, plan.offsets)
        if plan.joins_mount:
            command.forbid_imports()
        join.enter(kernel, plan.joins)
    pid = kernel.clone(plan.clone_flags | CLONE_PARENT)
    if pid == 0:
        os.close(write_fd)
        if "user" in plan.new:
            kernel.prctl(PR_SET_DUMPABLE, 1)  # until our id maps are written: they are files of /proc/PID
        child()
    os.write(write_fd, str(pid).encode())


def _write_offsets(kernel: Kernel, text: str) -> None:
    try:
        fd = kernel.open("/proc/self/timens_offsets", os.O_WRONLY)
        kernel.write(fd, text.encode())
        kernel.close(fd)
    except KernelError as error:
        raise KernelError(f"linux.timeOffsets: {error.call}", error.errno) from None
