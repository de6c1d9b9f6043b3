"""What the node needs of an engine, see :mod:`lading.node.engine`: types, which no command loads.

Limits, pausing and executing go through an engine, while what the kernel can be asked (processes, numbers, whether memory
ran out) is read from the container's control group.
"""

from __future__ import annotations

from typing import Protocol

from lading.formats.oci_runtime import Process, Resources, Spec
from lading.kernel.cgroups.stats import Stats
from lading.runtime import RunRequest, Stdio
from lading.runtime.execute import Exec


class Group(Protocol):
    """What is read of a container's control group."""

    def oom_kills(self) -> int:
        """How many of its processes the kernel killed for want of memory."""

    def frozen(self) -> bool:
        """Whether it is paused."""


class Handle(Protocol):
    """One container that was run: ``pid`` of its first process, ``pidfd`` and ``console`` (-1: none) the caller's."""

    pid: int
    pidfd: int
    console: int

    @property
    def start_time(self) -> int:
        """When the first process started, in clock ticks since boot."""

    @property
    def spec(self) -> Spec:
        """``config.json`` as it was when the container was made."""

    @property
    def group(self) -> Group:
        """Its control group."""

    def exec(self, process: Process, *, stdio: Stdio | None = None) -> Exec:
        """A further process inside, a child of this process; the terminal's master is ``Exec.console``."""

    def pause(self) -> None:
        """Freeze. Raises :class:`Conflict` unless running."""

    def resume(self) -> None:
        """Thaw. Raises :class:`Conflict` unless paused."""

    def update(self, wanted: Resources) -> None:
        """Change limits; what is not named stays."""

    def delete(self, force: bool = False) -> None:
        """Forget it; ``force`` kills what still runs. Nothing of it is left when this returns."""

    def pids(self) -> list[int]:
        """Every process of it, as the host sees them."""

    def stats(self) -> Stats:
        """What it uses."""


class Engine(Protocol):
    """Makes containers and finds them again."""

    def run(self, request: RunRequest) -> Handle:
        """Create and start; the first process is a child of this process. Nothing is left behind by a failure."""

    def get(self, id: str) -> Handle:
        """The container called ``id``. Raises :class:`NotFound`."""
