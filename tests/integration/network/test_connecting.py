"""A living pod joins and leaves networks; killed anywhere, the next adjustment finishes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lading.errors import Conflict, InvalidInput
from lading.network import AttachRequest, NetworkRequest, PortMapping

pytestmark = pytest.mark.root

SOURCE = str(Path(__file__).resolve().parents[3] / "src")


def ask(*names):
    return [NetworkRequest(name=name) for name in names]


def adjust(networks, pod, *wants, mode="", **fields):
    """The pod's attachment with other networks."""
    request = AttachRequest(
        id=pod.id, name=pod.name, networks=list(wants), mode=mode, namespace=pod.namespace, **fields
    )
    made = networks.adjust(request, pod.reserved)
    pod.reserved = made.reserved
    return made


def addresses(world, pod):
    """Interface → its IPv4 addresses, loopback aside."""
    return {
        link["ifname"]: [a["local"] for a in link["addr_info"] if a["family"] == "inet"]
        for link in world.show(pod, "addr")
        if link["ifname"] != "lo"
    }


def default_route(world, pod, *family):
    return [(r["gateway"], r["dev"]) for r in world.show(pod, *family, "route") if r["dst"] == "default"]


def host_ends(world):
    return sorted(k["ifname"] for k in world.show(None, "link") if k["ifname"].startswith("lv"))


def test_a_pod_joins_a_network_and_leaves_it_again(world):
    networks = world.networks()
    networks.create("blue")
    pod = world.attach(networks, "pod", name="pod", networks=ask("lading"))
    peer = world.attach(networks, "peer", name="peer", networks=ask("blue"))
    both = adjust(networks, pod, *ask("lading"), NetworkRequest(name="blue", aliases=["web"]))
    assert [i.name for i in both.interfaces] == ["eth0", "eth1"]
    assert addresses(world, pod) == {i.name: [i.addresses[0].partition("/")[0]] for i in both.interfaces}
    blue = networks.get("blue").gateways[0]
    default = networks.get("lading").gateways[0]
    assert both.nameservers == [blue]
    # Docker's rule: of networks without a priority the one whose name comes first; "blue" is before "bridge".
    assert default_route(world, pod) == [(blue, "eth1")]
    names = dict(networks.store.run("select name, address from names where owner='pod'"))
    assert names["web"] == names["pod"] == addresses(world, pod)["eth1"][0]
    world.serve(pod, "0.0.0.0", 80, "joined")
    assert world.fetch(peer, names["web"], 80).startswith("joined")

    alone = adjust(networks, pod, *ask("lading"))
    assert list(addresses(world, pod)) == ["eth0"]
    assert default_route(world, pod) == [(default, "eth0")]
    assert alone.nameservers != [blue]
    assert networks.store.run("select 1 from names where owner='pod'") == []
    assert len(host_ends(world)) == 2
    assert networks.check(alive=lambda: {"pod", "peer"}) == []


def test_the_last_network_goes_and_another_comes(world):
    networks = world.networks()
    networks.create("blue")
    pod = world.attach(networks, "pod")
    off = adjust(networks, pod, mode="none")
    assert (off.mode, off.interfaces, addresses(world, pod)) == ("none", [], {})
    assert networks.attachment("pod") is None
    on = adjust(networks, pod, *ask("blue"))
    assert addresses(world, pod) == {"eth0": [on.address]}
    networks.detach("pod")
    assert networks.store.run("select * from leases") == []


def test_published_ports_follow_the_pod(world):
    networks = world.networks()
    networks.create("blue", ipv6=True)
    ports = [PortMapping(container_port=80, host_port=8080)]
    pod = world.attach(networks, "pod", ports=ports)
    world.serve(pod, "::", 80, "here")
    assert world.fetch(world.outside, world.host_address, 8080) == "here ::ffff:198.51.100.2"
    both = adjust(networks, pod, *ask("lading", "blue"), ports=ports)
    assert {p.host_ip for p in both.ports} == {"0.0.0.0", "::"}
    assert world.fetch(world.outside, world.host_address, 8080).startswith("here")
    assert world.fetch(world.outside, "fd00:a::1", 8080).startswith("here")
    moved = adjust(networks, pod, *ask("blue"), ports=ports)
    assert world.fetch(world.outside, world.host_address, 8080).startswith("here")
    assert world.fetch(pod, world.host_address, 8080).startswith("here")
    assert {p.container_ip for p in moved.ports} == {
        a.partition("/")[0] for a in moved.interfaces[0].addresses
    }
    off = adjust(networks, pod, mode="none")
    assert off.reserved == [] and networks.store.run("select * from ports") == []
    assert "8080" not in world.run(None, "nft", "list", "table", "inet", networks.tag)
    world.attach(networks, "other", ports=ports)  # the port is free again
    networks.detach("other")


def test_a_port_of_no_address_is_not_published_on_ipv6_once_the_pod_has_none(world):
    networks = world.networks()
    networks.create("six", ipv6=True)
    pod = world.attach(
        networks, "pod", networks=ask("lading", "six"), ports=[PortMapping(container_port=80, host_port=8080)]
    )
    assert [p.host_ip for p in pod.ports] == ["0.0.0.0", "::"]
    left = adjust(networks, pod, *ask("lading"), ports=[PortMapping(container_port=80, host_port=8080)])
    assert [p.host_ip for p in left.ports] == ["0.0.0.0"]
    world.serve(pod, "0.0.0.0", 80, "four")
    assert world.fetch(None, "127.0.0.1", 8080).startswith("four")
    back = adjust(
        networks, pod, *ask("lading", "six"), ports=[PortMapping(container_port=80, host_port=8080)]
    )
    assert [p.host_ip for p in back.ports] == ["0.0.0.0", "::"]


def test_a_port_of_every_ipv6_address_is_relayed_once_the_pod_has_none(world):
    networks = world.networks()
    networks.create("six", ipv6=True)
    wanted = [PortMapping(container_port=80, host_port=8080, host_ip="::")]
    pod = world.attach(networks, "pod", networks=ask("lading", "six"), ports=wanted)
    world.serve(pod, "::", 80, "both")
    assert world.fetch(None, "fd00:a::1", 8080).startswith("both")
    adjust(networks, pod, *ask("lading"), ports=wanted)
    assert world.fetch(None, "fd00:a::1", 8080).startswith("both")
    adjust(networks, pod, *ask("lading", "six"), ports=wanted)
    assert world.fetch(None, "fd00:a::1", 8080).startswith("both")


def test_a_priority_decides_the_default_route(world):
    networks = world.networks()
    networks.create("aaa")
    networks.create("zzz")
    pod = world.attach(networks, "pod", networks=ask("aaa"))
    adjust(networks, pod, *ask("aaa"), NetworkRequest(name="zzz", gateway_priority=1))
    assert default_route(world, pod) == [(networks.get("zzz").gateways[0], "eth1")]
    other = world.attach(
        networks, "other", networks=[*ask("aaa"), NetworkRequest(name="zzz", gateway_priority=1)]
    )
    assert default_route(world, other) == [(networks.get("zzz").gateways[0], "eth1")]


def test_a_route_of_the_pods_own_stays(world):
    networks = world.networks()
    networks.create("blue")
    pod = world.attach(networks, "pod")
    mine = networks.get("lading").gateways[0].rpartition(".")[0] + ".77"
    world.run(pod, "ip", "route", "replace", "default", "via", mine)
    adjust(networks, pod, *ask("lading", "blue"))
    assert default_route(world, pod) == [(mine, "eth0")]


def test_what_cannot_be_leaves_everything_as_it_was(world):
    networks = world.networks()
    networks.create("blue", subnets=["10.77.0.0/24"])
    pod = world.attach(networks, "pod")
    world.attach(networks, "has", networks=[NetworkRequest(name="blue", ipv4="10.77.0.9")])
    before = addresses(world, pod), default_route(world, pod), networks.attachment("pod")
    for address, error in (("10.77.0.9", Conflict), ("10.78.0.1", InvalidInput)):
        with pytest.raises(error):
            adjust(networks, pod, *ask("lading"), NetworkRequest(name="blue", ipv4=address))
    assert (addresses(world, pod), default_route(world, pod), networks.attachment("pod")) == before
    assert networks.check(alive=lambda: {"pod", "has"}) == []


def test_a_macvlan_is_joined_and_the_pods_own_interfaces_are_left_alone(world):
    networks = world.networks()
    networks.create("lan", driver="macvlan", interface="uplink", subnets=["203.0.113.0/24"])
    pod = world.attach(networks, "pod")
    world.run(pod, "ip", "link", "add", "eth1", "type", "bridge")
    joined = adjust(networks, pod, *ask("lading", "lan"))
    assert joined.interfaces[1].name == "eth2"
    assert addresses(world, pod)["eth2"][0].startswith("203.0.113.")
    adjust(networks, pod, *ask("lading"))
    assert sorted(addresses(world, pod)) == ["eth0", "eth1"]


WORKER = f"""
import sys
sys.path.insert(0, {SOURCE!r})
from lading.network import Networks, AttachRequest, NetworkRequest, PortMapping
from lading.roots import Roots
base, namespace = sys.argv[1], int(sys.argv[2])
networks = Networks(Roots(base + "/data", base + "/run", base + "/config", 0))
held = []
print("up", flush=True)
while True:
    for names in (["lading", "blue"], ["blue"], ["lading"]):
        wants = [NetworkRequest(name=n) for n in names]
        ports = [PortMapping(container_port=80, host_port=8080)]
        held = networks.adjust(AttachRequest(id="pod", networks=wants, ports=ports, namespace=namespace), held).reserved
"""


def test_killed_at_any_instant_the_next_adjustment_finishes(world):
    networks = world.networks()
    networks.create("blue")
    ports = [PortMapping(container_port=80, host_port=8080)]
    pod = world.attach(networks, "pod", ports=ports)
    while pod.reserved:
        os.close(pod.reserved.pop())
    world.serve(pod, "0.0.0.0", 80, "here")
    base = str(world.directory / "a")
    for _ in range(int(os.environ.get("LADING_KILLS", "8"))):
        worker = subprocess.Popen(
            [sys.executable, "-S", "-c", WORKER, base, str(pod.namespace)],
            pass_fds=[pod.namespace], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert worker.stdout is not None and worker.stderr is not None
        assert worker.stdout.readline() == "up\n", worker.stderr.read()
        with pytest.raises(subprocess.TimeoutExpired):
            worker.wait(timeout=random.uniform(0.01, 0.4))
        worker.send_signal(signal.SIGKILL)
        worker.communicate()
        for wants in (ask("lading"), ask("blue", "lading")):
            adjust(networks, pod, *wants, ports=ports)
            assert len(addresses(world, pod)) == len(host_ends(world)) == len(wants)
            assert len(default_route(world, pod)) == 1
            assert world.fetch(None, "127.0.0.1", 8080).startswith("here")
            while pod.reserved:
                os.close(pod.reserved.pop())
        assert networks.check(alive=lambda: {"pod"}) == []
    networks.detach("pod")
    assert networks.store.run("select * from leases") == networks.store.run("select * from ports") == []
