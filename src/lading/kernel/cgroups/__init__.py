"""Control groups behind one interface, whichever of three ways the machine mounts them.

==========  ===========================================================================================
v1          every controller is a tree of its own, mounted apart (``/sys/fs/cgroup/memory`` …)
hybrid      v1, and beside it an empty or almost empty v2 tree (``/sys/fs/cgroup/unified``)
v2          one tree for all controllers (hosts with systemd since about 2021)
==========  ===========================================================================================

:func:`manager` gives the :class:`Manager` of one group path. It knows groups, files and processes, and
nothing about containers: what to write where is decided above (``lading.runtime.resources``).

Source: cgroups(7), the kernel's Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst.
"""

from __future__ import annotations

from lading.kernel.cgroups.base import Manager, Setting
from lading.kernel.cgroups.layout import Layout, detect

__all__ = ["Layout", "Manager", "Setting", "detect", "manager"]


def manager(path: str, layout: Layout | None = None, controllers: tuple[str, ...] | None = None) -> Manager:
    """The manager of the group at ``path`` (absolute, from the root of the hierarchies). Touches nothing.

    ``controllers`` limits which v1 trees get a directory: each costs about 0.2 ms from creation to removal.
    ``None`` means every controller this machine has.
    """
    layout = layout or detect()
    if layout.mode == "v2":
        from lading.kernel.cgroups.v2 import ManagerV2

        return ManagerV2(path, layout, controllers)
    from lading.kernel.cgroups.v1 import ManagerV1

    return ManagerV1(path, layout, controllers)
