"""The runtime inside a user namespace that somebody else made, as an ordinary user's engine has it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.root

PROGRAM = """
import os, sys
from lading.formats.oci_runtime import *
from lading.runtime import RunRequest, Runtime, Stdio
spec = Spec(
    oci_version="1.2.0", root=Root(path="rootfs"),
    process=Process(args=["sh", "-c", "id -u; echo x >/dev/null && echo null"], cwd="/", env=["PATH=/bin"]),
    mounts=[Mount(destination="/proc", type="proc", source="proc"), Mount(destination="/dev", type="tmpfs", source="t")],
    linux=Linux(namespaces=[Namespace(type=k) for k in ("pid", "mount", "uts", "ipc", "network")]),
)
container = Runtime(sys.argv[1]).run(RunRequest("rootless", spec, sys.argv[2]))
execed = container.exec(Process(args=["true"], cwd="/", env=["PATH=/bin"])) if len(sys.argv) > 3 else None
status = container.wait()
container.delete()
sys.exit(status)
"""


def test_one_mapped_id_is_enough_and_devices_are_bound_from_the_host(busybox: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3] / "src")}
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", sys.executable, "-c", PROGRAM, str(state), str(busybox)],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout.split()) == (0, ["0", "null"]), done.stderr


def test_additional_groups_are_refused_where_the_namespace_forbids_them(
    busybox: Path, tmp_path: Path
) -> None:
    program = PROGRAM.replace(
        'cwd="/", env=["PATH=/bin"]),\n    mounts', 'cwd="/", user=User(additional_gids=[5])),\n    mounts'
    )
    env: dict[str, Any] = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3] / "src")}
    done = subprocess.run(
        [
            "unshare",
            "--user",
            "--map-root-user",
            sys.executable,
            "-c",
            program,
            str(tmp_path / "s"),
            str(busybox),
        ],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "additionalGids" in done.stderr
