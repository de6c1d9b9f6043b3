"""What a keeper holds of one container."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_runtime import Spec
    from lading.formats.pod import Container
    from lading.node.handle import Handle
    from lading.node.model import ContainerRecord, PodRecord
    from lading.node.sequence import Unit
    from lading.node.streams import Streams


class Running:
    """Its unit of the sequence, record and streams, and (while it runs) process."""

    __slots__ = ("container", "handle", "instead", "pidfd", "record", "spec", "streams", "unit")

    def __init__(self, unit: Unit, container: Container, record: ContainerRecord) -> None:
        self.unit = unit
        self.container = container
        self.record = record
        self.streams: Streams | None = None
        self.handle: Handle | None = None
        self.pidfd = -1
        self.spec: Spec | None = None
        #: The signal in whose place it was sent SIGKILL: its end is told as that signal's.
        self.instead = 0


def note_readiness(record: PodRecord, running: Running) -> bool:
    """Copy what the probes and hooks say into the container's record. True when that changed it."""
    made, unit = running.record, running.unit
    before = made.ready, made.up
    made.ready = unit.ready
    made.up = unit.up and not record.single
    if made.ready != before[0] and not record.single:
        made.turned = time.time()
    return before != (made.ready, made.up)


def stop_signal(container: Container) -> int:
    """The number of the signal that ends a container: what it asks for, or its image; SIGTERM."""
    lifecycle = container.lifecycle
    name = container.extras.stop_signal or (lifecycle.stop_signal if lifecycle is not None else "")
    if not name:
        return 15
    from lading.formats import signals

    return signals.number(name)
