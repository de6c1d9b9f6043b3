"""App Container: a pod of one app against a container of the same content, and an image of ten that depend on each other.

Nobody else runs these images any more. A pod is compared with ``lading run``; what is put together of dependencies, with the
specification's simplest implementation: an archive is extracted after the other, into a new directory for each pod.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.harness import Case, Contender, Result, output, timed
from benchmarks.peers import Bench

BOX = "bench.example/busybox"
TOP = "bench.example/i9"
DEEP = 10
RECORDED = 300
_MEGABYTES = 4


def _manifest(name: str, below: str) -> str:
    dependencies = [{"imageName": below}] if below else []
    app = {"exec": ["/bin/true"], "user": "0", "group": "0"}
    return json.dumps(
        {
            "acKind": "ImageManifest",
            "acVersion": "0.8.11",
            "name": name,
            "app": app,
            "dependencies": dependencies,
        }
    )


def _archives(bench: Bench) -> list[Path]:
    """Busybox, and ten images each on the one before it, with a large file and fifty small ones of its own."""
    place = bench.work / "aci"
    made = [place / "busybox.aci", *(place / f"i{number}.aci" for number in range(DEEP))]
    if made[-1].exists():
        return made
    place.mkdir(exist_ok=True)
    bench.lading_image()
    build = [bench.lading, "aci", "build"]
    output([*build, "--image", "busybox", "--name", BOX, "-o", str(made[0])], env=bench.lading_env())
    for number in range(DEEP):
        files = place / "files"
        (files / f"rootfs/opt/{number}").mkdir(parents=True)
        (files / "manifest").write_text(
            _manifest(f"bench.example/i{number}", f"bench.example/i{number - 1}" if number else BOX)
        )
        (files / f"rootfs/opt/{number}/large").write_bytes(os.urandom(_MEGABYTES << 20))
        for small in range(50):
            (files / f"rootfs/opt/{number}/{small}").write_bytes(os.urandom(1000))
        output([*build, str(files), "--compression", "none", "-o", str(made[number + 1])])
        shutil.rmtree(files)
    return made


def _used(directory: Path) -> float:
    """Megabytes (10⁶ bytes) that a tree takes on disk, a file with two names once."""
    return int(output(["du", "-s", "--block-size=1", str(directory)]).split()[0]) / 1e6


class Lading(Contender):
    """A command of Lading, timed; ``recorded`` pods ended here before."""

    def __init__(self, bench: Bench, name: str, root: str, *words: str, recorded: int = 0) -> None:
        self.name = name
        self.bench = bench
        self.root = root
        self.command = [bench.lading, *words]
        self.recorded = recorded

    def setup(self) -> None:
        env = self.bench.lading_env(self.root)
        for archive in _archives(self.bench):
            output([self.bench.lading, "aci", "import", str(archive)], env=env)
        ended = [self.bench.lading, "rkt", "run", "--net=none", BOX, "--exec=/bin/true"]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda _: output(ended, env=env), range(self.recorded)))

    def sample(self) -> float:
        return timed(self.command, env=self.bench.lading_env(self.root))


class Extracted(Contender):
    """The archives, one after the other, into a new directory: ``value`` of it, or the milliseconds that takes."""

    name = "tar"

    def __init__(self, bench: Bench, value: Callable[[Path], float] | None = None) -> None:
        self.bench = bench
        self.value = value

    def sample(self) -> float:
        directory = self.bench.state / "extracted"
        archives = _archives(self.bench)
        directory.mkdir()
        try:
            started = time.perf_counter()
            for archive in archives:
                subprocess.run(["tar", "-xf", str(archive), "-C", str(directory), "rootfs"], check=True)
            elapsed = (time.perf_counter() - started) * 1000
            return elapsed if self.value is None else self.value(directory)
        finally:
            shutil.rmtree(directory)


class PodSize(Lading):
    """What one more pod takes on disk."""

    def sample(self) -> float:
        data = Path(self.bench.lading_env(self.root)["LADING_ROOT"]) / "pods"
        before = _used(data) if data.exists() else 0.0
        super().sample()
        return _used(data) - before


def _at_most(results: dict[str, Result], other: str, times: float) -> bool | None:
    mine, peer = results["lading"], results[other]
    if not mine.samples:
        return False
    return mine.median <= times * peer.median if peer.samples else None


class RktRun(Case):
    """A pod of one app with a network, and a container of the same image."""

    name = "rkt-run"
    title = "rkt run of one app, bridge"
    goal = "≤ 1.2× `lading run`"

    def __init__(self, bench: Bench, root: str = "rkt", recorded: int = 0) -> None:
        run = ("run", "--entrypoint", "/bin/true", BOX)
        rkt = ("rkt", "run", BOX, "--exec=/bin/true")
        super().__init__(
            [
                Lading(bench, "lading", root, *rkt, recorded=recorded),
                Lading(bench, "lading run", root, *run),
            ]
        )

    def reached(self, results: dict[str, Result]) -> bool | None:
        """No more than a fifth longer."""
        return _at_most(results, "lading run", 1.2)


class RktRunMany(RktRun):
    """The same where hundreds of pods have ended and are still recorded."""

    name = "rkt-run-many"
    title = f"rkt run of one app, {RECORDED} ended pods recorded"

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench, "rkt-many", RECORDED)


class RktRender(Case):
    """A pod of an image with ten below it, from the command line to its end."""

    name = "rkt-render"
    title = f"rkt run of {DEEP} images on each other, {DEEP * _MEGABYTES} MiB"
    goal = "faster than extracting them"

    def __init__(self, bench: Bench) -> None:
        super().__init__([Lading(bench, "lading", "rkt-deep", "rkt", "run", TOP), Extracted(bench)])

    def reached(self, results: dict[str, Result]) -> bool | None:
        """The whole pod is over before the archives would be extracted."""
        return _at_most(results, "tar", 1.0)


class RktSize(Case):
    """What one more pod of it takes on disk."""

    name = "rkt-size"
    title = f"disk for one more pod of {DEEP} images on each other"
    unit = "MB"
    rounds = 3
    goal = "≤ 1 MB"

    def __init__(self, bench: Bench) -> None:
        super().__init__([PodSize(bench, "lading", "rkt-size", "rkt", "run", TOP), Extracted(bench, _used)])

    def reached(self, results: dict[str, Result]) -> bool | None:
        """Nothing of its images is copied."""
        mine = results["lading"]
        return bool(mine.samples) and mine.median <= 1.0
