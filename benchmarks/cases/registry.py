"""Two registries and one client: an image of 61 MB, and a thousand small blobs by sixteen clients."""

from __future__ import annotations

import shutil
import socket
import sys
from itertools import count

from benchmarks.harness import Case, Contender, Failed, Result, output
from benchmarks.peers import Bench, Daemon, which


class _Registry(Contender):
    """A registry of its own on loopback, with an empty store."""

    port = 0

    def __init__(self, bench: Bench, work: str) -> None:
        self.bench = bench
        self._work = work
        self._daemon: Daemon | None = None
        self._numbers = count()
        self._store = bench.state / f"{self.name}-{work}"

    def command(self) -> list[str]:
        """What serves ``self._store`` at ``self.port``."""
        raise NotImplementedError

    def setup(self) -> None:
        self._daemon = Daemon(
            self.command(), self.bench.state / f"{self.name}-{self._work}.log", self.bench.lading_env()
        )
        self._daemon.wait(self._listens, self.name)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def sample(self) -> float:
        repository = f"bench/{self._work}{next(self._numbers)}"
        module = "benchmarks.registry_client"
        said = output([sys.executable, "-m", module, self._work, str(self.port), repository])
        try:
            return float(said)
        except ValueError:
            raise Failed(f"the client said {said[:80]!r}") from None

    def teardown(self) -> None:
        if self._daemon is not None:
            self._daemon.stop()
        shutil.rmtree(self._store, ignore_errors=True)


class Lading(_Registry):
    """``lading registry serve``."""

    name = "lading"
    port = 5056

    def command(self) -> list[str]:
        place = ["--listen", f"127.0.0.1:{self.port}", "--storage", str(self._store)]
        return [self.bench.lading, "registry", "serve", *place, "--access-log", "none"]


class DockerRegistry(_Registry):
    """Debian's docker-registry, which logs errors only."""

    name = "docker-registry"
    port = 5057

    def missing(self) -> str:
        return "" if which("docker-registry") else "not installed"

    def command(self) -> list[str]:
        config = self.bench.state / f"docker-registry-{self._work}.yml"
        config.write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage:\n  filesystem:\n    rootdirectory: {self._store}\n"
            f"http:\n  addr: 127.0.0.1:{self.port}\n"
        )
        return [which("docker-registry"), "serve", str(config)]


class _Compared(Case):
    unit = "s"
    rounds = 9
    times = 1.0

    def __init__(self, bench: Bench, work: str) -> None:
        super().__init__([Lading(bench, work), DockerRegistry(bench, work)])
        self.goal = f"≥ {self.times}× docker-registry"

    def reached(self, results: dict[str, Result]) -> bool | None:
        """As many times as fast as Debian's."""
        mine, peer = results["lading"], results["docker-registry"]
        if not mine.samples:
            return False
        return peer.median / mine.median >= self.times if peer.samples else None


class RegistryImage(_Compared):
    """Seconds to push an image of 61 MB and to pull it."""

    name = "registry-image"
    title = "registry: push and pull 61 MB"

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench, "image")


class RegistrySmall(_Compared):
    """Seconds for a thousand blobs of 4 KiB, pushed and pulled by sixteen clients."""

    name = "registry-small"
    title = "registry: 1,000 small blobs, 16 clients"
    times = 1.5

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench, "small")
