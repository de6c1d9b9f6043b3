"""Records of :mod:`lading.formats.pod`'s ``extras`` that few containers have, loaded when a Pod first names one."""

from __future__ import annotations

from lading.formats.schema import Record


class SystemCalls(Record):
    """Which system calls a container may make.

    ``mode``   ``retain``: ``names`` and no others; ``remove``: the default profile's without ``names``.
    ``sets``   more calls, by the names of sets of them (:mod:`lading.node.callsets`).
    ``errno``  the name of what any other call answers (``EPERM``); empty: it ends the process by SIGSYS.
    """

    mode: str
    names: list[str] = []
    sets: list[str] = []
    errno: str = ""


class BlockLimit(Record):
    """How much a container may read from and write to block devices in a second: bytes, or operations.

    ``device``: a block device's path; empty: every disk of the machine.
    """

    device: str = ""
    read: int | None = None
    write: int | None = None


class ListenSocket(Record):
    """A socket that listens in the pod's network before its container runs, and is handed to it (sd_listen_fds(3)).

    ``protocol``   TCP or UDP.
    ``name``       what ``LISTEN_FDNAMES`` calls it.
    ``host_port``  a socket that listens at this port of the machine is handed on in its place, where a service manager gave
                   one to the process that runs the pod; 0: none is.
    """

    port: int
    protocol: str = "TCP"
    address: str = "0.0.0.0"
    name: str = ""
    host_port: int = 0


class Companion(Record):
    """A program of the host that serves one pod, on a socket that listens inside the pod's network.

    ``command``  an absolute path and arguments; the socket is its descriptor 3 (sd_listen_fds(3)).
    ``listen``   where on the pod's loopback; port 0: one that is free.
    ``env``      variables of the pod's containers, with ``{address}`` for where it listens (``127.0.0.1:4321``).
    ``ready``    it writes a line to descriptor 4 once it answers (s6's notification-fd), and no container starts before.
    """

    name: str
    command: list[str]
    listen: str = "127.0.0.1:0"
    env: dict[str, str] = {}
    ready: bool = False
