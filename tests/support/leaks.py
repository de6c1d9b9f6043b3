"""What a test run may leave on the machine: nothing. This module looks, compares and names.

A thing is *ours* by its name (``lading-XXXXXX`` and ``ldXXXXXX`` carry the tag of a root), by lying below a test's
temporary directory, or by descending from the test process. What others do on the machine meanwhile is not our affair.
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
_DEPTH = 5
"""How deep below a run's temporary directory a root may lie: worker, module or test, the test's own, ``data``."""


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
    return Snapshot(
        _mounts(),
        _cgroups(),
        _links(),
        _addresses(),
        _tables(),
        _namespaces(),
        _processes(),
    )


def left_behind(before: Snapshot, base: str, *, patience: float = 10.0) -> list[Leak]:
    """What of ours is there now and was not ``before``. Waits up to ``patience`` seconds for what is on its way out.

    ``base`` is the temporary directory of these tests. Somebody else may work on the machine meanwhile: only what is
    surely ours is reported (descendants, mounts below ``base``, kernel objects named after a root below it), and only
    what was there at every look.
    """
    deadline = time.monotonic() + patience
    found: list[Leak] | None = None
    while True:
        _reap()
        now = snapshot()
        new = [
            Leak(kind, name)
            for kind, old, new in zip(Snapshot._fields, before, now, strict=True)
            for name in sorted(new - old)
        ]
        found = new if found is None else [leak for leak in found if leak in new]
        if found:
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
        for link in os.listdir("/sys/class/net"):
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
        for hierarchy in _hierarchies():
            try:
                os.rmdir(f"{hierarchy}/{tag}")
            except OSError:
                continue


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
    # A bridge is called ldXXXXXX-N for the tag lading-XXXXXX; other links are told by their bridge.
    words = set(tags) | {"ld" + tag.removeprefix("lading-") + "-" for tag in tags}
    return any(word in leak.name for word in words)


def _tags_below(base: str) -> frozenset[str]:
    """The kernel-name tags (``Roots.tag``) of every directory near the top of ``base`` that may have been a root."""
    tags = set()
    pending = [(base, 0)]
    while pending:
        directory, depth = pending.pop()
        tags.add(f"lading-{zlib.crc32(os.fsencode(directory)) & 0xFFFFFF:06x}")
        if depth < _DEPTH:
            try:
                with os.scandir(directory) as entries:
                    pending += [(e.path, depth + 1) for e in entries if e.is_dir(follow_symlinks=False)]
            except OSError:
                continue
    return frozenset(tags)


def _mounts() -> frozenset[str]:
    with Path("/proc/self/mountinfo").open() as file:
        points = (line.split(" ")[4] for line in file)
        return frozenset(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), point) for point in points)


def _cgroups() -> frozenset[str]:
    """Groups of a root, by its tag. ``/lading``, the runtime's parent of all its containers, stays by design."""
    found = set()
    for hierarchy in _hierarchies():
        for name in os.listdir(hierarchy):
            if name.startswith("lading-"):
                found.add(f"{hierarchy}/{name}")
    return frozenset(found)


def _hierarchies() -> list[str]:
    top = "/sys/fs/cgroup"
    try:
        if os.path.exists(f"{top}/cgroup.controllers"):
            return [top]
        return [entry.path for entry in os.scandir(top) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _links() -> frozenset[str]:
    """Links as ``NAME``, and ``NAME in BRIDGE`` where one has a bridge."""
    found = set()
    for name in os.listdir("/sys/class/net"):
        try:
            bridge = os.path.basename(os.readlink(f"/sys/class/net/{name}/master"))
        except OSError:
            bridge = ""
        found.add(f"{name} in {bridge}" if bridge else name)
    return frozenset(found)


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
