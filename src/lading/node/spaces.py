"""Namespaces that a child makes for its keeper: the keeper opens them, and the child is gone.

So it is for a pod with users of its own, whose root they are to belong to, and for an ordinary user's pods: who leaves the host's
namespaces in a user namespace finds no way back to them (setns(2), EPERM).
"""

from __future__ import annotations

import os

from lading.errors import LadingError
from lading.kernel.namespaces import CLONE_NEWUSER, FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import NoReturn

    from lading.kernel import Kernel


def by_child(
    kernel: Kernel, pod: str, kinds: Collection[str], *, hostname: str = "", users: int = -1
) -> dict[str, int]:
    """Descriptors of new namespaces (``net``, ``ipc``, ``uts``) by kind; a new ``uts`` has the ``hostname``.

    They belong to the user namespace ``users``, or without it to the one of this process. ``pod`` is named in errors.
    """
    told, tell = os.pipe2(os.O_CLOEXEC)
    stay, leave = os.pipe2(os.O_CLOEXEC)
    pid = 0
    made: dict[str, int] = {}
    try:
        try:
            pid = kernel.fork()
            if pid == 0:
                os.close(leave)
                _hold(kernel, users, kinds, hostname, tell, stay)
        finally:
            os.close(tell)
            os.close(stay)
        said = os.read(told, 2000)
        if said != b"1":
            why = said.decode(errors="replace") or "their maker was killed"
            raise LadingError(f"pod {pod}: its namespaces could not be made: {why}")
        for kind in kinds:
            made[kind] = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
    except BaseException:
        for fd in made.values():
            os.close(fd)
        raise
    finally:
        os.close(told)
        os.close(leave)
        if pid:
            os.waitpid(pid, 0)
    return made


def _hold(
    kernel: Kernel, users: int, kinds: Collection[str], hostname: str, tell: int, stay: int
) -> NoReturn:
    """In the child: make the namespaces, say so or what was in the way, and live until the keeper has opened them."""
    try:
        if users >= 0:
            kernel.setns(users, CLONE_NEWUSER)
        flags = 0
        for kind in kinds:
            flags |= FLAGS[kind]
        kernel.unshare(flags)
        if "uts" in kinds:
            kernel.sethostname(hostname)
        os.write(tell, b"1")
        os.read(stay, 1)
    except BaseException as error:
        os.write(tell, str(error).encode()[:2000] or b"?")
    finally:
        os._exit(0)
