"""Containers started, finished and removed a second, eight at a time, with a network, by somebody who stays up.

Docker's side is eight clients of one daemon; Lading's is one process that keeps all its pods, as a server would.
"""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.harness import Case, Contender, Failed, Result, timed
from benchmarks.material import BUSYBOX
from benchmarks.peers import Bench

AT_ONCE = 8


class LadingServer(Contender):
    """Eight at a time through one shared keeper, driven by the node's own interface."""

    name = "lading"
    total = 80

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def setup(self) -> None:
        self.bench.lading_image()

    def sample(self) -> float:
        command = [
            sys.executable,
            "-m",
            "benchmarks.shared_keeper",
            "throughput",
            str(self.total),
            str(AT_ONCE),
            BUSYBOX,
        ]
        done = subprocess.run(
            command, env=self.bench.lading_env(), check=False, capture_output=True, text=True, timeout=300
        )
        if done.returncode != 0:
            raise Failed((done.stderr.strip().splitlines() or ["silent"])[-1])
        return float(done.stdout)


class DockerClients(Contender):
    """Eight docker clients at a time."""

    name = "docker"
    total = 16

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def missing(self) -> str:
        return self.bench.docker_missing()

    def sample(self) -> float:
        command = ["docker", "run", "--rm", BUSYBOX, "true"]
        started = time.perf_counter()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda _: timed(command, env=self.bench.docker_env), range(self.total)))
        return self.total / (time.perf_counter() - started)


class Throughput(Case):
    """How many a second."""

    name = "throughput"
    title = "containers a second, 8 at a time"
    unit = "/s"
    less_is_better = False
    rounds = 3
    goal = "≥ 100/s, or 17× docker"

    def __init__(self, bench: Bench) -> None:
        super().__init__([LadingServer(bench), DockerClients(bench)])

    def reached(self, results: dict[str, Result]) -> bool | None:
        """A hundred a second, or seventeen times docker."""
        mine, docker = results["lading"], results["docker"]
        if not mine.samples:
            return False
        if mine.median >= 100:
            return True
        return mine.median / docker.median >= 17 if docker.samples else None
