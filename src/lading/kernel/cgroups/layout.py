"""Where this machine mounts its control groups, read from ``mountinfo``; and where this process is in
them."""

from __future__ import annotations

import os

from lading.errors import Unsupported
from lading.kernel.mounts import unescape

#: Controllers whose v1 trees a container may use, in the order their directories are made.
V1_CONTROLLERS = (
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
    "devices",
    "freezer",
    "blkio",
    "pids",
    "hugetlb",
    "net_cls",
    "net_prio",
    "perf_event",
    "rdma",
    "misc",
)


class Hierarchy:
    """One mounted tree. ``mount`` is the mount point; ``root`` the group that is visible there (``/``
    outside of cgroup namespaces and bind mounts); ``controllers`` its v1 controllers or ``name=…``; empty
    for v2."""

    __slots__ = ("controllers", "mount", "root")

    def __init__(self, mount: str, root: str, controllers: tuple[str, ...]) -> None:
        self.mount = mount
        self.root = root
        self.controllers = controllers

    def directory(self, path: str) -> str:
        """The directory of the group ``path`` (as ``/proc/self/cgroup`` names groups)."""
        root = self.root
        if root != "/" and (path == root or path.startswith(root + "/")):
            path = path[len(root) :] or "/"
        return self.mount if path == "/" else self.mount + path


class Layout:
    """The hierarchies of one machine.

    ``mode``     ``v1``, ``hybrid`` or ``v2``.
    ``v1``       controller (or ``name=systemd``) → its hierarchy; empty on pure v2.
    ``unified``  the v2 hierarchy, on hybrid and v2.
    """

    __slots__ = ("_own", "_proc", "mode", "unified", "v1")

    def __init__(
        self, mode: str, v1: dict[str, Hierarchy], unified: Hierarchy | None, proc: str = "/proc"
    ) -> None:
        self.mode = mode
        self.v1 = v1
        self.unified = unified
        self._proc = proc
        self._own: dict[str, str] | None = None

    def own(self, controller: str = "") -> str:
        """This process's group in ``controller``'s tree (``""``: the v2 tree), as an absolute path."""
        if self._own is None:
            self._own = own_groups(self._proc + "/self/cgroup")
        return self._own.get(controller, "/")

    def unified_controllers(self) -> tuple[str, ...]:
        """The controllers that the v2 tree offers at its root."""
        if self.unified is None:
            return ()
        try:
            with open(self.unified.mount + "/cgroup.controllers", encoding="utf-8") as file:
                return tuple(file.read().split())
        except OSError:
            return ()


def own_groups(file: str) -> dict[str, str]:
    """``/proc/PID/cgroup`` as controller → path; the v2 tree's key is ``""``."""
    groups: dict[str, str] = {}
    with open(file, "rb") as stream:
        for line in os.fsdecode(stream.read()).splitlines():
            _, controllers, path = line.split(":", 2)
            for controller in controllers.split(","):
                groups[controller] = path
    return groups


_detected: Layout | None = None


def detect(proc: str = "/proc") -> Layout:
    """Read the layout once a process. ``proc`` is for tests.

    Raises :class:`Unsupported` when no control groups are mounted.
    """
    global _detected
    if proc == "/proc" and _detected is not None:
        return _detected
    v1: dict[str, Hierarchy] = {}
    unified: Hierarchy | None = None
    with open(proc + "/self/mountinfo", "rb") as stream:
        text = os.fsdecode(stream.read())
    for line in text.splitlines():
        if " - cgroup" not in line:
            continue
        left, right = line.split(" - ", 1)
        kind, _, options = right.split(" ", 2)
        fields = left.split(" ")
        root, mount = unescape(fields[3]), unescape(fields[4])
        if kind == "cgroup2":
            if unified is None or mount == "/sys/fs/cgroup":
                unified = Hierarchy(mount, root, ())
        elif kind == "cgroup":
            names = tuple(o for o in options.split(",") if o in V1_CONTROLLERS or o.startswith("name="))
            hierarchy = Hierarchy(mount, root, names)
            for name in names:
                v1.setdefault(name, hierarchy)
    real = [name for name in v1 if not name.startswith("name=")]
    if unified is None and not real:
        raise Unsupported(
            "no control groups are mounted", hint="mount cgroup2 at /sys/fs/cgroup", reason="no-cgroups"
        )
    mode = "v2" if not real else "hybrid" if unified is not None else "v1"
    layout = Layout(mode, v1, unified, proc)
    if proc == "/proc":
        _detected = layout
    return layout
