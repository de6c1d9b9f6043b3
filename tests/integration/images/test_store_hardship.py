"""Sudden death at every instant, and a full disk: nothing lost, nothing left, one clear error, and it works again."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.root

TESTS = Path(__file__).parents[2]
TRIALS = TESTS / "support/store_trials.py"
PAIRS = TESTS / "support/store_pairs.py"


def _support(name: str) -> ModuleType:
    qualified = f"lading_tests_support_{name}"
    if qualified not in sys.modules:
        spec = importlib.util.spec_from_file_location(qualified, TESTS / f"support/{name}.py")
        assert spec is not None and spec.loader is not None
        module = sys.modules[qualified] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[qualified]


def _trial(kind: str, operation: str, base: Path, *, small_disk: bool = False) -> dict[str, int]:
    """Run one trial in its own process, with a registry beside it where the operation needs one."""
    wrapper = []
    if small_disk:
        # In a mount namespace of its own: the machine sees no mount.
        mount = f'mount -t tmpfs -o size=24m tmpfs {base / "store"} && exec "$@"'
        wrapper = ["unshare", "--mount", "sh", "-c", mount, "sh"]
    command = [sys.executable, "-P", str(TRIALS), kind, operation, str(base / "store")]
    return _report([*wrapper, *command], base, {"app": ["1"]})


def _report(command: list[str], base: Path, repositories: dict[str, list[str]]) -> dict[str, int]:
    """Run ``command HOST:PORT`` with a registry that has one image under all the names; what it reports."""
    for name in ("store", "aside"):
        (base / name).mkdir()
    environment = {
        **os.environ,
        "PYTHONPATH": f"{TESTS.parent / 'src'}:{TESTS}",
        "TRIAL_ASIDE": str(base / "aside"),
        "LADING_UNPACK_RESERVE": "0",
    }
    registry = _support("registry")
    with registry.Registry() as served:
        dice = random.Random(7)
        layers = [registry.tar({f"file{n}": dice.randbytes(200_000)}) for n in range(3)]
        for repository, tags in repositories.items():
            served.image(repository, *tags, layers=layers)
        done = subprocess.run(
            [*command, served.host],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    report: dict[str, int] = json.loads(done.stdout)
    return report


@pytest.mark.parametrize("operation", ["pull", "load", "rmi", "prune", "commit", "tag", "import", "save"])
def test_killed_at_any_instant_is_finished_by_repair(operation: str, tmp_path: Path) -> None:
    report = _trial("kill", operation, tmp_path)
    assert report["kills"] >= 12, report


@pytest.mark.parametrize("operation", ["pull", "load", "commit", "import", "save"])
def test_a_disk_that_fills_is_said_and_left_clean(operation: str, tmp_path: Path) -> None:
    report = _trial("full", operation, tmp_path, small_disk=True)
    assert report["failures"] >= 2, report


def test_two_processes_killed_at_once_lose_nothing_and_leave_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-P", str(PAIRS), str(tmp_path / "store"), "1", "25"]
    report = _report(command, tmp_path, {"w0": ["0", "1", "2"], "w1": ["0", "1", "2"]})
    assert report["kills"] >= 10 and report["steps"] >= 100, report
