"""The import budget, held by a container that really runs: also what is imported late, inside functions, counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from unit import test_import_budget as budget

pytestmark = pytest.mark.root

TAIL = """
import os
me, leave = os.getpid(), os._exit
def report():
    if os.getpid() == me:
        lines = [f"{m} {seen.get(m, '?')}" for m in list(sys.modules) if m not in baseline]
        fd = os.open(OUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.write(fd, "\\n".join(lines).encode())
        os.close(fd)
def leaving(status):
    report()
    leave(status)
os._exit = leaving
from lading.cli.main import main
try:
    status = main()
except SystemExit as end:
    status = end.code or 0
report()
leave(status if isinstance(status, int) else 1)
"""


@pytest.mark.parametrize("network", ["none", "bridge"])
def test_a_whole_run_imports_only_what_the_budget_allows(
    network: str, tmp_path: Path, lading_env: dict[str, str]
) -> None:
    subprocess.run(
        [sys.executable, "-m", "lading", "bootstrap", "-q", "busybox"],
        env=lading_env,
        check=True,
        capture_output=True,
    )
    out = tmp_path / "modules"
    code = f"OUT = {str(out)!r}\n{budget.RECORDER}{TAIL}"
    # -S would hide what site loads, -I the roots' variables are kept either way
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, "run", "--rm", "--network", network, "busybox", "true"],
        env=lading_env, check=False, capture_output=True, text=True, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    new = dict(line.split(" ", 1) for line in out.read_text().splitlines())
    assert not budget.complaints(new), "\n" + "\n".join(budget.complaints(new))
    assert os.environ.get("LADING_ROOT") != lading_env["LADING_ROOT"]
    assert json.dumps(sorted(new))  # a list of names, nothing else
