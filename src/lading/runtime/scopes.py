"""A container's control group that systemd makes, around its first process: a scope (``--systemd-cgroup``)."""

from __future__ import annotations

from lading.errors import Conflict, LadingError
from lading.formats.oci_runtime import Resources
from lading.kernel.cgroups import Layout, manager
from lading.runtime import deviceaccess, systemd
from lading.runtime.resources import CgroupHandle, limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_runtime import Spec
    from lading.kernel.cgroups import Setting


class Scope:
    """What has to be done once there is a process: systemd makes no group without one."""

    __slots__ = ("annotations", "optional", "resources", "slice")

    def __init__(self, resources: Resources | None, annotations: dict[str, str], slice_: str) -> None:
        self.resources = resources
        self.annotations = annotations
        self.slice = slice_
        self.optional = False
        """Whether the container may do without, where it asks for no limits and there is no way to have one."""


def plan(
    spec: Spec, wanted: str, id: str, layout: Layout, *, rootless: bool, optional: bool = False
) -> CgroupHandle:
    """The handle of a scope that is still to be made. ``wanted`` is ``linux.cgroupsPath``.

    Raises :class:`InvalidInput`, and :class:`Unsupported` where systemd is not to be had.
    """
    slice_, unit = systemd.unit_of(wanted, id, rootless=rootless)
    systemd.require(rootless=rootless)
    path = systemd.group_of(slice_, unit, layout, rootless=rootless)
    handle = CgroupHandle(manager(path, layout), path=path, unit=unit, rootless=rootless)
    handle.scope = Scope(spec.linux.resources if spec.linux is not None else None, spec.annotations, slice_)
    handle.scope.optional = optional
    return handle


def planned(wanted: str, id: str, layout: Layout, *, rootless: bool) -> dict[str, object]:
    """As :meth:`CgroupHandle.saved` of what :func:`plan` makes: by this it is found when nothing later was written."""
    slice_, unit = systemd.unit_of(wanted, id, rootless=rootless)
    path = systemd.group_of(slice_, unit, layout, rootless=rootless)
    return {"path": path, "unit": unit, "rootless": rootless}


def check(handle: CgroupHandle) -> None:
    """Find contradictions among the limits, and a scope of the name that runs, before anything is made."""
    assert handle.scope is not None and handle.manager is not None
    group = handle.manager
    if handle.scope.resources is not None:
        from lading.runtime import limits

        limits.settings(handle.scope.resources, group.version, lambda controller, file: True)
    if group.exists() and group.pids():
        raise Conflict(f"systemd scope {handle.unit} runs already", reason="cgroup-in-use")


def start(handle: CgroupHandle, pid: int) -> None:
    """Have the scope made around ``pid``, and set its limits."""
    assert handle.scope is not None and handle.manager is not None
    scope, group = handle.scope, handle.manager
    version = group.version
    properties = _devices(scope.resources, version, rootless=handle.rootless)
    if scope.resources is not None and scope.resources != Resources(devices=scope.resources.devices):
        from lading.runtime import limits, unitproperties

        # Not the scheduler's own weights, which are written all the same: systemd has a property for the general one.
        wanted = limits.settings(scope.resources, version, lambda controller, file: "bfq" not in file)
        properties += unitproperties.properties(wanted, version)
    handle.scope = None
    try:
        path = systemd.start_scope(
            handle.unit, scope.slice, pid, properties, scope.annotations, user=handle.rootless
        )
    except LadingError:
        from lading.runtime import limits

        if not scope.optional or limits.asks_for_limits(scope.resources):
            raise
        handle.manager, handle.path, handle.unit = None, "", ""
        return
    if path != handle.path:
        handle.path = path
        handle.manager = group = manager(path, group.layout)
    group.create(fresh=False)
    group.add(pid)
    limit(group, scope.resources, rootless=handle.rootless)


def tell(handle: CgroupHandle, written: list[Setting], resources: Resources) -> None:
    """Tell systemd of limits that were changed, and of the device rules among them, or it would undo that."""
    from lading.runtime import unitproperties

    assert handle.manager is not None
    version = handle.manager.version
    properties = unitproperties.properties(written, version)
    if resources.devices:
        properties += _devices(resources, version, rootless=handle.rootless)
    if properties:
        systemd.set_properties(handle.unit, properties, user=handle.rootless)


def _devices(resources: Resources | None, version: int, *, rootless: bool) -> list[list[str]]:
    """Of version 1: in version 2 the program that filters devices is ours, whatever systemd does with its own."""
    if version != 1 or rootless:
        return []
    from lading.runtime import unitproperties

    with open("/proc/devices") as file:
        names = unitproperties.device_names(file.read())
    return unitproperties.devices(deviceaccess.device_rules(resources), names)
