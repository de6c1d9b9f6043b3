"""What Docker's and Buildah's builders make of the same file: images loaded into one dockerd and looked at by it alone."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from support.docker import Daemon

_GROUP = "/lading-test-build"


def run(*words: str, env: dict[str, str] | None = None, timeout: float = 300) -> str:
    """Standard output of a command that succeeds."""
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=env, timeout=timeout
    )
    assert done.returncode == 0, f"{words}: {done.stderr[-3000:]}"
    return done.stdout


class Docker(Daemon):
    """A dockerd of our own, below a directory with a short name."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, _GROUP)

    def __call__(self, *words: str, env: dict[str, str] | None = None) -> str:
        return run(*self.client, *words, env=env)

    def config(self, name: str) -> dict[str, Any]:
        """How an image is to be run, in the words of ``docker inspect``, empty fields left out."""
        config = json.loads(self("image", "inspect", name))[0]["Config"]
        told = "Env Cmd Entrypoint WorkingDir User ExposedPorts Volumes Labels StopSignal Healthcheck OnBuild Shell".split()
        return {key: config[key] for key in told if config.get(key)}

    def files(self, name: str) -> dict[str, tuple[object, ...]]:
        """Everything in an image's file system: kind, mode, owner, content or target. Without what docker itself puts in."""
        container = self("create", name, "none").strip()
        place = self.directory / "export.tar"
        try:
            self("export", "-o", str(place), container)
        finally:
            self("rm", container)
        found: dict[str, tuple[object, ...]] = {}
        with tarfile.open(place) as archive:
            for entry in archive:
                content: object = entry.linkname
                if entry.isreg():
                    stream = archive.extractfile(entry)
                    assert stream is not None
                    content = hashlib.sha256(stream.read()).hexdigest()[:16]
                kind = "file" if entry.isreg() else entry.type.decode()
                found["/" + entry.name.strip("/")] = (kind, f"{entry.mode:o}", entry.uid, entry.gid, content)
        place.unlink()
        for own in (
            "/.dockerenv",
            "/etc/hosts",
            "/etc/hostname",
            "/etc/resolv.conf",
            "/etc/mtab",
            "/dev/console",
            "/dev/pts",
            "/dev/shm",
        ):
            found.pop(own, None)
        return found
