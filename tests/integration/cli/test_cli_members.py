"""Containers that join a pod or another container's IPC, and go with it."""

from __future__ import annotations

import json
import os
import sqlite3
import time

import pytest

pytestmark = pytest.mark.root


def _house(lading, **spec: object) -> None:  # type: ignore[no-untyped-def]
    container = {"name": "main", "image": "busybox", "command": ["sleep", "600"]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "house"},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container], **spec},
    }
    lading("pod", "run", "-", input=json.dumps(pod), check=True)


def _states(lading) -> dict[str, str]:  # type: ignore[no-untyped-def]
    lines = lading.out("ps", "-a", "--format", "{names} {state}").split("\n")
    return dict(line.split() for line in lines if line)


SPACES = "cd /proc/self/ns; readlink net ipc uts; hostname; cat /etc/hosts"


def test_a_member_shares_the_pods_namespaces_and_its_fate(lading) -> None:  # type: ignore[no-untyped-def]
    _house(lading)
    lading.out(
        "run", "-d", "--name", "lodger", "--pod", "house", "--stop-timeout", "0", "busybox", "sleep", "600"
    )
    inside = [lading.out("exec", name, "sh", "-c", SPACES) for name in ("house/main", "lodger")]
    assert inside[0] == inside[1]
    lading.out("exec", "lodger", "touch", "/dev/shm/seen")
    assert lading.out("exec", "house/main", "ls", "/dev/shm") == "seen"
    assert lading.out("pod", "ps", "--format", "{name} {ready} {containers}") == "house 2/2 main,lodger"
    assert lading.out("ps", "--pod", "--format", "{names} {pod}").split("\n")[0] == "lodger house"
    lading.out("pod", "stop", "house")
    assert _states(lading) == {"house/main": "exited", "lodger": "exited"}
    assert lading("start", "lodger").returncode == 1, "its pod does not run"
    lading.out("pod", "start", "house")
    assert _states(lading) == {"house/main": "running", "lodger": "running"}
    refused = lading("pod", "rm", "house")
    assert refused.returncode == 1 and _states(lading)["lodger"] == "running"
    own = lading("rm", "-f", "house/main")
    assert own.returncode == 1 and "lading rm -f house" in own.stderr
    lading.out("pod", "rm", "-f", "house")
    assert _states(lading) == {}


def test_a_pod_that_ends_by_itself_ends_its_members(lading) -> None:  # type: ignore[no-untyped-def]
    _house(lading, restartPolicy="Never")
    lading.out(
        "run", "-d", "--name", "lodger", "--pod", "house", "--stop-timeout", "0", "busybox", "sleep", "600"
    )
    lading.out("kill", "house/main")
    end = time.monotonic() + 60
    while _states(lading)["lodger"] != "exited":
        assert time.monotonic() < end
        time.sleep(0.05)
    # A member outlives its own keeper's death like any container, and goes with the pod.
    lading.out("pod", "start", "house")
    with sqlite3.connect(lading.base / "root/node.db") as database:
        (keeper,) = database.execute("SELECT keeper_pid FROM pods WHERE name = 'lodger'").fetchone()
    os.kill(keeper, 9)
    lading.out("pod", "rm", "-f", "house")
    assert _states(lading) == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--pod", "nowhere"], "pod nowhere does not exist"),
        (["--pod", "new:x"], "new:x"),
        (["--pod", "nowhere", "--publish", "80"], "--publish does not go with --pod"),
        (["--pod", "nowhere", "--hostname", "h"], "--hostname does not go with --pod"),
    ],
)
def test_what_cannot_join_is_told(lading, words: list[str], said: str) -> None:  # type: ignore[no-untyped-def]
    done = lading("run", *words, "busybox", "true")
    assert done.returncode == 125
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_ipc_is_shared_by_containers_that_say_so(lading) -> None:  # type: ignore[no-untyped-def]
    lading.out(
        "run", "-d", "--name", "donor", "--ipc", "shareable", "--shm-size", "1m", "busybox", "sleep", "600"
    )
    script = "echo x > /dev/shm/file; df -k /dev/shm | tail -1"
    told = lading.out("run", "--rm", "--ipc", "container:donor", "busybox", "sh", "-c", script)
    assert told.split()[1] == "1024"
    assert lading.out("exec", "donor", "cat", "/dev/shm/file") == "x"
    lading.out("rm", "-f", "donor")
    lading.out("run", "-d", "--name", "private", "busybox", "sleep", "600")
    done = lading("run", "--rm", "--ipc", "container:private", "busybox", "true")
    assert done.returncode == 125 and "--ipc shareable" in done.stderr
    lading.out("rm", "-f", "private")
    assert not os.path.exists(lading.base / "run/pods") or os.listdir(lading.base / "run/pods") == []
