"""What a RUN mounts, as far as it needs no mounting."""

from __future__ import annotations

import os
from types import SimpleNamespace

from lading.build.graph import Mount, RunOp
from lading.build.mounting import Mounting


def taken(data: str, *ids: str) -> list[int]:
    """The locks that a command with these shared caches takes, in their order, by inode."""
    mounts = [Mount(kind="cache", target=f"/{name}", id=name, sharing="shared") for name in ids]
    mounting = Mounting(SimpleNamespace(data=data), RunOp(args=["true"], mounts=mounts), [], [])  # type: ignore[arg-type]
    try:
        mounting._take_caches()
        return [os.fstat(lock).st_ino for lock in mounting._locks]
    finally:
        mounting.__exit__()


def test_caches_are_locked_in_one_order_whatever_the_command_says(tmp_path):
    first = taken(str(tmp_path), "one", "two", "three")
    assert len(set(first)) == 3
    assert taken(str(tmp_path), "three", "two", "one") == first
    assert taken(str(tmp_path), "two", "three", "one", "two") == first
