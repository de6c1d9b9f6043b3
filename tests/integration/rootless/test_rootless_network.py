"""An ordinary user's containers on the network, by the command: published ports, names, networks that come and go.

``/dev/net/tun`` is for root alone on some machines. Each command runs in a mount namespace of its own where it is open to
everybody, as udev makes it.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lading

pytestmark = [pytest.mark.root, pytest.mark.peer("useradd", "pasta", "slirp4netns")]

Out = Callable[..., str]
PROGRAMS = "busybox sh dpkg-query dpkg sleep newuidmap newgidmap slirp4netns".split()
OPEN_TUN = (
    "mkdir -p $0/tun && mount -t tmpfs none $0/tun && mknod $0/tun/tun c 10 200 && chmod 666 $0/tun/tun"
    ' && mount --bind $0/tun/tun /dev/net/tun && exec setpriv "$@"'
)


def reap() -> None:
    """Orphans become children of the test run, which has to bury them."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)


@pytest.fixture(scope="module", params=["pasta", "slirp4netns"])
def out(request: pytest.FixtureRequest) -> Iterator[Out]:
    """Standard output of ``lading`` run by a user of the machine who has this program and not the other."""
    name = f"ldn{os.getpid() % 100000}"
    home = Path(tempfile.mkdtemp(prefix="ldhome", dir="/tmp"))
    subprocess.run(["useradd", "-M", "-d", str(home), "-s", "/bin/sh", name], check=True)
    narrow = home / "bin"
    narrow.mkdir()
    for program in [p for p in PROGRAMS if p != "slirp4netns"] + [request.param]:
        found = shutil.which(program, path="/usr/bin:/bin:/usr/sbin")
        if found:
            (narrow / program).symlink_to(found)
    environment = {
        "HOME": str(home),
        "PATH": str(narrow),
        "PYTHONPATH": str(home / "src"),
        **{f"LADING_{word}": f"{home}/{word.lower()}" for word in ("ROOT", "RUN", "CONFIG")},
    }

    def run(*arguments: str) -> str:
        person = [f"--reuid={name}", f"--regid={name}", "--init-groups", "/usr/bin/env", "-i"]
        person += [f"{key}={value}" for key, value in environment.items()]
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", OPEN_TUN, str(home), *person, "/usr/bin/python3", "-m", "lading", *arguments],
            cwd=home, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout.rstrip("\n")

    try:
        shutil.copytree(
            Path(lading.__file__).parent, home / "src/lading", ignore=shutil.ignore_patterns("__pycache__")
        )
        uid = pwd.getpwnam(name).pw_uid
        subprocess.run(["chown", "-R", "-h", f"{uid}:{uid}", str(home)], check=True)
        run("bootstrap", "--quiet", "busybox")
        yield run
        for left in run("ps", "-aq").split():
            run("rm", "-f", left)
        wait_for(
            lambda: reap() or subprocess.run(["pgrep", "-u", name], capture_output=True).returncode != 0,
            "the user's processes to end",
        )
    finally:
        subprocess.run(["userdel", "-f", name], check=True, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


def serve(word: str) -> tuple[str, ...]:
    """A command that serves ``word`` over HTTP."""
    return ("busybox", "sh", "-c", f"mkdir -p /w && echo {word} > /w/index.html && exec httpd -f -p 80 -h /w")


def fetch(port: str) -> str:
    """What the host's loopback serves at ``port``; empty when it does not."""
    try:
        with socket.create_connection(("127.0.0.1", int(port)), 30) as wire:
            wire.settimeout(30)
            wire.sendall(b"GET / HTTP/1.0\r\n\r\n")
            said = b""
            while block := wire.recv(65536):
                said += block
    except OSError:
        return ""
    return said.rpartition(b"\r\n\r\n")[2].decode().strip()


def port_of(out: Out, name: str) -> str:
    return out("port", name, "80").splitlines()[0].rpartition(":")[2]


def test_a_detached_container_is_reached_by_its_published_port(out: Out) -> None:
    out("run", "-d", "--name", "web", "-p", "127.0.0.1::80", *serve("from-web"))
    port = port_of(out, "web")
    wait_for(lambda: fetch(port) == "from-web", "the published port")
    out("stop", "-t", "0", "web")
    assert fetch(port) == ""
    out("start", "web")
    wait_for(lambda: fetch(port_of(out, "web")) == "from-web", "the port after a restart")
    out("rm", "-f", "web")
    assert out("check").endswith("as recorded.")


def test_own_networks_resolve_names_and_are_joined_and_left(out: Out, request: pytest.FixtureRequest) -> None:
    out("network", "create", "app")
    ports = ("-p", "127.0.0.1::80") if "slirp4netns" in request.node.name else ()
    out("run", "-d", "--name", "api", "--network", "app", *ports, *serve("from-api"))
    assert out("run", "--rm", "--network", "app", "busybox", "wget", "-qO-", "http://api") == "from-api"
    if ports:
        wait_for(lambda: fetch(port_of(out, "api")) == "from-api", "the published port")
    out("run", "-d", "--name", "late", "busybox", "sleep", "600")
    out("network", "connect", "app", "late")
    assert out("exec", "late", "wget", "-qO-", "http://api") == "from-api"
    shown = json.loads(out("inspect", "late"))[0]["NetworkSettings"]["Networks"]
    assert sorted(shown) == ["app", "bridge"]
    out("network", "disconnect", "app", "late")
    assert "eth1" not in out("exec", "late", "ip", "-o", "link")
    # From its start on both, whichever gives the default route: "app" comes before "bridge", and "zoo" after it.
    out("network", "create", "zoo")
    for name in ("app", "zoo"):
        both = out("run", "--rm", "--network", name, "--network", "bridge", "busybox", "ip", "route")
        (default,) = [line.split() for line in both.splitlines() if line.startswith("default")]
        assert (default[2] == "10.0.2.2", default[4]) == (
            (True, "eth1") if name == "zoo" else (False, "eth0")
        )
    out("network", "rm", "zoo")
    out("rm", "-f", "api", "late")
    out("network", "rm", "app")
    assert out("check").endswith("as recorded.")
