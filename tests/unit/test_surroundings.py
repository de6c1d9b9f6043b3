"""Tests start from the same signals, umask and variables, whatever the machine that runs them hands down."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]

HARSH = """
import os, signal, sys
for name in ("SIGINT", "SIGHUP", "SIGQUIT", "SIGTERM", "SIGCHLD", "SIGPIPE"):
    signal.signal(getattr(signal, name), signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGTERM, signal.SIGUSR1, signal.SIGALRM})
os.umask(0o777)
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""

SETTLE = """
import os, subprocess, sys
from support import surroundings
surroundings.settle()
print(open("/proc/self/status").read(), os.environ["HOME"], os.environ.get("LADING_ROOT"), oct(os.umask(0)))
subprocess.run([sys.executable, "-c", "pass"], check=True)
sys.stdout.flush()
subprocess.run(["cat", "/proc/self/status"], check=True)
"""


def test_ignored_and_blocked_signals_do_not_reach_the_tests_or_what_they_start() -> None:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(TESTS), "LADING_ROOT": "/nonexistent"}
    said = subprocess.run(
        [sys.executable, "-c", HARSH, SETTLE], env=env, capture_output=True, text=True, check=True, timeout=50
    ).stdout
    own, child = (
        {line.partition(":")[0]: line.partition(":")[2].strip() for line in part.splitlines()}
        for part in said.split("0o22\n")
    )
    # 32 and 33 are glibc's own; its posix_spawn(3) hands them down ignored, and no Python can change that.
    for status in (own, child):
        status["SigIgn"] = f"{int(status['SigIgn'], 16) & ~(3 << 31):x}"
    bits = sum(1 << (number - 1) for number in (signal.SIGPIPE, signal.SIGXFSZ))
    assert int(own["SigIgn"], 16) == bits, "only what Python always ignores"
    assert int(own["SigBlk"], 16) == 0
    assert int(own["SigCgt"], 16) & 1 << (signal.SIGINT - 1), "Ctrl-C is an exception again"
    assert int(child["SigIgn"], 16) == int(child["SigBlk"], 16) == 0
    assert "/nonexistent" not in said
