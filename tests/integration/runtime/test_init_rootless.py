"""The runtime inside a user namespace that somebody else made, as an ordinary user's engine has it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import lading

pytestmark = pytest.mark.root

PROGRAM = """
import os, sys
from lading.formats.oci_runtime import Linux, Mount, Namespace, Process, Root, Spec, User
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


@pytest.fixture
def ordinary() -> Iterator[tuple[Path, Callable[..., subprocess.CompletedProcess[str]]]]:
    """``lading-runtime`` for a user who is nobody in particular, in a bundle of his own with a copy of the package."""
    home = Path(tempfile.mkdtemp(prefix="ldordinary", dir="/tmp"))
    shutil.copytree(
        Path(lading.__file__).parent, home / "src/lading", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("bin", "dev", "proc", "sys", "tmp"):
        (home / "rootfs" / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", home / "rootfs/bin/sh")
    subprocess.run(["chown", "-R", "54321:54321", str(home)], check=True)

    def call(*words: str, quiet: bool = False) -> subprocess.CompletedProcess[str]:
        out = (
            subprocess.DEVNULL if quiet else subprocess.PIPE
        )  # a pipe would stay open as long as a container
        who = ["/usr/bin/setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"]
        command = ["/usr/bin/python3", "-m", "lading.runtime.cli", "--root", f"{home}/state", *words]
        return subprocess.run(
            [*who, *command],
            cwd=home,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{home}/src", "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            text=True,
            timeout=120,
        )

    try:
        yield home, call
    finally:
        shutil.rmtree(home)


def test_a_bundle_of_an_ordinary_user_runs_from_spec_to_delete(
    ordinary: tuple[Path, Callable[..., subprocess.CompletedProcess[str]]],
) -> None:
    """No namespace around him and no helper: the container's own user namespace is all the power there is."""
    bundle, call = ordinary
    assert call("spec", "--rootless").returncode == 0
    config = json.loads((bundle / "config.json").read_text())
    script = "id -u; test -e /sys/kernel && echo sys; echo x >/dev/null && echo null"
    config["process"] |= {"args": ["sh", "-c", script], "terminal": False, "env": ["PATH=/bin"]}
    config["linux"]["devices"] = [{"type": "c", "path": "/dev/ptmx", "major": 5, "minor": 2}]
    (bundle / "config.json").write_text(json.dumps(config))
    done = call("run", "a")
    assert (done.returncode, done.stdout.split()) == (0, ["0", "sys", "null"]), done.stderr
    assert call("list", "-q").stdout == ""
    # The system's interpreter has loaded less than ours: what the entering process needs must be loaded before it enters.
    config["process"]["args"] = ["sleep", "600"]
    (bundle / "config.json").write_text(json.dumps(config))
    os.symlink("sh", bundle / "rootfs/bin/sleep")
    assert call("run", "--detach", "b", quiet=True).returncode == 0
    size = {"height": 31, "width": 97}
    process = {"args": ["sh", "-c", "stty size"], "cwd": "/", "terminal": True, "consoleSize": size}
    (bundle / "process.json").write_text(json.dumps(process))
    inside = call("exec", "--process", "process.json", "b")
    assert call("delete", "--force", "b").returncode == 0
    assert (inside.returncode, inside.stdout) == (0, "31 97\n"), inside.stderr
