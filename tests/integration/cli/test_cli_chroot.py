"""Lading in a chroot, as in a build machine: the mount namespace has another root, above the one that Lading sees."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.root


def test_exec_comes_out_in_the_container(lading, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """A container pivoted below the chroot only; setns(2) then led to the machine's own root."""
    command = shlex.join(lading.argv([]))
    root = tmp_path / "host"
    root.mkdir()
    script = f"""
        {command} run -d --network none --name boxed busybox sh -c 'echo inside > /mark; exec sleep 100000' > /dev/null
        {command} exec boxed sh -c 'until cat /mark 2> /dev/null; do sleep 0.05; done'
        {command} exec boxed sh -c 'ls -d /proc/1/root/mark {tmp_path} 2> /dev/null'
        {command} cp boxed:/mark - | tar t
        {command} rm -f boxed > /dev/null
    """
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c",
         'mount --rbind / "$0" && exec chroot "$0" sh -c "$1"', str(root), script],
        env=lading.env, text=True, capture_output=True, timeout=100, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.stdout.split() == ["inside", "/proc/1/root/mark", "mark"], done.stderr
    assert done.stderr == ""
    assert lading.out("ps", "-aq") == ""
