"""What images made here cost: storing a layer of 170 MB, and the disk that sixteen images of one base take."""

from __future__ import annotations

import os
import shutil
import subprocess
from itertools import count
from pathlib import Path

from benchmarks import material
from benchmarks.harness import Case, Contender, Result, output, timed
from benchmarks.peers import Bench, which

_IMAGES = 16


class _Committer(Contender):
    """A container whose writable layer has a Debian's files; each sample changes it and commits it."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self._numbers = count()

    def shell(self, text: str, env: dict[str, str] | None = None) -> None:
        output(["sh", "-ec", text], env=env)


class LadingCommit(_Committer):
    """Hashing, compressing and unpacking beside each other."""

    name = "lading"

    def setup(self) -> None:
        self.env = self.bench.lading_env("commit")
        tar = material.debian_tar(self.bench.work)
        lading = self.bench.lading
        output([lading, "import", str(material.busybox_tar(self.bench.work)), material.BUSYBOX], env=self.env)
        output([lading, "create", "--name", "big", material.BUSYBOX, "true"], env=self.env)
        self.shell(f"'{lading}' cp - big:/tmp < '{tar}'", self.env)

    def sample(self) -> float:
        number = next(self._numbers)
        self.shell(f"echo {number} > '{self.bench.state}/new'", self.env)
        output([self.bench.lading, "cp", f"{self.bench.state}/new", "big:/new"], env=self.env)
        return timed([self.bench.lading, "commit", "big", f"made:{number}"], env=self.env) / 1000

    def teardown(self) -> None:
        output([self.bench.lading, "rm", "-f", "big"], env=self.env)


class DockerCommit(_Committer):
    """Docker's commit; it keeps no compressed layer."""

    name = "docker"

    def missing(self) -> str:
        return self.bench.docker_missing()

    def setup(self) -> None:
        self.env = self.bench.docker_env
        output(["docker", "create", "--name", "big", material.BUSYBOX, "true"], env=self.env)
        self.shell(f"docker cp - big:/tmp < '{material.debian_tar(self.bench.work)}'", self.env)

    def sample(self) -> float:
        number = next(self._numbers)
        self.shell(f"echo {number} > '{self.bench.state}/new'", self.env)
        output(["docker", "cp", f"{self.bench.state}/new", "big:/new"], env=self.env)
        return timed(["docker", "commit", "big", f"made:{number}"], env=self.env) / 1000

    def teardown(self) -> None:
        output(["docker", "rm", "-f", "big"], env=self.env)


class BuildahCommit(_Committer):
    """Buildah's commit into storage of its own."""

    name = "buildah"

    def missing(self) -> str:
        return "" if which("buildah") else "not installed"

    def buildah(self, *words: str) -> list[str]:
        base = self.bench.state / "buildah"
        short = self.bench._short / "buildah"
        return ["buildah", "--root", str(base), "--runroot", str(short), *words]

    def setup(self) -> None:
        self.container = output(self.buildah("from", "scratch")).strip()
        output(self.buildah("add", self.container, str(material.debian_tar(self.bench.work)), "/"))

    def sample(self) -> float:
        number = next(self._numbers)
        self.shell(f"echo {number} > '{self.bench.state}/new'")
        output(self.buildah("copy", self.container, f"{self.bench.state}/new", "/new"))
        return timed(self.buildah("commit", "-q", self.container, f"made:{number}")) / 1000

    def teardown(self) -> None:
        output(self.buildah("rm", self.container))
        subprocess.run(self.buildah("rmi", "-a", "-f"), check=False, capture_output=True)


class Commit(Case):
    """Storing what a container changed."""

    name = "commit"
    title = "commit of a 170 MB layer"
    unit = "s"
    rounds = 5
    goal = "at least twice as fast as docker and buildah"

    def __init__(self, bench: Bench) -> None:
        super().__init__([LadingCommit(bench), DockerCommit(bench), BuildahCommit(bench)])

    def reached(self, results: dict[str, Result]) -> bool | None:
        """Against both; None when neither could take part."""
        peers = [results[n].median for n in ("docker", "buildah") if not results[n].problem]
        return 2 * results["lading"].median <= min(peers) if peers else None


class _Disk(Contender):
    """Sixteen images, each a file of a megabyte on the same Debian."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self._size = 0.0

    def contexts(self) -> list[Path]:
        """A directory to build from for each image."""
        made = []
        for number in range(_IMAGES):
            path = self.bench.state / f"sixteen-{number}"
            path.mkdir(exist_ok=True)
            (path / "Dockerfile").write_text("FROM base:1\nCOPY file /file\n")
            if not (path / "file").exists():
                (path / "file").write_bytes(os.urandom(1 << 20))
            made.append(path)
        return made

    def sample(self) -> float:
        return self._size


def _base(bench: Bench) -> str:
    """A Debian that no other case has brought: what a store has already takes no more of the disk."""
    path = bench.state / "sixteen.tar"
    if not path.exists():
        (bench.state / "own").write_text("of this case alone\n")
        shutil.copy(material.debian_tar(bench.work), path)
        output(["tar", "--append", "-f", str(path), "-C", str(bench.state), "own"])
    return str(path)


def _used(path: Path) -> float:
    return int(output(["du", "-s", "-B1", str(path)]).split()[0]) / 1e6


class LadingDisk(_Disk):
    """Blobs and unpacked layers."""

    name = "lading"

    def setup(self) -> None:
        env = self.bench.lading_env("disk")
        output([self.bench.lading, "import", _base(self.bench), "base:1"], env=env)
        for number, path in enumerate(self.contexts()):
            output([self.bench.lading, "build", "-q", "-t", f"own:{number}", str(path)], env=env)
        self._size = _used(self.bench.state / "disk" / "data")


class DockerDisk(_Disk):
    """The growth of docker's data directory."""

    name = "docker"

    def missing(self) -> str:
        return self.bench.docker_missing()

    def setup(self) -> None:
        env = dict(self.bench.docker_env, DOCKER_BUILDKIT="0")
        before = _used(self.bench.state / "docker")
        output(["docker", "import", _base(self.bench), "base:1"], env=env)
        for number, path in enumerate(self.contexts()):
            output(["docker", "build", "-q", "-t", f"own:{number}", str(path)], env=env)
        self._size = _used(self.bench.state / "docker") - before

    def teardown(self) -> None:
        names = [f"own:{number}" for number in range(_IMAGES)]
        output(["docker", "rmi", "-f", *names, "base:1"], env=self.bench.docker_env)


class Sixteen(Case):
    """Disk used."""

    name = "sixteen-images"
    title = "disk of sixteen images that share a base"
    unit = "MB"
    rounds = 1
    goal = "no more than docker"

    def __init__(self, bench: Bench) -> None:
        super().__init__([LadingDisk(bench), DockerDisk(bench)])

    def reached(self, results: dict[str, Result]) -> bool | None:
        """Against docker."""
        if results["docker"].problem:
            return None
        return results["lading"].median <= results["docker"].median
