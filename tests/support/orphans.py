"""How orphans end, as the parent that a test is to them sees it."""

from __future__ import annotations

import os
import threading

from lading.errors import KernelError
from lading.kernel import Kernel


def _exits_are_told() -> bool:
    """Whether this kernel tells how a process ended that somebody else has reaped."""
    pid = os.fork()
    if pid == 0:
        os._exit(7)
    pidfd = os.pidfd_open(pid)
    try:
        assert Kernel().pidfd_exit_status(pidfd) is None  # not reaped yet
        os.waitpid(pid, 0)
        assert Kernel().pidfd_exit_status(pidfd) == 7 << 8
        return True
    except KernelError:
        return False
    finally:
        os.close(pidfd)


EXITS_ARE_TOLD = _exits_are_told()


def as_init(pid: int) -> None:
    """Reap an orphan when it ends: it is ours, for this process is a subreaper (tests/support/leaks.py)."""
    threading.Thread(target=os.waitpid, args=(pid, 0)).start()
