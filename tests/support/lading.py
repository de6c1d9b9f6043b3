"""A ``lading`` with roots of its own, as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src"


class Lading:
    """The command, run as a user runs it. ``base``: where its roots are."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.env = {
            **os.environ,
            "PYTHONPATH": str(SOURCE),
            "LADING_ROOT": str(base / "root"),
            "LADING_RUN": str(base / "run"),
            "LADING_CONFIG": str(base / "config"),
            "DOCKER_CONFIG": str(base / "docker"),
        }

    def argv(self, words: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "lading", *words]

    def __call__(
        self,
        *words: str,
        input: str | None = None,
        check: bool = False,
        timeout: float = 60,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.argv(words),
            env=self.env,
            cwd=cwd,
            text=True,
            capture_output=True,
            timeout=timeout,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
        )
        if check:
            assert done.returncode == 0, done.stderr
        return done

    def out(self, *words: str, input: str | None = None) -> str:
        """Standard output of a command that succeeds, without its last newline."""
        return self(*words, input=input, check=True).stdout.rstrip("\n")

    def close(self) -> None:
        """Remove what the tests left running, and the networks."""
        left = self("ps", "-aq").stdout.split()
        left += self("pod", "ps", "-q").stdout.split()
        if left:
            self("rm", "-f", "-v", *left)
        self("network", "prune", "-f")
        code = (
            "from lading.roots import Roots; from lading.kernel import Kernel; from lading.network import Networks\n"
            "n = Networks(Roots.default(), Kernel())\n"
            "[n.remove(x.name, force=True) for x in n.list()]\n"
        )
        subprocess.run([sys.executable, "-c", code], env=self.env, check=False, timeout=60)
