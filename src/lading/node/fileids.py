"""Whose files are in a container's root, for who looks at it from the host: ``cp``.

The root of a running pod with users of its own shows the host the pod's ids there; one that is stacked for the purpose, and
the writable directory, show those that the container knows.
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from lading.errors import InvalidInput
from lading.kernel import idmap
from lading.node.idranges import SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lading.kernel import Kernel

_NOBODY = 65534  # what the kernel shows of an id that a user namespace does not have


class Ids:
    """The ids in a root: as they are (``first`` 0), or those of a pod whose users are the host's from ``first`` on."""

    def __init__(self, first: int) -> None:
        self.first = first

    def inside(self, id: int) -> int:
        """What the container calls one of the host's."""
        if not self.first:
            return id
        return id - self.first if 0 <= id - self.first < SIZE else _NOBODY

    def outside(self, id: int) -> int:
        """What the host calls one of the container's. Raises :class:`InvalidInput` for one that it does not have."""
        if self.first and not 0 <= id < SIZE:
            raise InvalidInput(f"user or group {id} is beyond the {SIZE} of the container's pod")
        return self.first + id

    @contextmanager
    def acting(self, kernel: Kernel) -> Iterator[None]:
        """Make files as the container's root, which this thread is for the time."""
        if not self.first:
            yield
            return
        own = os.geteuid(), os.getegid()
        idmap.act_as(kernel, self.first, self.first)
        try:
            yield
        finally:
            idmap.act_as(kernel, *own)
