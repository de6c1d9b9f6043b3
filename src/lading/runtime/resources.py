"""A container's control group: where it is, what it limits, and what can be done to all its processes.

:func:`setup` makes the group and sets its limits before the container's first process exists; that process
then moves itself in with :meth:`CgroupHandle.join`. :func:`load` finds the group again from the container's
record.

``linux.cgroupsPath``: an absolute path is taken as it is from the root of the hierarchies; a relative one is
below
``/lading`` (for an ordinary user: beside the group this process is in); empty means ``/lading/ID``. With
systemd as manager it is
``SLICE:PREFIX:NAME`` and the group is the scope ``PREFIX-NAME.scope`` in ``SLICE``.
"""

from __future__ import annotations

import os

from lading.errors import Denied, InvalidInput, LadingError, Unsupported
from lading.formats.oci_runtime import Resources
from lading.kernel import userns
from lading.kernel.cgroups import Layout, Manager, detect, manager
from lading.runtime import deviceaccess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lading.formats.oci_runtime import Spec
    from lading.kernel.cgroups.oom import OomWatch
    from lading.kernel.cgroups.stats import Stats
    from lading.runtime.scopes import Scope


class CgroupHandle:
    """The group of one container.

    ``path``     the group (``/lading/web``), empty when there is none (an ordinary user who asked for no
                 limits).
    ``unit``     the systemd scope, empty with cgroupfs.
    ``manager``  the kernel's side, ``None`` when there is no group.
    ``inner``    groups below it that the process goes into instead.
    ``scope``    what waits for the first process, with systemd.
    """

    __slots__ = ("controllers", "inner", "manager", "path", "rootless", "scope", "unit")

    def __init__(
        self,
        group: Manager | None,
        *,
        path: str = "",
        unit: str = "",
        rootless: bool = False,
        controllers: tuple[str, ...] | None = None,
    ) -> None:
        self.manager = group
        self.path = path
        self.unit = unit
        self.rootless = rootless
        self.controllers = controllers
        self.inner: list[Manager] = []
        self.scope: Scope | None = None

    def saved(self) -> dict[str, object]:
        """What :func:`load` needs to find the group again; JSON-ready."""
        made: dict[str, object] = {"path": self.path}
        if self.unit:
            made["unit"] = self.unit
        if self.rootless:
            made["rootless"] = True
        if self.controllers is not None:
            made["controllers"] = list(self.controllers)
        return made

    def make(self, spec: Spec) -> None:
        """Make the group and set limits and device rules; the first process is to enter it next.

        Raises :class:`Conflict` for a group that is in use, :class:`Denied` for limits that this user may
        not set, :class:`InvalidInput` and :class:`Unsupported` naming the field. What was made is removed
        again on failure. An ordinary user who asks for no limits and may make no group gets none:
        :attr:`path` is empty then.
        """
        group = self.manager
        if group is None:
            return
        resources = spec.linux.resources if spec.linux is not None else None
        if self.scope is not None:
            from lading.runtime import scopes

            scopes.check(self)
            return
        try:
            group.create()
        except Denied as error:
            _discard(group)
            if not self.rootless:
                raise
            from lading.runtime import limits

            if limits.asks_for_limits(resources):
                raise _no_limits(error) from None
            self.manager, self.path = None, ""
            return
        except LadingError as error:
            if error.reason not in ("cgroup-in-use", "cgroup-frozen"):
                _discard(group)
            raise
        try:
            limit(group, resources, rootless=self.rootless)
        except LadingError:
            _discard(group)
            raise

    # -- processes -------------------------------------------------------------------------------------

    def join(self) -> None:
        """Move the calling process into the group.

        To be called by the process itself while it has one thread and still sees the host's mounts, as root
        of the host (before it enters a user namespace) and before it makes a cgroup namespace.
        """
        if self.manager is None:
            return
        if self.manager.version == 1 or not self.inner:  # on v1 a group below may exist in some trees only
            try:
                self.manager.join()
            except LadingError:
                # An ordinary user may move processes within what systemd has delegated to him, and not from elsewhere.
                if not (self.unit and self.rootless):
                    raise
                from lading.runtime import systemd

                systemd.attach(self.unit, os.getpid(), user=True)
        for inner in self.inner:
            inner.join()

    def add(self, pid: int) -> None:
        """Move ``pid`` (as this process sees it) into the group. On v1 this is slower than :meth:`join`."""
        if self.manager is None:
            return
        if self.scope is not None:
            from lading.runtime import scopes

            scopes.start(self, pid)
            return
        self.manager.add(pid)

    def pids(self) -> list[int]:
        """Every process in the group and below. Empty when there is no group."""
        return self.manager.pids() if self.manager is not None else []

    def freeze(self) -> None:
        """Pause. Raises :class:`Unsupported` when there is no group to freeze."""
        self.need("pausing").freeze()

    def thaw(self) -> None:
        """Resume."""
        self.need("resuming").thaw()

    def frozen(self) -> bool:
        """Whether the group is frozen; False when there is none."""
        return self.manager is not None and self.manager.frozen()

    def kill(self) -> None:
        """SIGKILL everything in the group and below; nothing when there is no group."""
        if self.manager is not None and self.manager.exists():
            self.manager.kill()

    def wait_empty(self, timeout: float = 10.0) -> None:
        """Return when no process is left in the group. Raises :class:`lading.errors.TimedOut`."""
        if self.manager is not None:
            self.manager.wait_empty(timeout)

    # -- limits and numbers ----------------------------------------------------------------------------

    def update(self, resources: Resources) -> None:
        """Change limits of the running container, see :func:`lading.runtime.limiting.update`."""
        from lading.runtime import limiting

        written = limiting.update(self.need("changing limits"), resources)
        if self.unit:
            from lading.runtime import scopes

            scopes.tell(self, written, resources)

    def stats(self) -> Stats:
        """What the container uses. Raises :class:`Unsupported` when there is no group."""
        return self.need("statistics").stats()

    def oom_kills(self) -> int:
        """Processes killed for lack of memory so far."""
        return self.manager.oom_kills() if self.manager is not None else 0

    def oom_watch(self) -> OomWatch:
        """Notifications of memory running out."""
        return self.need("OOM events").oom_watch()

    def need(self, what: str) -> Manager:
        """The kernel's side. Raises :class:`Unsupported` when there is no group; ``what`` is wanted of it."""
        if self.manager is None:
            raise Unsupported(
                f"{what} needs a control group, and this user may make none",
                hint="run as root, or delegate a cgroup v2 group to the user",
                reason="no-cgroup",
            )
        return self.manager

    def delete(self) -> None:
        """Remove the group and all below it; fine when it is gone. Raises :class:`Conflict` while it has
        processes."""
        if self.unit and (self.manager is None or self.manager.exists()):
            from lading.runtime import systemd

            systemd.stop_scope(self.unit, user=self.rootless)
        if self.manager is not None:
            self.manager.delete()


def is_rootless() -> bool:
    """Whether this process is not the host's root: another user, or root of a user namespace."""
    return os.geteuid() != 0 or userns.inside()


def group_path(wanted: str, id: str, layout: Layout, *, rootless: bool = False) -> str:
    """The group of the container ``id`` for ``linux.cgroupsPath`` (see the module)."""
    if wanted.startswith("/"):
        path = os.path.normpath("/" + wanted.lstrip("/"))
        if path == "/":
            raise InvalidInput("linux.cgroupsPath: a container cannot have the root group")
        return path
    tail = os.path.normpath("/" + wanted) if wanted else "/" + id
    if tail == "/":
        raise InvalidInput(f"linux.cgroupsPath: {wanted!r} names no group")
    if rootless and layout.mode == "v2":
        own = layout.own()
        # Processes live only in leaves, so groups that hand controllers down are made beside our own.
        return (own.rpartition("/")[0] if own != "/" else "") + tail
    return "/lading" + tail


def setup(
    spec: Spec,
    id: str,
    *,
    cgroup_manager: str = "cgroupfs",
    controllers: tuple[str, ...] | None = None,
    rootless: bool | None = None,
    layout: Layout | None = None,
) -> CgroupHandle:
    """:func:`plan` and :meth:`CgroupHandle.make` in one go, for callers that keep no record."""
    handle = plan(
        spec, id, cgroup_manager=cgroup_manager, controllers=controllers, rootless=rootless, layout=layout
    )
    handle.make(spec)
    return handle


def plan(
    spec: Spec,
    id: str,
    *,
    cgroup_manager: str = "cgroupfs",
    controllers: tuple[str, ...] | None = None,
    rootless: bool | None = None,
    layout: Layout | None = None,
) -> CgroupHandle:
    """Decide where the container's group will be; touches nothing, so that it can be recorded first.

    ``controllers`` (v1) names the trees wanted besides those that limits and devices need; ``None`` means
    all. Raises :class:`InvalidInput` and :class:`Unsupported` naming the field.
    """
    linux = spec.linux
    resources = linux.resources if linux is not None else None
    wanted = linux.cgroups_path if linux is not None else ""
    rootless = is_rootless() if rootless is None else rootless
    layout = layout or detect()
    if controllers is not None:
        from lading.runtime import limits

        needed = limits.controllers_for(resources) | {"devices", *controllers}
        controllers = tuple(sorted(needed))
    if cgroup_manager in ("systemd", "systemd-optional"):
        from lading.runtime import scopes

        return scopes.plan(spec, wanted, id, layout, rootless=rootless, optional=cgroup_manager != "systemd")
    if cgroup_manager == "disabled":
        from lading.runtime import limits

        if limits.asks_for_limits(resources):
            raise InvalidInput(
                "linux.resources: limits need a control group, and control groups are disabled"
            )
        return CgroupHandle(None, rootless=rootless)
    if cgroup_manager != "cgroupfs":
        raise InvalidInput(f"cgroup manager {cgroup_manager!r} is neither cgroupfs nor systemd")
    path = group_path(wanted, id, layout, rootless=rootless)
    return CgroupHandle(
        manager(path, layout, controllers), path=path, rootless=rootless, controllers=controllers
    )


def _no_limits(error: Denied) -> Denied:
    return Denied(f"linux.resources: {error.message}", hint=error.hint, reason="limits-denied")


def limit(group: Manager, resources: Resources | None, *, rootless: bool) -> None:
    """Set the device rules and the limits of a group that was just made."""
    try:
        group.allow_devices(deviceaccess.device_rules(resources))
    except (Denied, Unsupported) as error:
        # In a user namespace no device can be made anyway, and those bound in were chosen by whoever may use
        # them.
        if not rootless or error.reason == "device-rule":
            raise
    if resources is not None:
        _apply(group, resources)


def _apply(group: Manager, resources: Resources) -> None:
    if resources == Resources(devices=resources.devices):
        return  # most containers: what knows all limits is not loaded
    from lading.runtime import limiting

    limiting.apply(group, resources)


def _discard(group: Manager) -> None:
    try:
        group.delete(timeout=0.2)
    except LadingError:
        pass


def load(saved: dict[str, Any], layout: Layout | None = None) -> CgroupHandle:
    """The handle of a group that :func:`setup` made in another process, from :meth:`CgroupHandle.saved`."""
    path = str(saved.get("path") or "")
    names = saved.get("controllers")
    controllers = tuple(str(n) for n in names) if names is not None else None
    group = manager(path, layout or detect(), controllers) if path else None
    return CgroupHandle(
        group,
        path=path,
        unit=str(saved.get("unit") or ""),
        rootless=bool(saved.get("rootless")),
        controllers=controllers,
    )


__all__ = ["CgroupHandle", "group_path", "is_rootless", "load", "plan", "setup"]
