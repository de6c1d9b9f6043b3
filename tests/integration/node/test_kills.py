"""Random ``kill -9``s of commands, keepers, runtimes and half-made containers: see ``support/killing.py``.

``make kill N=500`` is the same for longer.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.killing_trial import Trial

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
