"""Containers run by other OCI runtimes: the same life, told by the same commands."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.root, pytest.mark.peer("runc")]

OUR_OWN = os.path.join(os.path.dirname(sys.executable), "lading-runtime")
LOOP = "trap 'exit 7' TERM; echo out; echo err >&2; while :; do sleep 0.05; done"


def _until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


@pytest.fixture(params=["runc", OUR_OWN], ids=["runc", "lading-runtime"])
def runtime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _row(lading, name: str) -> tuple[str, int]:  # type: ignore[no-untyped-def]
    """Id and keeper's pid of a pod, as its record says."""
    with sqlite3.connect(lading.base / "root/node.db") as database:
        found = database.execute("SELECT id, keeper_pid FROM pods WHERE name = ?", (name,)).fetchone()
    return str(found[0]), int(found[1])


def test_a_foreground_container_has_its_own_status_and_streams(lading, runtime: str) -> None:  # type: ignore[no-untyped-def]
    done = lading(
        "run", "--rm", "--runtime", runtime, "busybox", "sh", "-c", "echo one; echo two >&2; exit 5"
    )
    assert (done.returncode, done.stdout, done.stderr) == (5, "one\n", "two\n")
    fed = lading("run", "--rm", "-i", "--runtime", runtime, "busybox", "cat", input="words\n")
    assert fed.stdout == "words\n"


def test_a_part_of_a_volume_is_refused_by_name(lading, runtime: str) -> None:  # type: ignore[no-untyped-def]
    lading("run", "--rm", "-v", "parts:/v", "busybox", "mkdir", "/v/in", check=True)
    mount = "src=parts,dst=/p,volume-subpath=in"
    done = lading("run", "--rm", "--runtime", runtime, "--mount", mount, "busybox", "true")
    assert done.returncode == 125
    assert "a part of a volume is not supported with runtime" in done.stderr
    lading("volume", "rm", "parts", check=True)


def test_what_fails_is_told_in_one_line_with_dockers_status(lading, runtime: str) -> None:  # type: ignore[no-untyped-def]
    for command, status in (("nope", 127), ("/etc/passwd", 126)):
        done = lading("run", "--rm", "--runtime", runtime, "busybox", command)
        assert done.returncode == status, done.stderr
        assert done.stderr.count("\n") == 1
        assert os.path.basename(runtime) in done.stderr
        assert command in done.stderr or "executable" in done.stderr
    done = lading("run", "--rm", "--runtime", "no-such-runtime", "busybox", "true")
    assert done.returncode == 125
    assert "no-such-runtime" in done.stderr
    assert lading.out("ps", "-aq") == ""
    assert os.listdir(lading.base / "run/bundles") == []


def test_a_detached_one_lives_through_every_command(lading, runtime: str) -> None:  # type: ignore[no-untyped-def]
    lading.out(
        "run", "-d", "--name", "life", "--runtime", runtime, "--memory", "64m", "busybox", "sh", "-c", LOOP
    )
    _until(lambda: lading("logs", "life").stdout == "out\n", "its output is logged")
    assert lading("logs", "life").stderr == "err\n"
    assert lading.out("inspect", "--format", "{HostConfig.Runtime}", "life") == shutil.which(runtime)
    done = lading("exec", "-i", "life", "sh", "-c", "cat; echo bad >&2; exit 4", input="fed\n")
    assert (done.returncode, done.stdout, done.stderr) == (4, "fed\n", "bad\n")
    missing = lading("exec", "life", "nope")
    assert (missing.returncode, missing.stderr.count("\n")) == (127, 1)
    assert "echo out" in lading.out("top", "life")
    assert "64MiB" in lading.out("stats", "--no-stream", "life")
    lading.out("pause", "life")
    assert "Paused" in lading.out("ps")
    lading.out("unpause", "life")
    lading.out("update", "--memory", "128m", "--memory-swap", "-1", "life")
    assert "128MiB" in lading.out("stats", "--no-stream", "life")
    lading.out("stop", "life")
    assert lading.out("inspect", "--format", "{State.ExitCode}", "life") == "7"
    lading.out("start", "life")
    lading.out("kill", "life")
    assert lading.out("wait", "life") == "137"
    lading.out("rm", "life")
    assert os.listdir(lading.base / "run/bundles") == []


def test_it_is_found_again_after_its_keeper_was_killed(lading, runtime: str) -> None:  # type: ignore[no-untyped-def]
    lading.out("run", "-d", "--name", "lost", "--runtime", runtime, "busybox", "sleep", "600")
    identity, keeper = _row(lading, "lost")
    os.kill(keeper, 9)
    _until(lambda: lading("check").returncode == 1, "check sees that the keeper is gone")
    lading.out("check", "--repair")
    assert lading.out("exec", "lost", "echo", "alive") == "alive"
    os.kill(_row(lading, "lost")[1], 9)
    # Nobody keeps it: a removal by force ends it and what the runtime knows of it.
    lading.out("rm", "-f", "lost")
    assert not os.path.exists(lading.base / "run/bundles" / identity)
    lading("check", "--repair")
    assert lading("check").returncode == 0


def test_a_bundle_without_a_record_is_cleaned_up(lading, runtime: str) -> None:  # type: ignore[no-untyped-def]
    lading.out("run", "-d", "--name", "orphan", "--runtime", runtime, "busybox", "sleep", "600")
    identity, keeper = _row(lading, "orphan")
    os.kill(keeper, 9)
    with sqlite3.connect(lading.base / "root/node.db") as database:
        database.execute("DELETE FROM containers WHERE pod_id = ?", (identity,))
        database.execute("DELETE FROM pods WHERE id = ?", (identity,))
    lading.out("check", "--repair")
    assert not os.path.exists(lading.base / "run/bundles" / identity)
    assert lading("check").returncode == 0


def test_the_containers_of_a_pod_share_namespaces(lading, runtime: str) -> None:  # type: ignore[no-untyped-def]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pair"},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "volumes": [{"name": "memory", "emptyDir": {"medium": "Memory"}}],
            "containers": [
                {
                    "name": name,
                    "image": "busybox",
                    "command": ["sleep", "600"],
                    "volumeMounts": [{"name": "memory", "mountPath": "/m"}],
                }
                for name in ("one", "two")
            ],
        },
    }
    lading("pod", "run", "--runtime", runtime, "-", input=json.dumps(pod), check=True)
    spaces = [
        lading.out("exec", f"pair/{name}", "sh", "-c", "cd /proc/self/ns; readlink net ipc uts; hostname")
        for name in ("one", "two")
    ]
    assert spaces[0] == spaces[1]
    lading.out("exec", "pair/one", "touch", "/m/seen")
    assert lading.out("exec", "pair/two", "ls", "/m") == "seen"
    lading.out("pod", "rm", "-f", "pair")
    assert os.listdir(lading.base / "run/bundles") == []


@pytest.mark.peer("crun")
def test_crun_runs_them_where_no_hybrid_hierarchy_is_mounted(lading, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    script = tmp_path / "script"
    script.write_text(
        "mountpoint -q /sys/fs/cgroup/unified && umount /sys/fs/cgroup/unified\n"
        f'lading() {{ {sys.executable} -m lading "$@"; }}\n'
        "lading run -d --name crunned --runtime crun busybox sleep 600 >&2 || exit 1\n"
        "lading exec crunned echo inside\n"
        "lading exec crunned nope; echo $?\n"
        "lading pause crunned >&2 && lading unpause crunned >&2\n"
        "lading rm -f crunned\n"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", str(script)], env=lading.env, text=True, capture_output=True, timeout=120
    )
    assert done.stdout.split() == ["inside", "127", "crunned"], done.stderr
