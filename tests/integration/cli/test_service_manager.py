"""What a service manager is told of a pod in the foreground (sd_notify(3)), by the command that is its main process."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.root


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[socket.socket]:
    """A service manager's socket, with who spoke."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        made.bind(str(tmp_path / "notify"))
        made.settimeout(60)
        yield made


def said(heard: socket.socket) -> tuple[str, int]:
    """The next message, and the process that it came from."""
    text, [(_, _, credentials)], _, _ = heard.recvmsg(4096, 256)
    return text.decode(), int.from_bytes(credentials[:4], "little")


def started(lading, heard: socket.socket, *words: str) -> subprocess.Popen[str]:  # type: ignore[no-untyped-def]
    environ = {**lading.env, "NOTIFY_SOCKET": heard.getsockname()}
    return subprocess.Popen(
        lading.argv(words), env=environ, text=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    )


def test_a_container_is_ready_when_it_runs(lading, heard) -> None:  # type: ignore[no-untyped-def]
    script = "trap 'exit 3' TERM; echo $NOTIFY_SOCKET up; while :; do sleep 0.1; done"
    with started(lading, heard, "run", "--rm", "busybox", "sh", "-c", script) as made:
        try:
            assert said(heard) == ("READY=1", made.pid)
            assert made.stdout is not None and made.stdout.readline() == "up\n"
            made.send_signal(signal.SIGTERM)
            assert made.wait(60) == 3
        finally:
            made.kill()


def test_a_pod_is_ready_when_all_of_it_runs_and_says_that_it_ends(lading, heard, tmp_path) -> None:  # type: ignore[no-untyped-def]
    pod = tmp_path / "pod.yaml"
    waits = "trap 'exit 0' TERM; while :; do sleep 0.1; done"
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1}
    spec = {
        "terminationGracePeriodSeconds": 1,
        "initContainers": [{"name": "init", "image": "busybox", "command": ["true"]}],
        "containers": [
            {"name": "a", "image": "busybox", "command": ["sh", "-c", waits], "readinessProbe": probe}
        ],
    }
    pod.write_text(
        json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "told"}, "spec": spec})
    )
    with started(lading, heard, "pod", "run", "--attach", str(pod)) as made:
        try:
            assert said(heard) == ("READY=1", made.pid)
            made.send_signal(signal.SIGTERM)
            assert said(heard) == ("STOPPING=1", made.pid)
            made.wait(60)
        finally:
            made.kill()
            lading("pod", "rm", "-f", "told")


MANIFEST = {
    "acKind": "ImageManifest",
    "acVersion": "0.8.11",
    "name": "x.example/activated",
    "app": {
        # What comes by UDP can be read by a shell; that TCP listens shows by itself.
        "exec": ["/bin/sh", "-c", ("echo $LISTEN_FDS $LISTEN_FDNAMES $NOTIFY_SOCKET; [ $LISTEN_PID = $$ ] && echo mine;"
                 " readlink /proc/$$/fd/4; head -c 5 <&3; echo")],
        "user": "0",
        "group": "0",
        "ports": [
            {"name": "say", "protocol": "udp", "port": 5000, "socketActivated": True},
            {"name": "www", "protocol": "tcp", "port": 5001, "socketActivated": True},
        ],
    },
    "dependencies": [{"imageName": "x.example/busybox"}],
}  # fmt: skip
HAND_OVER = """
import os, sys
for number, fd in enumerate(map(int, sys.argv[1].split(",")), 3):
    os.dup2(fd, number + 100)
count = len(sys.argv[1].split(","))
for number in range(3, 3 + count):
    os.dup2(number + 100, number)
    os.close(number + 100)
os.environ.update(LISTEN_FDS=str(count), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=":".join(["x.socket"] * count))
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture(scope="module")
def activated(lading, tmp_path_factory: pytest.TempPathFactory) -> None:  # type: ignore[no-untyped-def]
    here = tmp_path_factory.mktemp("aci")
    lading.out(
        "aci", "build", "--image", "busybox", "--name", "x.example/busybox:1", "-o", str(here / "base.aci")
    )
    (here / "app/rootfs").mkdir(parents=True)
    (here / "app/manifest").write_text(json.dumps(MANIFEST))
    lading.out("aci", "build", str(here / "app"), "-o", str(here / "app.aci"))
    lading.out("aci", "import", str(here / "base.aci"), str(here / "app.aci"))


@pytest.mark.parametrize("prepared", [False, True])
def test_sockets_of_a_service_manager_are_the_apps(lading, heard, activated, prepared) -> None:  # type: ignore[no-untyped-def]
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_INET6) as tcp,
        socket.socket(socket.AF_UNIX) as other,
    ):
        udp.bind(("127.0.0.1", 0))
        tcp.bind(("::", 0))
        tcp.listen()
        fds = [other.fileno(), udp.fileno(), tcp.fileno()]
        ports = [f"--port=say:{udp.getsockname()[1]}", f"--port=www:{tcp.getsockname()[1]}"]
        words = lading.argv(["rkt", "run", *ports, "x.example/activated"])
        if prepared:
            words = lading.argv(
                ["rkt", "run-prepared", lading.out("rkt", "prepare", *ports, "x.example/activated")]
            )
        words = [sys.executable, "-c", HAND_OVER, ",".join(map(str, fds)), *words]
        environ = {**lading.env, "NOTIFY_SOCKET": heard.getsockname()}
        with subprocess.Popen(words, env=environ, pass_fds=fds, text=True, stdout=subprocess.PIPE) as made:
            try:
                assert said(heard) == ("READY=1", made.pid)
                assert made.stdout is not None
                assert [made.stdout.readline() for _ in range(2)] == ["2 say:www\n", "mine\n"]
                assert made.stdout.readline() == os.readlink(f"/proc/self/fd/{tcp.fileno()}") + "\n"
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                    client.sendto(b"hello", udp.getsockname())
                assert made.stdout.readline() == "hello\n"
                assert made.wait(60) == 0
            finally:
                made.kill()


def test_without_a_service_manager_they_are_made_in_the_pods_network(lading, activated) -> None:  # type: ignore[no-untyped-def]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = lading.argv(["rkt", "run", f"--port=say:{port}", "x.example/activated"])
    with subprocess.Popen(words, env=lading.env, text=True, stdout=subprocess.PIPE) as made:
        try:
            assert made.stdout is not None
            assert [made.stdout.readline() for _ in range(2)] == ["2 say:www\n", "mine\n"]
            assert made.stdout.readline().startswith("socket:[")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"hello", ("127.0.0.1", port))
            assert made.stdout.readline() == "hello\n"
            assert made.wait(60) == 0
        finally:
            made.kill()


@pytest.mark.peer("systemd-socket-activate")
def test_systemds_own_launcher_hands_over(lading, activated) -> None:  # type: ignore[no-untyped-def]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        place = free.getsockname()
    words = ["systemd-socket-activate", "--datagram", f"--listen=127.0.0.1:{place[1]}"]
    words += [f"--setenv={name}" for name in lading.env if name.startswith("LADING_") or name == "PYTHONPATH"]
    words += lading.argv(["rkt", "run", f"--port=say:{place[1]}", "x.example/activated"])
    with subprocess.Popen(
        words, env=lading.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as made:
        try:
            assert made.stdout is not None and made.stderr is not None
            assert "Listening on" in made.stderr.readline()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"hello", place)
            assert [made.stdout.readline() for _ in range(2)] == ["2 say:www\n", "mine\n"]
            assert made.stdout.readline().startswith("socket:[")
            assert made.stdout.readline() == "hello\n"
            assert made.wait(60) == 0
        finally:
            made.kill()


@pytest.mark.peer("systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_units_of_the_documentation(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/rocket.md").read_text()
    units = []
    for block in re.findall(r"```ini\n(.*?)```", page, re.DOTALL):
        for part in re.split(r"(?m)^# /etc/systemd/system/", block)[1:]:
            name, _, text = part.partition("\n")
            units.append(tmp_path / name)
            units[-1].write_text(text.replace("/usr/bin/lading", sys.executable))
    assert len(units) == 4
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
