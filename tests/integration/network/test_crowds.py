"""Many at once: two hundred pods, networks removed while pods come, processes killed while others go on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lading.errors import Conflict
from lading.network import NetworkRequest, PortMapping

pytestmark = pytest.mark.root

SOURCE = str(Path(__file__).resolve().parents[3] / "src")
HEAD = f"""
import os, sys
sys.path.insert(0, {SOURCE!r})
from lading.errors import LadingError
from lading.network import Networks, AttachRequest, NetworkRequest, PortMapping
from lading.roots import Roots
base, name = sys.argv[1], sys.argv[2]
networks = Networks(Roots(base + "/data", base + "/run", base + "/config", 0))
"""


def start(world, script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-S", "-c", HEAD + script, str(world.directory / "a"), *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(process):
    """What it printed; its errors fail the test."""
    out, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    return out


def ours(world):
    return sorted(
        link["ifname"] for link in world.show(None, "link") if link["ifname"].startswith(("lv", "ld"))
    )


def wait_until_gone(world, *, but=()):
    deadline = time.monotonic() + 60
    while [name for name in ours(world) if name not in but]:
        assert time.monotonic() < deadline, ours(world)
        time.sleep(0.05)


def no_rows(networks):
    tables = ("attachments", "interfaces", "leases", "names", "ports")
    return [table for table in tables if networks.store.run(f"select 1 from {table}")] == []


MANY = """
pods = []
for n in range(int(sys.argv[3])):
    pods.append(networks.attach(AttachRequest(id=f"{name}-{n}", name=f"{name}-{n}", networks=[NetworkRequest(name="big")],
                ports=[PortMapping(container_port=80)])))
print(" ".join(pod.address for pod in pods), flush=True)
sys.stdin.read()
for pod in pods:
    networks.detach(pod.id)
    os.close(pod.namespace)
"""


def test_two_hundred_pods_stand_on_one_network(world):
    networks = world.networks()
    networks.create("big")
    workers = [start(world, MANY, f"w{n}", "25") for n in range(8)]
    addresses = [address for worker in workers for address in worker.stdout.readline().split()]
    assert len(addresses) == len(set(addresses)) == 200
    assert len([name for name in ours(world) if name.startswith("lv")]) == 200
    ports = networks.store.run("select host_port from ports")
    assert len(set(ports)) == 200
    bridge = networks.get("big").interface
    for worker in workers:
        finish(worker)
    assert no_rows(networks)
    wait_until_gone(world, but=(bridge,))
    assert (
        "dport"
        not in world.run(None, "nft", "list", "map", "inet", networks.tag, "everywhere4").partition(
            "elements"
        )[2]
    )


COMERS = """
from lading.errors import Conflict, NotFound
done, n = 0, 0
while done < 4:
    n += 1
    try:
        pod = networks.attach(AttachRequest(id=f"{name}-{n}", networks=[NetworkRequest(name="gone")]))
    except NotFound:
        continue
    networks.detach(pod.id)
    os.close(pod.namespace)
    done += 1
print(done)
"""


def test_a_network_removed_while_pods_come_leaves_nothing_or_is_refused(world):
    networks = world.networks()
    networks.create("gone")
    workers = [start(world, COMERS, f"c{n}") for n in range(6)]
    while any(worker.poll() is None for worker in workers):
        try:
            networks.remove("gone")
        except Conflict:
            continue  # somebody is on it
        networks.create("gone")
        time.sleep(random.uniform(0.0, 0.05))
    assert [finish(worker) for worker in workers] == ["4\n"] * 6
    networks.remove("gone")
    assert no_rows(networks)
    wait_until_gone(world)
    assert world.run(None, "nft", "list", "tables") == ""


RESTLESS = """
mine = [NetworkRequest(name="left"), NetworkRequest(name="right")]
print("up", flush=True)
n = 0
while True:
    n += 1
    pod = networks.attach(AttachRequest(id=f"{name}-{n}", networks=mine[:1], ports=[PortMapping(container_port=80)]))
    both = networks.adjust(AttachRequest(id=pod.id, networks=mine, ports=[PortMapping(container_port=80)],
                           namespace=pod.namespace), pod.reserved)
    last = networks.adjust(AttachRequest(id=pod.id, networks=mine[1:], ports=[PortMapping(container_port=80)],
                           namespace=pod.namespace), both.reserved)
    networks.detach(pod.id)
    for fd in (pod.namespace, *last.reserved):
        os.close(fd)
"""


def test_killed_among_others_nothing_is_left_and_nobody_is_disturbed(world):
    networks = world.networks()
    for name in ("left", "right"):
        networks.create(name)
    stays = world.attach(
        networks, "stays", networks=[NetworkRequest(name="left")],
        ports=[PortMapping(container_port=80, host_port=8080)],
    )  # fmt: skip
    world.serve(stays, "0.0.0.0", 80, "still")
    world.nft(
        "add table ip theirs; add chain ip theirs c { type filter hook forward priority 9; }; add rule ip theirs c counter"
    )
    theirs = world.run(None, "nft", "-s", "list", "table", "ip", "theirs")
    workers = [start(world, RESTLESS, f"r{n}") for n in range(6)]
    for worker in workers:
        assert worker.stdout.readline() == "up\n"
    for _ in range(int(os.environ.get("LADING_KILLS", "4"))):
        for number, worker in enumerate(workers):
            time.sleep(random.uniform(0.0, 0.1))
            assert worker.poll() is None, worker.stderr.read()
            worker.send_signal(signal.SIGKILL)
            worker.communicate()
            workers[number] = start(world, RESTLESS, f"r{number}{random.random()}")
        for worker in workers:
            assert worker.stdout.readline() == "up\n"
    for worker in workers:
        worker.send_signal(signal.SIGKILL)
        worker.communicate()
    assert world.fetch(None, "127.0.0.1", 8080).startswith("still")
    networks.check(repair=True, alive=lambda: {"stays"})
    assert networks.check(alive=lambda: {"stays"}) == []
    assert networks.store.run("select distinct owner from leases") == [("stays",)]
    ends = [i.host_interface for i in networks.attachment("stays").interfaces]
    wait_until_gone(world, but=(*ends, *(networks.get(n).interface for n in ("left", "right"))))
    assert world.fetch(None, "127.0.0.1", 8080).startswith("still")
    networks.detach("stays")
    assert no_rows(networks)
    for name in ("left", "right"):
        networks.remove(name)
    assert world.run(None, "nft", "-s", "list", "ruleset") == theirs
