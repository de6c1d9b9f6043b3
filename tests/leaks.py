"""What a test run may leave on the machine: nothing. This module looks, compares and names.

A thing is *ours* by its name (``lading…``), by lying below a test's temporary directory, or by descending from the
test process. When several workers run beside each other, a kernel object whose owner cannot be told from its name is
left to the look at the end of the whole run.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import time
import zlib
from pathlib import Path
from typing import NamedTuple

PR_SET_CHILD_SUBREAPER = 36


class Leak(NamedTuple):
    """``kind`` says what it is; ``name`` is how the kernel or the file system calls it."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"


class Snapshot(NamedTuple):
    """The machine at one moment; everything as sets of names."""

    mounts: frozenset[str]
    cgroups: frozenset[str]
    links: frozenset[str]
    addresses: frozenset[str]
    tables: frozenset[str]
    namespaces: frozenset[str]
    processes: frozenset[str]


def become_subreaper() -> None:
    """Adopt every orphan below this process (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def snapshot() -> Snapshot:
    """Look at mounts, cgroups, links, addresses, nftables tables, named namespaces and our descendants."""
    return Snapshot(_mounts(), _cgroups(), _links(), _addresses(), _tables(), _namespaces(), _processes())


def left_behind(before: Snapshot, base: str, *, parallel: bool, patience: float = 3.0) -> list[Leak]:
    """What is there now and was not ``before``. Waits up to ``patience`` seconds for what is on its way out.

    ``base`` is the temporary directory of this process's tests. With ``parallel`` only what is surely this
    process's is reported: descendants, mounts below ``base`` and kernel objects named after a root below it.
    """
    deadline = time.monotonic() + patience
    while True:
        _reap()
        now = snapshot()
        found = [
            Leak(kind, name)
            for kind, old, new in zip(Snapshot._fields, before, now, strict=True)
            for name in sorted(new - old)
        ]
        if parallel:
            mine = _tags_below(base)
            found = [leak for leak in found if _surely_ours(leak, base, mine)]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def remove_idle_roots(base: str) -> None:
    """Remove what a root keeps while no container runs: its bridge, its empty table, its empty cgroup.

    They stay by design, as docker0 does, because making them costs a start ten milliseconds. Here the root itself is
    about to vanish. A bridge with a port, a table with a published port and a group with a child are left alone, and
    so are found by the comparison that follows.
    """
    for tag in _tags_below(base):
        short = "ld" + tag.removeprefix("lading-") + "-"
        busy = False
        for link in _links():
            if link.startswith(short):
                if os.path.isdir(f"/sys/class/net/{link}/brif") and not os.listdir(
                    f"/sys/class/net/{link}/brif"
                ):
                    _output("ip", "link", "delete", link)
                else:
                    busy = True
        text = "" if busy or os.geteuid() != 0 else _output("nft", "list", "table", "inet", tag)
        if text and not re.search(r"map (?:published|everywhere)\d \{[^}]*elements", text):
            _output("nft", "delete", "table", "inet", tag)
        for hierarchy in ("", *os.listdir("/sys/fs/cgroup")):
            try:
                os.rmdir(os.path.join("/sys/fs/cgroup", hierarchy, tag))
            except OSError:
                continue


def remove_idle_parent_groups() -> None:
    """The runtime keeps ``/lading``, the parent of its containers' groups, between containers. One that is idle is no leak.

    A group with a child or a process cannot be removed and stays to be found.
    """
    for found in _cgroups():
        if os.path.basename(found) == "lading":
            try:
                os.rmdir(found)
            except OSError:
                pass


def sweep(found: list[Leak], base: str) -> None:
    """Make the next module's start clean: end leaked descendants, detach mounts below ``base``. Best effort."""
    for leak in found:
        if leak.kind == "processes":
            try:
                os.kill(int(leak.name.split()[0]), signal.SIGKILL)
            except OSError:
                continue
    if base:
        for mount in sorted(_mounts(), reverse=True):
            if mount.startswith(base + "/"):
                subprocess.run(["umount", "-l", mount], check=False, capture_output=True)
    time.sleep(0.1)
    _reap()


def _surely_ours(leak: Leak, base: str, tags: frozenset[str]) -> bool:
    if leak.kind == "processes":
        return True
    if leak.kind in ("mounts", "namespaces"):
        return leak.name.startswith(base + "/")
    return any(tag in leak.name for tag in tags)


def _tags_below(base: str) -> frozenset[str]:
    """The kernel-name tags (``Roots.tag``) of every directory near the top of ``base`` that may have been a root."""
    tags = set()
    pending = [(Path(base), 0)]
    while pending:
        directory, depth = pending.pop()
        tags.add(f"lading-{zlib.crc32(str(directory).encode()) & 0xFFFFFF:06x}")
        if depth < 4:
            try:
                pending += [
                    (Path(entry.path), depth + 1)
                    for entry in os.scandir(directory)
                    if entry.is_dir(follow_symlinks=False)
                ]
            except OSError:
                continue
    return frozenset(tags)


def _mounts() -> frozenset[str]:
    with Path("/proc/self/mountinfo").open() as file:
        points = (line.split(" ")[4] for line in file)
        return frozenset(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), point) for point in points)


def _cgroups() -> frozenset[str]:
    found = set()
    for directory, names, _ in os.walk("/sys/fs/cgroup"):
        ours = [name for name in names if name.startswith("lading")]
        found.update(f"{directory}/{name}" for name in ours)
    return frozenset(found)


def _links() -> frozenset[str]:
    return frozenset(os.listdir("/sys/class/net"))


def _addresses() -> frozenset[str]:
    text = _output("ip", "-o", "addr", "show")
    return frozenset(" ".join(line.split()[1:4]) for line in text.splitlines())


def _tables() -> frozenset[str]:
    if os.geteuid() != 0:
        return frozenset()
    return frozenset(line for line in _output("nft", "list", "tables").splitlines() if "lading" in line)


def _namespaces() -> frozenset[str]:
    found = set()
    for directory in ("/run/netns", "/var/run/netns"):
        if os.path.isdir(directory):
            found.update(f"{directory}/{name}" for name in os.listdir(directory))
    return frozenset(found)


def _processes() -> frozenset[str]:
    """Our children (``PID COMMAND``); thanks to the subreaper, those of dead tests too."""
    found = set()
    me = os.getpid()
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = Path(f"/proc/{entry}/stat").read_text()
            head, _, tail = stat.rpartition(")")
            state, parent = tail.split()[:2]
            if int(parent) == me and state != "Z":
                command = (
                    Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
                found.add(f"{entry} {command.strip() or head.partition('(')[2]}"[:160])
        except (OSError, ValueError):
            continue
    return frozenset(found)


def _reap() -> None:
    """Collect adopted orphans that ended. Children that somebody may still wait for are no zombies for long."""
    me = os.getpid()
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            tail = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            if tail[0] == "Z" and int(tail[1]) == me:
                os.waitpid(int(entry), os.WNOHANG)
        except (OSError, ValueError, IndexError):
            continue


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
