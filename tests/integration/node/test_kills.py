"""Random ``kill -9``s of commands, keepers, runtimes and half-made containers: see ``support/killing.py``.

``make kill N=500`` is the same for longer.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.killing_trial import Trial
from support.killing_walk import Walk, sample

pytestmark = [pytest.mark.root, pytest.mark.slow]
KILLS = 40


@pytest.mark.timeout(600)
def test_random_kills_lose_nothing_leave_nothing_and_repair_finishes_what_they_interrupted(
    tmp_path: Path,
) -> None:
    trial = Trial(tmp_path, seed=2026)
    try:
        trial.prepare()
        number = 0
        while trial.killed.total() < KILLS:
            trial.round(number, 8)
            number += 1
    finally:
        trial.close()
    assert len(trial.killed) > 1, "not only one kind of process"
    assert trial.repairs, "the kills interrupted something"


@pytest.mark.timeout(600)
def test_a_command_may_be_killed_at_each_of_its_instants(tmp_path: Path) -> None:
    """Two instants of each; ``scripts/kill.py --walk all`` takes them all."""
    walk = Walk(tmp_path, seed=1)
    try:
        walk.prepare()
        for operation in ("run-detached", "rm-force", "volume"):
            for instant in sample(walk.instants(operation), 4)[1:3]:
                walk.kill_at(operation, instant)
    finally:
        walk.close()
    assert walk.killed.total() == 6
