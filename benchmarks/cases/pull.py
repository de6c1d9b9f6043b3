"""Pull and unpack one Debian image from a registry on this machine, into an empty store each time."""

from __future__ import annotations

import shutil
from itertools import count
from pathlib import Path

from benchmarks.harness import Case, Contender, Result, output, timed
from benchmarks.peers import Bench, which


class _Puller(Contender):
    """Fresh directories for every sample: creating files right after deleting many is slow on ext4."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self._numbers = count()
        self._used: list[Path] = []

    def fresh(self) -> str:
        """The name of a directory below the bench's state that nobody used yet."""
        name = f"pull-{self.name}-{next(self._numbers)}"
        self._used.append(self.bench.state / name)
        return name

    def setup(self) -> None:
        self.bench.registry()

    def teardown(self) -> None:
        for directory in self._used:
            shutil.rmtree(directory, ignore_errors=True)


class LadingPull(_Puller):
    """One pipeline: socket, digest, decompression, diff-id, files."""

    name = "lading"

    def sample(self) -> float:
        env = self.bench.lading_env(self.fresh())
        return (
            timed([self.bench.lading, "pull", "-q", f"{self.bench.registry()}/debian:latest"], env=env) / 1000
        )


class PodmanPull(_Puller):
    """podman with storage of its own."""

    name = "podman"

    def missing(self) -> str:
        return self.bench.podman_missing()

    def sample(self) -> float:
        reference = f"{self.bench.registry()}/debian:latest"
        return (
            timed(self.bench.podman("pull", "-q", "--tls-verify=false", reference, root=self.fresh())) / 1000
        )


class Umoci(_Puller):
    """skopeo fetches into a layout, umoci unpacks it."""

    name = "umoci"

    def missing(self) -> str:
        return "" if which("umoci") and which("skopeo") else "not installed"

    def sample(self) -> float:
        directory = self.bench.state / self.fresh()
        directory.mkdir()
        source = f"docker://{self.bench.registry()}/debian:latest"
        fetched = timed(
            ["skopeo", "copy", "-q", "--src-tls-verify=false", source, f"oci:{directory}/image:latest"]
        )
        unpacked = timed(["umoci", "unpack", "--image", f"{directory}/image:latest", f"{directory}/bundle"])
        return (fetched + unpacked) / 1000


class DockerPull(_Puller):
    """docker, whose one store is emptied of the image between samples."""

    name = "docker"

    def missing(self) -> str:
        return self.bench.docker_missing()

    def sample(self) -> float:
        reference = f"{self.bench.registry()}/debian:latest"
        elapsed = timed(["docker", "pull", "-q", reference], env=self.bench.docker_env) / 1000
        output(["docker", "rmi", reference], env=self.bench.docker_env)
        return elapsed


class Pull(Case):
    """Seconds from the command to an image that can run."""

    name = "pull"
    title = "pull and unpack Debian, local registry"
    unit = "s"
    rounds = 3
    goal = "≤ 1.0 s, or 2.5× podman"

    def __init__(self, bench: Bench) -> None:
        super().__init__([LadingPull(bench), PodmanPull(bench), Umoci(bench), DockerPull(bench)])

    def reached(self, results: dict[str, Result]) -> bool | None:
        """One second, or two and a half times as fast as podman."""
        mine, podman = results["lading"], results["podman"]
        if not mine.samples:
            return False
        if mine.median <= 1.0:
            return True
        return podman.median / mine.median >= 2.5 if podman.samples else None
