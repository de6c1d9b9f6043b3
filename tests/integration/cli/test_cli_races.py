"""Two commands about one thing at the same moment: one of them wins, the other says so in a line, nothing is half done."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.registry import Registry

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
DICE = random.Random(5)
ROUNDS = 2
LIVING = {
    "a container that no record speaks of",
    "a pod runs and its keeper was killed",
    "a pod whose keeper was killed",
    "a removal that was interrupted",
    "files of a pod that no record speaks of",
}

POD = """
apiVersion: v1
kind: Pod
metadata: {name: twice}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: one, image: busybox, command: [sleep, "600"]}
"""


class Done:
    """How one of the commands ended."""

    def __init__(self, words: tuple[str, ...], status: int, out: str, error: str) -> None:
        self.words, self.status, self.out, self.error = words, status, out, error
        assert "internal error" not in error and "Traceback" not in error, f"{words}: {error}"
        assert len(error.splitlines()) <= 1 or words[0] == "pull", f"{words}: {error}"


def _together(lading, *commands: tuple[str, ...]) -> list[Done]:  # type: ignore[no-untyped-def]
    """Run commands beside each other, started within a few milliseconds."""
    processes = []
    for words in commands:
        processes.append(
            subprocess.Popen(
                lading.argv(words), env=lading.env, text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
        )  # fmt: skip
        time.sleep(DICE.uniform(0.0, 0.03))  # so that each round meets at another instant
    done = []
    for words, process in zip(commands, processes, strict=True):
        out, error = process.communicate(timeout=120)
        done.append(Done(words, process.returncode, out, error))
    return done


def _tidy(lading) -> None:  # type: ignore[no-untyped-def]
    done = lading("check")
    assert done.returncode == 0, done.stdout


@pytest.fixture(autouse=True)
def _nothing_half_done(lading) -> Iterator[None]:  # type: ignore[no-untyped-def]
    yield
    _tidy(lading)
    names = lading.out("ps", "-aq").split()
    if names:
        lading("rm", "-f", "-v", *names, check=True)
    _tidy(lading)


@pytest.mark.parametrize(
    "words",
    [
        ("create", "--name", "twice", "busybox", "true"),
        ("run", "-d", "--name", "twice", "--network", "none", "busybox", "sleep", "600"),
        ("network", "create", "twice"),
        ("pod", "run", "POD"),
    ],
    ids=lambda words: words[0],
)
def test_a_name_is_given_once(lading, tmp_path: Path, words: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "pod.yaml"
    file.write_text(POD)
    command = tuple(str(file) if word == "POD" else word for word in words)
    kind = {"network": ("network", "rm"), "pod": ("pod", "rm", "-f")}.get(words[0], ("rm", "-f"))
    for _ in range(ROUNDS):
        done = _together(lading, command, command, command)
        assert sorted(d.status == 0 for d in done) == [False, False, True], [d.error for d in done]
        assert all("twice" in d.error for d in done if d.status)
        lading(*kind, "twice", check=True)


def test_a_name_is_taken_by_one_of_two_renames(lading) -> None:  # type: ignore[no-untyped-def]
    for _ in range(ROUNDS):
        for name in ("a1", "a2"):
            lading("create", "--name", name, "busybox", "true", check=True)
        done = _together(lading, ("rename", "a1", "both"), ("rename", "a2", "both"))
        assert sorted(d.status for d in done) == [0, 1]
        assert len(lading.out("ps", "-a", "--format", "{names}").split()) == 2
        lading("rm", *lading.out("ps", "-aq").split(), check=True)


def test_a_volume_that_two_create_is_one_volume(lading) -> None:  # type: ignore[no-untyped-def]
    for _ in range(ROUNDS):
        run = ("run", "--rm", "--network", "none", "-v", "shared:/etc", "busybox", "cat", "/etc/passwd")
        done = _together(lading, ("volume", "create", "shared"), run, run)
        assert [d.status for d in done] == [0, 0, 0], [d.error for d in done]
        assert lading.out("volume", "ls", "-q") == "shared"
        lading("volume", "rm", "shared", check=True)


def test_a_container_is_removed_or_started_but_not_both(lading) -> None:  # type: ignore[no-untyped-def]
    for _ in range(ROUNDS):
        lading("create", "--name", "x1", "--network", "none", "busybox", "sleep", "600", check=True)
        removed, started = _together(lading, ("rm", "x1"), ("start", "x1"))
        assert (removed.status == 0) != (started.status == 0), (removed.error, started.error)
        left = lading.out("ps", "--format", "{names}")
        assert left == ("" if removed.status == 0 else "x1")
        _tidy(lading)
        lading("rm", "-f", *lading.out("ps", "-aq").split())


def test_stop_restart_and_exec_meet(lading) -> None:  # type: ignore[no-untyped-def]
    for _ in range(ROUNDS):
        lading("run", "-d", "--name", "x2", "busybox", "sleep", "600", check=True)
        done = _together(
            lading, ("stop", "-t", "0", "x2"), ("restart", "-t", "0", "x2"), ("exec", "x2", "true"), ("restart", "-t", "0", "x2")
        )  # fmt: skip
        assert done[0].status == 0, done[0].error
        _tidy(lading)
        lading("restart", "-t", "0", "x2", check=True)
        assert lading.out("exec", "x2", "echo", "alive") == "alive"
        lading("rm", "-f", "x2", check=True)


def test_a_removal_by_force_wins_over_everything(lading) -> None:  # type: ignore[no-untyped-def]
    for _ in range(ROUNDS):
        lading("run", "-d", "--restart", "always", "--name", "x3", "busybox", "sleep", "0.3", check=True)
        done = _together(
            lading, ("exec", "x3", "sleep", "0.1"), ("rm", "-f", "x3"), ("rm", "-f", "x3"), ("pause", "x3")
        )
        assert done[1].status == done[2].status == 0, (done[1].error, done[2].error)
        assert lading.out("ps", "-aq") == ""
        _tidy(lading)


def test_prunes_take_nothing_that_is_being_made(lading) -> None:  # type: ignore[no-untyped-def]
    for _ in range(ROUNDS):
        done = _together(
            lading,
            ("run", "--rm", "-v", "/made", "busybox", "true"),
            ("system", "prune", "-f", "--volumes"),
            ("run", "-d", "--name", "x4", "-v", "x4:/etc", "busybox", "sleep", "600"),
            ("volume", "prune", "-f"),
            ("network", "prune", "-f"),
        )
        assert [d.status for d in done] == [0] * 5, [d.error for d in done]
        assert lading.out("exec", "x4", "cat", "/etc/passwd")
        lading("rm", "-f", "x4", check=True)
        lading("volume", "rm", "x4")


def test_an_image_is_pulled_and_removed_at_once(lading) -> None:  # type: ignore[no-untyped-def]
    with Registry() as registry:
        registry.image("meet", "1")
        reference = f"{registry.host}/meet:1"
        for _ in range(ROUNDS):
            lading("pull", "-q", reference, check=True)
            pulled, _removed, again = _together(
                lading, ("pull", "-q", reference), ("rmi", reference), ("pull", "-q", reference)
            )
            assert pulled.status == again.status == 0, (pulled.error, again.error)
            _tidy(lading)
            lading("pull", "-q", reference, check=True)
            lading("save", "-o", "/dev/null", reference, check=True)
        lading("rmi", reference, check=True)


def _kill_keepers(lading) -> None:  # type: ignore[no-untyped-def]
    from lading.node import Node
    from lading.roots import Roots

    node = Node(Roots.default(lading.env, 0))
    for record in node.list(all=False):
        os.kill(record.keeper_pid, signal.SIGKILL)
    node.shop.close()


def test_two_repairs_give_each_pod_one_keeper(lading) -> None:  # type: ignore[no-untyped-def]
    for name in ("k1", "k2", "k3"):
        lading("run", "-d", "--name", name, "busybox", "sleep", "600", check=True)
    for _ in range(2):
        _kill_keepers(lading)
        _together(lading, ("check", "--repair"), ("check", "--repair"), ("check", "--repair"))
        assert lading("check", "--repair").returncode == 0
        _tidy(lading)
        for name in ("k1", "k2", "k3"):
            assert lading.out("exec", name, "echo", name) == name
        assert lading("stop", "-t", "0", "k1", "k2", "k3").returncode == 0
        lading("start", "k1", "k2", "k3", check=True)


def test_repair_disturbs_nobody(lading) -> None:  # type: ignore[no-untyped-def]
    repair = ("check", "--repair", "--format", "json")
    for _ in range(ROUNDS):
        done = _together(
            lading,
            ("run", "--rm", "-v", "/made", "busybox", "true"),
            repair,
            ("run", "-d", "--name", "x5", "-p", "127.0.0.1::80", "busybox", "sleep", "600"),
            repair,
            ("run", "--rm", "--network", "none", "busybox", "true"),
            repair,
        )
        assert [d.status for d in done] == [0] * 6, [(d.error, d.out) for d in done]
        found = {json.loads(line)["what"] for d in done if d.words == repair for line in d.out.splitlines()}
        # What is on its way out (a port that the kernel is removing) may be helped along; what lives may not.
        assert not found & LIVING, found
        done = _together(lading, ("rm", "-f", "x5"), repair, repair)
        assert [d.status for d in done] == [0] * 3, [(d.error, d.out) for d in done]
