"""Building images: a build with nothing to do, and one from nothing that installs a package."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks import material, mirror
from benchmarks.harness import Case, Contender, Result, output, timed
from benchmarks.peers import Bench, which

PACKAGE = "nginx-light"
_BLOB = 20_000_000
_STAGES = """
FROM busybox AS build
WORKDIR /src
COPY main.c .
RUN cp main.c main.o
FROM busybox AS assets
WORKDIR /assets
COPY assets .
RUN ls > list
FROM busybox
COPY --from=build /src/main.o /main.o
COPY --from=assets /assets /assets
ENV X=1
CMD ["cat", "/main.o"]
"""
_INSTALL = f"apt-get update -qq && apt-get install -qq -y --no-install-recommends {PACKAGE} > /dev/null 2>&1"
_COLD = f"""
FROM debian
RUN echo '{mirror.SOURCES}' > /etc/apt/sources.list && {_INSTALL}
COPY blob /blob
RUN sha256sum /blob > /sum
"""
_CACHED = f"""
FROM debian
RUN --mount=type=cache,target=/var/cache/apt --mount=type=cache,target=/var/lib/apt \\
    rm -f /etc/apt/apt.conf.d/docker-clean && echo '{mirror.SOURCES}' > /etc/apt/sources.list && {_INSTALL}
COPY blob /blob
RUN sha256sum /blob > /sum
"""


def _context(bench: Bench, name: str, dockerfile: str) -> Path:
    place = bench.state / f"context-{name}"
    if not place.exists():
        (place / "assets").mkdir(parents=True)
        (place / "Dockerfile").write_text(dockerfile)
        (place / "main.c").write_text("int x;\n")
        for number in range(20):
            (place / f"assets/{number}").write_text(f"{number}\n")
        (place / "blob").write_bytes(os.urandom(_BLOB))
        for path in place.rglob("*"):
            os.utime(
                path, (1_000_000_000, 1_000_000_000)
            )  # what is young is read again, and nobody's sources are
    return place


class _Builder(Contender):
    """Builds ``dockerfile`` from a context of its name. ``fresh``: nothing of the builder's cache counts."""

    def __init__(self, bench: Bench, context: str, dockerfile: str, *, fresh: bool, debian: bool) -> None:
        self.bench = bench
        self.context = context
        self.dockerfile = dockerfile
        self.fresh = fresh
        self.debian = debian
        self._mirror: mirror.Mirror | None = None

    def setup(self) -> None:
        _context(self.bench, self.context, self.dockerfile)
        if self.debian:
            self._mirror = self.bench.mirror()
            self.bring_debian(material.debian_tar(self.bench.work))
        self.build(fresh=False)

    def bring_debian(self, tar: Path) -> None:
        """Import the Debian base image."""

    def build(self, *, fresh: bool) -> float:
        """Build once, in milliseconds."""
        raise NotImplementedError

    @property
    def place(self) -> str:
        """The context's directory."""
        return str(self.bench.state / f"context-{self.context}")

    def sample(self) -> float:
        return self.build(fresh=self.fresh)


class LadingBuild(_Builder):
    """Daemonless, from the store of the other cases."""

    name = "lading"

    def bring_debian(self, tar: Path) -> None:
        output([self.bench.lading, "import", str(tar), "debian"], env=self.bench.lading_env())

    def build(self, *, fresh: bool) -> float:
        self.bench.lading_image()
        words = [self.bench.lading, "build", "-q", "-t", f"bench-{self.context}", self.place]
        return timed([*words, "--no-cache"] if fresh else words, env=self.bench.lading_env())


class DockerBuild(_Builder):
    """Debian's dockerd and its own BuildKit."""

    name = "docker"

    def missing(self) -> str:
        return self.bench.docker_missing()

    def bring_debian(self, tar: Path) -> None:
        output(["docker", "import", str(tar), "debian"], env=self.bench.docker_env)

    def build(self, *, fresh: bool) -> float:
        client = which("/usr/bin/docker") or "docker"  # other clients want a plugin for BuildKit
        words = [client, "build", "-q", "-t", f"bench-{self.context}", self.place]
        env = dict(self.bench.docker_env, DOCKER_BUILDKIT="1")
        return timed([*words, "--no-cache"] if fresh else words, env=env)


class BuildahBuild(_Builder):
    """buildah with podman's storage and its lightest isolation, a chroot; its cache is layers of images."""

    name = "buildah"

    def missing(self) -> str:
        return self.bench.podman_missing() if which("buildah") else "not installed"

    def bring_debian(self, tar: Path) -> None:
        output(self.bench.podman("import", "-q", str(tar), "debian"))

    def build(self, *, fresh: bool) -> float:
        words = self.bench.buildah("build", "-q", "--layers", "--pull-never", "-t", f"bench-{self.context}")
        return timed([*words, *(["--no-cache"] if fresh else []), self.place])


class _Build(Case):
    peers: tuple[type[_Builder], ...] = (DockerBuild, BuildahBuild)

    def __init__(self, bench: Bench, context: str, dockerfile: str, *, fresh: bool, debian: bool) -> None:
        kinds: tuple[type[_Builder], ...] = (LadingBuild, *self.peers)
        super().__init__([kind(bench, context, dockerfile, fresh=fresh, debian=debian) for kind in kinds])


class NoChange(_Build):
    """Milliseconds of a build that has nothing to do."""

    name = "build-none"
    title = "build with nothing to do, three stages"
    goal = "≤ 60 ms"

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench, "stages", _STAGES, fresh=False, debian=False)

    def reached(self, results: dict[str, Result]) -> bool | None:
        """Sixty milliseconds."""
        return bool(results["lading"].samples) and results["lading"].median <= 60.0


class Cold(_Build):
    """From a base image to a package installed, 20 MB copied and read."""

    name = "build-cold"
    title = f"cold build: apt-get install {PACKAGE}, copy 20 MB, hash it"
    rounds = 5
    goal = "≤ docker and buildah"

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench, "cold", _COLD, fresh=True, debian=True)

    def reached(self, results: dict[str, Result]) -> bool | None:
        """Not slower than either."""
        mine = results["lading"]
        others = [result for name, result in results.items() if name != "lading" and result.samples]
        if not mine.samples or not others:
            return None if mine.samples else False
        return all(mine.median <= other.median for other in others)


class Cached(_Build):
    """The same with the package manager's files in caches that stay."""

    name = "build-mount"
    title = "the same, downloads cached by a mount"
    rounds = 5
    goal = "≤ half of docker's cold build"
    peers = (DockerBuild,)

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench, "cached", _CACHED, fresh=True, debian=True)
        cold = DockerBuild(bench, "cold", _COLD, fresh=True, debian=True)
        cold.name = "docker, cold"
        self.contenders = [*self.contenders, cold]

    def reached(self, results: dict[str, Result]) -> bool | None:
        """Half of what docker takes without the cache."""
        mine, cold = results["lading"], results["docker, cold"]
        if not mine.samples or not cold.samples:
            return None if mine.samples else False
        return mine.median <= cold.median / 2
