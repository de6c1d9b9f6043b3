"""Setting the limits of a control group, when it is made and while the container runs."""

from __future__ import annotations

import os

from lading.errors import Conflict, NotFound, Unsupported
from lading.runtime import deviceaccess, limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_runtime import Resources
    from lading.kernel.cgroups import Manager, Setting


def apply(group: Manager, resources: Resources) -> list[Setting]:
    """Write what ``resources`` names, but for the devices, and return it.

    Raises what :func:`limits.settings` and the kernel say.
    """

    def has(controller: str, file: str) -> bool:
        try:
            return os.path.exists(group.file(controller, file))
        except Unsupported:
            return False

    wanted = limits.settings(resources, group.version, has)
    group.apply(wanted)
    return wanted


def update(group: Manager, resources: Resources) -> list[Setting]:
    """Change limits of the running container, and return them: what ``resources`` does not name stays as it is.

    With ``memory.checkBeforeUpdate`` a limit below present use is refused (:class:`Conflict`) instead of
    killing processes.
    """
    memory = resources.memory
    if memory is not None and memory.check_before_update:
        use = group.stats().memory
        if memory.limit and 0 < memory.limit < use.usage:
            raise Conflict(
                f"memory limit {memory.limit} is below present use {use.usage}",
                hint="free memory in the container, or clear checkBeforeUpdate",
                reason="memory-in-use",
            )
        if memory.swap and 0 < memory.swap < use.swap_usage:
            raise Conflict(
                f"memory+swap limit {memory.swap} is below present use {use.swap_usage}",
                reason="memory-in-use",
            )
    if memory is not None and memory.swap and memory.swap > 0 and not memory.limit:
        # Swap is named together with memory: the limit that is to stay is the one it is added to.
        present = group.stats().memory.limit
        if present > 0:
            resources = resources.replace(memory=memory.replace(limit=present))
    cpu = resources.cpu
    if cpu is not None and group.version == 2 and bool(cpu.quota) != bool(cpu.period):
        # One file holds both: the one that is not named stays as it is, or a new period would lift the limit.
        quota, period = _cpu_max(group)
        resources = resources.replace(cpu=cpu.replace(quota=cpu.quota or quota, period=cpu.period or period))
    written: list[Setting] = []
    if resources != resources.__class__(devices=resources.devices):
        written = apply(group, resources)
    if resources.devices:
        group.allow_devices(deviceaccess.device_rules(resources))
    return written


def _cpu_max(group: Manager) -> tuple[int, int]:
    """Quota (-1: none) and period of a v2 group; zeros when it has no cpu controller, which writing will tell."""
    try:
        quota, period = group.read("cpu", "cpu.max").split()
    except (NotFound, ValueError):
        return 0, 0
    return -1 if quota == "max" else int(quota), int(period)
