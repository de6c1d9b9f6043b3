"""The start of a created container: its first process waits at a pipe in the state directory until it is let go on.

A second pipe brings the error that it meets on the way to its command.
"""

from __future__ import annotations

import os

from lading.errors import Conflict, InvalidInput, KernelError, LadingError
from lading.runtime import channel, ending, gate
from lading.runtime.store import RESULT, START

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.runtime.container import Container

_SIGKILL = 9


def hold(directory: str) -> channel.Channel:
    """The two pipes in the state directory through which ``start`` speaks to a created container.

    Both are opened for reading and writing: an open never blocks, and no end closes while nobody is there.
    """
    ends = []
    for name in (START, RESULT):
        os.mkfifo(f"{directory}/{name}", 0o600)
        ends.append(os.open(f"{directory}/{name}", os.O_RDWR | os.O_CLOEXEC))
    return channel.Channel(ends[0], ends[1])


def start(container: Container) -> None:
    """Run the command of a created container; poststart hooks follow.

    Raises :class:`Conflict` in any other state, and what execve says.
    """
    with container.runtime.store.lock(container.id):
        container.refresh()
        now = container.status()
        if now != "created":
            raise Conflict(
                f"container {container.id} is {now}, only a created one can be started", reason="state"
            )
        if container.spec.process is None:
            raise InvalidInput(f"container {container.id} has no process to start")
        _release(container)
    hooks = container.spec.hooks
    if hooks is not None and hooks.poststart:
        from lading.runtime.hooks import run_all

        kernel, record = container.runtime.kernel, container.record
        try:
            run_all(kernel, "poststart", hooks.poststart, container.state(), directory=record.bundle)
        except LadingError:
            # runtime-spec 1.3, Lifecycle 9: the error stops the container.
            ending.send(kernel, container.pid, _SIGKILL, record.start_time)
            raise


def _release(container: Container) -> None:
    kernel = container.runtime.kernel
    directory = container.runtime.store.path(container.id)
    ended = Conflict(f"container {container.id} ended before it was started", reason="state")
    try:
        gated = gate.seize(kernel, container.pid)
    except KernelError as error:
        if error.errno == 3:
            raise ended from None
        raise
    result = os.open(f"{directory}/{RESULT}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    start = -1
    try:
        # Not blocking: it may be killed at this moment, and a pipe that nobody reads would be waited for for ever,
        # with the lock in our hands.
        try:
            start = os.open(f"{directory}/{START}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.write(start, channel.GO)
        except OSError as error:
            if error.errno not in (6, 32):  # ENXIO, EPIPE
                raise
            raise ended from None
        os.set_blocking(result, True)
        os.unlink(f"{directory}/{START}")
        if gated and gate.watch(kernel, container.pid) is None:
            return
        # It ended with an error; or there is no gate, and the pipe closes with its execve.
        message = os.read(result, 65536)
        if message or gated:
            raise channel.decode_error(message)
    finally:
        if start >= 0:
            os.close(start)
        os.close(result)
