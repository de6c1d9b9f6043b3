"""Networks by the command: connect and disconnect, several at once, what is refused, and a keeper killed on the way."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def networks(lading) -> Iterator[None]:  # type: ignore[no-untyped-def]
    for name in ("blue", "zulu"):
        lading("network", "create", name, check=True)
    yield
    for name in lading.out("ps", "-aq").split():
        lading("rm", "-f", name, check=True)
    for name in ("blue", "zulu"):
        lading("network", "rm", name, check=True)


def wait_for(condition: Callable[[], object], what: str = "it") -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


def places(lading, name: str) -> dict[str, str]:  # type: ignore[no-untyped-def]
    """Network → address, as ``inspect`` has them."""
    shown = json.loads(lading.out("inspect", name))[0]["NetworkSettings"]["Networks"]
    return {network: place["IPAddress"] for network, place in shown.items()}


def inside(lading, name: str) -> list[str]:  # type: ignore[no-untyped-def]
    """The addresses that the container really has."""
    lines = lading.out("exec", name, "ip", "-o", "-4", "addr").splitlines()
    return sorted(line.split()[3].partition("/")[0] for line in lines if " lo " not in line)


def test_a_running_container_joins_and_leaves(lading, networks) -> None:  # type: ignore[no-untyped-def]
    lading.out("run", "-d", "--name", "one", "busybox", "sleep", "600")
    lading.out("run", "-d", "--name", "peer", "--network", "blue", "busybox", "sleep", "600")
    lading.out("exec", "one", "sh", "-c", "echo 10.9.8.7 own >> /etc/hosts")
    lading.out("network", "connect", "--alias", "extra", "blue", "one")
    assert sorted(places(lading, "one")) == ["blue", "bridge"]
    assert sorted(places(lading, "one").values()) == inside(lading, "one")
    lading.out("exec", "one", "ping", "-c1", "-W30", "peer")
    lading.out("exec", "peer", "ping", "-c1", "-W30", "extra")
    hosts = lading.out("exec", "one", "cat", "/etc/hosts")
    assert places(lading, "one")["blue"] in hosts and "10.9.8.7 own" in hosts
    lading.out("network", "disconnect", "bridge", "one")
    assert list(places(lading, "one")) == ["blue"]
    assert list(places(lading, "one").values()) == inside(lading, "one")
    lading.out("restart", "-t", "0", "one")
    assert list(places(lading, "one").values()) == inside(lading, "one")
    shown = json.loads(lading.out("network", "inspect", "blue"))[0]["Containers"]
    assert sorted(entry["Name"] for entry in shown.values()) == ["one", "peer"]
    lading.out("rm", "-f", "one", "peer")
    assert json.loads(lading.out("network", "inspect", "blue"))[0]["Containers"] == {}


def test_a_container_that_does_not_run_starts_where_it_was_put(lading, networks) -> None:  # type: ignore[no-untyped-def]
    lading.out("create", "--name", "later", "busybox", "sleep", "600")
    lading.out("network", "connect", "--ip", first_free(lading, "blue"), "blue", "later")
    assert places(lading, "later") == {"bridge": "", "blue": ""}
    lading.out("network", "disconnect", "bridge", "later")
    assert places(lading, "later") == {"blue": ""}
    lading.out("start", "later")
    assert places(lading, "later") == {"blue": first_free(lading, "blue")}
    lading.out("network", "disconnect", "blue", "later")
    assert inside(lading, "later") == []
    lading.out("restart", "-t", "0", "later")
    assert (inside(lading, "later"), places(lading, "later")) == ([], {})
    lading.out("network", "connect", "bridge", "later")
    assert list(places(lading, "later").values()) == inside(lading, "later")
    lading.out("rm", "-f", "later")


def first_free(lading, network: str) -> str:  # type: ignore[no-untyped-def]
    subnet: str = json.loads(lading.out("network", "inspect", network))[0]["IPAM"]["Config"][0]["Subnet"]
    return subnet.partition("/")[0].rpartition(".")[0] + ".200"


def test_several_networks_at_creation(lading, networks) -> None:  # type: ignore[no-untyped-def]
    address = first_free(lading, "zulu")
    lading.out(
        "run", "-d", "--name", "many", "--network", "bridge", "--network", "blue",
        "--network", f"name=zulu,alias=zz,ip={address},mac-address=02:42:ac:11:00:09,gw-priority=5",
        "busybox", "sleep", "600",
    )  # fmt: skip
    assert places(lading, "many")["zulu"] == address
    assert sorted(places(lading, "many").values()) == inside(lading, "many")
    assert "02:42:ac:11:00:09" in lading.out("exec", "many", "ip", "link")
    gateway = json.loads(lading.out("network", "inspect", "zulu"))[0]["IPAM"]["Config"][0]["Gateway"]
    assert f"default via {gateway}" in lading.out("exec", "many", "ip", "route")
    assert address in lading.out("run", "--rm", "--network", "zulu", "busybox", "ping", "-c1", "-W30", "zz")
    lading.out("rm", "-f", "many")


def test_what_cannot_be_connected_says_why(lading, networks) -> None:  # type: ignore[no-untyped-def]
    lading.out("create", "--name", "plain", "busybox", "true")
    lading.out("create", "--name", "alone", "--network", "none", "busybox", "true")
    lading.out("create", "--name", "hosts", "--network", "host", "busybox", "true")
    lading.out("create", "--name", "joins", "--network", "container:plain", "busybox", "true")
    for words, why in (
        (("connect", "bridge", "plain"), "connected to network bridge already"),
        (("connect", "host", "plain"), "cannot be connected to network host"),
        (("connect", "none", "plain"), "cannot be connected to network none"),
        (("connect", "nowhere", "plain"), "network nowhere does not exist"),
        (("connect", "blue", "nobody"), "no such container"),
        (("connect", "blue", "alone"), "disconnect none alone"),
        (("connect", "blue", "hosts"), "on the host's network"),
        (("connect", "blue", "joins"), "uses the network of container:plain"),
        (("connect", "--ip", "10.0.0.300", "blue", "plain"), "not an IPv4 address"),
        (("connect", "--ip6", "fd00::9", "blue", "plain"), "no IPv6 subnet"),
        (("connect", "--alias", "x", "bridge", "alone"), "disconnect none alone"),
        (("connect", "--link", "a:b", "blue", "plain"), "links are not supported"),
        (("connect", "--driver-opt", "a=b", "blue", "plain"), "not supported"),
        (("disconnect", "blue", "plain"), "not connected to network blue"),
        (("disconnect", "-f", "blue", "plain"), "not connected to network blue"),
        (("disconnect", "host", "hosts"), "on the host's network"),
        (("disconnect", "nowhere", "plain"), "network nowhere does not exist"),
        (("disconnect", "blue", "nobody"), "no such container"),
    ):
        done = lading("network", *words)
        assert done.returncode in (1, 125), words
        assert why in done.stderr, (words, done.stderr)
        assert len(done.stderr.splitlines()) == 1
    lading.out("network", "disconnect", "none", "alone")
    lading.out("network", "connect", "blue", "alone")
    lading.out("rm", "plain", "alone", "hosts", "joins")


def test_options_of_a_network_do_what_docker_says(lading, networks) -> None:  # type: ignore[no-untyped-def]
    name, bridge = "shaped", f"lt{os.getpid() % 10**9}"
    subnet = first_free(lading, "blue").rpartition(".")[0].rpartition(".")[0] + ".250.0/24"
    base = subnet.rpartition(".")[0]
    options = {"bridge.name": bridge, "bridge.enable_icc": "false", "bridge.host_binding_ipv4": "127.0.0.1"}
    words = [w for key, value in options.items() for w in ("-o", f"com.docker.network.{key}={value}")]
    lading.out(
        "network", "create", "--subnet", subnet, "--ip-range", f"{base}.128/29", "--aux-address", f"router={base}.129",
        "--label", "team=a", *words, "-o", "com.docker.network.driver.mtu=1300", name,
    )  # fmt: skip
    with open(f"/sys/class/net/{bridge}/mtu") as stream:
        assert stream.read() == "1300\n"
    (shown,) = json.loads(lading.out("network", "inspect", name))
    assert shown["IPAM"]["Config"][0]["AuxiliaryAddresses"] == {"router": f"{base}.129"}
    for each in ("first", "second"):
        lading.out("run", "-d", "--name", each, "--network", name, "-p", "80", "busybox", "sleep", "600")
    assert [places(lading, each)[name] for each in ("first", "second")] == [f"{base}.128", f"{base}.130"]
    assert lading.out("port", "first", "80").startswith("127.0.0.1:")
    lading.out("exec", "first", "ping", "-c1", "-W30", f"{base}.1")
    assert lading("exec", "first", "ping", "-c1", "-W1", "second").returncode == 1
    for words, why in (
        (("--subnet", subnet, "twice"), "overlaps"),
        (("-o", f"com.docker.network.bridge.name={bridge}", "twice"), "exists already"),
        (("--aux-address", "a=10.1.2.3", "--subnet", "10.219.251.0/24", "twice"), "lies in no subnet"),
        (("-d", "overlay", "twice"), "'overlay' is not supported"),
        (("-d", "cni", "twice"), "cni/net.d"),
        (("-o", "nonsense=1", "twice"), "'nonsense'"),
        (("--attachable", "twice"), "--attachable"),
        (("--ipam-driver", "x", "twice"), "--ipam-driver"),
    ):
        done = lading("network", "create", *words)
        assert done.returncode in (1, 125) and why in done.stderr, (words, done.stderr)
    assert "twice" not in lading.out("network", "ls", "--format", "{name}").splitlines()
    lading.out("rm", "-f", "first", "second")
    lading.out("network", "rm", name)
    assert not os.path.exists(f"/sys/class/net/{bridge}")


def test_ls_and_prune_choose_by_filter(lading, networks) -> None:  # type: ignore[no-untyped-def]
    for name, label in (("p-one", "team=a"), ("p-two", "team=b"), ("p-used", "team=a")):
        lading.out("network", "create", "--label", label, name)
    lading.out("create", "--name", "user", "--network", "p-used", "busybox", "true")

    def ls(*filters: str) -> list[str]:
        words = [w for text in filters for w in ("--filter", text)]
        names: list[str] = lading.out("network", "ls", *words, "--format", "{name}").split()
        return names

    assert ls("label=team=a") == ["p-one", "p-used"]
    assert ls("name=p-", "dangling=true") == ["p-one", "p-two"]
    assert ls("name=p-", "dangling=false") == ["p-used"]
    assert ls("type=builtin") == ["bridge", "host", "none"]
    assert ls("driver=null", "scope=local") == ["none"]
    assert lading("network", "ls", "--filter", "colour=red").returncode == 1
    assert lading("network", "prune", "-f", "--filter", "colour=red").returncode == 1
    for filters in (("label=nobody",), ("label=team=a", "label!=team"), ("until=24h",)):
        words = [w for text in filters for w in ("--filter", text)]
        assert lading.out("network", "prune", "-f", *words) == ""
    assert (
        lading.out("network", "prune", "-f", "--filter", "label=team", "--filter", "label!=team=b").split()[
            -1
        ]
        == "p-one"
    )
    lading.out("rm", "user")
    pruned = lading.out("network", "prune", "-f", "--filter", "until=0s", "--filter", "label=team").split()
    assert sorted(pruned[2:]) == ["p-two", "p-used"]


def keeper(lading, name: str) -> int:  # type: ignore[no-untyped-def]
    """The process that keeps a container, by the records: after a repair it is not the container's parent."""
    with contextlib.closing(sqlite3.connect(lading.base / "root" / "node.db", timeout=60)) as records:
        ((pid,),) = records.execute("select keeper_pid from pods where name=?", (name,)).fetchall()
    command = Path(f"/proc/{pid}/cmdline").read_text()
    assert "lading" in command, command
    return int(pid)


def test_a_keeper_that_sleeps_wakes_to_connect_and_keeps_the_published_port(lading, networks) -> None:  # type: ignore[no-untyped-def]
    serve = "mkdir -p /w && echo here > /w/index.html && exec httpd -f -p 80 -h /w"
    lading.out("run", "-d", "--name", "sleepy", "-p", "127.0.0.1::80", "busybox", "sh", "-c", serve)
    url = "http://" + lading.out("port", "sleepy", "80")

    def answers() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return bool(answer.read() == b"here\n")
        except OSError:
            return False

    pid = keeper(lading, "sleepy")
    wait_for(lambda: "dormant" in Path(f"/proc/{pid}/cmdline").read_text(), "the keeper to fall asleep")
    wait_for(answers, "the server")
    lading.out("network", "connect", "blue", "sleepy")
    lading.out("network", "disconnect", "bridge", "sleepy")
    assert keeper(lading, "sleepy") == pid
    assert list(places(lading, "sleepy")) == ["blue"]
    assert list(places(lading, "sleepy").values()) == inside(lading, "sleepy")
    assert answers()
    lading.out("rm", "-f", "sleepy")


def test_a_keeper_killed_while_it_connects_is_finished_by_repair(lading, networks) -> None:  # type: ignore[no-untyped-def]
    lading.out("run", "-d", "--name", "target", "-p", "8000", "busybox", "sleep", "600")
    for _ in range(int(os.environ.get("LADING_KILLS", "3"))):
        there = "blue" in places(lading, "target")
        verb = "disconnect" if there else "connect"
        victim = keeper(lading, "target")
        command = subprocess.Popen(
            lading.argv(("network", verb, "blue", "target")),
            env=lading.env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        with contextlib.suppress(subprocess.TimeoutExpired):
            command.wait(timeout=random.uniform(0.01, 0.2))
        os.kill(victim, signal.SIGKILL)
        command.communicate(timeout=60)
        wait_for(lambda: lading("check", "--repair").returncode == 0, "repair")
        assert lading("check").returncode == 0
        assert keeper(lading, "target") != victim
        assert sorted(places(lading, "target").values()) == inside(lading, "target")
        assert ("blue" in places(lading, "target")) in (there, not there)
        lading.out("exec", "target", "true")
    lading.out("rm", "-f", "target")
    assert lading("check").returncode == 0


def test_a_name_server_of_ones_own_keeps_containers_names(lading, networks) -> None:  # type: ignore[no-untyped-def]
    lading.out("run", "-d", "--name", "peer", "--network", "blue", "busybox", "sleep", "600")
    dns = ("--dns", "192.0.2.53")
    lading.out("run", "--rm", "--network", "blue", *dns, "busybox", "ping", "-c1", "-W30", "peer")
    gateway = json.loads(lading.out("network", "inspect", "blue"))[0]["IPAM"]["Config"][0]["Gateway"]
    ours = lading.out("run", "--rm", "--network", "blue", *dns, "busybox", "cat", "/etc/resolv.conf")
    assert f"nameserver {gateway}" in ours and "192.0.2.53" not in ours
    theirs = lading.out("run", "--rm", *dns, "busybox", "cat", "/etc/resolv.conf")
    assert "nameserver 192.0.2.53" in theirs
    lading.out("rm", "-f", "peer")


def test_force_takes_one_whose_keeper_is_gone_off_a_network_and_repair_finishes(lading, networks) -> None:  # type: ignore[no-untyped-def]
    lading.out(
        "run", "-d", "--name", "one", "--network", "blue", "--network", "zulu", "busybox", "sleep", "600"
    )
    victim = keeper(lading, "one")
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: not os.path.exists(f"/proc/{victim}/exe"), "the keeper's end")
    refused = lading("network", "disconnect", "zulu", "one")
    assert (refused.returncode, "keeper is gone" in refused.stderr) == (1, True), refused.stderr
    assert sorted(places(lading, "one")) == ["blue", "zulu"]
    lading.out("network", "disconnect", "-f", "zulu", "one")
    lading.out("check", "--repair")
    wait_for(lambda: list(places(lading, "one").values()) == inside(lading, "one"), "repair")
    assert list(places(lading, "one")) == ["blue"]
    lading.out("rm", "-f", "one")
