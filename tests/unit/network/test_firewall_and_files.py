"""Rules and files as text."""

from __future__ import annotations

import pytest

from lading.errors import Unsupported
from lading.network import Network, Networks, PortMapping, PublishedPort, firewall, publishing, resolv
from lading.roots import Roots


def port(**fields):
    base = {
        "protocol": "tcp",
        "host_ip": "0.0.0.0",
        "host_port": 80,
        "container_ip": "10.0.0.2",
        "container_port": 8080,
    }
    return PublishedPort(**{**base, **fields})


def test_ports_become_elements_of_the_map_for_their_address():
    text = firewall.port_elements(
        "t", [port(), port(host_ip="192.0.2.1"), port(host_ip="::", container_ip="fd00::2")], "add"
    )
    assert text.splitlines() == [
        "add element inet t everywhere4 { tcp . 80 : 10.0.0.2 . 8080 }",
        "add element inet t published4 { 192.0.2.1 . tcp . 80 : 10.0.0.2 . 8080 }",
        "add element inet t everywhere6 { tcp . 80 : fd00::2 . 8080 }",
    ]


def test_an_internal_network_is_not_masqueraded_and_an_open_one_not_closed():
    network = Network(name="n", interface="b0", subnets=["10.0.0.0/24"], gateways=["10.0.0.1"])
    usual = firewall.network_elements("t", network, "add")
    assert "nat4 { 10.0.0.0/24 }" in usual
    assert 'closed { "b0" }' in usual
    inner = firewall.network_elements("t", network.replace(internal=True, isolate=False), "add")
    assert "nat4" not in inner
    assert "closed" not in inner
    assert 'internal { "b0" }' in inner


def test_loopback_resolvers_give_way_to_those_behind_the_stub(tmp_path):
    stub, behind = tmp_path / "resolv.conf", tmp_path / "behind"
    stub.write_text("nameserver 127.0.0.53\nsearch a b\n")
    assert resolv.upstream(str(stub), str(behind)) == []
    behind.write_text("nameserver 192.0.2.53\n")
    assert resolv.upstream(str(stub), str(behind)) == ["192.0.2.53"]
    stub.write_text("nameserver 127.0.0.1 # here\nnameserver 198.51.100.53\n; nameserver 1.2.3.4\n")
    assert resolv.upstream(str(stub), str(behind)) == ["198.51.100.53"]


def test_sctp_and_ipv6_ports_of_an_ordinary_user_are_refused_by_name():
    user = Networks(Roots("/nowhere", "/nowhere", "/nowhere", 1000))
    for mapping, words in (
        (PortMapping(container_port=80, protocol="sctp"), "forwards SCTP"),
        (PortMapping(container_port=80, host_ip="::1"), "on IPv4 alone"),
    ):
        with pytest.raises(Unsupported, match=words):
            publishing.refuse_for_user(user, [mapping])
        publishing.refuse_for_user(Networks(Roots("/nowhere", "/nowhere", "/nowhere", 0)), [mapping])


def test_a_changed_table_needs_another_schema_number():
    import hashlib

    shape = hashlib.sha256(firewall._TABLE.encode()).hexdigest()[:16]
    assert (firewall.SCHEMA, shape) == ("2", "f5abcfa84e705af5"), "raise SCHEMA, then write the new pair here"
