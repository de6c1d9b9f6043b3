"""A keeper asleep: the smallest interpreter that can still keep a container, and wake to be a whole keeper again.

:mod:`lading.node.dozing` executes this in the keeper's own process, which so remains the container's parent and keeps its
descriptors, but gives back all that it had loaded. Here output goes on into the log; everything else (the container ends,
somebody calls, SIGTERM) is a reason to wake. Nothing is imported beyond what is needed for that: each module counts.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import marshal
import os
import select
import sys
import time

from lading.node.logwriter import LogWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CHUNK = 32 << 10
_SIGTERM = 15
_SIG_UNBLOCK = 1
#: Seconds that replacing Lading may take.
_REPLACING = 120.0
#: What a keeper is made of, with all that these import.
_WHOLE = (
    "roots",
    "network",
    "runtime",
    "node.detached",
    "node.desk",
    "node.podnetwork",
    "node.sandbox",
    "node.dozing",
)


def main(memory: int) -> None:
    """Sleep with the state in the memory file, which :mod:`lading.node.dozing` wrote, then wake. Does not return."""
    state: dict[str, Any] = marshal.loads(os.pread(memory, os.fstat(memory).st_size, 0))
    os.close(memory)
    for fd in state["inherited"]:
        os.set_inheritable(fd, False)
    terminated = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    _signal.signal(_SIGTERM, lambda _number, _frame: os.eventfd_write(terminated, 1))
    _signal.pthread_sigmask(_SIG_UNBLOCK, [_SIGTERM])
    _sleep(state, terminated)
    state["terminated"] = _is_set(terminated)
    # What arrives from here on is noted, too: the handler stays until the loop has one of its own.
    state["event"] = terminated
    sys.path[:] = state["path"]
    sys.executable = state["executable"]
    _load()
    from lading.node import dozing

    dozing.wake(state)


def _load() -> None:
    """Load what a whole keeper is, also where Lading is just being replaced: its modules may be missing for a moment.

    Nobody but this process can learn how the container has ended, so it waits. It may wake as a newer Lading than fell
    asleep: what :func:`lading.node.dozing.wake` reads of the state only ever grows, with defaults for what is not there.
    """
    end = time.monotonic() + _REPLACING
    while True:
        try:
            for name in _WHOLE:
                __import__(f"lading.{name}")
            return
        except Exception:
            if time.monotonic() > end:
                raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "lading"]:
            del sys.modules[name]
        sys.path_importer_cache.clear()
        time.sleep(0.5)


def _is_set(event: int) -> bool:
    try:
        return os.eventfd_read(event) > 0
    except BlockingIOError:
        return False


def _sleep(state: dict[str, Any], terminated: int) -> None:
    sources: dict[int, str] = state["sources"]
    log = LogWriter(state["log"], *state["bounds"])
    log.pending, log.lost = state["pending"], state["lost"]
    poll = select.poll()
    others = (state["pidfd"], state["listener"], terminated)
    for fd in (*others, *sources):
        poll.register(fd, select.POLLIN)
    while True:
        ready = [fd for fd, _ in poll.poll()]
        for fd in ready:
            if fd in sources and not _copy(fd, sources[fd], log):
                poll.unregister(fd)
                del sources[fd]
                os.close(fd)
                if fd == state["console"]:
                    state["console"] = state["stdin"] = -1
        if any(fd in others for fd in ready):
            break
    state["pending"], state["lost"] = log.pending, log.lost
    log.pending = {}
    log.close(0)


def _copy(fd: int, stream: str, log: LogWriter) -> bool:
    """What the container wrote, into its log; False at the end of the stream."""
    try:
        data = os.read(fd, _CHUNK)
    except BlockingIOError:
        return True
    except OSError:
        return False  # EIO: the last holder of the terminal has gone
    if data:
        log.write(stream, data, time.time_ns())
    return bool(data)
