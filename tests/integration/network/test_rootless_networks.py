"""An ordinary user's networks: pasta or slirp4netns for each pod, bridges in a namespace of the user's own.

The user is a number nobody else has. The tests bring a ``/dev/net/tun`` that everybody may open, as udev makes it, in a mount
namespace of their own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.root, pytest.mark.rootless, pytest.mark.peer("pasta", "slirp4netns")]
SOURCE = Path(__file__).resolve().parents[3] / "src"
PYTHON = "/usr/bin/python3"
"""The system's: whichever runs the tests may lie where an ordinary user must not look."""
USER = "48213"

BEGIN = f"""
import os, subprocess, sys, time
sys.path.insert(0, os.path.dirname(sys.argv[0]) + "/src")
from lading.errors import LadingError
from lading.network import *
from lading.roots import Roots
base = sys.argv[1]
networks = Networks(Roots(base + "/d", base + "/r", base + "/c", {USER}))
CLIENT = '''
import socket, sys
try: s = socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3])); print(s.recv(100).decode(), end="")
except OSError as e: print("failed", type(e).__name__, end="")
'''
SERVER = '''
import socket
s = socket.socket(); s.setsockopt(1, 2, 1); s.bind(("0.0.0.0", 80)); s.listen(5); print("up", flush=True)
while 1: c, a = s.accept(); c.send(b"hello"); c.close()
'''
servers = []
def inside(pod, *command, **options):
    prefix = ["nsenter", f"--net=/proc/self/fd/{{pod.namespace}}"] if pod else []
    return subprocess.run([*prefix, *command], pass_fds=[pod.namespace] if pod else [], capture_output=True, text=True).stdout
def fetch(pod, host, port, patience=30):
    return inside(pod, sys.executable, "-S", "-c", CLIENT, host, str(port), str(patience))
def serve(pod):
    made = subprocess.Popen(["nsenter", f"--net=/proc/self/fd/{{pod.namespace}}", sys.executable, "-S", "-c", SERVER],
                            pass_fds=[pod.namespace], stdout=subprocess.PIPE)
    made.stdout.readline(); servers.append(made)
def end():
    for made in servers: made.kill(); made.wait()
    place = base + "/r/network"
    left = [n for n in (os.listdir(place) if os.path.exists(place) else ()) if not n.startswith("resolver.")]
    print("left", left)
def ask(name): return [NetworkRequest(name=name)]
"""


def as_user(
    directory: Path, script: str, *, mounts: bool = True, path: str = "", offline: bool = False
) -> str:
    """Output of ``script`` run as uid 0 of a user namespace with one id; ``offline``: on a host with a loopback alone."""
    directory.mkdir(exist_ok=True)
    for parent in [directory, *directory.parents]:
        if str(parent).startswith("/tmp/"):
            os.chmod(parent, 0o755)
    work, tun = directory / "work", directory / "tun"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    os.chown(work, int(USER), int(USER))
    tun.mkdir(exist_ok=True)
    shutil.copytree(
        SOURCE, directory / "src", ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
    )
    code = directory / "script.py"
    code.write_text(BEGIN + script + "\nend()\n")
    prepare = (
        f"mount -t tmpfs none {tun} && mknod {tun}/tun c 10 200 && chmod 666 {tun}/tun && mount --bind {tun}/tun /dev/net/tun"
        f" && exec setpriv --reuid {USER} --regid {USER} --clear-groups env PATH={path or os.environ['PATH']}"
        f" unshare -Ur{'m' if mounts else ''} {PYTHON} -S {code} {work}"
    )
    if offline:
        prepare = "ip link set lo up && " + prepare
    spaces = "-mn" if offline else "-m"
    done = subprocess.run(
        ["unshare", spaces, "sh", "-c", prepare], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("mounts", [True, False])
def test_the_default_network_reaches_pods_by_published_port(world, tmp_path, mounts):
    out = as_user(
        tmp_path / "u",
        """
pod = networks.attach(AttachRequest(id="p" * 64, ports=[PortMapping(container_port=80, host_port=8080)]))
print(pod.address, pod.nameservers)
serve(pod)
print(fetch(None, "127.0.0.1", 8080))
print(inside(pod, "ip", "route", "show", "default"), end="")
networks.detach(pod.id)
print(fetch(None, "127.0.0.1", 8080))
""",
        mounts=mounts,
    )
    assert "10.0.2.100 ['10.0.2.3']\nhello\ndefault via 10.0.2.2 dev eth0" in out
    assert "failed ConnectionRefusedError\nleft []\n" in out


def test_the_way_out_leads_through_the_users_sockets(world, tmp_path):
    world.serve(world.outside, "198.51.100.2", 80, "far")
    out = as_user(
        tmp_path / "u",
        """
networks.create("app")
for request in (AttachRequest(id="p"), AttachRequest(id="q", networks=ask("app"))):
    pod = networks.attach(request)
    print(fetch(pod, "198.51.100.2", 80))
    networks.detach(pod.id)
""",
    )
    assert out.startswith("far 198.51.100.1\nfar 198.51.100.1\n"), out


def test_own_networks_have_names_ports_and_isolation(world, tmp_path):
    out = as_user(
        tmp_path / "u",
        """
networks.create("app"); networks.create("other")
web = networks.attach(AttachRequest(id="w" * 64, name="web", networks=ask("app"),
                                    ports=[PortMapping(container_port=80, host_port=8081)]))
client = networks.attach(AttachRequest(id="c" * 64, name="client", networks=ask("app")))
stranger = networks.attach(AttachRequest(id="s" * 64, networks=ask("other")))
serve(web)
print("name", web.address in inside(client, "busybox", "nslookup", "web", client.nameservers[0]))
print("pod", fetch(client, web.address, 80))
print("stranger", fetch(stranger, web.address, 80, 1))
print("port", fetch(None, "127.0.0.1", 8081))
print("check", networks.check(alive=lambda: [web.id, client.id, stranger.id]))
try: networks.attach(AttachRequest(id="t", networks=ask("app"), ports=[PortMapping(container_port=80, host_port=8081)]))
except LadingError as error: print(error.reason, error.message)
for pod in (web, client, stranger): networks.detach(pod.id)
print("port", fetch(None, "127.0.0.1", 8081))
""",
    )
    assert out.splitlines() == [
        "name True", "pod hello", "stranger failed TimeoutError", "port hello", "check []",
        "conflict host port 8081/tcp is published by container wwwwwwwwwwww already",
        "port failed ConnectionRefusedError", "left []",
    ]  # fmt: skip


def test_slirp4netns_serves_where_pasta_is_missing_and_neither_is_said(world, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir(mode=0o755)
    for name in ("nsenter", "ip", "slirp4netns", "unshare", "setpriv", "env", "sh", "sleep"):
        (tools / name).symlink_to(str(shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")))
    script = """
try:
    pod = networks.attach(AttachRequest(id="p", ports=[PortMapping(container_port=80, host_port=8080)]))
    serve(pod)
    print(fetch(None, "127.0.0.1", 8080))
    networks.detach("p")
except LadingError as error:
    print(error.reason, error.message)
"""
    assert as_user(tmp_path / "u", script, path=str(tools)) == "hello\nleft []\n"
    (tools / "slirp4netns").unlink()
    out = as_user(tmp_path / "u", script, path=str(tools))
    assert out.startswith("not-found neither pasta nor slirp4netns is installed")
    assert out.endswith("left []\n")


@pytest.mark.parametrize("uplink", ["pasta", "slirp4netns"])
def test_a_host_without_a_way_out_has_networks_and_published_ports(world, tmp_path, uplink):
    tools = tmp_path / "bin"
    tools.mkdir(mode=0o755)
    for name in ("nsenter", "ip", uplink, "unshare", "setpriv", "env", "sh", "sleep"):
        (tools / name).symlink_to(str(shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")))
    out = as_user(
        tmp_path / "u",
        """
pod = networks.attach(AttachRequest(id="p", ports=[PortMapping(container_port=80, host_port=8080)]))
serve(pod)
print(fetch(None, "127.0.0.1", 8080))
print(inside(pod, "ip", "route", "show", "default"), end="")
networks.detach("p")
""",
        path=str(tools),
        offline=True,
    )
    assert out == "hello\ndefault via 10.0.2.2 dev eth0 \nleft []\n"
