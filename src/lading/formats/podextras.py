"""Records of :mod:`lading.formats.pod`'s ``extras`` that few containers have, loaded when a Pod first names one."""

from __future__ import annotations

from lading.formats.schema import Record


class SystemCalls(Record):
    """Which system calls a container may make.

    ``mode``   ``retain``: ``names`` and no others; ``remove``: the default profile's without ``names``.
    ``errno``  the name of what any other call answers (``EPERM``); empty: it ends the process by SIGSYS.
    """

    mode: str
    names: list[str] = []
    errno: str = ""


class BlockLimit(Record):
    """How much a container may read from and write to block devices in a second: bytes, or operations.

    ``device``: a block device's path; empty: every disk of the machine.
    """

    device: str = ""
    read: int | None = None
    write: int | None = None
