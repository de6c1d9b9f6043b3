"""Netlink frames: built, taken apart, and hostile ones survived."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from lading.kernel import netlink as nl
from lading.kernel import netlink_route as rt
from lading.kernel import nftelements as el


@given(st.dictionaries(st.integers(1, 0x3FFF), st.binary(max_size=40), max_size=8))
def test_attributes_survive_the_round_trip(values):
    data = b"".join(nl.attribute(k, v) for k, v in values.items())
    assert len(data) % 4 == 0
    assert nl.attributes(data) == values


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_an_error_or_a_loop(data):
    nl.attributes(data)


def test_an_address_message_is_what_the_kernel_reads():
    message = rt.address_add(3, bytes([10, 0, 0, 5]), 24)
    assert message.payload[:8] == struct.pack("=BBBBI", 2, 24, 0, 0, 3)
    found = nl.attributes(message.payload, 8)
    assert found == {2: bytes([10, 0, 0, 5]), 1: bytes([10, 0, 0, 5]), 4: bytes([10, 0, 0, 255])}


def test_a_veth_carries_its_peer_and_the_peers_namespace():
    message = rt.veth_add("lv1", "eth0", peer_netns=7, peer_address=b"\x0a" + bytes(5), master=4, mtu=1400)
    outer = nl.attributes(message.payload, 16)
    assert outer[3] == b"lv1\0"
    assert outer[10] == struct.pack("=I", 4)
    info = nl.attributes(outer[18])
    assert info[1] == b"veth\0"
    peer = nl.attributes(nl.attributes(info[2])[1], 16)
    assert peer[3] == b"eth0\0"
    assert peer[28] == struct.pack("=I", 7)


def test_a_route_is_deleted_whoever_made_it():
    message = rt.route_del(b"", 0, gateway=bytes([10, 0, 0, 1]), index=2)
    family, *_, table, protocol, scope, kind, _flags = struct.unpack_from("=BBBBBBBBI", message.payload)
    assert (family, table, protocol, scope, kind) == (2, 254, 0, 255, 0)


def test_messages_name_themselves_for_errors():
    assert (
        rt.route_add(b"", 0, gateway=bytes([10, 0, 0, 1]), index=2).what == "route add default via 10.0.0.1"
    )
    assert rt.link_del("lv1").what == "link del lv1"


def test_elements_share_a_message_by_set_and_verb_in_their_order():
    many = [
        el.Element(s, bytes([i]), add=a)
        for i, (s, a) in enumerate([("b", 0), ("a", 0), ("b", 0), ("b", 1), ("a", 1)])
    ]
    groups = el._groups(many)
    assert [[(e.set, e.add, e.key[0]) for e in g] for g in groups] == [
        [("a", 0, 1)], [("a", 1, 4)], [("b", 0, 0), ("b", 0, 2)], [("b", 1, 3)],
    ]  # fmt: skip
    assert [len(g) for g in el._groups([el.Element("a", b"k")] * 1200)] == [500, 500, 200]
