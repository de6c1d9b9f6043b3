"""A cold ``run --rm busybox true``: one whole container's life as a person waits for it."""

from __future__ import annotations

from benchmarks.harness import Case, Contender, Result, timed
from benchmarks.material import BUSYBOX
from benchmarks.peers import Bench


class LadingRun(Contender):
    """``lading run``; a foreground container, this process its parent."""

    name = "lading"

    def __init__(self, bench: Bench, *flags: str) -> None:
        self.bench = bench
        self.flags = flags

    def setup(self) -> None:
        self.bench.lading_image()

    def sample(self) -> float:
        command = [self.bench.lading, "run", "--rm", *self.flags, BUSYBOX, "true"]
        return timed(command, env=self.bench.lading_env())


class DockerRun(Contender):
    """``docker run`` against a private daemon that is already up."""

    name = "docker"

    def __init__(self, bench: Bench, *flags: str) -> None:
        self.bench = bench
        self.flags = flags

    def missing(self) -> str:
        return self.bench.docker_missing()

    def sample(self) -> float:
        return timed(["docker", "run", "--rm", *self.flags, BUSYBOX, "true"], env=self.bench.docker_env)


class PodmanRun(Contender):
    """``podman run`` with runc."""

    name = "podman"

    def __init__(self, bench: Bench, *flags: str) -> None:
        self.bench = bench
        self.flags = flags

    def missing(self) -> str:
        return self.bench.podman_missing()

    def sample(self) -> float:
        return timed(self.bench.podman_run("--rm", *self.flags, BUSYBOX, "true"))


def _within(results: dict[str, Result], limit: float, times_docker: float) -> bool | None:
    """The goal is a time on the reference machine; on another one, the same ratio to docker."""
    mine, docker = results["lading"], results["docker"]
    if not mine.samples:
        return False
    if mine.median <= limit:
        return True
    return None if not docker.samples else docker.median / mine.median >= times_docker


class RunBridge(Case):
    """With a network: namespace, veth, address, NAT."""

    name = "run-bridge"
    title = "run --rm busybox true, bridge"
    goal = "≤ 45 ms, or 6× docker"

    def __init__(self, bench: Bench) -> None:
        super().__init__([LadingRun(bench), DockerRun(bench), PodmanRun(bench)])

    def reached(self, results: dict[str, Result]) -> bool | None:
        """45 ms or six times as fast as docker."""
        return _within(results, 45, 6)


class RunNone(Case):
    """Without one."""

    name = "run-none"
    title = "run --rm --network none"
    goal = "≤ 35 ms, or 6× docker"

    def __init__(self, bench: Bench) -> None:
        flags = ("--network", "none")
        super().__init__([LadingRun(bench, *flags), DockerRun(bench, *flags), PodmanRun(bench, *flags)])

    def reached(self, results: dict[str, Result]) -> bool | None:
        """35 ms or six times as fast as docker."""
        return _within(results, 35, 6)
