"""Published ports: reachable from everywhere they should be, and from nowhere else."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time

import pytest

from lading.errors import Conflict, InvalidInput, Unsupported
from lading.kernel import conntrack
from lading.network import NetworkRequest, PortMapping

pytestmark = pytest.mark.root


def publish(container_port=80, **fields):
    return [PortMapping(container_port=container_port, **fields)]


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_a_port_is_reachable_from_localhost_host_outside_and_pods(world, kind):
    networks = world.networks()
    pod = world.attach(networks, "server", ports=publish(host_port=8080, protocol=kind))
    other = world.attach(networks, "client")
    networks.create("red")
    stranger = world.attach(networks, "stranger", networks=[NetworkRequest(name="red")])
    world.serve(pod, "0.0.0.0", 80, "hello", kind)
    assert world.fetch(None, "127.0.0.1", 8080, kind).startswith("hello")
    assert world.fetch(None, "127.0.0.5", 8080, kind).startswith("hello")
    assert world.fetch(None, world.host_address, 8080, kind).startswith("hello")
    assert world.fetch(world.outside, world.host_address, 8080, kind) == "hello 198.51.100.2"
    assert world.fetch(other, world.host_address, 8080, kind).startswith("hello")
    assert world.fetch(stranger, world.host_address, 8080, kind).startswith("hello")
    if kind == "tcp":
        assert world.fetch(pod, world.host_address, 8080, kind).startswith("hello")
    networks.detach("server")
    assert world.fetch(world.outside, world.host_address, 8080, kind, 1).startswith("failed")


def test_a_range_of_hundreds_of_ports_is_published_and_withdrawn(world):
    networks = world.networks()
    pod = world.attach(networks, "wide", ports=publish(8000, host_port=8000, count=400))
    world.serve(pod, "0.0.0.0", 8399, "last")
    assert world.fetch(world.outside, world.host_address, 8399).startswith("last")
    networks.detach("wide")
    assert "8399" not in world.run(None, "nft", "list", "table", "inet", networks.tag)


def test_a_port_on_one_host_address_is_not_on_the_others(world):
    networks = world.networks()
    pod = world.attach(networks, "s", ports=publish(host_port=8080, host_ip="127.0.0.1"))
    world.serve(pod, "0.0.0.0", 80, "local")
    assert world.fetch(None, "127.0.0.1", 8080).startswith("local")
    assert world.fetch(world.outside, world.host_address, 8080, patience=1).startswith("failed")
    with pytest.raises(InvalidInput, match="not an address of this host"):
        world.attach(networks, "t", ports=publish(host_port=8081, host_ip="203.0.113.50"))


def test_the_same_port_on_two_addresses_is_two_ports(world):
    networks = world.networks()
    one = world.attach(networks, "one", ports=publish(host_port=8080, host_ip="127.0.0.1"))
    two = world.attach(networks, "two", ports=publish(host_port=8080, host_ip=world.host_address))
    world.serve(one, "0.0.0.0", 80, "one")
    world.serve(two, "0.0.0.0", 80, "two")
    assert world.fetch(None, "127.0.0.1", 8080).startswith("one")
    assert world.fetch(world.outside, world.host_address, 8080).startswith("two")


def test_ranges_and_random_ports(world):
    networks = world.networks()
    pod = world.attach(
        networks, "s", ports=[*publish(80, host_port=9000, count=3), *publish(53, protocol="udp")]
    )
    assert [(p.host_port, p.container_port) for p in pod.ports[:3]] == [(9000, 80), (9001, 81), (9002, 82)]
    assert pod.ports[3].host_port > 1023
    world.serve(pod, "0.0.0.0", 82, "third")
    assert world.fetch(None, "127.0.0.1", 9002).startswith("third")


def test_ipv6_ports_reach_dual_stack_pods(world):
    networks = world.networks()
    networks.create("both", ipv6=True)
    pod = world.attach(networks, "s", networks=[NetworkRequest(name="both")], ports=publish(host_port=8080))
    assert [p.host_ip for p in pod.ports] == ["0.0.0.0", "::"]
    world.serve(pod, "::", 80, "six")
    assert world.fetch(world.outside, "fd00:a::1", 8080) == "six fd00:a::2"
    assert world.fetch(pod, "fd00:a::1", 8080).startswith("six")


def test_a_conflict_names_the_port_and_its_owner(world):
    networks = world.networks()
    world.attach(networks, "first", ports=publish(host_port=8080))
    with pytest.raises(Conflict, match="8080/tcp is published by container first"):
        world.attach(networks, "second", ports=publish(host_port=8080))
    with pytest.raises(Conflict, match="8080/tcp is published by container first"):
        world.attach(networks, "second", ports=publish(host_port=8080, host_ip="127.0.0.1"))
    assert networks.attachment("second") is None
    world.attach(networks, "third", ports=publish(host_port=8080, protocol="udp"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 8081))
        listener.listen()
        with pytest.raises(Conflict, match="8081/tcp is in use by another program"):
            world.attach(networks, "second", ports=publish(host_port=8081))
    assert world.attach(networks, "second", ports=publish(host_port=8081)).ports[0].host_port == 8081


def test_other_programs_are_kept_off_a_published_port(world):
    world.attach(world.networks(), "p", ports=publish(host_port=8080))
    with socket.socket() as intruder, pytest.raises(OSError, match="in use"):
        intruder.bind(("0.0.0.0", 8080))


def test_a_drop_in_the_hosts_forward_chain_still_counts(world):
    networks = world.networks()
    pod = world.attach(networks, "p", ports=publish(host_port=8080))
    world.serve(pod, "0.0.0.0", 80, "hello")
    assert world.fetch(world.outside, world.host_address, 8080).startswith("hello")
    world.nft(
        "add table inet theirs; add chain inet theirs f { type filter hook forward priority 10; };"
        ' add rule inet theirs f meta l4proto tcp ct original proto-dst 8080 iifname "uplink" drop'
    )
    assert world.fetch(world.outside, world.host_address, 8080, patience=1).startswith("failed")


def test_what_the_kernel_or_the_container_cannot_do_is_said(world):
    networks = world.networks()
    networks.create("both", ipv6=True)
    both = [NetworkRequest(name="both")]
    with pytest.raises(Unsupported, match="only TCP and UDP are relayed"):
        world.attach(
            networks, "s", networks=both, ports=publish(host_port=8080, host_ip="::1", protocol="sctp")
        )
    networks.create("six", subnets=["fd00:6::/64"])
    with pytest.raises(InvalidInput, match="no IPv4 address"):
        world.attach(
            networks,
            "s",
            networks=[NetworkRequest(name="six")],
            ports=publish(host_port=8080, host_ip="127.0.0.1"),
        )
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132).close()
    except OSError:
        with pytest.raises(Unsupported, match="does not have SCTP"):
            world.attach(networks, "s", ports=publish(host_port=8080, protocol="sctp"))
        assert networks.attachment("s") is None
    else:
        made = world.attach(networks, "s", ports=publish(host_port=8080, protocol="sctp"))
        assert "sctp . 8080" in world.run(None, "nft", "list", "table", "inet", networks.tag)
        assert made.ports[0].protocol == "sctp"


ECHO = """
import socket, sys
s = socket.create_server(("0.0.0.0", 80), backlog=64)
print("up", flush=True)
while True:
    c, _ = s.accept()
    got = b""
    while block := c.recv(1 << 16): got += block
    c.sendall(got[::-1]); c.close()
"""


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize(("host_ip", "ipv6"), [("::1", True), ("::1", False), ("::", False)])
def test_ports_of_ipv6_loopback_and_of_ipv4_containers_are_relayed(world, kind, host_ip, ipv6):
    networks = world.networks()
    networks.create("net", ipv6=ipv6)
    ports = publish(host_port=8080, host_ip=host_ip, protocol=kind)
    for name in ("first", "second"):  # the second finds the port free at once
        pod = world.attach(networks, name, networks=[NetworkRequest(name="net")], ports=ports)
        world.serve(pod, "::" if ipv6 else "0.0.0.0", 80, name, kind)
        assert world.fetch(None, "::1", 8080, kind, 30).startswith(name)
        outside = world.fetch(world.outside, "fd00:a::1", 8080, kind, 30 if host_ip == "::" else 1)
        assert outside.startswith(name) == (host_ip == "::")
        with (
            socket.socket(
                socket.AF_INET6, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM
            ) as intruder,
            pytest.raises(OSError, match="in use"),
        ):
            intruder.bind(("::1", 8080))
        networks.detach(name)
        for held in pod.reserved:
            os.close(held)


def test_a_relay_carries_everything_both_ways_and_survives_its_end(world):
    networks = world.networks()
    networks.create("net")
    pod = world.attach(
        networks, "pod", networks=[NetworkRequest(name="net")], ports=publish(host_port=8080, host_ip="::1")
    )
    server = subprocess.Popen(
        ["nsenter", f"--net=/proc/self/fd/{pod.namespace}", sys.executable, "-S", "-c", ECHO],
        pass_fds=[pod.namespace], stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    world.processes.append(server)
    assert server.stdout is not None and server.stdout.readline() == "up\n"
    data = os.urandom(3 << 20)

    def there_and_back():
        with socket.create_connection(("::1", 8080), 60) as wire:
            wire.sendall(data)
            wire.shutdown(socket.SHUT_WR)
            got = bytearray()
            while block := wire.recv(1 << 16):
                got += block
        return bytes(got) == data[::-1]

    assert there_and_back()
    with open(networks.roots.run + "/network/resolver.lock") as lock:
        os.kill(int(lock.read()), signal.SIGKILL)
    deadline = time.monotonic() + 60
    while not [f for f in networks.check(repair=True) if f.kind == "resolver"]:
        assert time.monotonic() < deadline, "check does not miss the relay"
        time.sleep(0.05)
    assert there_and_back()
    server.kill()
    server.wait()
    try:  # nobody listens: reset, never silence; as early as in connect, which waits for the first answer only
        with socket.create_connection(("::1", 8080), 60) as wire:
            assert wire.recv(10) == b""
    except ConnectionResetError:
        pass


ASKER = """
import socket, sys, time
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 8080)); s.settimeout(0.2)
while True:
    try:
        s.send(b"x"); print(s.recv(100).decode(), flush=True)
    except OSError: pass
    time.sleep(0.02)
"""


@pytest.mark.parametrize("address", ["198.51.100.1", "fd00:a::1", "127.0.0.1"])
def test_a_udp_client_that_keeps_its_socket_follows_the_port(world, address):
    networks = world.networks()
    networks.create("both", ipv6=True)
    fd = None if address == "127.0.0.1" else world.outside
    prefix = [] if fd is None else ["nsenter", f"--net=/proc/self/fd/{fd}"]
    client = subprocess.Popen(
        [*prefix, sys.executable, "-S", "-c", ASKER, address],
        pass_fds=[fd] if fd is not None else [], stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    world.processes.append(client)
    assert client.stdout is not None
    # It asks before the port is published, and goes on without a pause that would let the connection time out.
    for name in ("first", "second", "third"):
        pod = world.attach(
            networks,
            name,
            networks=[NetworkRequest(name="both")],
            ports=publish(53, host_port=8080, protocol="udp"),
        )
        world.serve(pod, "::", 53, name, "udp")
        deadline, heard = time.monotonic() + 60, ""
        while name not in heard:
            assert time.monotonic() < deadline, f"{name} was never heard"
            if select.select([client.stdout], [], [], 1.0)[0]:
                heard = os.read(client.stdout.fileno(), 65536).decode()
        networks.detach(name)
        for held in pod.reserved:
            os.close(held)


def test_connections_to_other_ports_and_to_strangers_are_kept(world):
    networks = world.networks()
    pod = world.attach(networks, "kept", ports=publish(53, host_port=8080, protocol="udp"))
    world.serve(pod, "0.0.0.0", 53, "kept", "udp")
    world.serve(world.outside, "198.51.100.2", 8081, "stranger", "udp")
    assert world.fetch(None, "127.0.0.1", 8080, "udp").startswith("kept")
    assert world.fetch(pod, "198.51.100.2", 8081, "udp").startswith("stranger")

    def flows(port):
        return sorted((f.destination, f.server) for f in conntrack.flows(networks.netfilter, 4, 17, port))

    before = flows(8080), flows(8081)
    assert before[0] and before[1]
    world.attach(networks, "other", ports=publish(53, host_port=8081, protocol="udp"))
    assert (flows(8080), flows(8081)) == before
    networks.detach("kept")
    assert (flows(8080), flows(8081)) == ([], before[1])


def test_without_published_ports_nftables_is_not_loaded(world):
    networks = world.networks()
    networks.get("lading")
    networks.close()
    world.attach(networks, "p")
    assert networks._nft is None
