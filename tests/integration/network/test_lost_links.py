"""Somebody takes a bridge or a pod's interface away while pods live: it is told, and put right where that can be.

What is about to be made is no finding.
"""

from __future__ import annotations

import pytest

from lading.network import NetworkRequest, PortMapping, names, repair

pytestmark = pytest.mark.root


def ask(*names):
    return [NetworkRequest(name=name) for name in names]


def flags(world, name):
    """What a bridge port is told by ``bridge -d link``."""
    (shown,) = world.run(None, "bridge", "-d", "link", "show", "dev", name).replace("\n", " ").splitlines()
    return {word: f"{word} on" in shown for word in ("hairpin", "isolated")}


@pytest.mark.parametrize("by", ["check", "attach"])
def test_a_bridge_that_is_made_anew_gets_its_ports_back(world, by):
    networks = world.networks()
    blue = networks.create("blue")
    one = world.attach(networks, "one", networks=ask("blue"))
    two = world.attach(
        networks, "two", networks=ask("blue"), ports=[PortMapping(container_port=80, host_port=8080)]
    )
    world.serve(two, "0.0.0.0", 80, "two")
    world.run(None, "ip", "link", "delete", blue.interface)
    if by == "check":
        (found,) = networks.check(repair=True, alive=lambda: {"one", "two"})
        assert (found.object, found.repaired) == (blue.interface, True)
    else:
        world.attach(networks, "three", networks=ask("blue"))
    assert world.fetch(one, two.address, 80).startswith("two")
    assert world.fetch(world.outside, world.host_address, 8080).startswith("two")
    assert flags(world, two.interfaces[0].host_interface)["hairpin"]
    assert networks.check(alive=lambda: {"one", "two", "three"}) == []


def test_a_port_that_is_off_its_bridge_or_down_is_put_back(world, monkeypatch):
    monkeypatch.setattr(repair, "UNPLUGGED_SECONDS", 0.1)
    networks = world.networks()
    networks.create("apart", options={"icc": "false"})
    pod = world.attach(networks, "pod", networks=ask("apart"))
    (interface,) = pod.interfaces
    end, gateway = interface.host_interface, networks.get("apart").gateways[0]
    world.serve(None, gateway, 7000, "host")
    for command, problem in ((("nomaster",), "is not on its bridge"), (("down",), "is down")):
        world.run(None, "ip", "link", "set", end, *command)
        for mended in (False, True):
            (found,) = networks.check(repair=mended, alive=lambda: {"pod"})
            assert (found.object, found.repaired) == (end, mended)
            assert found.message == f"the port of pod on network apart {problem}"
        assert flags(world, end)["isolated"]
        assert world.fetch(pod, gateway, 7000).startswith("host")
    assert networks.check(alive=lambda: {"pod"}) == []


def test_a_port_that_is_gone_is_told_until_the_container_is_restarted(world, monkeypatch):
    monkeypatch.setattr(repair, "UNPLUGGED_SECONDS", 0.1)
    networks = world.networks()
    pod = world.attach(networks, "pod")
    world.run(None, "ip", "link", "delete", pod.interfaces[0].host_interface)
    (found,) = networks.check(repair=True, alive=lambda: {"pod"})
    assert (found.repaired, found.fix) == (False, "restart the container")
    assert found.message.endswith("is gone")
    networks.detach("pod")
    world.attach(networks, "pod")
    assert networks.check(alive=lambda: {"pod"}) == []


def test_a_resolver_that_somebody_is_about_to_start_is_no_finding(world, monkeypatch):
    networks = world.networks()
    networks.create("blue")
    world.attach(networks, "pod", networks=ask("blue"))
    there, asked = names.refresh, []

    def refresh(roots):
        asked.append(roots)
        return len(asked) > 3 and there(roots)

    monkeypatch.setattr(names, "refresh", refresh)
    assert networks.check(alive=lambda: {"pod"}) == []
    monkeypatch.setattr(names, "refresh", lambda _roots: False)
    monkeypatch.setattr(repair, "RESOLVER_SECONDS", 0.1)
    (found,) = networks.check(alive=lambda: {"pod"})
    assert (found.kind, found.repaired) == ("resolver", False)
