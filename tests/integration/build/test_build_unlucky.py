"""Builds that are ended, disks that are full, contexts that are odd: one clear line each, and nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from support.lading import Lading

pytestmark = pytest.mark.root


@pytest.fixture
def small(tmp_path) -> Iterator[Lading]:
    """A ``lading`` whose root is a small disk."""
    made = Lading(tmp_path / "small")
    root = made.base / "root"
    root.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(root)], check=True, timeout=60)
    try:
        made("bootstrap", "--quiet", "busybox", check=True, timeout=120)
        yield made
    finally:
        made.close()
        subprocess.run(["umount", str(root)], check=True, timeout=60)


@pytest.mark.parametrize("mount,path", [("", "/x"), ("--mount=type=cache,target=/k", "/k/x")])
def test_a_command_that_fills_the_disk_leaves_no_pod(small, context, mount, path):
    context.dockerfile(f"FROM busybox\nRUN --network=none {mount} head -c 40000000 /dev/urandom > {path}\n")
    done = small("build", str(context))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert small.out("ps", "-aq") == ""
    assert small.out("check") == "Everything is as recorded."


def _begun(lading: Lading, *words: str) -> subprocess.Popen[str]:
    """A build that is at a command which says so."""
    running = subprocess.Popen(
        lading.argv(["build", "--progress=plain", *words]),
        env=lading.env,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    for line in running.stderr:
        if line.endswith(" begun\n"):
            break
    return running


@pytest.mark.parametrize("number,status", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_build_that_is_ended_clears_up_and_says_so(lading, context, number, status):
    context.dockerfile('FROM busybox\nRUN echo be"gun"; trap "" TERM INT HUP; sleep 100\n')
    with _begun(lading, "--no-cache", str(context)) as running:
        for _ in range(3):  # a key that is held
            running.send_signal(number)
            time.sleep(0.01)
        said = running.communicate()[1]
    assert running.returncode == status
    assert said.splitlines() in (["lading build: interrupted"], [f"lading build: ended by {number.name}"])
    assert lading.out("ps", "-aq") == ""
    assert lading.out("check") == "Everything is as recorded."


def test_a_layer_that_is_being_compressed_when_a_build_is_ended_leaves_nothing(lading, context):
    context.dockerfile(
        'FROM busybox\nRUN head -c 50000000 /dev/urandom > /big\nRUN --network=none echo be"gun"; sleep 100\n'
    )
    slow = "type=image,compression=gzip,compression-level=9"
    with _begun(lading, "-o", slow, str(context)) as running:
        ingest = lading.base / "root/images/ingest"
        assert [path for path in ingest.iterdir() if path.name.startswith("new.")], (
            "nothing is compressed ahead"
        )
        running.send_signal(signal.SIGINT)
        running.communicate()
    assert running.returncode == 130
    assert lading.out("check") == "Everything is as recorded."


def test_odd_files_of_a_context_are_told_with_their_line(lading, context):
    os.symlink("loop", context.path / "loop")
    for text in ("COPY loop /x", "RUN --mount=type=bind,source=loop,target=/m true"):
        context.dockerfile(f"FROM busybox\n{text}\n")
        told = lading("build", str(context)).stderr
        assert "Dockerfile:2: 'loop' in the build context: too many symbolic links" in told
    os.mkfifo(context.path / ".dockerignore")
    assert "/.dockerignore' is no file" in lading("build", str(context), timeout=20).stderr
