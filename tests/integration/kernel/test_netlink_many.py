"""More messages at once than a netlink socket has room for answers, and more than it takes in one piece."""

from __future__ import annotations

import os

import pytest

from lading.errors import KernelError
from lading.kernel import netlink as nl
from lading.kernel import netlink_netns as netns
from lading.kernel import netlink_route as rt
from lading.kernel.nftables import Nftables
from lading.kernel.nftelements import Element, change, joined

pytestmark = pytest.mark.root

_MAP = """add table inet many
add map inet many m { type inet_proto . inet_service : ipv4_addr . inet_service; }
add map inet many n { type inet_proto . inet_service : ipv4_addr . inet_service; }
"""


def elements(name, ports, *, add=True):
    return [
        Element(name, joined(b"\6", port.to_bytes(2, "big")), joined(bytes(4), port.to_bytes(2, "big")), add=add)
        for port in ports
    ]  # fmt: skip


def count(rules, name):
    return rules.run(f"list map inet many {name}").count("tcp . ")


@pytest.mark.parametrize("number", [400, 20_000])
def test_a_transaction_of_any_size_is_one_transaction(number):
    def work():
        rules = Nftables()
        with nl.Netlink(nl.NETFILTER) as wire:
            rules.run(_MAP)
            both = zip(elements("m", range(1, number + 1)), elements("n", range(1, number + 1)), strict=True)
            change(wire, "many", [one for pair in both for one in pair])
            assert (count(rules, "m"), count(rules, "n")) == (number, number)
            with pytest.raises(KernelError) as caught:
                change(wire, "many", elements("m", range(1, number + 2), add=False))
            assert caught.value.errno == 2
            assert count(rules, "m") == number
            change(wire, "many", elements("m", range(1, number + 1), add=False))
            assert count(rules, "m") == 0
        rules.close()

    fd, _ = netns.create(work)
    os.close(fd)


def test_each_of_many_messages_gets_its_answer():
    def work():
        with nl.Netlink() as wire:
            names = [f"x{i}" for i in range(1000)]
            messages = [rt.link_set(1, up=True) for _ in names]
            messages[1::2] = [rt.link_del(name, ok=(19,)) for name in names[1::2]]
            assert wire.run(messages) == [0, 19] * 500
            messages[700] = rt.link_del("absent")
            messages[900] = rt.link_del("missing")
            with pytest.raises(KernelError, match="link del absent"):
                wire.run(messages)

    fd, _ = netns.create(work)
    os.close(fd)
