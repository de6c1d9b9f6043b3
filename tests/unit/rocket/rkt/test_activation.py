"""Which sockets of a service manager become which app's."""

from __future__ import annotations

import pytest

from lading.formats.pod import Container, ContainerPort, Pod, PodSpec
from lading.formats.podextras import ListenSocket
from lading.rocket.rkt.activation import hand_on


def _pod() -> Pod:
    one = Container(name="one", image="i")
    one.extras.listen = [ListenSocket(port=80), ListenSocket(port=53, protocol="UDP")]
    one.ports = [
        ContainerPort(container_port=80, host_port=8080),
        ContainerPort(container_port=53, host_port=5353, protocol="UDP"),
        ContainerPort(container_port=90, host_port=9090),
    ]
    other = Container(name="other", image="i", ports=[ContainerPort(container_port=81, host_port=8081)])
    return Pod(spec=PodSpec(containers=[one, other]))


@pytest.mark.parametrize(
    ("handed", "listening", "published"),
    [
        ([], [0, 0], [8080, 5353, 9090, 8081]),
        ([("UDP", 8080), ("TCP", 5353), ("TCP", 80), ("TCP", 8081), ("TCP", 9090)], [0, 0], [8080, 5353, 9090, 8081]),
        ([("TCP", 8080)], [8080, 0], [5353, 9090, 8081]),
        ([("TCP", 8080), ("UDP", 5353)], [8080, 5353], [9090, 8081]),
    ],
)  # fmt: skip
def test_a_port_with_a_socket_is_not_published(
    handed: list[tuple[str, int]], listening: list[int], published: list[int]
) -> None:
    pod = _pod()
    assert hand_on(pod, handed) == any(listening)
    containers = pod.spec.containers
    assert [wanted.host_port for wanted in containers[0].extras.listen] == listening
    assert [port.host_port for container in containers for port in container.ports] == published


def test_one_socket_is_enough_for_one_port() -> None:
    pod = _pod()
    pod.spec.containers[0].ports.append(ContainerPort(container_port=80, host_port=8088))
    assert hand_on(pod, [("TCP", 8080), ("TCP", 8088)])
    assert pod.spec.containers[0].extras.listen[0].host_port == 8080
    assert [port.host_port for port in pod.spec.containers[0].ports] == [5353, 9090]


def test_in_the_machines_network_a_socket_is_for_its_own_port() -> None:
    pod = _pod()
    pod.spec.host_network = True
    for container in pod.spec.containers:
        container.ports = []
    assert not hand_on(pod, [("TCP", 53), ("UDP", 80)])
    assert hand_on(pod, [("TCP", 80)])
    assert [wanted.host_port for wanted in pod.spec.containers[0].extras.listen] == [80, 0]
