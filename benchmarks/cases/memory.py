"""Memory that one idle detached container adds: the proportional set size of whoever stays beside it.

The processes of the container itself are the same for everybody and not counted: they live in a pid namespace that is
not ours.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import Case, Contender, Failed, Result, output
from benchmarks.material import BUSYBOX
from benchmarks.peers import Bench


def _outside() -> set[int]:
    """Processes of this pid namespace only."""
    own = os.readlink("/proc/self/ns/pid")
    found = set()
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.readlink(f"/proc/{entry}/ns/pid") == own:
                found.add(int(entry))
        except OSError:
            continue
    return found


def _pss(pid: int) -> float:
    """Megabytes (10⁶ bytes) of a process's proportional set."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    return 0.0


class Idle(Contender):
    """Start one detached container, weigh who stayed, remove it."""

    def __init__(
        self, name: str, start: Callable[[], str], remove: Callable[[str], None], missing: Callable[[], str]
    ) -> None:
        self.name = name
        self._start = start
        self._remove = remove
        self._missing = missing

    def missing(self) -> str:
        return self._missing()

    def sample(self) -> float:
        before = _outside()
        container = self._start()
        weights: dict[int, float] = {}
        try:
            came = _outside() - before
            time.sleep(1.5)  # a keeper settles: what it needed to start is given back
            weights = {pid: _pss(pid) for pid in came & _outside()}
        finally:
            self._remove(container)
        # What goes on without the container was somebody else's.
        end = time.monotonic() + 5
        while (left := weights.keys() & _outside()) and time.monotonic() < end:
            time.sleep(0.05)
        stayed = [weight for pid, weight in weights.items() if pid not in left and weight]
        if not stayed:
            raise Failed("nobody stays beside a detached container")
        return sum(stayed)


class MemoryOwnKeeper(Case):
    """A container with a keeper of its own against docker's shim and podman's conmon."""

    name = "memory"
    title = "memory beside an idle detached container"
    unit = "MB"
    rounds = 3
    goal = "≤ 8 MB with a keeper of its own"

    def __init__(self, bench: Bench) -> None:
        sleep = (BUSYBOX, "sleep", "1000")

        def lading_start() -> str:
            bench.lading_image()
            return output([bench.lading, "run", "-d", *sleep], env=bench.lading_env()).strip()

        super().__init__(
            [
                Idle(
                    "lading", lading_start,
                    lambda c: _done(output([bench.lading, "rm", "-f", c], env=bench.lading_env())), lambda: "",
                ),
                Idle(
                    "docker", lambda: output(["docker", "run", "-d", *sleep], env=bench.docker_env).strip(),
                    lambda c: _done(output(["docker", "rm", "-f", c], env=bench.docker_env)), bench.docker_missing,
                ),
                Idle(
                    "podman", lambda: output(bench.podman_run("-d", "--network", "none", *sleep)).strip(),
                    lambda c: _done(output(bench.podman("rm", "-f", "-t", "0", c))), bench.podman_missing,
                ),
            ]
        )  # fmt: skip

    def reached(self, results: dict[str, Result]) -> bool | None:
        """Eight megabytes."""
        return bool(results["lading"].samples) and results["lading"].median <= 8


class SharedKeeper(Contender):
    """What each of twenty idle pods adds to one keeper that keeps them all."""

    name = "lading"

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def setup(self) -> None:
        self.bench.lading_image()

    def sample(self) -> float:
        command = [sys.executable, "-m", "benchmarks.shared_keeper", "memory", "20", BUSYBOX]
        return float(output(command, env=self.bench.lading_env()))


class MemoryShared(Case):
    """A container in a keeper that has others too; the peers have no such thing, and are measured above."""

    name = "memory-shared"
    title = "memory an idle container adds to a shared keeper"
    unit = "MB"
    rounds = 3
    goal = "≤ 0.3 MB"

    def __init__(self, bench: Bench) -> None:
        super().__init__([SharedKeeper(bench)])

    def reached(self, results: dict[str, Result]) -> bool | None:
        """0.3 megabytes."""
        return bool(results["lading"].samples) and results["lading"].median <= 0.3


def _done(_output: str) -> None:
    """Nothing; gives a call that prints the type of one that does not."""
