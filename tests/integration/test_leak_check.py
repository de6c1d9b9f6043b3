"""The leak check must be able to fail: each kind of leftover is made on purpose and has to be named."""

from __future__ import annotations

import os
import subprocess
import zlib
from pathlib import Path

import pytest

from support import leaks

pytestmark = pytest.mark.root


def _named(before: object, base: Path) -> str:
    return "\n".join(str(leak) for leak in leaks.left_behind(before, str(base), patience=0.3))


def test_an_orphaned_process_is_found_and_ended(tmp_path: Path) -> None:
    before = leaks.snapshot()
    subprocess.run(["sh", "-c", "setsid sleep 997 & exit 0"], check=True)
    found = leaks.left_behind(before, str(tmp_path), patience=0.3)
    assert [leak.kind for leak in found] == ["processes"]
    assert "sleep 997" in found[0].name
    leaks.sweep(found, str(tmp_path))
    assert _named(before, tmp_path) == ""


def test_a_mount_below_the_temporary_directory_is_found_and_detached(tmp_path: Path) -> None:
    before = leaks.snapshot()
    place = tmp_path / "with space"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(place)], check=True)
    try:
        found = leaks.left_behind(before, str(tmp_path), patience=0.3)
        assert f"mounts: {place}" in map(str, found)
        leaks.sweep(found, str(tmp_path))
        assert _named(before, tmp_path) == ""
    finally:
        subprocess.run(["umount", str(place)], check=False, capture_output=True)


def test_a_table_and_a_cgroup_are_blamed_on_the_root_whose_tag_they_carry(tmp_path: Path) -> None:
    before = leaks.snapshot()
    root = tmp_path / "data"
    root.mkdir()
    tag = f"lading-{zlib.crc32(str(root).encode()) & 0xFFFFFF:06x}"
    hierarchy = Path("/sys/fs/cgroup")
    parent = hierarchy / "pids" if (hierarchy / "pids").is_dir() else hierarchy
    try:
        subprocess.run(["nft", "add", "table", "inet", tag], check=True)
        (parent / tag).mkdir()
        said = _named(before, tmp_path)
        assert f"tables: table inet {tag}" in said
        assert f"cgroups: {parent / tag}" in said
        other = tmp_path / "elsewhere"
        other.mkdir()
        assert tag not in _named(before, other), "another worker's module is not blamed"
    finally:
        subprocess.run(["nft", "delete", "table", "inet", tag], check=False)
        os.rmdir(parent / tag)


def test_a_bridge_its_port_and_its_address_are_blamed_on_their_root_and_other_links_on_nobody(
    tmp_path: Path,
) -> None:
    before = leaks.snapshot()
    root = tmp_path / "data"
    root.mkdir()
    bridge = f"ld{zlib.crc32(str(root).encode()) & 0xFFFFFF:06x}-1"
    own = f"lk{os.getpid()}"
    try:
        for command in (
            f"link add {bridge} type bridge",
            f"addr add 192.0.2.77/32 dev {bridge}",
            f"link add {own}a type veth peer name {own}b",
            f"link set {own}a master {bridge}",
        ):
            subprocess.run(["ip", *command.split()], check=True)
        found = leaks.left_behind(before, str(tmp_path), patience=0.3)
        assert set(map(str, found)) == {
            f"links: {bridge}",
            f"links: {own}a in {bridge}",
            f"addresses: {bridge} inet 192.0.2.77/32",
        }
    finally:
        subprocess.run(["ip", "link", "del", bridge], check=False)
        subprocess.run(["ip", "link", "del", f"{own}a"], check=False)


def test_what_ends_within_patience_is_no_leak(tmp_path: Path) -> None:
    before = leaks.snapshot()
    subprocess.run(["sh", "-c", "setsid sleep 0.3 & exit 0"], check=True)
    assert leaks.left_behind(before, str(tmp_path), patience=30.0) == []
