"""A small world for each test: a network namespace that plays the host, and one behind its uplink that plays the rest.

The test process itself moves in, so bridges, rules and sysctls of a test never meet the machine's own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lading.kernel import netlink_netns as netns
from lading.kernel import netlink_route as rt
from lading.kernel.netlink import Netlink
from lading.network import Attachment, AttachRequest, Networks, resolv
from lading.roots import Roots

SERVER = """
import socket, sys
kind, host, port, word = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
family = socket.AF_INET6 if ":" in host else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((host, port))
if kind == "tcp": s.listen(16)
print("up", flush=True)
while True:
    if kind == "tcp":
        c, a = s.accept()
        c.sendall(f"{word} {a[0]}".encode()); c.close()
    else:
        d, a = s.recvfrom(100); s.sendto(f"{word} {a[0]}".encode(), a)
"""

CLIENT = """
import socket, sys
kind, host, port, patience = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
s.settimeout(patience)
try:
    s.connect((host, port))
    if kind == "udp": s.send(b"x")
    print(s.recv(100).decode())
except OSError as error:
    print("failed", type(error).__name__)
"""


class World:
    """``host`` and ``outside`` are namespace descriptors; the test runs in ``host``. Addresses: host 198.51.100.1,
    outside 198.51.100.2 and the routed 203.0.113.9; the same in fd00:a::/64."""

    host_address = "198.51.100.1"
    outside_address = "198.51.100.2"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.home = netns.current()
        self.processes: list[subprocess.Popen[str]] = []
        self.descriptors: list[int] = []
        self.opened: list[Networks] = []
        self.host, wire = netns.create(Netlink)
        self.outside, far = netns.create(Netlink)
        wire.run([rt.veth_add("uplink", "eth0", peer_netns=self.outside, mtu=1500)])
        for end, name, last in ((wire, "uplink", 1), (far, "eth0", 2)):
            end.run([rt.link_set(1, up=True), rt.link_set(0, name=name, up=True)])
            index = rt.Link(end.ask(rt.link_get(name))).index
            six = bytes.fromhex("fd00000a") + bytes(11) + bytes([last])
            end.run(
                [
                    rt.address_add(index, bytes([198, 51, 100, last]), 24),
                    rt.address_add(index, six, 64),
                ]
            )
            if name == "uplink":
                end.run([rt.route_add(b"", 0, gateway=bytes([198, 51, 100, 2]), index=index)])
        wire.close()
        far.close()
        netns.enter(self.host)
        for server in resolv.of_host()[
            "nameservers"
        ]:  # a question to the machine's own resolver fails at once
            self.run(None, "ip", "route", "add", "unreachable", server)

    def networks(self, name: str = "a", **options: object) -> Networks:
        """Networks of a root of this test's own."""
        base = self.directory / name
        made = Networks(Roots(f"{base}/data", f"{base}/run", f"{base}/config", 0), **options)  # type: ignore[arg-type]
        self.opened.append(made)
        return made

    def attach(self, networks: Networks, id: str, /, **fields: object) -> Attachment:
        """Attach and remember what to close."""
        made = networks.attach(AttachRequest(id=id, **fields))
        self.descriptors += [made.namespace, *made.reserved]
        return made

    def run(self, where: Attachment | int | None, *command: str, timeout: float = 90) -> str:
        """Output of a command in a namespace (an attachment's, a descriptor's, or the host's)."""
        fd = where.namespace if isinstance(where, Attachment) else where
        prefix = ["nsenter", f"--net=/proc/self/fd/{fd}"] if fd is not None else []
        done = subprocess.run(
            [*prefix, *command],
            pass_fds=[fd] if fd is not None else [],
            capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        return done.stdout + done.stderr

    def nft(self, commands: str) -> None:
        """Rules of somebody else's on the host."""
        said = self.run(None, "nft", commands)
        assert said == "", said

    def show(self, where: Attachment | int | None, *what: str) -> list[dict[str, object]]:
        """``ip -j`` in a namespace."""
        found: list[dict[str, object]] = json.loads(self.run(where, "ip", "-j", *what) or "[]")
        return found

    def serve(
        self, where: Attachment | int | None, host: str, port: int, word: str, kind: str = "tcp"
    ) -> None:
        """A server that answers each client with ``word`` and the client's address."""
        fd = where.namespace if isinstance(where, Attachment) else where
        prefix = ["nsenter", f"--net=/proc/self/fd/{fd}"] if fd is not None else []
        process = subprocess.Popen(
            [*prefix, sys.executable, "-S", "-c", SERVER, kind, host, str(port), word],
            pass_fds=[fd] if fd is not None else [],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"

    def fetch(
        self, where: Attachment | int | None, host: str, port: int, kind: str = "tcp", patience: float = 30
    ) -> str:
        """What a server says, or ``failed`` and the error."""
        return self.run(
            where, sys.executable, "-S", "-c", CLIENT, kind, host, str(port), str(patience)
        ).strip()

    def close(self) -> None:
        """Go home and let go of everything."""
        for process in self.processes:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        for made in self.opened:
            for attachment in list(made.store.attachments()):
                made.detach(attachment.id)
            for network in made.list():
                if network.driver != "cni":
                    made.remove(network.name, force=True)
            wait_for(lambda made=made: not os.path.exists(made.roots.run + "/network/resolver.sock"))  # type: ignore[misc]
            made.close()
        for fd in self.descriptors:
            try:
                os.close(fd)
            except OSError:
                pass
        netns.enter(self.home)
        for fd in (self.home, self.host, self.outside):
            os.close(fd)


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until ``condition`` holds; fail when it does not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """See :class:`World`."""
    made = World(tmp_path)
    try:
        yield made
    finally:
        made.close()
