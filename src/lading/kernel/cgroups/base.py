"""What every kind of control group can do: the interface, and the parts that v1 and v2 share."""

from __future__ import annotations

import os
import time
from errno import EBUSY, ENOENT, ENOTEMPTY

from lading.errors import Conflict, KernelError, TimedOut
from lading.kernel.cgroups import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lading.kernel.cgroups.layout import Layout
    from lading.kernel.cgroups.oom import OomWatch
    from lading.kernel.cgroups.stats import Stats
    from lading.kernel.devicerules import DeviceRule

#: Controller, file, value: ``("memory", "memory.max", "1048576")``.
Setting = tuple[str, str, str]


class Manager:
    """One group in every tree that it needs. Making the object touches nothing.

    ``path``         the group, from the root of the hierarchies: ``/lading/web``.
    ``controllers``  the controllers asked for.
    """

    version = 0

    def __init__(self, path: str, layout: Layout, controllers: tuple[str, ...] | None = None) -> None:
        if not path.startswith("/") or path == "/" or "/../" in path + "/":
            raise ValueError(f"not the path of a control group: {path!r}")
        self.path = os.path.normpath(path)
        self.layout = layout
        self.controllers = controllers

    # -- making ----------------------------------------------------------------------------------------

    def directories(self) -> dict[str, str]:
        """Controller → directory (v2: the one key ``""``)."""
        raise NotImplementedError

    def create(self, *, fresh: bool = True) -> None:
        """Make the group and its missing parents.

        With ``fresh`` a group that exists must be empty and thawed: :class:`Conflict` otherwise, because
        processes that are already in it would be limited, counted and killed with the container.
        """
        raise NotImplementedError

    def join(self) -> None:
        """Move the calling process, which must have one thread, into the group.

        On v1 this is what makes a start fast: moving *another* process takes the kernel's global
        thread-group lock, which waits for an RCU grace period (5 to 20 ms); a single thread that moves
        itself does not.
        """
        raise NotImplementedError

    def add(self, pid: int) -> None:
        """Move the process ``pid`` into the group. Slow (see :meth:`join`)."""
        raise NotImplementedError

    def apply(self, settings: Sequence[Setting]) -> None:
        """Write ``settings`` in order. The first that cannot be written raises an error that names it."""
        raise NotImplementedError

    def allow_devices(self, rules: Sequence[DeviceRule]) -> None:
        """Let the group use exactly the devices that ``rules``, applied in order to "nothing", allow."""
        raise NotImplementedError

    def read(self, controller: str, file: str) -> str:
        """The text of one file. Raises :class:`NotFound`."""
        return files.read(self.file(controller, file))

    def file(self, controller: str, file: str) -> str:
        """The path of ``file`` of ``controller`` (ignored on v2)."""
        raise NotImplementedError

    # -- processes -------------------------------------------------------------------------------------

    def main_directory(self) -> str:
        """The directory whose processes stand for the group's."""
        raise NotImplementedError

    def exists(self) -> bool:
        """Whether any of the group's directories exists."""
        return any(os.path.isdir(d) for d in self.directories().values())

    def pids(self, *, recursive: bool = True) -> list[int]:
        """The processes in the group, and with ``recursive`` in the groups below it."""
        main = self.main_directory()
        if not recursive:
            return sorted(files.pids_of(main))
        found: set[int] = set()
        for directory in files.subdirectories(main):
            found.update(files.pids_of(directory))
        return sorted(found)

    def freeze(self) -> None:
        """Stop every process of the group; returns when all have stopped. Raises :class:`TimedOut`."""
        raise NotImplementedError

    def thaw(self) -> None:
        """Let them run again."""
        raise NotImplementedError

    def frozen(self) -> bool:
        """Whether the group is frozen, or on its way there."""
        raise NotImplementedError

    def kill(self) -> None:
        """SIGKILL every process of the group and the groups below, also those that fork meanwhile."""
        raise NotImplementedError

    def _kill_by_loop(self) -> None:
        for _ in range(100):
            pids = self.pids()
            if not pids:
                return
            kill_each(pids)
            time.sleep(0.001)

    def populated(self) -> bool:
        """Whether the group or one below it has a process (a zombie does not count on v2)."""
        return bool(self.pids())

    def wait_empty(self, timeout: float = 10.0) -> None:
        """Return when no process is left. Raises :class:`TimedOut` after ``timeout`` seconds."""
        end = time.monotonic() + timeout
        pause = 0.0005
        while self.populated():
            if time.monotonic() > end:
                raise TimedOut(f"control group {self.path}: processes {self.pids()} are still in it")
            time.sleep(pause)
            pause = min(pause * 2, 0.05)

    # -- numbers ---------------------------------------------------------------------------------------

    def stats(self) -> Stats:
        """What the group has used and may use."""
        raise NotImplementedError

    def oom_kills(self) -> int:
        """How many processes of the group the kernel killed for lack of memory."""
        raise NotImplementedError

    def oom_watch(self) -> OomWatch:
        """A descriptor that becomes readable when the group runs out of memory. Raises
        :class:`Unsupported`."""
        raise NotImplementedError

    # -- removing --------------------------------------------------------------------------------------

    def delete(self, timeout: float = 2.0) -> None:
        """Remove the group and the groups below it; fine when it is gone already.

        The kernel lets go of a group a moment after its last process has been reaped, so EBUSY is tried
        again until
        ``timeout`` (seconds). Raises :class:`Conflict` when processes are left.
        """
        end = time.monotonic() + timeout
        for directory in self._unique():
            _remove_tree(directory, end, self)

    def _unique(self) -> Iterable[str]:
        """Each directory once: ``cpu`` and ``cpuacct`` are often the same."""
        return dict.fromkeys(self.directories().values())


def kill_each(pids: Iterable[int]) -> None:
    """SIGKILL ``pids``, those that are gone already excepted."""
    for pid in pids:
        # So v2 names a process of an outer pid namespace; kill(2) would take it for our own process group.
        if not pid:
            continue
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass


def _remove_tree(directory: str, end: float, manager: Manager) -> None:
    pause = 0.0002
    while True:
        try:
            os.rmdir(directory)
            return
        except OSError as error:
            code = error.errno
            if code == ENOENT:
                return
            if code not in (EBUSY, ENOTEMPTY):
                raise KernelError(f"rmdir {directory}", code or 0) from None
        for child in files.subdirectories(directory)[:-1]:
            try:
                os.rmdir(child)
            except OSError:
                pass
        if time.monotonic() > end:
            left = manager.pids() or [p for d in files.subdirectories(directory) for p in files.pids_of(d)]
            what = f"processes {left} are still in it" if left else "the kernel says it is busy"
            raise Conflict(f"control group {directory} cannot be removed: {what}", reason="busy")
        time.sleep(pause)
        pause = min(pause * 2, 0.02)


def refuse_used(path: str, directory: str, frozen: bool) -> None:
    """Raise :class:`Conflict` when the existing group ``directory`` has processes or is frozen."""
    for below in files.subdirectories(directory):
        pids = files.pids_of(below)
        if pids:
            raise Conflict(
                f"container's cgroup is not empty: process {pids[0]} is in {below}",
                hint="name another group, or stop what runs there",
                reason="cgroup-in-use",
            )
    if frozen:
        raise Conflict(
            f"container's cgroup unexpectedly frozen: {path}",
            hint="name another group, or thaw it",
            reason="cgroup-frozen",
        )
