"""Waiting for a group to run out of memory."""

from __future__ import annotations

import os

from lading.errors import KernelError
from lading.kernel.cgroups import files
from lading.kernel.ffi import Library, get_errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class OomWatch:
    """``fileno()`` becomes readable when something happened; :meth:`take` says how many kills there were
    since."""

    def __init__(self, fd: int, others: tuple[int, ...], count: Callable[[], int]) -> None:
        self._fd = fd
        self._others = others
        self._count = count
        self._seen = count()

    def fileno(self) -> int:
        """The descriptor to poll."""
        return self._fd

    def take(self) -> int:
        """Consume the notification; the number of new kills (0: it was something else, or the group is
        gone)."""
        try:
            os.read(self._fd, 4096)
        except BlockingIOError:
            pass
        now = self._count()
        new, self._seen = max(0, now - self._seen), max(now, self._seen)
        return new

    def close(self) -> None:
        """Let go of the descriptors."""
        for fd in (self._fd, *self._others):
            os.close(fd)


def watch_v1(directory: str) -> OomWatch:
    """An eventfd registered with ``memory.oom_control`` (cgroup-v1/memory.rst, 10. OOM Control)."""
    directory = directory.rstrip("/")
    control = files.open_to_read(directory + "/memory.oom_control")
    event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    try:
        files.write(directory + "/cgroup.event_control", f"{event} {control}")
    except BaseException:
        os.close(event)
        os.close(control)
        raise
    return OomWatch(
        event,
        (control,),
        lambda: files.read_table(directory + "/memory.oom_control").get("oom_kill", 0),
    )


def watch_v2(directory: str) -> OomWatch:
    """An inotify watch of ``memory.events`` (cgroup-v2.rst, memory.events)."""
    libc = Library()
    fd = libc.function("inotify_init1", "i", "i")(os.O_CLOEXEC | os.O_NONBLOCK)
    if fd < 0:
        raise KernelError("inotify_init1", get_errno())
    path = directory + "/memory.events"
    if libc.function("inotify_add_watch", "i", "isI")(fd, os.fsencode(path), 2) < 0:  # IN_MODIFY
        code = get_errno()
        os.close(fd)
        raise KernelError(f"inotify_add_watch({path})", code)
    return OomWatch(fd, (), lambda: files.read_table(path).get("oom_kill", 0))
