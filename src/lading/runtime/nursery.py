"""A small process that clones containers' first processes for a large one: :class:`Nursery`.

A fork shares memory, and whoever writes to a shared page first copies it. CPython writes to every object that it looks at,
so a keeper that clones a container's process itself pays a thousand page faults on its own side for each. The nursery is
forked once, while its owner is small, and does nothing else: between two births it touches next to nothing. With
CLONE_PARENT the newborn is the owner's child, as if that one had cloned it (clone(2)): the owner traces, signals and reaps
it.

A job goes there through a socket pair, as :mod:`~lading.runtime.parcel` writes it with its descriptors beside it (unix(7),
SCM_RIGHTS). The nursery keeps none of these. It dies with its owner (prctl(2), PR_SET_PDEATHSIG), and an owner that has lost
it clones for itself.
"""

from __future__ import annotations

import _struct as struct
import gc
import os

from lading.errors import LadingError
from lading.kernel.namespaces import CLONE_PARENT
from lading.kernel.process import PR_SET_PDEATHSIG
from lading.runtime import channel, command
from lading.runtime.parcel import pack, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable

    from lading.kernel import Kernel
    from lading.runtime.job import Job

_SIGKILL, _SIGTERM = 9, 15
_SIG_IGN = 1
_LARGEST = 64 << 10  # a third of what a socket buffers by default (socket(7), wmem_default)
_MOST_FDS = 16


class Nursery:
    """The owner's end."""

    def __init__(self, pid: int, line: _socket.socket) -> None:
        self.pid = pid
        self._line: _socket.socket | None = line

    def takes(self, job: Job) -> bool:
        """Whether it can give birth to this one, which then needs no descriptor of its owner's but those that are sent."""
        return (
            self._line is not None
            and not (job.plan.needs_helper or "user" in job.plan.new)
            and not (job.sources or job.preserve_fds or job.sockets)
            and job.root_mount < 0
            and job.spec.hooks is None
        )

    def bear(self, job: Job) -> int:
        """The pid of a new child of this process that runs what the nursery was opened for.

        0: not here, it is gone or the job too large for it. Raises what clone(2) says, and :class:`LadingError` when it was
        killed at this: a newborn that nobody knows ends by itself once its channel is closed.
        """
        from _socket import SCM_RIGHTS, SOL_SOCKET

        assert self._line is not None
        data, fds = pack(job)
        if len(data) > _LARGEST or len(fds) > _MOST_FDS:
            return 0
        try:
            self._line.sendmsg([data], [(SOL_SOCKET, SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))])
        except OSError:  # it was killed some time ago
            self.close()
            return 0
        try:
            answer = self._line.recv(channel.LIMIT)
        except OSError:
            answer = b""
        if not answer:
            self.close()
            raise LadingError(
                "the process that clones containers for this one was killed",
                hint="try again",
                reason="killed",
            )
        if not answer.isdigit():
            raise channel.decode_error(answer)
        return int(answer)

    def close(self) -> None:
        """End it: it has nothing to lose."""
        if self._line is not None:
            self._line.close()
            self._line = None
            try:
                os.kill(self.pid, _SIGKILL)
                os.waitpid(self.pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass


def opened(kernel: Kernel, main: Callable[[Kernel, Job], object]) -> Nursery:
    """Fork a nursery whose newborns run ``main(kernel, job)``, which must not return.

    Only in a process with a single thread.
    """
    import _socket

    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    owner = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            _tend(kernel, theirs, main, owner)
        finally:
            os._exit(0)
    theirs.close()
    return Nursery(pid, ours)


# -- the nursery's own side ------------------------------------------------------------------------------------------


def _tend(
    kernel: Kernel,
    line: _socket.socket,
    main: Callable[[Kernel, Job], object],
    owner: int,
) -> None:
    """Clone one process a message, until the owner is gone."""
    import _signal  # type: ignore[import-not-found]

    gc.disable()
    gc.freeze()
    kernel.prctl(PR_SET_PDEATHSIG, _SIGKILL)
    if os.getppid() != owner:
        return
    # A SIGTERM for the owner's whole group or unit is the owner's to act on: its containers may still need us.
    _signal.signal(_SIGTERM, _SIG_IGN)
    here = line.fileno()
    if here > 3:
        kernel.close_range(3, here - 1, 0)
    kernel.close_range(max(3, here + 1), flags=0)
    command.preload(None, False)
    while True:
        data, fds = _next(line)
        if not data:
            return
        line.send(_clone(kernel, line, main, data, fds))
        for fd in fds:
            os.close(fd)


def _next(line: _socket.socket) -> tuple[bytes, list[int]]:
    from _socket import CMSG_SPACE, MSG_CMSG_CLOEXEC

    data, ancillary, _flags, _address = line.recvmsg(_LARGEST, CMSG_SPACE(4 * _MOST_FDS), MSG_CMSG_CLOEXEC)
    fds: list[int] = []
    for _level, _kind, packed in ancillary:
        fds += struct.unpack(f"{len(packed) // 4}i", packed)
    return data, fds


def _clone(
    kernel: Kernel, line: _socket.socket, main: Callable[[Kernel, Job], object], data: bytes, fds: list[int]
) -> bytes:
    """The newborn's pid, or an error, for the owner."""
    try:
        # Here and not in the newborn, where everything that this touches would have to be copied first.
        job = unpack(data, fds)
        command.preload(job.spec.process, False)
        pid = kernel.clone(job.plan.clone_flags | CLONE_PARENT)
    except BaseException as error:
        return channel.encode_error(error)
    if pid == 0:
        try:
            line.close()  # or the owner would not see our death while this one waits for the owner
            main(kernel, job)
        finally:
            os._exit(1)
    return str(pid).encode()
