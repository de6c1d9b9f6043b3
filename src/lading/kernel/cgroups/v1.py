"""A group in cgroup v1: one directory in each controller's own tree."""

from __future__ import annotations

import os
import time
from errno import EACCES, EEXIST, EINVAL, ENOENT, EPERM, EROFS, ESRCH

from lading.errors import Denied, KernelError, NotFound, TimedOut, Unsupported
from lading.kernel.cgroups import files
from lading.kernel.cgroups.base import Manager, Setting, kill_each, refuse_used
from lading.kernel.cgroups.layout import V1_CONTROLLERS, Layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.kernel.cgroups.oom import OomWatch
    from lading.kernel.cgroups.stats import Stats
    from lading.kernel.devicerules import DeviceRule

#: Whose processes stand for the group's, best first.
_MAIN = ("freezer", "pids", "devices", "memory", "cpu", "cpuacct", "blkio", "cpuset")


#: Limits of which the kernel judges two together.
_PAIRED = ("limit_in_bytes", "_period_us", "cfs_quota_us", "rt_runtime_us", "cfs_burst_us")


class ManagerV1(Manager):
    """v1 and hybrid. On hybrid, controllers that only the v2 tree has (``hugetlb``) are used there."""

    version = 1

    def __init__(self, path: str, layout: Layout, controllers: tuple[str, ...] | None = None) -> None:
        super().__init__(path, layout, controllers)
        self._directories: dict[str, str] = {}
        for name in V1_CONTROLLERS:
            hierarchy = layout.v1.get(name)
            if hierarchy is not None and (controllers is None or name in controllers):
                self._directories[name] = hierarchy.directory(self.path)
        systemd = layout.v1.get("name=systemd")
        if systemd is not None and (controllers is None or "name=systemd" in controllers):
            self._directories["name=systemd"] = systemd.directory(self.path)
        if layout.unified is not None:
            wanted = controllers or ()
            for name in layout.unified_controllers() if wanted else ():
                if name in wanted and name not in self._directories:
                    self._directories[name] = layout.unified.directory(self.path)

    def directories(self) -> dict[str, str]:
        return self._directories

    def file(self, controller: str, file: str) -> str:
        directory = self._directories.get(controller)
        if directory is None:
            raise Unsupported(f"{file}: the {controller} controller is not available", reason="no-controller")
        return f"{directory}/{file}"

    def main_directory(self) -> str:
        for name in _MAIN:
            if name in self._directories:
                return self._directories[name]
        for directory in self._directories.values():
            return directory
        raise Unsupported("no cgroup v1 controller is available", reason="no-controller")

    # -- making ----------------------------------------------------------------------------------------

    def create(self, *, fresh: bool = True) -> None:
        existed = []
        for directory in self._unique():
            if not _make(directory):
                existed.append(directory)
        if fresh:
            for directory in existed:
                refuse_used(self.path, directory, _state(directory) != "THAWED")
        cpuset = self._directories.get("cpuset")
        if cpuset is not None:
            inherit_cpuset(cpuset, self.layout.v1["cpuset"].mount)

    def join(self) -> None:
        for directory in self._unique():
            try:
                files.write(directory + "/tasks", "0")
            except Unsupported:
                if os.path.isdir(directory):
                    raise
                # A group that the container made may exist in some trees only.

    def _entered(self) -> list[str]:
        """The directories to enter: a group that the container made may exist in some trees only."""
        return [directory for directory in self._unique() if os.path.isdir(directory)]

    def add(self, pid: int) -> None:
        for directory in self._entered():
            for attempt in range(5):
                try:
                    files.write(directory + "/cgroup.procs", str(pid))
                    break
                except KernelError as error:
                    if error.errno == ESRCH:
                        raise NotFound(f"process {pid} is gone") from None
                    # A task that is just being forked refuses to be moved for a moment (kernel before 4.12).
                    if error.errno != EINVAL or attempt == 4:
                        raise
                    time.sleep(0.03)

    def apply(self, settings: Sequence[Setting]) -> None:
        later: list[Setting] = []
        for controller, name, value in settings:
            path = self.file(controller, name)
            try:
                files.write(path, value)
            except KernelError as error:
                # memory ≤ memory+swap must hold after each write, quota/period ≤ the parent's and burst ≤ quota: they
                # depend on each other's old values, so what was refused is tried again behind the rest.
                if error.errno != EINVAL or not name.endswith(_PAIRED):
                    raise
                later.append((controller, name, value))
        for controller, name, value in later:
            files.write(self.file(controller, name), value)

    def allow_devices(self, rules: Sequence[DeviceRule]) -> None:
        from lading.kernel.devicerules import DeviceRule, effective

        directory = self._directories.get("devices")
        if directory is None:
            raise Unsupported("linux.resources.devices: the devices controller is not available")
        everything, exceptions = effective(rules)
        listed = files.read(directory + "/devices.list").splitlines()
        open_now = "a *:* rwm" in listed
        if everything:
            if not open_now:
                files.write(directory + "/devices.allow", "a")
            for rule in exceptions:
                files.write(directory + "/devices.deny", rule.line())
            return
        wanted = [rule.line() for rule in exceptions]
        if open_now:
            # Only a whole denial turns the list from "all but" into "only".
            files.write(directory + "/devices.deny", "a")
            current: set[str] = set()
        else:
            current = set(listed)
        files.write_each(directory + "/devices.allow", [line for line in wanted if line not in current])
        for line in sorted(current - set(wanted)):
            keep = next(
                (r for r in exceptions if r.line().rpartition(" ")[0] == line.rpartition(" ")[0]), None
            )
            drop = set(line.rpartition(" ")[2]) - set(keep.access if keep else "")
            if drop:
                rule = DeviceRule.of_line(line)
                rule.access = "".join(a for a in "rwm" if a in drop)
                files.write(directory + "/devices.deny", rule.line())

    # -- processes -------------------------------------------------------------------------------------

    def freeze(self, timeout: float = 10.0) -> None:
        # A task in the middle of fork or of an uninterruptible wait can leave the group in FREEZING for
        # ever; thawing for a moment and freezing again lets it reach a point where it stops.
        path = self.file("freezer", "freezer.state")
        end = time.monotonic() + timeout
        attempt = 0
        while True:
            if attempt and attempt % 25 == 0:
                files.write(path, "THAWED")
                time.sleep(0.01)
            files.write(path, "FROZEN")
            if files.read(path) == "FROZEN":
                return
            if time.monotonic() > end:
                files.write(path, "THAWED")
                raise TimedOut(f"control group {self.path} does not freeze: a process is stuck in the kernel")
            attempt += 1
            time.sleep(0.0001 if attempt < 20 else 0.002)

    def thaw(self) -> None:
        files.write(self.file("freezer", "freezer.state"), "THAWED")

    def frozen(self) -> bool:
        directory = self._directories.get("freezer")
        return directory is not None and _state(directory) in ("FROZEN", "FREEZING")

    def kill(self) -> None:
        if not self.pids():
            return  # and nobody is there to fork
        if "freezer" not in self._directories or not os.path.isdir(self._directories["freezer"]):
            self._kill_by_loop()
            return
        try:
            self.freeze(1.0)  # nothing can fork away while it is being killed
        except (TimedOut, Denied):
            pass
        kill_each(self.pids())
        # The container may have frozen groups of its own, and a frozen process does not die.
        for directory in files.subdirectories(self._directories["freezer"]):
            try:
                files.write(directory + "/freezer.state", "THAWED")
            except Unsupported:
                continue  # it went away
        self._kill_by_loop()

    # -- numbers ---------------------------------------------------------------------------------------

    def stats(self) -> Stats:
        from lading.kernel.cgroups.stats import stats_v1

        return stats_v1(self._directories)

    def oom_kills(self) -> int:
        directory = self._directories.get("memory")
        return files.read_table(directory + "/memory.oom_control").get("oom_kill", 0) if directory else 0

    def oom_watch(self) -> OomWatch:
        from lading.kernel.cgroups.oom import watch_v1

        return watch_v1(self.file("memory", ""))


def _state(directory: str) -> str:
    try:
        return files.read(directory + "/freezer.state")
    except NotFound:
        return "THAWED"


def _make(directory: str) -> bool:
    """Make ``directory`` and missing parents; False when it existed."""
    for _ in range(10):
        try:
            os.mkdir(directory, 0o755)
            return True
        except OSError as error:
            if error.errno == EEXIST:
                return False
            if error.errno in (EACCES, EPERM, EROFS):
                raise Denied(
                    f"creating the control group {directory}: {os.strerror(error.errno)}",
                    hint="control groups need root or a delegated cgroup v2 group",
                ) from None
            if error.errno != ENOENT:
                raise KernelError(f"mkdir {directory}", error.errno or 0) from None
        # Somebody may remove an empty parent at any moment: hence the loop.
        _make(directory.rpartition("/")[0])
    raise KernelError(f"mkdir {directory}", ENOENT)


def inherit_cpuset(directory: str, top: str) -> None:
    """Give a new v1 cpuset its parents' processors and memory nodes: without them no process may enter."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if not files.read(f"{directory}/{name}"):
            parent = directory.rpartition("/")[0]
            value = files.read(f"{parent}/{name}")
            if not value and parent != top:
                inherit_cpuset(parent, top)
                value = files.read(f"{parent}/{name}")
            files.write(f"{directory}/{name}", value)
