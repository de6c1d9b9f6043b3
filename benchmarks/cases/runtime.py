"""The OCI runtimes alone: ``run`` of one bundle, nothing around it."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import count
from pathlib import Path

from benchmarks.harness import Case, Contender, Failed, Result, timed
from benchmarks.material import bundle
from benchmarks.peers import Bench, which

_number = count()

_TIMER = """
import json, os, subprocess, sys, time
for line in sys.stdin:
    started = time.perf_counter()
    done = subprocess.run(json.loads(line), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    elapsed = (time.perf_counter() - started) * 1000
    print(json.dumps([done.returncode, elapsed, done.stderr.decode(errors="replace")[-300:]]), flush=True)
"""


class Runtime(Contender):
    """A runtime with runc's command line."""

    def __init__(self, bench: Bench, name: str, program: str) -> None:
        self.bench = bench
        self.name = name
        self.program = program

    def missing(self) -> str:
        return "" if which(self.program) or Path(self.program).exists() else "not installed"

    def setup(self) -> None:
        bundle(self.bench.work, "true", ["/bin/true"])

    def command(self) -> list[str]:
        """One run, under a name that was not used before."""
        where = bundle(self.bench.work, "true", ["/bin/true"])
        root = self.bench.state / f"{self.name}-root"
        return [
            self.program,
            "--root",
            str(root),
            "run",
            "--bundle",
            str(where),
            f"lading-bench-{next(_number)}",
        ]

    def sample(self) -> float:
        return timed(self.command())


class Crun(Runtime):
    """crun refuses a hybrid hierarchy: it runs in a mount namespace without the empty v2 part, held open by a timer."""

    timer: subprocess.Popen[str] | None = None

    def setup(self) -> None:
        super().setup()
        hide = 'test ! -d /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified; exec "$@"'
        self.timer = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", hide, "sh", sys.executable, "-c", _TIMER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def sample(self) -> float:
        assert self.timer is not None and self.timer.stdin is not None and self.timer.stdout is not None
        self.timer.stdin.write(json.dumps(self.command()) + "\n")
        self.timer.stdin.flush()
        answer = self.timer.stdout.readline()
        if not answer:
            raise Failed("crun's timer ended")
        status, elapsed, said = json.loads(answer)
        if status != 0:
            raise Failed(f"crun exited {status}: {said.strip()}")
        return float(elapsed)

    def teardown(self) -> None:
        if self.timer is not None and self.timer.stdin is not None and self.timer.stdout is not None:
            self.timer.stdin.close()
            self.timer.stdout.close()
            self.timer.wait(10)


class RuntimeRun(Case):
    """Lading's runtime against the two that the world uses."""

    name = "runtime-run"
    title = "lading-runtime run BUNDLE"
    rounds = 21
    goal = "no slower than runc"

    def __init__(self, bench: Bench) -> None:
        own = str(Path(bench.lading).with_name("lading-runtime"))
        super().__init__(
            [Runtime(bench, "lading", own), Runtime(bench, "runc", "runc"), Crun(bench, "crun", "crun")]
        )

    def reached(self, results: dict[str, Result]) -> bool | None:
        """Not slower than runc."""
        if not results["lading"].samples:
            return False
        return results["lading"].median <= results["runc"].median if results["runc"].samples else None
