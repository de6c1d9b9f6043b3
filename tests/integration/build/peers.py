"""What Docker's and Buildah's builders make of the same file: images loaded into one dockerd and looked at by it alone."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

DOCKER = shutil.which("docker", path="/usr/bin:/bin") or "docker"
"""Debian's client, which has BuildKit in it; others want a plugin for it."""
_GROUP = "/lading-test-build"


def run(*words: str, env: dict[str, str] | None = None, timeout: float = 300) -> str:
    """Standard output of a command that succeeds."""
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=env, timeout=timeout
    )
    assert done.returncode == 0, f"{words}: {done.stderr[-3000:]}"
    return done.stdout


class Docker:
    """A dockerd of our own without networks, below a directory with a short name."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.client = [DOCKER, "-H", f"unix://{directory}/s"]
        (directory / "none.json").write_text("{}")
        words = ["dockerd", "--host", f"unix://{directory}/s", "--data-root", f"{directory}/d"]
        words += ["--exec-root", f"{directory}/e", "--pidfile", f"{directory}/pid", "--bridge", "none"]
        words += ["--iptables=false", "--ip6tables=false", "--config-file", f"{directory}/none.json"]
        words += ["--cgroup-parent", _GROUP]
        with (directory / "log").open("w") as log:
            self._daemon = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + 120
        while subprocess.run([*self.client, "version"], capture_output=True, check=False).returncode:
            assert self._daemon.poll() is None, (directory / "log").read_text()[-2000:]
            assert time.monotonic() < end, "dockerd does not answer"
            time.sleep(0.1)

    def __call__(self, *words: str, env: dict[str, str] | None = None) -> str:
        return run(*self.client, *words, env=env)

    def close(self) -> None:
        """Stop it, and remove what it left mounted."""
        self._daemon.send_signal(signal.SIGTERM)
        try:
            self._daemon.wait(60)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
            self._daemon.wait()
        for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            if f" {self.directory}/" in line:
                subprocess.run(["umount", "-l", line.split(" ")[4]], check=False)
        shutil.rmtree(self.directory / "d", ignore_errors=True)
        for base, names, _ in os.walk("/sys/fs/cgroup"):  # what runc made above its own, in every hierarchy
            if _GROUP[1:] in names:
                names.remove(_GROUP[1:])
                for group, _, _ in os.walk(base + _GROUP, topdown=False):
                    os.rmdir(group)

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
