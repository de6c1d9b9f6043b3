"""Sockets that listen in a pod's network, made by its keeper.

They are bound before anything of the pod runs, so what connects to them waits for whoever will accept, and is never refused.
"""

from __future__ import annotations

import _socket
import os

from lading.errors import LadingError
from lading.kernel import netlink_netns
from lading.node import joining

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.node.runner import PodRunner

_BACKLOG = 4096  # as systemd's default; net.core.somaxconn has the last word


def listen(runner: PodRunner, address: str, port: int, what: str, *, udp: bool = False) -> _socket.socket:
    """A socket of TCP (or ``udp``) that listens at ``address`` (of IPv4 or IPv6) inside the pod's network.

    Raises :class:`LadingError` that names ``what`` it is for.
    """

    def make() -> _socket.socket:
        family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
        kind = _socket.SOCK_DGRAM if udp else _socket.SOCK_STREAM
        made = _socket.socket(family, kind | _socket.SOCK_CLOEXEC)
        try:
            if not udp:  # of UDP it would take the port from who has it
                made.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
            made.bind((address, port))
            if not udp:
                made.listen(_BACKLOG)
        except BaseException:
            made.close()
            raise
        return made

    try:
        return _inside(runner, make)
    except OSError as error:
        raise LadingError(f"{what}: listening at {address}, port {port}: {error.strerror}") from None


def _inside(runner: PodRunner, make: Callable[[], _socket.socket]) -> _socket.socket:
    attachment = runner.attachment
    if attachment is not None and attachment.mode == "host":
        return make()
    if attachment is not None and attachment.namespace >= 0:
        return netlink_netns.inside(attachment.namespace, make)
    kind, _, place = runner.record.pod.spec.extras.network_mode.partition(":")
    if kind != "ns":
        place = f"/proc/{joining.other_process(runner.shop, place, 'network')}/ns/net"
    namespace = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return netlink_netns.inside(namespace, make)
    finally:
        os.close(namespace)
