"""Pods on bridges: addresses, routes, isolation, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lading.errors import Conflict, Exhausted, InvalidInput, NotFound
from lading.network import AttachRequest, NetworkRequest, PortMapping

pytestmark = pytest.mark.root
SOURCE = str(Path(__file__).resolve().parents[3] / "src")


def ask(name, **fields):
    return [NetworkRequest(name=name, **fields)]


def test_the_default_network_gives_an_address_a_route_and_loopback(world):
    networks = world.networks()
    pod = world.attach(networks, "c" * 64, name="web")
    links = {link["ifname"]: link for link in world.show(pod, "addr")}
    assert links["lo"]["operstate"] in ("UNKNOWN", "UP")
    (shown,) = links["eth0"]["addr_info"]
    assert [f"{shown['local']}/{shown['prefixlen']}"] == pod.interfaces[0].addresses
    assert links["eth0"]["address"] == pod.interfaces[0].mac
    (route,) = [r for r in world.show(pod, "route") if r["dst"] == "default"]
    assert [route["gateway"]] == pod.interfaces[0].gateways
    assert networks.attachment("c" * 64).interfaces == pod.interfaces


def test_the_outside_sees_the_hosts_address(world):
    pod = world.attach(world.networks(), "one")
    world.serve(world.outside, "198.51.100.2", 80, "hello")
    assert world.fetch(pod, "198.51.100.2", 80) == "hello 198.51.100.1"


def test_pods_of_one_network_see_each_other_unmasked(world):
    networks = world.networks()
    one, two = world.attach(networks, "one"), world.attach(networks, "two")
    world.serve(two, "0.0.0.0", 80, "two")
    assert world.fetch(one, two.address, 80) == f"two {one.address}"


def test_networks_are_isolated_from_each_other_and_from_routed_guests(world):
    networks = world.networks()
    networks.create("red")
    networks.create("blue")
    red, blue = (
        world.attach(networks, "r", networks=ask("red")),
        world.attach(networks, "b", networks=ask("blue")),
    )
    world.serve(blue, "0.0.0.0", 80, "blue")
    assert world.fetch(red, blue.address, 80, patience=1).startswith("failed")
    subnet = networks.get("blue").subnets[0]
    world.run(world.outside, "ip", "route", "add", subnet, "via", world.host_address)
    assert world.fetch(world.outside, blue.address, 80, patience=1).startswith("failed")


def test_without_isolation_a_routed_guest_comes_in(world):
    networks = world.networks()
    networks.create("open", isolate=False, options={"masquerade": "false"})
    pod = world.attach(networks, "p", networks=ask("open"))
    world.serve(pod, "0.0.0.0", 80, "open")
    world.run(world.outside, "ip", "route", "add", networks.get("open").subnets[0], "via", world.host_address)
    assert world.fetch(world.outside, pod.address, 80) == "open 198.51.100.2"


def test_an_internal_network_has_no_way_out(world):
    networks = world.networks()
    networks.create("vault", internal=True)
    one, two = (world.attach(networks, n, networks=ask("vault")) for n in ("one", "two"))
    assert not [r for r in world.show(one, "route") if r["dst"] == "default"]
    world.run(one, "ip", "route", "add", "default", "via", networks.get("vault").gateways[0])
    world.serve(world.outside, "198.51.100.2", 80, "hello")
    world.serve(two, "0.0.0.0", 80, "two")
    assert world.fetch(one, "198.51.100.2", 80, patience=1).startswith("failed")
    assert world.fetch(one, two.address, 80).startswith("two")


def test_a_pod_cannot_reach_what_the_host_keeps_on_loopback(world):
    networks = world.networks()
    pod = world.attach(networks, "p", ports=[PortMapping(container_port=80, host_port=8080)])
    world.serve(None, "127.0.0.1", 631, "secret")
    world.run(pod, "sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1")
    world.run(pod, "ip", "addr", "del", "127.0.0.1/8", "dev", "lo")
    world.run(
        pod, "ip", "route", "add", "127.0.0.1/32", "via", pod.interfaces[0].gateways[0], "src", pod.address
    )
    assert world.fetch(pod, "127.0.0.1", 631, patience=1).startswith("failed")


def test_dual_stack_pods_talk_ipv6_in_and_out(world):
    networks = world.networks()
    networks.create("both", ipv6=True)
    one, two = (world.attach(networks, n, networks=ask("both")) for n in ("one", "two"))
    six = two.interfaces[0].addresses[1].partition("/")[0]
    world.serve(two, "::", 80, "six")
    assert world.fetch(one, six, 80).startswith("six fd")
    world.serve(world.outside, "fd00:a::2", 80, "far")
    assert world.fetch(one, "fd00:a::2", 80) == "far fd00:a::1"


def test_static_addresses_are_kept_and_guarded(world):
    networks = world.networks()
    networks.create("small", subnets=["10.77.0.0/29"])
    pod = world.attach(networks, "one", networks=ask("small", ipv4="10.77.0.5", mac="0a:00:00:00:00:07"))
    assert pod.address == "10.77.0.5"
    assert {k["ifname"]: k for k in world.show(pod, "link")}["eth0"]["address"] == "0a:00:00:00:00:07"
    with pytest.raises(Conflict, match="leased to one"):
        world.attach(networks, "two", networks=ask("small", ipv4="10.77.0.5"))
    with pytest.raises(Conflict, match="gateway"):
        world.attach(networks, "two", networks=ask("small", ipv4="10.77.0.1"))
    with pytest.raises(InvalidInput, match="not a host address"):
        world.attach(networks, "two", networks=ask("small", ipv4="10.77.1.5"))
    for n in range(4):
        world.attach(networks, f"more{n}", networks=ask("small"))
    with pytest.raises(Exhausted, match="no free address"):
        world.attach(networks, "last", networks=ask("small"))
    networks.detach("more1")
    assert world.attach(networks, "last", networks=ask("small")).address


def test_none_has_loopback_alone_and_records_nothing(world):
    networks = world.networks()
    pod = world.attach(networks, "n", mode="none")
    assert [k["ifname"] for k in world.show(pod, "link")] == ["lo"]
    assert (
        world.show(pod, "link")[0]["flags"][-1] == "LOWER_UP" or "UP" in world.show(pod, "link")[0]["flags"]
    )
    assert not os.path.exists(networks.roots.network)
    with pytest.raises(InvalidInput, match="ports cannot"):
        networks.attach(AttachRequest(id="x", mode="none", ports=[PortMapping(container_port=1)]))


def test_a_given_namespace_is_furnished_and_sysctls_are_set(world):
    networks = world.networks()
    pod = world.attach(networks, "n", mode="none")
    again = networks.attach(AttachRequest(id="n2", namespace=pod.namespace))
    assert again.namespace == pod.namespace
    assert [k["ifname"] for k in world.show(pod, "link")] == ["lo", "eth0"]
    other = world.attach(networks, "s", sysctls={"net.ipv4.ip_unprivileged_port_start": "79"})
    assert world.run(other, "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start") == "79\n"
    with pytest.raises(InvalidInput, match="does not belong"):
        world.attach(networks, "t", sysctls={"kernel.msgmax": "1"})
    assert networks.attachment("t") is None


def test_several_networks_give_several_interfaces_and_one_default_route(world):
    networks = world.networks()
    networks.create("red")
    pod = world.attach(networks, "m", networks=[*ask("red"), *ask("lading")])
    assert [i.name for i in pod.interfaces] == ["eth0", "eth1"]
    (route,) = [r for r in world.show(pod, "route") if r["dst"] == "default"]
    # The network whose name comes first, and the default one is called bridge.
    assert route["gateway"] == networks.get("lading").gateways[0]


def test_macvlan_pods_stand_on_the_parents_network(world):
    networks = world.networks()
    networks.create(
        "lan", driver="macvlan", interface="uplink", subnets=["198.51.100.0/24"], gateways=["198.51.100.2"],
        ranges=["198.51.100.64/28"],
    )  # fmt: skip
    pod = world.attach(networks, "mv", networks=ask("lan"), upstreams=["192.0.2.53"])
    world.serve(world.outside, "198.51.100.2", 80, "lan")
    assert world.fetch(pod, "198.51.100.2", 80) == f"lan {pod.address}"
    assert pod.address.startswith("198.51.100.6")
    # The gateway there is no resolver of ours: the pod asks for itself.
    assert (pod.nameservers == ["198.51.100.2"], pod.upstreams) == (False, [])
    assert networks.check(alive=lambda: {"mv"}) == []


def test_attaching_twice_is_a_conflict_and_detaching_twice_is_not(world):
    networks = world.networks()
    world.attach(networks, "one")
    with pytest.raises(Conflict, match="attached already"):
        networks.attach(AttachRequest(id="one"))
    networks.detach("one")
    networks.detach("one")
    networks.detach("never")
    assert list(networks.store.attachments()) == []


def test_a_network_in_use_is_not_removed_and_prune_spares_it(world):
    networks = world.networks()
    networks.create("used")
    networks.create("idle")
    world.attach(networks, "p", networks=ask("used"))
    with pytest.raises(Conflict, match="used by p"):
        networks.remove("used")
    assert networks.prune() == ["idle"]
    with pytest.raises(NotFound):
        networks.get("idle")
    with pytest.raises(NotFound, match="does not exist"):
        networks.attach(AttachRequest(id="q", networks=ask("idle")))


def test_subnets_that_the_host_has_are_refused_by_name(world):
    networks = world.networks()
    with pytest.raises(Conflict, match=r"198\.51\.100\.0/24"):
        networks.create("clash", subnets=["198.51.0.0/16"])
    networks.create("one", subnets=["10.66.0.0/24"])
    with pytest.raises(Conflict, match=r"10\.66\.0\.0/24"):
        networks.create("two", subnets=["10.66.0.0/25"])
    assert [n.name for n in networks.list()] == ["one"]


def test_nothing_remains_and_foreign_rules_are_untouched(world):
    world.nft(
        "add table inet theirs; add chain inet theirs f { type filter hook forward priority 5; };"
        ' add rule inet theirs f counter accept comment "keep"; add table ip nat'
    )
    rules, links = world.run(None, "nft", "-s", "list", "ruleset"), world.show(None, "link")
    routes = world.show(None, "route")
    networks = world.networks()
    networks.create("red", ipv6=True)
    pod = world.attach(
        networks,
        "p",
        networks=[*ask("red"), *ask("lading")],
        ports=[PortMapping(container_port=80, host_port=8080)],
    )
    during = world.run(None, "nft", "-s", "list", "ruleset")
    assert "table inet " + networks.tag in during
    assert rules.strip() in during
    networks.detach("p")
    os.close(pod.namespace)
    networks.remove("red")
    networks.remove("lading")
    deadline = time.monotonic() + 60
    while world.show(None, "link") != links and time.monotonic() < deadline:
        time.sleep(0.05)
    assert world.show(None, "link") == links
    assert world.run(None, "nft", "-s", "list", "ruleset") == rules
    assert world.show(None, "route") == routes
    assert networks.store.run("select * from leases") == networks.store.run("select * from ports") == []


def test_a_lost_bridge_and_a_flushed_table_come_back_with_the_next_pod(world):
    networks = world.networks()
    world.attach(networks, "old", ports=[PortMapping(container_port=80, host_port=8080)])
    world.run(None, "nft", "flush", "ruleset")
    world.run(None, "ip", "link", "del", networks.get("lading").interface)
    found = networks.check()
    assert sorted(f.kind for f in found) == ["interface", "rule"]
    pod = world.attach(networks, "new")
    world.serve(world.outside, "198.51.100.2", 80, "hello")
    assert world.fetch(pod, "198.51.100.2", 80) == "hello 198.51.100.1"
    assert "8080" in world.run(None, "nft", "list", "table", "inet", networks.tag)
    assert networks.check() == []


WORKER = f"""
import os, sys
sys.path.insert(0, {SOURCE!r})
from lading.network import Networks, AttachRequest
from lading.roots import Roots
base, name = sys.argv[1], sys.argv[2]
networks = Networks(Roots(base + "/data", base + "/run", base + "/config", 0))
pod = networks.attach(AttachRequest(id=name))
print(pod.address, flush=True)
sys.stdin.read()
networks.detach(name)
"""


def test_fifty_processes_at_once_get_fifty_addresses(world):
    base = str(world.directory / "a")
    workers = [
        subprocess.Popen(
            [sys.executable, "-S", "-c", WORKER, base, f"w{n:03}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for n in range(50)
    ]  # fmt: skip
    addresses = [w.stdout.readline().strip() for w in workers]
    errors = [w.communicate()[1] for w in workers]
    assert [e for e in errors if e] == []
    assert len(set(addresses)) == 50
    assert all(addresses)
    networks = world.networks()
    assert list(networks.store.attachments()) == []
    assert len(networks.list()) == 1


def test_killed_at_any_instant_check_finishes_it(world):
    base = str(world.directory / "a")
    networks = world.networks()
    networks.get("lading")
    for n in range(12):
        worker = subprocess.Popen(
            [sys.executable, "-S", "-c", WORKER, base, f"k{n}"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(0.06 + n * 0.012)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        worker.stdin.close()
    networks.check(repair=True, alive=lambda: set())
    assert networks.check(alive=lambda: set()) == []
    assert networks.store.run("select count(*) from leases") == [(0,)]
    deadline = time.monotonic() + 60
    while any(k["ifname"].startswith("lv") for k in world.show(None, "link")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [k["ifname"] for k in world.show(None, "link") if k["ifname"].startswith("lv")]


def test_a_table_of_an_older_shape_is_built_anew_from_the_records(world):
    networks = world.networks()
    first = world.attach(networks, "one", ports=[PortMapping(container_port=80, host_port=8080)])
    network = networks.get("lading")
    tag = networks.tag
    world.run(None, "nft", "delete", "table", "inet", tag)
    world.run(None, "nft", "add", "table", "inet", tag)
    world.run(None, "nft", f"add set inet {tag} bridges {{ type ifname; }}")
    networks.store.set_meta("schema", "0")
    networks.store.set_meta(f"ready {network.id}", "0")
    second = world.attach(networks, "two")
    world.serve(first, "0.0.0.0", 80, "one")
    assert world.fetch(second, first.address, 80) == f"one {second.address}"
    rules = world.run(None, "nft", "list", "table", "inet", tag)
    assert "8080" in str(rules) and networks.store.meta("schema") != "0"


def test_what_was_changed_about_the_host_is_said_once(world, capfd):
    from lading.cli.hostchanges import tell

    Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
    networks = world.networks()
    world.attach(networks, "one")
    tell(networks.roots)
    assert capfd.readouterr().err == (
        "lading: note: net.ipv4.ip_forward was 0 and is now 1, so that containers reach other machines\n"
    )
    tell(networks.roots)
    assert capfd.readouterr().err == ""
