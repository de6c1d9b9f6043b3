"""TCP throughput (iperf3): from one container to another, and from the host through a published port."""

from __future__ import annotations

import json
import time

from benchmarks.harness import Case, Contender, Failed, Result, output
from benchmarks.material import debian_tar
from benchmarks.peers import Bench, which

SECONDS = 3
IMAGE = "bench-debian"
PORT = 5201
PUBLISHED = {"lading": 15201, "docker": 15202}
"""Everybody's server is up for the whole case, each at a port of its own."""


class _Iperf(Contender):
    """A server container for as long as the case runs; each sample is one client of ``SECONDS``."""

    def __init__(self, bench: Bench, published: bool) -> None:
        self.bench = bench
        self.published = published
        self.server = ""

    def tool(self, *words: str) -> str:
        """Run the container engine; what it prints."""
        raise NotImplementedError

    def address(self) -> str:
        """The server's own address on the bridge."""
        raise NotImplementedError

    def run_words(self) -> list[str]:
        """Flags that this engine's ``run`` needs everywhere."""
        return []

    def load(self) -> None:
        """Give the engine the Debian image."""
        self.tool("import", str(debian_tar(self.bench.work)), IMAGE)

    def setup(self) -> None:
        self.load()
        publish = ["-p", f"127.0.0.1:{PUBLISHED[self.name]}:{PORT}"] if self.published else []
        words = ["run", "-d", *self.run_words(), *publish, IMAGE, "iperf3", "-s"]
        self.server = self.tool(*words).strip().splitlines()[-1]
        time.sleep(0.5)

    def sample(self) -> float:
        if self.published:
            text = output(
                ["iperf3", "-c", "127.0.0.1", "-p", str(PUBLISHED[self.name]), "-t", str(SECONDS), "-J"]
            )
        else:
            client = ["iperf3", "-c", self.address(), "-t", str(SECONDS), "-J"]
            text = self.tool("run", "--rm", *self.run_words(), IMAGE, *client)
        try:
            return float(json.loads(text)["end"]["sum_received"]["bits_per_second"]) / 1e9
        except (ValueError, KeyError) as error:
            raise Failed(f"iperf3 gave no result: {error}") from None

    def teardown(self) -> None:
        if self.server:
            self.tool("rm", "-f", self.server)


class LadingIperf(_Iperf):
    """Over Lading's default bridge."""

    name = "lading"

    def tool(self, *words: str) -> str:
        return output([self.bench.lading, *words], env=self.bench.lading_env())

    def address(self) -> str:
        return self.tool("exec", self.server, "hostname", "-I").split()[0]


class DockerIperf(_Iperf):
    """Over docker0, with docker's userland proxy for the loopback port as it is by default."""

    name = "docker"

    def missing(self) -> str:
        return self.bench.docker_missing()

    def tool(self, *words: str) -> str:
        return output(["docker", *words], env=self.bench.docker_env)

    def address(self) -> str:
        return self.tool("exec", self.server, "hostname", "-I").split()[0]


class PodToPod(Case):
    """Two containers on one bridge."""

    name = "net-pod"
    title = "TCP, container to container"
    unit = "Gbit/s"
    less_is_better = False
    rounds = 3
    goal = "≥ 1.0× docker"

    def __init__(self, bench: Bench, published: bool = False) -> None:
        super().__init__([LadingIperf(bench, published), DockerIperf(bench, published)])

    def reached(self, results: dict[str, Result]) -> bool | None:
        """As fast as docker, to the letter: a run that is only nearly as fast has not reached the goal."""
        if not results["lading"].samples:
            return False
        docker = results["docker"]
        return results["lading"].median >= docker.median if docker.samples else None


class PublishedPort(PodToPod):
    """From the host's loopback through a published port."""

    name = "net-port"
    title = "TCP, published port from loopback"

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench, published=True)
        if not which("iperf3"):
            raise Failed("iperf3 is not installed")
