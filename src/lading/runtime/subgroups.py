"""Groups below a container's own, for a process that is executed there (``exec --cgroup``)."""

from __future__ import annotations

import os

from lading.errors import InvalidInput, NotFound
from lading.kernel.cgroups import manager
from lading.runtime.resources import CgroupHandle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def below(handle: CgroupHandle, names: Sequence[str]) -> CgroupHandle:
    """Existing groups below that of ``handle``, each for some controllers (``cpu,memory:sub``) or for all.

    Raises :class:`NotFound` and :class:`InvalidInput`.
    """
    group = handle.need("a group of its own")
    made = CgroupHandle(group, path=handle.path, rootless=handle.rootless, controllers=handle.controllers)
    for name in names:
        kinds, colon, path = name.rpartition(":")
        if colon and group.version == 2 and kinds:
            raise InvalidInput(
                f"--cgroup {name}: controllers have one tree on cgroup v2, name the path alone"
            )
        if ".." in path.split("/"):
            raise InvalidInput(f"--cgroup: {path} is not a sub cgroup path")
        known = group.directories()
        wanted = tuple(kinds.split(",")) if kinds else handle.controllers
        unknown = [kind for kind in kinds.split(",") if kind and kind not in known]
        if unknown:
            raise InvalidInput(f"--cgroup {name}: unknown controller {unknown[0]}")
        tail = os.path.normpath("/" + path.lstrip("/"))
        inner = manager(handle.path + tail.rstrip("/"), group.layout, wanted)
        missing = [d for d in inner.directories().values() if not os.path.isdir(d)]
        # On v1 a path alone may exist in some trees only; the others then keep the container's own group.
        if missing and (kinds or not inner.exists()):
            raise NotFound(
                f"--cgroup: adding pid {os.getpid()} to {missing[0]}/cgroup.procs: no such file or directory"
            )
        made.inner.append(inner)
    return made
