"""Listening sockets for a container's command, as sd_listen_fds(3) has it: descriptors from 3 on, counted in the environment."""

from __future__ import annotations

import fcntl
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.runtime.job import Job

_FIRST = 3


def place(job: Job) -> int:
    """Put ``job.sockets`` where the command looks for them, and say so in its environment: how many there are.

    For who is about to close all other descriptors, whatever they are; those of the channels are moved out of the way.
    """
    beyond = _FIRST + len(job.sockets)
    sockets = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, beyond) for fd in job.sockets]
    for channel in (job.channel, job.start):
        if channel is not None:
            channel.read_fd = _moved(channel.read_fd, beyond)
            channel.write_fd = _moved(channel.write_fd, beyond)
    for number, fd in enumerate(sockets, _FIRST):
        os.dup2(fd, number)
    process = job.spec.process
    if process is not None:
        process.env = [*process.env, f"LISTEN_FDS={len(sockets)}", f"LISTEN_PID={os.getpid()}"]
    return len(sockets)


def _moved(fd: int, beyond: int) -> int:
    return fd if fd >= beyond else fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, beyond)
