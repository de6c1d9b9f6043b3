"""Debian packages for builds, fetched once for a module and then served on loopback: a RUN asks nobody else."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from support.buildsite import BuildSite
from support.lading import Lading

BASE = "debian:bookworm"


class PackageSite:
    """A repository of ``packages`` and what they need, for a root like that of ``lading bootstrap``.

    ``image``: a Debian whose apt knows this repository alone. Builds from it want ``--network host``.
    """

    def __init__(self, lading: Lading, directory: Path, packages: str) -> None:
        self._pool = directory / "pool"
        self._pool.mkdir(parents=True)
        lading("bootstrap", "--quiet", BASE, check=True, timeout=300)
        self._fetch(lading, directory / "apt", packages.split())
        (self._pool / "Packages").write_text(
            "\n".join(self._entry(path) for path in sorted(self._pool.glob("*.deb")))
        )
        self._site = BuildSite(self._pool)
        self.image = "debian-here"
        source = f"deb [trusted=yes] {self._site.url} ./"
        text = f"FROM {BASE}\nRUN echo '{source}' > /etc/apt/sources.list && apt-get update -qq\n"
        (directory / "Dockerfile").write_text(text)
        words = ["build", "-q", "--network", "host", "-t", self.image, "-f", str(directory / "Dockerfile")]
        lading(*words, str(directory), check=True, timeout=120)

    def _fetch(self, lading: Lading, apt: Path, packages: list[str]) -> None:
        """As the image's own apt would, with its list of sources, but for what it has; nothing of this machine's is touched."""
        read = ["run", "--rm", "--network", "none", BASE, "cat"]
        for name in ("var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "etc/apt/preferences.d"):
            (apt / name).mkdir(parents=True)
        (apt / "status").write_text(lading.out(*read, "/var/lib/dpkg/status") + "\n")
        (apt / "etc/apt/sources.list").write_text(lading.out(*read, "/etc/apt/sources.list") + "\n")
        words = ["apt-get", "-qq", "-o", f"Dir={apt}", "-o", f"Dir::State::status={apt}/status"]
        words += ["-o", "Dir::Etc::trustedparts=/etc/apt/trusted.gpg.d", "-o", "APT::Sandbox::User=root"]
        words += ["-o", f"Dir::Cache::archives={self._pool}", "-o", "Acquire::Retries=3"]
        (self._pool / "partial").mkdir()
        for more in (
            ["update"],
            ["install", "--yes", "--download-only", "--no-install-recommends", *packages],
        ):
            done = subprocess.run(
                [*words, *more],
                capture_output=True,
                text=True,
                check=False,
                stdin=subprocess.DEVNULL,
                timeout=300,
            )
            assert done.returncode == 0, done.stderr

    @staticmethod
    def _entry(path: Path) -> str:
        """The paragraph of a repository's list: the package's own, and where its file is."""
        told = subprocess.run(["dpkg-deb", "-f", path], capture_output=True, text=True, check=True).stdout
        data = path.read_bytes()
        return (
            f"{told}Filename: ./{path.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
        )

    def close(self) -> None:
        """Serve no more."""
        self._site.close()
