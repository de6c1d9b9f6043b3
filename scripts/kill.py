"""``make kill N=500 SEED=1``: random ``kill -9``s of Lading's own processes until N have been killed; see docs/reliability.md."""

from __future__ import annotations

import argparse
import ctypes
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import standing  # noqa: E402

from support.killing import Broken  # noqa: E402  # a directory of tests is no installed package
from support.killing_trial import Trial  # noqa: E402
from support.killing_walk import OPERATIONS, Walk, sample  # noqa: E402
from support.surroundings import settle  # noqa: E402


def main() -> int:
    """Rounds until enough were killed. The exit status is 0 when no promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    parser.add_argument("--each", type=int, default=6, help="kills in a round")
    parser.add_argument("--walk", default="", metavar="OPERATION|all", help="kill at every instant instead")
    parser.add_argument("--most", type=int, default=100000, help="instants of one operation")
    options = parser.parse_args()
    settle()
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans are ours to reap
    base = Path(tempfile.mkdtemp(prefix="lk", dir="/tmp"))
    trial = Walk(base, options.seed) if options.walk else Trial(base, options.seed)
    started = time.monotonic()
    number = options.first
    try:
        trial.prepare()
        if isinstance(trial, Walk):
            for operation in OPERATIONS if options.walk == "all" else options.walk.split(","):
                total = trial.instants(operation)
                chosen = sample(total, options.most)
                print(f"{operation}: {len(chosen)} of {total} instants", flush=True)
                for instant in chosen:
                    trial.kill_at(operation, instant)
            options.kills = 0
        while trial.killed.total() < options.kills:
            trial.round(number, options.each)
            number += 1
            print(f"round {number}: {trial.killed.total()} killed", flush=True)
    except Broken as error:
        print(f"BROKEN after {trial.killed.total()} kills: {error}", flush=True)
        return 1
    finally:
        trial.close()
        seconds = time.monotonic() - started
        kinds = ", ".join(f"{n} {kind}" for kind, n in trial.killed.most_common())
        rounds, total = number - options.first, trial.killed.total()
        print(f"{rounds} rounds, {trial.commands} commands, {total} killed ({kinds}), {seconds:.0f} s")
        for what, count in trial.repairs.most_common():
            print(f"  repaired {count} × {what}")
    standing.remove(trial.world.tag)
    shutil.rmtree(base, ignore_errors=True)
    print("nothing lost, nothing left")
    return 0


if __name__ == "__main__":
    sys.exit(main())
