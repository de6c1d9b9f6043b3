"""How a comparison is made: contenders take turns, medians are compared, and nobody is left out silently.

A :class:`Case` is one question. It has a contender for Lading and one for each peer. A contender prepares itself, is
sampled a number of rounds with the order turned round by one each time (so that nobody always runs on warm or on cold
caches), and cleans up. One that cannot run here is listed with the reason.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple


class Failed(Exception):
    """A contender could not do the work; the message says what it printed."""


class Contender:
    """One way of doing a case's work. Subclasses override what they need."""

    name = "?"

    def missing(self) -> str:
        """Why this contender cannot run on this machine; empty when it can."""
        return ""

    def setup(self) -> None:
        """Everything that is not part of what is measured."""

    def sample(self) -> float:
        """Do the work once; the measured value in the case's unit."""
        raise NotImplementedError

    def teardown(self) -> None:
        """Remove what :meth:`setup` and :meth:`sample` made."""


class Result(NamedTuple):
    """A contender's samples, or why there are none."""

    name: str
    samples: tuple[float, ...]
    problem: str

    @property
    def median(self) -> float:
        """The median sample; NaN without one."""
        return statistics.median(self.samples) if self.samples else float("nan")


class Case:
    """One line of the table."""

    name = ""
    title = ""
    unit = "ms"
    less_is_better = True
    rounds = 11
    goal = ""

    def __init__(self, contenders: Sequence[Contender]) -> None:
        self.contenders = contenders

    def reached(self, results: dict[str, Result]) -> bool | None:
        """Whether the goal is met; None when the peer it compares with has no result."""
        raise NotImplementedError

    def run(self, rounds: int, note: Callable[[str], None]) -> list[Result]:
        """Measure every contender ``rounds`` times, in turns."""
        problems: dict[str, str] = {}
        samples: dict[str, list[float]] = {c.name: [] for c in self.contenders}
        ready: list[Contender] = []
        for contender in self.contenders:
            problems[contender.name] = contender.missing()
            if not problems[contender.name]:
                note(f"{self.name}: preparing {contender.name}")
                try:
                    contender.setup()
                    contender.sample()  # warm caches and pages; not counted
                    ready.append(contender)
                except (Failed, OSError, subprocess.SubprocessError) as error:
                    problems[contender.name] = f"failed: {_first_line(error)}"
                    _quietly(contender.teardown)
        note(f"{self.name}: {rounds} rounds of {', '.join(c.name for c in ready)}")
        for turn in range(rounds):
            for contender in ready[turn % len(ready) :] + ready[: turn % len(ready)] if ready else ():
                if problems[contender.name]:
                    continue
                try:
                    samples[contender.name].append(contender.sample())
                except (Failed, OSError, subprocess.SubprocessError) as error:
                    problems[contender.name] = f"failed: {_first_line(error)}"
        for contender in ready:
            _quietly(contender.teardown)
        return [Result(c.name, tuple(samples[c.name]), problems[c.name]) for c in self.contenders]


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:120]


def _quietly(action: Callable[[], None]) -> None:
    try:
        action()
    except (Failed, OSError, subprocess.SubprocessError) as error:
        print(f"bench: while cleaning up: {_first_line(error)}", file=sys.stderr)


def timed(command: Sequence[str], *, env: dict[str, str] | None = None, cwd: Path | None = None) -> float:
    """Run ``command`` cold, from exec to reaped: milliseconds of wall clock. Raises :class:`Failed` on a bad status."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    _, status = os.waitpid(process.pid, 0)
    elapsed = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.stderr is not None
    with process.stderr:
        if process.returncode != 0:
            os.set_blocking(process.stderr.fileno(), False)
            said = (process.stderr.read() or b"").decode(errors="replace").strip()
            raise Failed(
                f"{command[0]} exited {process.returncode}: {said.splitlines()[-1] if said else 'silent'}"
            )
    return elapsed * 1000


def output(
    command: Sequence[str],
    *,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 600.0,
) -> str:
    """What ``command`` prints. Raises :class:`Failed` with its last line of complaint on a bad status."""
    try:
        done = subprocess.run(
            command,
            check=False,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except FileNotFoundError:
        raise Failed(f"{command[0]} is not on this machine") from None
    except subprocess.TimeoutExpired:
        raise Failed(f"{_name(command)} did not end within {timeout:.0f} s") from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise Failed(f"{_name(command)} exited {done.returncode}: {said[-1] if said else 'silent'}")
    return done.stdout


def _name(command: Sequence[str]) -> str:
    """Program and first word, enough to know what failed."""
    return " ".join([os.path.basename(command[0]), *(w for w in command[1:2] if not w.startswith("-"))])


def version_of(*command: str) -> str:
    """The first line of what ``command`` says about itself, for the table's foot."""
    try:
        lines = output(command).strip().splitlines()
    except Failed:
        return ""
    return lines[0] if lines else ""


def wait_for(ready: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Poll until ``ready``; raises :class:`Failed` when ``what`` does not come up in time."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise Failed(f"{what} did not come up within {seconds:.0f} s")
        time.sleep(0.05)
