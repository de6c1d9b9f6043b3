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
