"""Runs the test stages of ``make test`` and ends with one line that says what ran.

Usage: ``run_tests.py unit integration [-- PYTEST-ARGUMENTS]``. Every stage runs even when one before it failed. The
exit status is 0 only when nothing failed and, under ``LADING_TEST_STRICT=1`` (the default here), nothing was skipped
that says it needs something `make setup` provides.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.surroundings import settle  # noqa: E402  # a directory of tests is no installed package

STAGES = {
    "unit": ["tests/unit", "-n", "auto"],
    "integration": ["tests/integration", "-n", "2", "--dist", "loadfile", "-m", "not real"],
    "real": ["tests/integration/build", "-m", "real"],
    "fuzz": ["tests", "-n", "auto", "-m", "fuzz"],
}
NO_TESTS = 5
"""pytest's exit status when it collected nothing."""


def run_stage(name: str, extra: list[str]) -> tuple[int, dict[str, int], list[str]]:
    """Run one stage; its exit status, its counts, and the reasons of what was skipped."""
    report = ROOT / ".work" / f"tests-{name}.xml"
    report.parent.mkdir(exist_ok=True)
    report.unlink(missing_ok=True)
    print(f"== {name} tests", flush=True)
    environment = dict(os.environ, LADING_TEST_STRICT=os.environ.get("LADING_TEST_STRICT", "1"))
    # Short, because peers refuse long run directories (podman: 50 characters) and sockets have 108.
    base = Path(tempfile.mkdtemp(prefix="lt", dir="/tmp"))
    status = subprocess.call(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            f"--junitxml={report}",
            f"--basetemp={base}",
            "--durations=5",
            *STAGES[name],
            *extra,
        ],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    if status == 0:
        shutil.rmtree(base, ignore_errors=True)
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    skipped: list[str] = []
    if report.exists():
        for suite in ElementTree.parse(report).getroot().iter("testsuite"):
            for key in counts:
                counts[key] += int(suite.get(key, "0"))
        skipped = [
            f"{case.get('classname')}.{case.get('name')}: {node.get('message', '')}"
            for case in ElementTree.parse(report).getroot().iter("testcase")
            for node in case.iter("skipped")
        ]
    return (0 if status == NO_TESTS and name == "fuzz" else status), counts, skipped


def main(arguments: list[str]) -> int:
    """Run the named stages in order."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    stages, extra = arguments[:cut], arguments[cut + 1 :]
    settle()
    started = time.monotonic()
    worst = 0
    total = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    reasons: list[str] = []
    for name in stages:
        status, counts, skipped = run_stage(name, extra)
        worst = worst or status
        reasons += skipped
        for key, count in counts.items():
            total[key] += count
    for reason in reasons:
        print(f"skipped: {reason}")
    failed = total["failures"] + total["errors"]
    passed = total["tests"] - failed - total["skipped"]
    verdict = "FAILED" if worst else "all green"
    seconds = time.monotonic() - started
    print(
        f"tests: {passed} passed, {failed} failed, {total['skipped']} skipped in {seconds:.0f} s: {verdict}"
    )
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
