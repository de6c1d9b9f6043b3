"""What a keeper takes from the commands of probes and health checks."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

from lading.node.checks import Task
from lading.node.loop import Loop


def test_what_a_check_leaves_behind_cannot_keep_its_keeper_reading() -> None:
    loop = Loop()
    checks: Any = SimpleNamespace(runner=SimpleNamespace(loop=loop), tasks=set())
    read, write = os.pipe()
    beside = os.dup(read)
    os.set_blocking(write, False)
    full = os.write(write, b"x" * (1 << 20))
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    pidfd = os.pidfd_open(pid)
    said: list[tuple[bool, str]] = []
    owner: Any = None
    task = Task(checks, owner, pid, pidfd, read, 60.0, lambda success, text: said.append((success, text)))
    checks.tasks.add(task)
    loop.forget(read)  # its end is noticed first
    while not said:
        loop.turn()
    assert said == [(True, "x" * 4096)]
    # Somebody who still writes would have filled the pipe again: all that is beyond what is kept has been left in it.
    assert len(os.read(beside, 1 << 20)) == full - 4096
    for fd in (beside, write):
        os.close(fd)
    loop.close()
