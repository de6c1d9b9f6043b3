"""Names on user-defined networks, served by one process that comes and goes with the need."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time

import pytest

from lading.network import NetworkRequest, PortMapping, resolv

pytestmark = pytest.mark.root

#: A name server that knows one answer.
UPSTREAM = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 53))
print("up", flush=True)
while True:
    q, a = s.recvfrom(512)
    kind = q[12:].split(b"\\0", 1)[1][:2]
    answer = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\5\\0\\4\\x09\\x09\\x09\\x09" if kind == b"\\0\\1" else b""
    s.sendto(q[:2] + b"\\x81\\x80\\0\\1\\0" + bytes([bool(answer)]) + bytes(4) + q[12:] + answer, a)
"""


def pid_of(networks) -> int:
    with open(networks.roots.run + "/network/resolver.lock") as file:
        return int(file.read())


def lookup(world, pod, name):
    out = world.run(pod, "busybox", "nslookup", name, pod.nameservers[0])
    answer = out.partition("answer:")[2]
    return sorted({line.split()[-1] for line in answer.splitlines() if line.startswith("Address")}), out


def on(name, *aliases):
    return [NetworkRequest(name=name, aliases=list(aliases))]


def test_names_aliases_scopes_and_reverse_resolve(world):
    networks = world.networks()
    networks.create("app", ipv6=True)
    web = world.attach(networks, "a" * 64, name="Web", networks=on("app", "shared"))
    database = world.attach(networks, "b" * 64, name="db", networks=on("app", "shared"))
    both = sorted(a.partition("/")[0] for a in database.interfaces[0].addresses)
    assert lookup(world, web, "db")[0] == both
    assert lookup(world, web, "DB.app")[0] == both
    assert lookup(world, web, "b" * 12)[0] == both
    assert len(lookup(world, web, "shared")[0]) == 4
    assert "name = db.app" in lookup(world, web, database.address)[1]
    assert "can't find nobody" in lookup(world, web, "nobody")[1]
    networks.detach("b" * 64)
    assert lookup(world, web, "db")[0] == []
    assert web.nameservers == networks.get("app").gateways


def test_a_shared_alias_takes_turns(world):
    networks = world.networks()
    networks.create("app")
    for n in "xyz":
        pod = world.attach(networks, n, name=n, networks=on("app", "pool"))
    question = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + b"\4pool\0" + struct.pack(">2H", 1, 1)
    script = (
        "import socket,sys;s=socket.socket(2,2);s.settimeout(30);s.connect((sys.argv[1],53));"
        "q=bytes.fromhex(sys.argv[2]);\nfor _ in range(6): s.send(q); print(s.recv(512)[len(q)+12:][:4].hex())"
    )
    first = world.run(pod, "python3", "-S", "-c", script, pod.nameservers[0], question.hex()).split()
    assert len(first) == 6
    assert len(set(first)) == 3


def test_another_networks_names_are_not_told(world):
    networks = world.networks()
    networks.create("red")
    networks.create("blue")
    red = world.attach(networks, "r", name="red1", networks=on("red"))
    world.attach(networks, "b", name="blue1", networks=on("blue"))
    assert lookup(world, red, "blue1")[0] == []


def test_the_process_comes_with_the_first_goes_with_the_last_and_is_replaced_when_dead(world):
    networks = world.networks()
    networks.create("app")
    sock = networks.roots.run + "/network/resolver.sock"
    assert not os.path.exists(sock)
    one = world.attach(networks, "one", name="one", networks=on("app"))
    first = pid_of(networks)
    os.kill(first, signal.SIGKILL)
    world.attach(networks, "two", name="two", networks=on("app"))
    assert pid_of(networks) != first
    assert lookup(world, one, "two")[0]
    os.kill(pid_of(networks), signal.SIGKILL)
    deadline = time.monotonic() + 60
    while not networks.check() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [f.kind for f in networks.check(repair=True)] == ["resolver"]
    assert lookup(world, one, "two")[0]
    networks.detach("one")
    networks.detach("two")
    deadline = time.monotonic() + 60
    while os.path.exists(sock) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not os.path.exists(sock)


def test_the_default_network_has_no_resolver(world, monkeypatch):
    """Where pods reach the servers of the host themselves; one on the host's loopback they would not."""
    monkeypatch.setattr(resolv, "_read", lambda _path: "nameserver 192.0.2.53\n")
    networks = world.networks()
    world.attach(networks, "p")
    assert not os.path.exists(networks.roots.run + "/network")


def test_publishing_port_53_leaves_other_pods_names_alone(world):
    networks = world.networks()
    networks.create("app")
    one = world.attach(networks, "one", name="one", networks=on("app"))
    world.attach(
        networks, "dns", name="dns", networks=on("app"),
        ports=[PortMapping(container_port=53, host_port=53, host_ip=world.host_address, protocol="udp")],
    )  # fmt: skip
    assert lookup(world, one, "dns")[0]


def test_a_pod_with_a_name_server_of_its_own_finds_containers_and_what_that_one_knows(world):
    networks = world.networks()
    networks.create("app")
    outside = world.outside
    server = subprocess.Popen(
        ["nsenter", f"--net=/proc/self/fd/{outside}", sys.executable, "-S", "-c", UPSTREAM, world.outside_address],
        pass_fds=[outside], stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    world.processes.append(server)
    assert server.stdout.readline() == "up\n"
    world.attach(networks, "db", name="db", networks=on("app"))
    pod = world.attach(networks, "p", networks=on("app"), upstreams=[world.outside_address])
    other = world.attach(networks, "o", networks=on("app"))
    assert pod.nameservers == networks.get("app").gateways
    assert lookup(world, pod, "db")[0] == [networks.attachment("db").address]
    assert lookup(world, pod, "example.org")[0] == ["9.9.9.9"]
    assert lookup(world, other, "example.org")[0] == []
    own = world.attach(networks, "own", networks=on("app"), upstreams=["127.0.0.1"])
    assert own.upstreams == []  # a server in the pod, which nobody else can ask
