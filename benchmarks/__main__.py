"""``make bench``: prepare outside, measure inside namespaces of one's own, print one table.

The process starts itself again under ``unshare(1)`` with a private mount and network namespace. Bridges, rules and
mounts of every contender live there and end with it; nothing of the machine's own network takes part.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import material, mirror, table
from benchmarks.cases import every
from benchmarks.cases.build import PACKAGE
from benchmarks.harness import Failed, output
from benchmarks.peers import Bench

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".work" / "bench"
INSIDE = "LADING_BENCH_INSIDE"


def note(text: str) -> None:
    """Progress goes to stderr; stdout holds the table alone."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def prepare(names: set[str]) -> None:
    """Build what needs the outside network."""
    WORK.mkdir(parents=True, exist_ok=True)
    material.busybox_tar(WORK)
    if not names or names & {"pull", "net-pod", "net-port"}:
        note("building the Debian image (once)")
        material.oci_layout(WORK, material.debian_tar(WORK), "debian")
    if not names or names & {"build-cold", "build-mount"}:
        note("filling a mirror with a package (once)")
        mirror.fill(WORK, PACKAGE)


def enter() -> int:
    """Run again inside a mount and a network namespace of its own."""
    command = [
        "unshare",
        "--mount",
        "--net",
        "--propagation",
        "private",
        sys.executable,
        "-m",
        "benchmarks",
        *sys.argv[1:],
    ]
    return subprocess.call(command, env=dict(os.environ, **{INSIDE: "1"}), cwd=ROOT)


def measure(names: set[str], rounds: int) -> int:
    """Run the chosen cases; 0 when Lading gave a result in every one."""
    output(["ip", "link", "set", "lo", "up"])
    bench = Bench(WORK)
    rows: list[list[str]] = []
    record: dict[str, object] = {}
    complete = True
    try:
        for case in every(bench):
            if names and case.name not in names:
                continue
            results = case.run(rounds or case.rounds, note)
            rows.append(table.line(case, results))
            record[case.name] = {
                "unit": case.unit,
                "goal": case.goal,
                "reached": case.reached({r.name: r for r in results}),
                "results": {r.name: {"samples": r.samples, "problem": r.problem} for r in results},
            }
            complete = complete and bool(results[0].samples)
        versions = bench.versions()
    finally:
        bench.close()
    machine = f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
    print(table.render(rows))
    print(f"\n{time.strftime('%Y-%m-%d')}; {machine}; " + "; ".join(f"{k}: {v}" for k, v in versions.items()))
    path = WORK / "results.json"
    path.write_text(json.dumps({"machine": machine, "versions": versions, "cases": record}, indent=2))
    note(f"all samples: {path.relative_to(ROOT)}")
    return 0 if complete else 1


def main() -> int:
    """Parse, prepare, measure."""
    parser = argparse.ArgumentParser(prog="benchmarks", description="Lading against its peers.")
    parser.add_argument("--case", default="", help="names of cases, separated by commas (default: all)")
    parser.add_argument(
        "--rounds", type=int, default=0, help="samples of each contender (default: the case's own)"
    )
    options = parser.parse_args()
    names = set(filter(None, options.case.split(",")))
    if os.geteuid() != 0:
        note("the comparison needs root: daemons, bridges and namespaces")
        return 1
    try:
        if os.environ.get(INSIDE) == "1":
            return measure(names, options.rounds)
        prepare(names)
        return enter()
    except Failed as error:
        note(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
