"""The public escapes in their racing forms: a hostile process swaps names in the image while containers start.

Each test runs a fixed number of containers against an attacker that never rests; a start may be refused, but nothing outside
of the root may be read, written, made or changed. docs/security.md says what stands against each.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lading.errors import LadingError
from lading.formats.oci_runtime import Mount
from lading.runtime import RunRequest, Stdio, masks

pytestmark = pytest.mark.root
STARTS = 15
_EXCHANGE = 2


def exchange(a: Path, b: Path) -> None:
    """renameat2(2) with RENAME_EXCHANGE: at every instant both names exist."""
    ctypes.CDLL(None).renameat2(-100, os.fsencode(a), -100, os.fsencode(b), _EXCHANGE)


@contextmanager
def attacker(step: Callable[[], None]) -> Iterator[None]:
    """A process that repeats ``step`` until the block ends; what it finds in its way it ignores."""
    pid = os.fork()  # not a thread: our own process must stay single-threaded
    if pid == 0:
        try:
            while True:
                try:
                    step()
                except OSError:
                    pass
        finally:
            os._exit(0)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def outputs(box: Any, config: Any) -> list[str]:
    """What the containers that came to life printed."""
    said = []
    for _ in range(STARTS):
        try:
            said.append(box.run(config)[1])
        except LadingError:
            continue  # refusing is fine
    return said


def swapped_proc(box: Any, spec: Any) -> list[str]:
    """Containers whose ``/proc`` is renamed, mount and all, while it is being masked."""
    rootfs = Path(box.bundle, "rootfs")
    decoy = rootfs / "decoy"
    (decoy / "sys/kernel").mkdir(parents=True)
    (decoy / "version").write_text("decoy")
    (decoy / "sys/kernel/msgmax").write_text("decoy")
    # The kernel's own proc is the one that has "self"; msgmax belongs to the container's own ipc namespace. A working
    # directory stays what it is, whatever the names become meanwhile.
    script = (
        "for d in /proc /decoy; do cd $d; test -e self/status || continue; "
        'test "$(wc -c <version)" = 0 || echo READ; '
        "{ cat sys/kernel/msgmax >sys/kernel/msgmax; } 2>/dev/null && echo WROTE; done; echo looked"
    )
    config = spec("sh", "-c", script, masked_paths=["/proc/version"], readonly_paths=["/proc/sys"])
    with attacker(lambda: exchange(rootfs / "proc", decoy)):
        return outputs(box, config)


def test_masks_hold_while_proc_is_renamed_under_the_runtime(own_box: Any, spec: Any) -> None:
    said = swapped_proc(own_box, spec)
    assert not [text for text in said if "READ" in text or "WROTE" in text]


def test_masks_by_name_from_the_root_would_miss_the_renamed_proc(
    own_box: Any, spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: this is what the attacker does to a runtime that looks the names up again."""
    find = masks.Guard._find

    def by_name(self: masks.Guard, path: str) -> int:
        self.windows = {}
        root = Path(own_box.bundle, "rootfs")
        exchange(root / "proc", root / "decoy")  # the attacker's luckiest moment
        return find(self, path)

    monkeypatch.setattr(masks.Guard, "_find", by_name)
    rootfs = Path(own_box.bundle, "rootfs")
    (rootfs / "decoy").mkdir()
    (rootfs / "decoy/version").write_text("decoy")
    config = spec("sh", "-c", "wc -c </decoy/version", masked_paths=["/proc/version"])
    assert int(own_box.run(config)[1]) > 0


@pytest.mark.parametrize("kind", ["null", "extra"])
def test_cve_2025_31133_a_device_swapped_for_a_link_changes_nothing_outside(
    own_box: Any, spec: Any, tmp_path: Path, kind: str
) -> None:
    """The image's own /dev: no tmpfs hides what is being replaced while nodes get their modes and owners."""
    from lading.formats.oci_runtime import Device

    dev = Path(own_box.bundle, "rootfs/dev")
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    victim.chmod(0o640)
    before = victim.stat()
    name = "null" if kind == "null" else "thing"
    os.symlink(victim, dev / "link")

    def step() -> None:
        exchange(dev / name, dev / "link")
        (dev / name).unlink()
        os.symlink(victim, dev / "link.new")
        os.rename(dev / "link.new", dev / "link")

    devices = [Device(type="c", path="/dev/thing", major=1, minor=3, file_mode=0o666, uid=7, gid=7)]
    config = spec("true", devices=devices if kind == "extra" else [])
    config.mounts = [m for m in config.mounts if m.type == "proc"]
    with attacker(step):
        outputs(own_box, config)
    after = victim.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert victim.read_text() == "untouched"


def test_cve_2025_52565_a_swapped_console_puts_the_terminal_nowhere_else(own_box: Any, spec: Any) -> None:
    dev = Path(own_box.bundle, "rootfs/dev")
    (dev / "console").touch()
    os.symlink("/proc/sys/kernel/msgmax", dev / "link")
    config = spec("sh", "-c", "grep devpts /proc/self/mountinfo")
    config.mounts = [m for m in config.mounts if m.destination != "/dev"]
    (dev / "pts").mkdir()
    config.process.terminal = True
    with attacker(lambda: exchange(dev / "console", dev / "link")):
        for _ in range(STARTS):
            try:
                made = own_box.runtime.run(
                    RunRequest(own_box.id(), config, own_box.bundle, stdio=Stdio(-1, -1, -1))
                )
            except LadingError:
                continue
            said = b""
            try:
                while part := os.read(made.console, 4096):
                    said += part
            except OSError:  # EIO: the last slave was closed
                pass
            os.close(made.console)
            made.wait()
            made.delete()
            places = [line.split()[4] for line in said.decode().splitlines()]
            assert places and all(place.startswith("/dev/") for place in places), places


def test_cve_2025_52881_sysctls_reach_the_real_procfs_while_names_change(
    own_box: Any, spec: Any, tmp_path: Path
) -> None:
    rootfs = Path(own_box.bundle, "rootfs")
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (rootfs / "decoy/sys/kernel").mkdir(parents=True)
    os.symlink(victim, rootfs / "decoy/sys/kernel/msgmax")
    script = "for d in /proc /decoy; do cd $d; test -e self/status && cat sys/kernel/msgmax; done"
    config = spec("sh", "-c", script, sysctl={"kernel.msgmax": "777"})
    with attacker(lambda: exchange(rootfs / "proc", rootfs / "decoy")):
        said = outputs(own_box, config)
    # Both names may show it, or none, when they change between two looks.
    assert {line for text in said for line in text.split()} <= {"777"} and victim.read_text() == "untouched"


@pytest.mark.parametrize("kind", ["tmpfs", "file", "directory", "cwd"])
def test_cve_2021_30465_targets_in_a_shared_volume_never_lead_to_the_host(
    own_box: Any, spec: Any, tmp_path: Path, kind: str
) -> None:
    """A volume that another container writes to, and mounts or a working directory below it."""
    volume, host = tmp_path / "volume", tmp_path / "host"
    for directory in (volume / "a", host, tmp_path / "source"):
        directory.mkdir(parents=True)
    (tmp_path / "source/file").write_text("x")
    os.symlink(host, volume / "b")
    below = {
        "tmpfs": Mount(destination="/vol/a/x", type="tmpfs", source="t"),
        "file": Mount(destination="/vol/a/y", source=str(tmp_path / "source/file"), options=["bind"]),
        "directory": Mount(destination="/vol/a/z/deep", source=str(tmp_path / "source"), options=["rbind"]),
    }
    mounts = [Mount(destination="/vol", source=str(volume), options=["bind"])]
    config = spec("true", mounts=[*mounts, *([below[kind]] * 3 if kind in below else [])])
    if kind == "cwd":
        config.process.cwd = "/vol/a/made/here"
    with attacker(lambda: exchange(volume / "a", volume / "b")):
        outputs(own_box, config)
    assert list(host.iterdir()) == []


def test_cve_2024_21626_a_swapped_working_directory_is_never_the_hosts(
    own_box: Any, spec: Any, tmp_path: Path
) -> None:
    rootfs = Path(own_box.bundle, "rootfs")
    (tmp_path / "host").mkdir()
    (tmp_path / "host/secret").touch()
    leaked = os.open(tmp_path / "host", os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(leaked, True)
    (rootfs / "work").mkdir()
    os.symlink(f"/proc/self/fd/{leaked}", rootfs / "way-out")
    try:
        with attacker(lambda: exchange(rootfs / "work", rootfs / "way-out")):
            said = outputs(own_box, spec("sh", "-c", "ls; ls /work/", process_cwd="/work"))
    finally:
        os.close(leaked)
    assert not [text for text in said if "secret" in text]


def test_cve_2019_5736_a_command_swapped_for_the_runtime_is_not_executed(own_box: Any, spec: Any) -> None:
    rootfs = Path(own_box.bundle, "rootfs")
    (rootfs / "x").mkdir()
    shutil.copy(rootfs / "bin/busybox", rootfs / "x/readlink")
    os.symlink("/proc/self/exe", rootfs / "x/link")
    with attacker(lambda: exchange(rootfs / "x/readlink", rootfs / "x/link")):
        said = outputs(own_box, spec("/x/readlink", "/proc/self/exe"))
    assert set(said) <= {"/x/readlink\n", "/x/link\n"}
