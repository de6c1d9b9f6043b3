"""A group in cgroup v2: one directory, whose parents must hand their controllers down."""

from __future__ import annotations

import os
import select
import time
from errno import EACCES, EBUSY, EINVAL, EOPNOTSUPP, EPERM, EROFS, ESRCH

from lading.errors import Conflict, Denied, KernelError, NotFound, TimedOut, Unsupported
from lading.kernel.cgroups import files
from lading.kernel.cgroups.base import Manager, Setting, kill_each, refuse_used
from lading.kernel.cgroups.layout import Layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.kernel.cgroups.oom import OomWatch
    from lading.kernel.cgroups.stats import Stats
    from lading.kernel.devicerules import DeviceRule


class ManagerV2(Manager):
    """Pure v2."""

    version = 2

    def __init__(self, path: str, layout: Layout, controllers: tuple[str, ...] | None = None) -> None:
        super().__init__(path, layout, controllers)
        if layout.unified is None:
            raise ValueError("this layout has no cgroup v2 tree")
        self.top = layout.unified.mount
        self.directory = layout.unified.directory(self.path)

    def directories(self) -> dict[str, str]:
        return {"": self.directory}

    def file(self, controller: str, file: str) -> str:
        return f"{self.directory}/{file}"

    def main_directory(self) -> str:
        return self.directory

    # -- making ----------------------------------------------------------------------------------------

    def create(self, *, fresh: bool = True) -> None:
        made = self._make()
        if not made and fresh:
            refuse_used(self.path, self.directory, self.frozen())

    def _make(self) -> bool:
        """Make the directory; every parent hands down what it has (only what was asked for, when something
        was)."""
        place = self.top
        made = False
        parts = self.directory[len(self.top) :].strip("/").split("/")
        for part in parts:
            self._hand_down(place)
            place += "/" + part
            try:
                os.mkdir(place, 0o755)
                made = True
            except FileExistsError:
                made = False
            except OSError as error:
                code = error.errno or 0
                if code in (EACCES, EPERM, EROFS):
                    raise Denied(
                        f"creating the control group {place}: {os.strerror(code)}",
                        hint="limits need root or a delegated cgroup v2 group",
                    ) from None
                raise KernelError(f"mkdir {place}", code) from None
        return made

    def _hand_down(self, parent: str) -> None:
        try:
            has = files.read(parent + "/cgroup.controllers").split()
            gives = files.read(parent + "/cgroup.subtree_control").split()
        except NotFound:
            return
        wanted = [c for c in has if c not in gives and (self.controllers is None or c in self.controllers)]
        if not wanted:
            return
        path = parent + "/cgroup.subtree_control"
        try:
            files.write(path, " ".join("+" + c for c in wanted))
            return
        except (KernelError, Denied, Unsupported):
            pass
        # All or nothing: one controller that cannot be had (cpu with realtime tasks in the root group, a
        # group with processes of its own) must not take the others with it. What stays missing is noticed
        # when a limit needs it.
        for controller in wanted:
            try:
                files.write(path, "+" + controller)
            except (KernelError, Denied, Unsupported):
                pass

    def available(self) -> list[str]:
        """The controllers this group really has."""
        try:
            return files.read(self.directory + "/cgroup.controllers").split()
        except NotFound:
            return []

    def join(self) -> None:
        self.add(0)

    def add(self, pid: int) -> None:
        path = self.directory + "/cgroup.procs"
        try:
            files.write(path, str(pid))
        except KernelError as error:
            if error.errno == ESRCH:
                raise NotFound(f"process {pid} is gone") from None
            if error.errno == EOPNOTSUPP:
                raise Conflict(
                    f"control group {self.path} is in a threaded subtree", reason="threaded"
                ) from None
            if error.errno != EBUSY:
                raise
            # Processes live only in leaves. A container that manages its own groups has made this one an
            # inner node: a process that is to join the container goes where the container's init went.
            leaf = self._inner_leaf()
            if leaf is None:
                raise
            files.write(leaf + "/cgroup.procs", str(pid))

    def _inner_leaf(self) -> str | None:
        for directory in files.subdirectories(self.directory)[:-1]:
            if files.pids_of(directory):
                return directory
        return None

    def apply(self, settings: Sequence[Setting]) -> None:
        later: list[Setting] = []
        for controller, name, value in settings:
            path = f"{self.directory}/{name}"
            try:
                files.write(path, value)
            except KernelError as error:
                # burst ≤ quota must hold after each write: a larger one has to wait for the larger quota.
                if error.errno != EINVAL or name != "cpu.max.burst":
                    raise
                later.append((controller, name, value))
            except Unsupported:
                if controller and controller not in self.available():
                    raise Unsupported(
                        f"{name}: the {controller} controller is not enabled for the control group {self.path}",
                        hint=f"its parents must have '+{controller}' in cgroup.subtree_control",
                        reason="no-controller",
                    ) from None
                raise
        for _, name, value in later:
            files.write(f"{self.directory}/{name}", value)

    def allow_devices(self, rules: Sequence[DeviceRule]) -> None:
        from lading.kernel.bpf import attach_device_filter

        attach_device_filter(self.directory, rules)

    # -- processes -------------------------------------------------------------------------------------

    def freeze(self, timeout: float = 10.0) -> None:
        files.write(self.directory + "/cgroup.freeze", "1")
        if not self._wait("frozen", 1, timeout):
            files.write(self.directory + "/cgroup.freeze", "0")
            raise TimedOut(f"control group {self.path} does not freeze: a process is stuck in the kernel")

    def thaw(self) -> None:
        files.write(self.directory + "/cgroup.freeze", "0")
        self._wait("frozen", 0, 2.0)

    def _wait(self, key: str, value: int, timeout: float) -> bool:
        """Wait until ``cgroup.events`` says ``key value``; the kernel signals each change with POLLPRI."""
        end = time.monotonic() + timeout
        try:
            fd = os.open(self.directory + "/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            poller = select.poll()
            poller.register(fd, select.POLLPRI)
            wanted = f"{key} {value}"
            while True:
                if wanted in os.pread(fd, 4096, 0).decode().splitlines():
                    return True
                left = end - time.monotonic()
                if left <= 0:
                    return False
                poller.poll(min(left, 0.1) * 1000)
        except OSError:
            return True  # the group is gone
        finally:
            os.close(fd)

    def frozen(self) -> bool:
        return files.read_int(self.directory + "/cgroup.freeze") == 1

    def kill(self) -> None:
        try:
            files.write(self.directory + "/cgroup.kill", "1")
            return
        except Unsupported:  # before Linux 5.14
            if not os.path.isdir(self.directory):
                return
        try:
            self.freeze(1.0)
        except (TimedOut, Denied, Unsupported):
            pass
        kill_each(self.pids())
        self.thaw()
        self._kill_by_loop()

    def populated(self) -> bool:
        table = files.read_table(self.directory + "/cgroup.events")
        return bool(table["populated"]) if "populated" in table else bool(self.pids())

    def wait_empty(self, timeout: float = 10.0) -> None:
        if not self._wait("populated", 0, timeout):
            raise TimedOut(f"control group {self.path}: processes {self.pids()} are still in it")

    # -- numbers ---------------------------------------------------------------------------------------

    def stats(self) -> Stats:
        from lading.kernel.cgroups.stats import stats_v2

        return stats_v2(self.directory)

    def oom_kills(self) -> int:
        return files.read_table(self.directory + "/memory.events").get("oom_kill", 0)

    def oom_watch(self) -> OomWatch:
        from lading.kernel.cgroups.oom import watch_v2

        return watch_v2(self.directory)
