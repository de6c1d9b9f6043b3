"""Debian's dockerd, started for a test and gone with all it made."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

DOCKER = shutil.which("docker", path="/usr/bin:/bin") or "docker"
"""Debian's client, which has BuildKit in it; others want a plugin for it."""


class Daemon:
    """A dockerd without networks below ``directory``, which has a short name for its sockets' sake; a context manager.

    ``group``: where its containers' control groups are, ``/lading-test-NAME``. ``client``: how to call it.
    """

    def __init__(self, directory: Path, group: str, *flags: str) -> None:
        self.directory = directory
        self.client = [DOCKER, "-H", f"unix://{directory}/s"]
        self._group = group
        (directory / "none.json").write_text("{}")
        words = ["dockerd", "--host", f"unix://{directory}/s", "--data-root", f"{directory}/d"]
        words += ["--exec-root", f"{directory}/e", "--pidfile", f"{directory}/pid", "--bridge", "none"]
        words += ["--iptables=false", "--ip6tables=false", "--config-file", f"{directory}/none.json"]
        words += ["--cgroup-parent", group, *flags]
        with (directory / "log").open("w") as log:
            self._daemon = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def _wait(self) -> None:
        end = time.monotonic() + 120
        while subprocess.run([*self.client, "version"], capture_output=True, check=False).returncode:
            assert self._daemon.poll() is None, (self.directory / "log").read_text()[-2000:]
            assert time.monotonic() < end, "dockerd does not answer"
            time.sleep(0.1)

    def close(self) -> None:
        """Stop it, and remove what it left: mounts, its data, and groups in every hierarchy."""
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
        for base, names, _ in os.walk("/sys/fs/cgroup"):  # what runc made above its own
            if self._group[1:] in names:
                names.remove(self._group[1:])
                for group, _, _ in os.walk(base + self._group, topdown=False):
                    os.rmdir(group)

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
