"""A network of driver ``cni``: found by name, attached by the reference plugins, taken back with the pod."""

from __future__ import annotations

import json
import os

import pytest

from lading.errors import Conflict, InvalidInput, RemoteError, Unsupported
from lading.network import AttachRequest, NetworkRequest, PortMapping

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not os.path.exists("/usr/lib/cni/bridge"), reason="CNI plugins missing"),
]


def describe(networks, **bridge):
    directory = networks.roots.config + "/cni/net.d"
    os.makedirs(directory)
    plugins = [
        {
            "type": "bridge", "bridge": "cnibr", "isGateway": True, "ipMasq": True,
            "ipam": {
                "type": "host-local", "subnet": "10.250.0.0/24", "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": networks.roots.network + "/host-local",
            },
            **bridge,
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]  # fmt: skip
    with open(directory + "/10-lan.conflist", "w") as file:
        json.dump({"cniVersion": "1.0.0", "name": "lan", "plugins": plugins}, file)


def on_lan(**fields):
    return [NetworkRequest(name="lan", **fields)]


def test_a_described_network_attaches_publishes_and_lets_go(world):
    networks = world.networks()
    describe(networks)
    assert [n.driver for n in networks.list()] == ["cni"]
    pod = world.attach(
        networks,
        "p" * 64,
        name="p",
        networks=on_lan(),
        ports=[PortMapping(container_port=80, host_port=8080)],
    )
    (interface,) = pod.interfaces
    shown = {k["ifname"]: k for k in world.show(pod, "addr")}["eth0"]
    assert interface.mac == shown["address"]
    assert interface.addresses == [
        f"{a['local']}/{a['prefixlen']}" for a in shown["addr_info"] if a["family"] == "inet"
    ]
    world.serve(pod, "0.0.0.0", 80, "cni")
    assert world.fetch(world.outside, world.host_address, 8080).startswith("cni")
    assert networks.attachment("p" * 64).address == pod.address
    with pytest.raises(Conflict, match="remove that file"):
        networks.remove("lan")
    networks.detach("p" * 64, namespace=pod.namespace)
    assert "8080" not in world.run(None, "iptables-save", "-t", "nat")
    assert not [n for n in os.listdir(networks.roots.network + "/host-local/lan") if n[0].isdigit()]
    assert os.listdir(networks.roots.network + "/cni") == []


def test_a_failing_plugin_leaves_no_record(world):
    networks = world.networks()
    describe(networks, ipam={"type": "host-local", "subnet": "nonsense"})
    with pytest.raises(RemoteError, match="bridge ADD"):
        networks.attach(AttachRequest(id="x", networks=on_lan()))
    assert networks.attachment("x") is None
    with pytest.raises(InvalidInput, match="needs a host port"):
        networks.attach(AttachRequest(id="x", networks=on_lan(), ports=[PortMapping(container_port=80)]))
    assert networks.attachment("x") is None


def test_a_living_pod_joins_a_described_network_and_leaves_it(world):
    networks = world.networks()
    describe(
        networks,
        ipam={
            "type": "host-local",
            "subnet": "10.250.0.0/24",
            "dataDir": networks.roots.network + "/host-local",
        },
    )
    pod = world.attach(networks, "p" * 64)
    request = AttachRequest(
        id=pod.id, networks=[NetworkRequest(name="lading"), *on_lan()], namespace=pod.namespace
    )
    both = networks.adjust(request)
    shown = {k["ifname"]: k for k in world.show(pod, "addr")}["eth1"]
    assert both.interfaces[1].mac == shown["address"]
    assert both.interfaces[1].addresses[0].startswith("10.250.0.")
    # The list asks for no routes, so the default one stays where it was, whatever the networks are called.
    (route,) = [r for r in world.show(pod, "route") if r["dst"] == "default"]
    assert route["dev"] == "eth0"
    alone = networks.adjust(request.replace(networks=[NetworkRequest(name="lading")]))
    assert [i.name for i in alone.interfaces] == ["eth0"]
    assert [k["ifname"] for k in world.show(pod, "link") if k["ifname"] != "lo"] == ["eth0"]
    assert os.listdir(networks.roots.network + "/cni") == []
    assert networks.check(alive=lambda: {pod.id}) == []


def test_a_plugin_that_fails_while_a_pod_lives_changes_nothing(world):
    networks = world.networks()
    describe(networks, ipam={"type": "host-local", "subnet": "nonsense"})
    pod = world.attach(networks, "p" * 64)
    before = world.show(pod, "addr"), world.show(pod, "route"), networks.attachment(pod.id)
    request = AttachRequest(
        id=pod.id, networks=[NetworkRequest(name="lading"), *on_lan()], namespace=pod.namespace
    )
    with pytest.raises(RemoteError, match="bridge ADD"):
        networks.adjust(request)
    assert (world.show(pod, "addr"), world.show(pod, "route"), networks.attachment(pod.id)) == before
    assert os.listdir(networks.roots.network + "/cni") == []


def test_a_killed_attachment_is_deleted_by_check(world):
    networks = world.networks()
    describe(networks)
    pod = world.attach(networks, "dead", networks=on_lan())
    assert pod.address
    found = networks.check(repair=True, alive=lambda: set())
    assert [(f.kind, f.object) for f in found] == [("lease", "dead")]
    assert not [n for n in os.listdir(networks.roots.network + "/host-local/lan") if n[0].isdigit()]


def forget_everything(networks):
    """What a restart of the machine does to our records."""
    with networks.store as store:
        store.set_meta("boot", "another one")
    networks.close()


def leases(networks):
    kept = os.listdir(networks.roots.network + "/host-local/lan")
    return sorted(name for name in kept if name[0].isdigit())


def test_after_a_restart_of_the_machine_a_container_attaches_again(world):
    networks = world.networks()
    describe(networks)
    first = world.attach(networks, "c" * 64, networks=on_lan())
    forget_everything(networks)
    os.close(first.namespace)
    again = world.attach(networks, "c" * 64, networks=on_lan())
    assert leases(networks) == [again.address]


def test_after_a_restart_of_the_machine_check_gives_back_what_plugins_kept(world):
    networks = world.networks()
    describe(networks)
    pod = world.attach(networks, "c" * 64, networks=on_lan())
    forget_everything(networks)
    assert leases(networks) == [pod.address]
    (found,) = networks.check(repair=True, alive=list)
    assert (found.kind, found.object, found.repaired) == ("lease", "c" * 64, True)
    assert leases(networks) == []
    assert networks.check(alive=list) == []


OBSTINATE = """#!/usr/bin/env python3
import json, os, sys
command, request = os.environ["CNI_COMMAND"], json.load(sys.stdin)
if command in open({orders!r}).read().split() + request.get("refuses", []):
    print(json.dumps({{"cniVersion": "1.0.0", "code": 100, "msg": f"no {{command}} today"}}))
    sys.exit(1)
if command == "ADD":
    own = {{"cniVersion": "1.0.0", "ips": [{{"address": "10.250.0.5/24"}}]}}
    print(json.dumps(request.get("prevResult", own)))
"""


@pytest.fixture
def obstinate(world):
    """Networks whose list ends with a plugin that refuses what it is told to, and a function that tells it."""
    networks = world.networks()
    describe(networks)
    folder, plugin = f"{networks.roots.config}/cni/net.d/lan", f"{networks.roots.config}/cni/bin/obstinate"
    os.makedirs(folder)
    os.makedirs(os.path.dirname(plugin))
    orders = f"{networks.roots.config}/orders"
    with open(plugin, "w") as file:
        file.write(OBSTINATE.format(orders=orders))
    os.chmod(plugin, 0o755)
    with open(folder + "/99-more.conf", "w") as file:
        json.dump({"type": "obstinate"}, file)

    def tell(*commands):
        with open(orders, "w") as file:
            file.write(" ".join(commands))

    tell()
    return networks, tell


def test_a_plugin_that_gives_nothing_back_is_told_of_and_stops_no_repair(world, obstinate):
    networks, tell = obstinate
    world.attach(networks, "dead", networks=on_lan())
    bridged = world.attach(networks, "zombie")
    tell("DEL")
    found = networks.check(repair=True, alive=lambda: set())
    found = [f for f in found if f.kind == "lease"]
    assert [(f.object, f.repaired) for f in found] == [("dead", True), ("zombie", True), ("dead", False)]
    assert "no DEL today" in found[-1].message
    assert networks.attachment("dead") is networks.attachment(bridged.id) is None
    with pytest.raises(RemoteError, match="no DEL today"):
        networks.attach(AttachRequest(id="dead", networks=on_lan()))
    tell()
    (found,) = networks.check(repair=True, alive=lambda: set())
    assert found.repaired
    assert networks.check(alive=lambda: set()) == []
    assert leases(networks) == []


def test_a_failure_to_add_leaves_no_record_and_no_descriptor(world, obstinate):
    networks, tell = obstinate
    world.attach(networks, "first", networks=on_lan())
    networks.detach("first")
    tell("ADD", "DEL")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(RemoteError, match="no ADD today"):
        networks.attach(AttachRequest(id="p", networks=on_lan()))
    assert len(os.listdir("/proc/self/fd")) == before
    assert networks.attachment("p") is None
    assert os.listdir(networks.roots.network + "/cni") == []


def test_what_a_failed_attachment_cannot_give_back_is_found_by_check(obstinate):
    networks, _tell = obstinate
    plugins = [{"type": "obstinate", "refuses": ["DEL"]}, {"type": "obstinate", "refuses": ["ADD"]}]
    with open(networks.roots.config + "/cni/net.d/20-own.conflist", "w") as file:
        json.dump({"cniVersion": "1.0.0", "name": "own", "plugins": plugins}, file)
    with pytest.raises(RemoteError, match="no ADD today"):
        networks.attach(AttachRequest(id="p", networks=[NetworkRequest(name="own")]))
    assert networks.attachment("p") is None
    (found,) = networks.check(repair=True, alive=lambda: set())
    assert (found.object, found.repaired) == ("p", False)
    assert "no DEL today" in found.message


def test_an_address_that_the_plugins_do_not_give_is_refused(obstinate):
    networks, _tell = obstinate
    with open(networks.roots.config + "/cni/net.d/20-own.conf", "w") as file:
        json.dump({"cniVersion": "1.0.0", "name": "own", "type": "obstinate"}, file)
    wanted = [NetworkRequest(name="own", ipv4="10.250.0.9")]
    with pytest.raises(Unsupported, match=r"gave 10\.250\.0\.5/24 where 10\.250\.0\.9 was asked for"):
        networks.attach(AttachRequest(id="p", networks=wanted))
    assert networks.attachment("p") is None
    assert os.listdir(networks.roots.network + "/cni") == []


def test_an_alias_needs_a_plugin_that_takes_it(world):
    networks = world.networks()
    describe(networks)
    with pytest.raises(Unsupported, match="no plugin with the capability aliases"):
        networks.attach(AttachRequest(id="p", networks=on_lan(aliases=["db"])))
    assert networks.attachment("p") is None
