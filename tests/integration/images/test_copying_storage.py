"""Containers on private copies of their images: asked for, found to be needed, killed half-way, and on a full disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[3] / "src"
pytestmark = pytest.mark.root


def _environment(base: Path, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(SOURCE),
        "LADING_ROOT": str(base / "root"),
        "LADING_RUN": str(base / "run"),
        "LADING_CONFIG": str(base / "config"),
        **more,
    }


def _lading(environment: dict[str, str], *words: str, rc: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "lading", *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == rc, done.stderr
    return done.stdout if not rc else done.stderr


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    environment = _environment(tmp_path, LADING_STORAGE="copy")
    _lading(environment, "bootstrap", "-q", "busybox")
    return environment


def test_a_container_on_a_copy_runs_and_its_files_come_out(environment, tmp_path):
    run = ("run", "--network", "none")
    script = "echo new > /etc/new; rm /etc/group; touch /bin/applet; ls -l /bin/sh | cut -c1-10"
    assert "copy" in _lading(environment, "info", "--format", "{storage}")
    assert _lading(environment, *run, "--name", "made", "busybox", "sh", "-c", script) == "-rwxr-xr-x\n"
    assert _lading(environment, "diff", "made").split("\n")[:-1] == [
        "C /bin",
        "A /bin/applet",
        "C /etc",
        "D /etc/group",
        "A /etc/new",
    ]
    _lading(environment, "cp", "made:/etc/new", str(tmp_path / "new"))
    assert (tmp_path / "new").read_text() == "new\n"
    _lading(environment, "cp", str(tmp_path / "new"), "made:/etc/newer")
    _lading(environment, "commit", "made", "again:1")
    for storage in ("copy", "overlay"):
        shown = _lading(
            {**environment, "LADING_STORAGE": storage}, *run, "--rm", "again:1", "ls", "/etc"
        ).split()
        assert {"new", "newer", "passwd"} < set(shown) and "group" not in shown
    assert _lading(environment, *run, "--rm", "-v", "data:/etc", "busybox", "cat", "/etc/group").startswith(
        "root"
    )
    assert "Read-only" in _lading(environment, *run, "--rm", "--read-only", "busybox", "touch", "/x", rc=1)
    _lading(environment, "rm", "made")
    assert os.listdir(tmp_path / "root/pods") == []
    _lading(environment, "check")


def test_a_copy_killed_half_way_is_finished_by_repair_or_the_next_start(environment, tmp_path):
    _lading(environment, "create", "--network", "none", "--name", "made", "busybox", "true")
    # Stands still in the middle of the copy, and says so.
    stop = (
        "import os,sys,signal\nfrom lading.images import copied\nreal = copied._Copier.one\n"
        "def one(self, source, target, there):\n"
        "    real(self, source, target, there)\n"
        "    if b'passwd' in target: os.kill(os.getpid(), signal.SIGKILL)\n"
        "copied._Copier.one = one\nfrom lading.cli.main import main\nsys.argv[1:] = ['start', '-a', 'made']\nmain()"
    )
    subprocess.run(
        [sys.executable, "-c", stop], env=environment, stdin=subprocess.DEVNULL, capture_output=True
    )
    (part,) = (tmp_path / "root/pods").glob("*/*/copy.part")
    assert part.is_dir()
    _lading(environment, "check", "--repair")
    _lading(environment, "check")
    _lading(environment, "start", "-a", "made")
    assert list((tmp_path / "root/pods").glob("*/*/copy.part")) == []
    _lading(environment, "rm", "made")
    assert os.listdir(tmp_path / "root/pods") == []
    _lading(environment, "check")


def _in_mount_namespace(base: Path, mount: str, script: str) -> str:
    """Run ``script`` (with ``$L`` for the command) where ``mount`` was done over LADING_ROOT, which nobody else sees."""
    root = base / "root"
    root.mkdir(exist_ok=True)
    environment = _environment(base, L=f"{sys.executable} -m lading", LADING_STORAGE="auto")
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", f"{mount} {root}\n{script}"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_a_store_on_overlayfs_finds_out_and_copies(tmp_path):
    for name in ("lower", "upper", "work"):
        (tmp_path / name).mkdir()
    options = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    shown = _in_mount_namespace(
        tmp_path,
        f"mount -t overlay overlay -o {options}",
        """
        $L bootstrap -q busybox > /dev/null
        $L info --format '{storage}'
        $L run --network none --name made busybox sh -c 'rm /etc/group; echo x > /x'
        $L commit made again:1 > /dev/null
        $L run --network none --rm again:1 sh -c 'ls /etc/group /x 2>/dev/null'  || true
        $L rm made
        $L check
        """,
    ).split("\n")
    assert shown[0].startswith("copy (no whiteouts can be made below ")
    assert shown[1:4] == ["/x", "made", "Everything is as recorded."]


def test_a_disk_that_fills_while_copying_is_said_and_nothing_stays(tmp_path):
    shown = _in_mount_namespace(
        tmp_path,
        "mount -t tmpfs -o size=24m tmpfs",
        """
        export LADING_STORAGE=copy LADING_UNPACK_RESERVE=0
        $L bootstrap -q busybox > /dev/null
        $L run --network none --name one busybox true
        dd if=/dev/zero of=$LADING_ROOT/filler bs=64k 2>/dev/null || true
        truncate -s -700K $LADING_ROOT/filler  # records fit, a busybox does not
        $L run --network none --name two busybox true 2>&1 || echo "rc $?"
        find $LADING_ROOT/pods -name 'copy.part' -o -name copied | wc -l
        rm $LADING_ROOT/filler
        $L rm two > /dev/null 2>&1 || true
        $L run --network none --rm busybox echo works again
        $L rm one > /dev/null
        $L check
        ls $LADING_ROOT/pods
        """,
    )
    lines = shown.strip().split("\n")
    assert "the disk is full" in lines[0] and lines[1] == "rc 125"
    assert lines[2:] == ["1", "works again", "Everything is as recorded."]


def test_an_unknown_storage_is_one_error(environment):
    said = _lading(
        {**environment, "LADING_STORAGE": "zfs"},
        "run",
        "--rm",
        "--network",
        "none",
        "busybox",
        "true",
        rc=125,
    )
    assert said == "lading run: LADING_STORAGE='zfs' is not one of auto, overlay, copy\n"
