"""The leak check must be able to fail: each kind of leftover is made on purpose and has to be named."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.root


@pytest.fixture
def leaks() -> ModuleType:
    return sys.modules["lading_tests_leaks"]


def _named(leaks: ModuleType, before: object, base: Path, *, parallel: bool = True) -> str:
    return "\n".join(
        str(leak) for leak in leaks.left_behind(before, str(base), parallel=parallel, patience=0.3)
    )


def test_an_orphaned_process_is_found_and_ended(leaks: ModuleType, tmp_path: Path) -> None:
    before = leaks.snapshot()
    subprocess.run(["sh", "-c", "setsid sleep 997 & exit 0"], check=True)
    found = leaks.left_behind(before, str(tmp_path), parallel=True, patience=0.3)
    assert [leak.kind for leak in found] == ["processes"]
    assert "sleep 997" in found[0].name
    leaks.sweep(found, str(tmp_path))
    assert _named(leaks, before, tmp_path) == ""


def test_a_mount_below_the_temporary_directory_is_found_and_detached(
    leaks: ModuleType, tmp_path: Path
) -> None:
    before = leaks.snapshot()
    place = tmp_path / "with space"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(place)], check=True)
    try:
        found = leaks.left_behind(before, str(tmp_path), parallel=True, patience=0.3)
        assert f"mounts: {place}" in map(str, found)
        leaks.sweep(found, str(tmp_path))
        assert _named(leaks, before, tmp_path) == ""
    finally:
        subprocess.run(["umount", str(place)], check=False, capture_output=True)


def test_a_table_and_a_cgroup_are_blamed_on_the_root_whose_tag_they_carry(
    leaks: ModuleType, tmp_path: Path
) -> None:
    before = leaks.snapshot()
    root = tmp_path / "data"
    root.mkdir()
    tag = f"lading-{zlib.crc32(str(root).encode()) & 0xFFFFFF:06x}"
    hierarchy = Path("/sys/fs/cgroup")
    parent = hierarchy / "pids" if (hierarchy / "pids").is_dir() else hierarchy
    try:
        subprocess.run(["nft", "add", "table", "inet", tag], check=True)
        (parent / tag).mkdir()
        said = _named(leaks, before, tmp_path)
        assert f"tables: table inet {tag}" in said
        assert f"cgroups: {parent / tag}" in said
        other = tmp_path / "elsewhere"
        other.mkdir()
        assert tag not in _named(leaks, before, other), "another worker's module is not blamed"
    finally:
        subprocess.run(["nft", "delete", "table", "inet", tag], check=False)
        os.rmdir(parent / tag)


def test_a_link_and_an_address_are_found_when_nobody_runs_beside(leaks: ModuleType, tmp_path: Path) -> None:
    before = leaks.snapshot()
    subprocess.run(["ip", "link", "add", "lad-leak0", "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "addr", "add", "192.0.2.77/32", "dev", "lad-leak0"], check=True)
        said = _named(leaks, before, tmp_path, parallel=False)
        assert "links: lad-leak0" in said
        assert "192.0.2.77/32" in said
    finally:
        subprocess.run(["ip", "link", "del", "lad-leak0"], check=True)


def test_what_ends_within_patience_is_no_leak(leaks: ModuleType, tmp_path: Path) -> None:
    before = leaks.snapshot()
    subprocess.run(["sh", "-c", "setsid sleep 0.3 & exit 0"], check=True)
    assert leaks.left_behind(before, str(tmp_path), parallel=True, patience=5.0) == []
