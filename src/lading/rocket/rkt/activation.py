"""Sockets of a service manager for the apps that are activated by them, in place of ports that would be published."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from lading.formats.pod import Container, Pod
    from lading.formats.podextras import ListenSocket


def hand_on(pod: Pod, handed: Collection[tuple[str, int]]) -> bool:
    """Let apps of ``pod`` listen with sockets that this process was ``handed`` (protocol, port of the machine); whether any does.

    A port that leads to one where an app listens before it runs is not published where there is such a socket for it. In the
    machine's network nothing is published, and a socket is for the port that it listens at.
    """
    some = False
    for container in pod.spec.containers:
        if pod.spec.host_network:
            for wanted in container.extras.listen:
                if (wanted.protocol, wanted.port) in handed:
                    wanted.host_port = wanted.port
                    some = True
            continue
        stays = []
        for port in container.ports:
            waiting = _listening(container, port.container_port, port.protocol)
            if waiting is None or (port.protocol, port.host_port) not in handed:
                stays.append(port)
            elif not waiting.host_port:
                waiting.host_port = port.host_port
                some = True
        container.ports = stays
    return some


def _listening(container: Container, port: int, protocol: str) -> ListenSocket | None:
    for wanted in container.extras.listen:
        if (wanted.port, wanted.protocol) == (port, protocol):
            return wanted
    return None
