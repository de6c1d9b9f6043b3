"""A keeper with nothing to do executes a small interpreter in its own place: nothing of its service may be missing."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import lading
from lading.formats.pod import Pod
from lading.node import ExecRequest, Node, sockets, wire
from lading.node.shop import alive, process_start

pytestmark = pytest.mark.root
Make = Callable[..., Pod]


def _until(check: Callable[[], object]) -> None:
    end = time.monotonic() + 60.0
    while not check():
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.02)


def _asleep(pid: int) -> bool:
    with open(f"/proc/{pid}/cmdline", "rb") as line:
        return b"lading.node.dormant" in line.read()


def _anonymous(pid: int) -> int:
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        return next(int(line.split()[1]) for line in rollup if line.startswith("Anonymous:"))


def _sleeper(node: Node, pod: Pod) -> int:
    """Start the pod and wait until its keeper sleeps: the keeper's pid."""
    keeper = node.run_detached(pod).keeper_pid
    _until(lambda: _asleep(keeper))
    return keeper


def _log(node: Node, name: str) -> list[bytes]:
    return [line.text for line in node.logs(name)]


def _interactive(one: Make, script: str, name: str, **extras: object) -> Pod:
    pod = one("sh", "-c", script, name=name, **extras)
    pod.spec.containers[0].stdin = True
    return pod


def test_it_is_the_same_process_and_smaller(node: Node, one: Make) -> None:
    pod = one("sleep", "100", name="same", mode="")
    keeper = node.run_detached(pod).keeper_pid
    before = _anonymous(keeper)
    _until(lambda: _asleep(keeper))
    record = node.inspect("same")
    assert (record.keeper_pid, record.keeper_start) == (keeper, process_start(keeper))
    assert record.state == "running" and node.check() == []
    assert _anonymous(keeper) < 0.75 * before


def test_output_goes_on_into_the_log_and_the_exit_code_is_learned(node: Node, one: Make) -> None:
    script = "echo awake; until [ -e /go ]; do sleep 0.05; done; echo asleep; sleep 0.3; exit 7"
    _sleeper(node, one("sh", "-c", script, name="talks"))
    node.exec("talks", ExecRequest(command=["touch", "/go"])).wait()
    _until(lambda: _log(node, "talks") == [b"awake", b"asleep"])
    _until(lambda: node.inspect("talks").keeper_pid == 0)
    made = node.inspect("talks").container
    assert (made.state, made.exit_code, made.reason) == ("exited", 7, "Error")


def test_half_a_line_input_and_attaching_survive_the_sleep(node: Node, one: Make) -> None:
    _sleeper(node, _interactive(one, "printf 'half a '; read word; echo $word; read word; exit 4", "half"))
    session = node.attach("half", stdin=True)
    session.write(b"line\n")
    _until(lambda: _log(node, "half") == [b"half a line"])
    session.write(b"end\n")
    assert session.wait() == 4
    session.close()


def test_a_terminal_survives_the_sleep(node: Node, one: Make) -> None:
    pod = _interactive(one, "stty -echo; read word; echo got $word; exit 5", "typed")
    pod.spec.containers[0].tty = True
    _sleeper(node, pod)
    session = node.attach("typed", stdin=True)
    session.resize(33, 44)
    session.write(b"this\n")
    assert session.wait() == 5
    session.close()
    assert _log(node, "typed")[-1].strip() == b"got this"


def test_a_restart_policy_is_honoured_after_the_sleep(node: Node, one: Make) -> None:
    _sleeper(node, one("sleep", "100", name="again", restart="on-failure:1", mode=""))
    first = node.inspect("again").container
    os.kill(first.pid, signal.SIGKILL)
    _until(lambda: node.inspect("again").container.pid not in (0, first.pid))
    second = node.inspect("again").container
    assert second.restarts == 1
    os.kill(second.pid, signal.SIGKILL)
    _until(lambda: node.inspect("again").keeper_pid == 0)
    assert node.inspect("again").container.exit_code == 137


def test_a_signal_wakes_it_to_end_the_pod_in_good_order(node: Node, one: Make) -> None:
    script = "trap 'echo bye; exit 6' TERM; while :; do sleep 0.05; done"
    keeper = _sleeper(node, one("sh", "-c", script, name="orderly"))
    os.kill(keeper, signal.SIGTERM)
    _until(lambda: node.inspect("orderly").keeper_pid == 0)
    assert node.inspect("orderly").container.exit_code == 6
    assert _log(node, "orderly") == [b"bye"]


def test_killed_asleep_it_is_replaced_and_the_new_one_sleeps_too(node: Node, one: Make) -> None:
    keeper = _sleeper(node, one("sleep", "100", name="heir", mode=""))
    os.kill(keeper, signal.SIGKILL)
    _until(lambda: process_start(keeper) == 0)
    assert all(finding.fixed for finding in node.check(repair=True))
    heir = node.inspect("heir").keeper_pid
    assert heir != keeper
    _until(lambda: _asleep(heir))
    sock = sockets.connect(node.inspect("heir").keeper_socket)
    assert wire.ask(sock, {"op": "pods"}) == {"ids": [node.inspect("heir").id]}
    sock.close()
    assert node.stop("heir", timeout=0).container.state == "exited"
    _until(lambda: node.inspect("heir").keeper_pid == 0)
    assert node.check() == []


def test_killed_at_any_moment_of_waking_it_leaves_nothing_that_repair_cannot_finish(
    node: Node, one: Make
) -> None:
    dice = random.Random(11)
    for name in ("w1", "w2", "w3", "w4"):
        keeper = _sleeper(node, one("sleep", "100", name=name, mode="", restart="always"))
        os.kill(node.inspect(name).container.pid, signal.SIGKILL)  # a reason to wake, and to start again
        time.sleep(dice.random() * 0.1)  # the moment is the test's subject, not a wait
        try:
            os.kill(keeper, signal.SIGKILL)
        except ProcessLookupError:
            pass
        _until(lambda keeper=keeper: process_start(keeper) == 0)  # type: ignore[misc]
        node.check(repair=True)
        _until(lambda name=name: node.inspect(name).state == "running")  # type: ignore[misc]
        node.remove(name, force=True)
        left = node.check(repair=True)
        assert node.check() == [], left


def test_it_wakes_while_lading_is_being_replaced(node: Node, tmp_path: Path) -> None:
    """A package manager removes the old modules before, or while, it writes the new ones."""
    installed, aside = tmp_path / "installed", tmp_path / "aside"
    shutil.copytree(Path(lading.__file__).parent, installed / "lading")
    start = (
        "import sys; sys.path[:0] = [sys.argv[1]]; from lading.cli.main import main;"
        "sys.exit(main(['run', '-d', '--name', 'replaced', '--network', 'none', 'busybox', 'sh', '-c',"
        " \"trap 'exit 7' TERM; while :; do sleep 0.05; done\"]))"
    )
    roots = {"LADING_ROOT": node.roots.data, "LADING_RUN": node.roots.run, "LADING_CONFIG": node.roots.config}
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", start, str(installed)],
        env={**os.environ, **roots}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = node.inspect("replaced")
    _until(lambda: _asleep(record.keeper_pid))
    with open(f"/proc/{record.keeper_pid}/cmdline", "rb") as line:
        assert os.fsencode(installed) in line.read()
    installed.rename(aside)
    node.kill("replaced", signal.SIGTERM)
    _until(lambda: not alive(record.container.pid, record.container.pid_start))
    time.sleep(0.3)
    assert process_start(record.keeper_pid) == record.keeper_start
    aside.rename(installed)
    assert node.wait("replaced") == 7
    node.remove("replaced")
