"""Floor 3: pods on one machine. :class:`Node` is the whole interface; everything else here is private to it.

The names are loaded on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.node.model import (
        Changes,
        ContainerRecord,
        Event,
        ExecRequest,
        Finding,
        LogLine,
        PodRecord,
        Stdio,
    )
    from lading.node.node import Node
    from lading.node.session import Session

__all__ = [
    "Changes",
    "ContainerRecord",
    "Event",
    "ExecRequest",
    "Finding",
    "LogLine",
    "Node",
    "PodRecord",
    "Session",
    "Stdio",
]

_HOMES = {"Node": "lading.node.node", "Session": "lading.node.session"}


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import sys

        home = _HOMES.get(name, "lading.node.model")
        __import__(home)
        return getattr(sys.modules[home], name)
