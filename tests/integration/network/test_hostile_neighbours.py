"""Pods and machines that lie about who they are, and ask where they have no business."""

from __future__ import annotations

import socket
import sys

import pytest

from lading.kernel import netlink_netns as netns
from lading.kernel.netlink import Netlink
from lading.network import AttachRequest, NetworkRequest, PortMapping

pytestmark = pytest.mark.root

#: Sends a router advertisement (RFC 4861, 4.2) with a prefix for addresses (4.6.2) out of ``eth0``.
ADVERTISE = """
import socket
source = bytes.fromhex("fe80" + "00" * 6 + "02aabbfffeccddee")
everybody = bytes.fromhex("ff02" + "00" * 13 + "01")
prefix = b"\\3\\4\\x40\\xc0" + b"\\0\\1\\x51\\x80" * 2 + bytes(4) + bytes.fromhex("fd66") + bytes(14)
mac = b"\\1\\1\\2\\xaa\\xbb\\xcc\\xdd\\xee"
body = b"\\x86\\0\\0\\0\\x40\\0\\x07\\x08" + bytes(8) + mac + prefix
total = source + everybody + len(body).to_bytes(4, "big") + b"\\0\\0\\0\\x3a" + body
count = sum(int.from_bytes(total[i:i + 2], "big") for i in range(0, len(total), 2))
while count >> 16: count = (count & 0xffff) + (count >> 16)
body = body[:2] + (~count & 0xffff).to_bytes(2, "big") + body[4:]
packet = b"\\x60\\0\\0\\0" + len(body).to_bytes(2, "big") + b"\\x3a\\xff" + source + everybody + body
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(("eth0", 0))
wire.send(bytes.fromhex("333300000001") + mac[2:] + b"\\x86\\xdd" + packet)
"""

#: Sends ``word`` from ``source``, whoever that is.
SPEAK = """
import socket, sys
source, target, port, word = sys.argv[1:]
s = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM)
s.bind((source, 0)); s.sendto(word.encode(), (target, int(port)))
"""

#: Asks a name server for ``x`` and says whether it answered.
ASK = """
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(float(sys.argv[2]))
try:
    s.connect((sys.argv[1], 53))
    s.send(b"\\0\\1\\1\\0\\0\\1" + bytes(6) + b"\\1x\\0\\0\\1\\0\\1"); s.recv(512); print("answered")
except OSError as error: print("silent", error)
"""


def on(*names):
    return [NetworkRequest(name=n) for n in names]


def python(world, where, program, *arguments):
    said = world.run(where, sys.executable, "-S", "-c", program, *arguments)
    assert "Traceback" not in said, said
    return said.strip()


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_a_port_for_this_host_alone_is_closed_to_a_neighbour_who_sends_to_127_0_0_1(world, kind):
    networks = world.networks()
    pod = world.attach(
        networks,
        "p",
        ports=[PortMapping(container_port=80, host_port=8080, host_ip="127.0.0.1", protocol=kind)],
    )
    world.serve(pod, "0.0.0.0", 80, "private", kind)
    world.run(world.outside, "sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1")
    world.run(world.outside, "ip", "addr", "del", "127.0.0.1/8", "dev", "lo")
    world.run(
        world.outside, "ip", "route", "add", "127.0.0.1/32", "via", world.host_address,
        "src", world.outside_address,
    )  # fmt: skip
    assert world.fetch(world.outside, "127.0.0.1", 8080, kind, 1).startswith("failed")
    assert world.fetch(None, "127.0.0.1", 8080, kind).startswith("private")


@pytest.mark.parametrize("options", [{}, {"ipv6": True}, {"ipv6": True, "internal": True}])
def test_a_pod_that_plays_the_router_convinces_neither_the_host_nor_its_neighbours(world, options):
    networks = world.networks()
    networks.create("app", **options)
    liar, neighbour = (world.attach(networks, n, networks=on("app")) for n in ("liar", "neighbour"))
    before = [world.show(where, "-6", "route") for where in (None, neighbour)]
    python(world, liar, ADVERTISE)
    world.serve(neighbour, "0.0.0.0", 80, "there")
    assert world.fetch(liar, neighbour.address, 80).startswith("there")  # by now it has arrived everywhere
    assert [world.show(where, "-6", "route") for where in (None, neighbour)] == before
    assert not [a for where in (None, neighbour) for a in world.show(where, "addr") if "fd66:" in str(a)]


@pytest.mark.parametrize("family", [0, 1])
def test_a_pod_cannot_speak_for_one_of_another_network(world, family):
    networks = world.networks()
    networks.create("red", ipv6=True)
    networks.create("blue", ipv6=True)
    red, blue = (world.attach(networks, n, networks=on(n)) for n in ("red", "blue"))
    mine, theirs = (p.interfaces[0].addresses[family].partition("/")[0] for p in (red, blue))
    gateway = red.interfaces[0].gateways[family]
    world.run(red, "ip", "addr", "add", theirs, "dev", "eth0", *(["nodad"] if family else []))
    with socket.socket(socket.AF_INET6 if family else socket.AF_INET, socket.SOCK_DGRAM) as host:
        host.bind((gateway, 0))
        host.settimeout(60)
        port = str(host.getsockname()[1])
        python(world, red, SPEAK, theirs, gateway, port, "I am blue")
        python(world, red, SPEAK, mine, gateway, port, "I am red")
        assert host.recv(100) == b"I am red"


@pytest.mark.parametrize("family", [0, 1])
def test_a_networks_name_server_answers_nobody_else(world, family):
    networks = world.networks()
    networks.create("red", ipv6=True)
    networks.create("blue", ipv6=True)
    red, blue = (world.attach(networks, n, networks=on(n)) for n in ("red", "blue"))
    gateway = blue.interfaces[0].gateways[family]
    outside = ["ip", "route", "add", networks.get("blue").subnets[family], "via"]
    world.run(world.outside, *outside, ("198.51.100.1", "fd00:a::1")[family])
    assert python(world, red, ASK, gateway, "1").startswith("silent")
    assert python(world, world.outside, ASK, gateway, "1").startswith("silent")
    assert python(world, blue, ASK, gateway, "60") == "answered"


def test_a_pod_that_comes_from_loopback_alone_believes_no_router_either(world):
    networks = world.networks()
    networks.create("app")
    liar = world.attach(networks, "liar", networks=on("app"))
    alone, wire = netns.create(Netlink)
    wire.close()
    world.descriptors.append(alone)
    networks.adjust(AttachRequest(id="late", networks=on("app"), namespace=alone))
    before = world.show(alone, "-6", "route")
    python(world, liar, ADVERTISE)
    world.serve(alone, "0.0.0.0", 80, "there")
    assert world.fetch(liar, networks.attachment("late").address, 80).startswith("there")
    assert world.show(alone, "-6", "route") == before
