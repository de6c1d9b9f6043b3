"""Which interface gives the default route, and which ports a pod lacks: pure decisions."""

from __future__ import annotations

import os

import pytest

from lading.errors import Conflict
from lading.network.model import Interface, PortMapping, PublishedPort
from lading.network.ports import Reservation, keep_only, missing, publish, target
from lading.network.routing import default_routes, ranked


def interface(network: str, *gateways: str, priority: int = 0) -> Interface:
    return Interface(name="on-" + network, network=network, gateways=list(gateways), priority=priority)


def test_the_name_that_comes_first_gives_the_default_route_and_the_default_network_is_bridge() -> None:
    found = ranked([interface("zoo"), interface("lading"), interface("air")])
    assert [i.network for i in found] == ["air", "lading", "zoo"]


def test_a_priority_comes_before_a_name_and_each_family_has_its_own_route() -> None:
    four = interface("aaa", "10.0.0.1", priority=-1)
    both = interface("bbb", "10.1.0.1", "fd00::1")
    assert default_routes([four, both]) == {4: ("on-bbb", "10.1.0.1"), 6: ("on-bbb", "fd00::1")}
    four.priority = 7
    assert default_routes([four, both]) == {4: ("on-aaa", "10.0.0.1"), 6: ("on-bbb", "fd00::1")}
    assert default_routes([interface("inner")]) == {}


def published(host_ip: str, host_port: int = 8080, port: int = 80) -> PublishedPort:
    return PublishedPort(
        protocol="tcp", host_ip=host_ip, host_port=host_port, container_ip="x", container_port=port
    )


def test_a_new_family_gets_the_number_that_the_other_has() -> None:
    wants = [PortMapping(container_port=80)]
    (found,) = missing(wants, {4: "10.0.0.2", 6: "fd00::2"}, [published("0.0.0.0", 40000)])
    assert (found.host_ip, found.host_port) == ("::", 40000)
    assert missing(wants, {4: "10.0.0.2"}, [published("0.0.0.0", 40000)]) == []


def test_a_range_lacks_only_what_is_not_there_and_a_family_without_address_waits() -> None:
    wants = [
        PortMapping(container_port=80, host_port=8080, count=3),
        PortMapping(container_port=9, host_port=9, host_ip="127.0.0.1"),
    ]
    found = missing(wants, {6: "fd00::2"}, [published("::", 8081, 81)])
    assert [(p.host_ip, p.host_port, p.container_port) for p in found] == [("::", 8080, 80), ("::", 8082, 82)]


def test_an_ipv6_address_of_the_host_leads_to_either_family_and_an_ipv4_one_to_ipv4_alone() -> None:
    assert target({4: "10.0.0.2", 6: "fd00::2"}, "::") == "fd00::2"
    assert target({4: "10.0.0.2"}, "::1") == "10.0.0.2"
    assert target({6: "fd00::2"}, "127.0.0.1") == ""
    assert [p.relayed for p in (published("::1"), published("::"), published("0.0.0.0"))] == [
        True,
        True,
        False,
    ]
    assert not published("::").replace(container_ip="fd00::2").relayed


def test_a_container_that_publishes_a_port_twice_is_told_that_it_is_its_own() -> None:
    held = Reservation()
    try:
        number = held.bind("tcp", "127.0.0.1", 0)
        held.release()
        wanted = [PortMapping(container_port=p, host_port=number, host_ip="127.0.0.1") for p in (80, 81)]
        with pytest.raises(Conflict, match="published by the same container"):
            publish(wanted, {4: "10.0.0.2"}, lambda *_: "", held)
    finally:
        held.release()


def test_a_port_of_another_protocol_is_not_kept_for_its_number() -> None:
    held = Reservation()
    number = held.bind("udp", "127.0.0.1", 0)
    held.bind("tcp", "127.0.0.1", number)
    udp, tcp = held.detach()
    ports = [
        PublishedPort(
            protocol="tcp", host_ip="127.0.0.1", host_port=number, container_ip="x", container_port=1
        )
    ]
    assert keep_only([udp, tcp], ports) == [tcp]
    os.close(tcp)
    with pytest.raises(OSError):
        os.close(udp)
