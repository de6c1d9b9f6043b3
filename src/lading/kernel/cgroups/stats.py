"""What a group has used: one shape for v1 and v2. Times are nanoseconds, sizes bytes, limits -1 when
unlimited."""

from __future__ import annotations

import os

from lading.kernel.cgroups import files


class CpuStats:
    """``per_cpu`` is empty on v2, which does not count it."""

    def __init__(self) -> None:
        self.total = 0
        self.user = 0
        self.system = 0
        self.per_cpu: list[int] = []
        self.periods = 0
        self.throttled_periods = 0
        self.throttled_time = 0


class MemoryStats:
    """``cache`` is what the kernel can drop; ``raw`` every counter of ``memory.stat`` under its own name."""

    def __init__(self) -> None:
        self.usage = 0
        self.max_usage = 0
        self.limit = -1
        self.failcnt = 0
        self.cache = 0
        self.inactive_file = 0
        self.swap_usage = 0
        self.swap_limit = -1
        self.swap_max_usage = 0
        self.swap_failcnt = 0
        self.kernel_usage = 0
        self.kernel_limit = -1
        self.kernel_max_usage = 0
        self.kernel_failcnt = 0
        self.kernel_tcp_usage = 0
        self.kernel_tcp_limit = -1
        self.kernel_tcp_max_usage = 0
        self.kernel_tcp_failcnt = 0
        self.oom_kills = 0
        self.raw: dict[str, int] = {}

    @property
    def working_set(self) -> int:
        """Usage without the file cache that was not used lately: what ``docker stats`` shows."""
        return max(0, self.usage - self.inactive_file)


class IoEntry:
    """``op`` is ``Read``, ``Write``, ``Sync``, ``Async``, ``Discard`` or ``Total``."""

    __slots__ = ("major", "minor", "op", "value")

    def __init__(self, major: int, minor: int, op: str, value: int) -> None:
        self.major = major
        self.minor = minor
        self.op = op
        self.value = value


class HugetlbStats:
    """Huge pages of one size: bytes used now and at most, and how often the limit stopped somebody."""

    def __init__(self, usage: int, max_usage: int, failcnt: int) -> None:
        self.usage = usage
        self.max_usage = max_usage
        self.failcnt = failcnt


class Pressure:
    """One line of a PSI file: percentages over 10, 60 and 300 s, and the total in microseconds."""

    __slots__ = ("avg10", "avg60", "avg300", "total")

    def __init__(self, avg10: float, avg60: float, avg300: float, total: int) -> None:
        self.avg10 = avg10
        self.avg60 = avg60
        self.avg300 = avg300
        self.total = total


class Stats:
    """All numbers of one group. ``pressure`` maps ``cpu memory io`` to ``some``/``full`` lines (v2 only)."""

    def __init__(self) -> None:
        self.cpu = CpuStats()
        self.memory = MemoryStats()
        self.pids = 0
        self.pids_limit = -1
        self.io_bytes: list[IoEntry] = []
        self.io_operations: list[IoEntry] = []
        self.hugetlb: dict[str, HugetlbStats] = {}
        self.pressure: dict[str, dict[str, Pressure]] = {}


# What v1 writes where v2 writes "max".
_NO_LIMIT = 1 << 62


def _limit(path: str) -> int:
    value = files.read_int(path, -1)
    return -1 if value >= _NO_LIMIT else value


def stats_v1(directories: dict[str, str]) -> Stats:
    """Read what the directories (controller → path) offer; missing files count as nothing."""
    stats = Stats()
    cpu = stats.cpu
    if directory := directories.get("cpuacct"):
        cpu.total = files.read_int(directory + "/cpuacct.usage")
        cpu.user = files.read_int(directory + "/cpuacct.usage_user")
        cpu.system = files.read_int(directory + "/cpuacct.usage_sys")
        cpu.per_cpu = [int(n) for n in _text(directory + "/cpuacct.usage_percpu").split()]
    if directory := directories.get("cpu"):
        table = files.read_table(directory + "/cpu.stat")
        cpu.periods = table.get("nr_periods", 0)
        cpu.throttled_periods = table.get("nr_throttled", 0)
        cpu.throttled_time = table.get("throttled_time", 0)
    if directory := directories.get("memory"):
        _memory_v1(stats.memory, directory)
    if directory := directories.get("pids"):
        stats.pids = files.read_int(directory + "/pids.current")
        stats.pids_limit = files.read_int(directory + "/pids.max", -1)
    if directory := directories.get("blkio"):
        stats.io_bytes = _blkio(directory, "io_service_bytes_recursive")
        stats.io_operations = _blkio(directory, "io_serviced_recursive")
    if directory := directories.get("hugetlb"):
        for size in _huge_sizes(directory):
            prefix = f"{directory}/hugetlb.{size}."
            if os.path.exists(prefix + "usage_in_bytes"):
                stats.hugetlb[size] = HugetlbStats(
                    files.read_int(prefix + "usage_in_bytes"),
                    files.read_int(prefix + "max_usage_in_bytes"),
                    files.read_int(prefix + "failcnt"),
                )
            else:  # hybrid: the controller lives in the v2 tree
                _hugetlb_v2(stats, directory, size)
    return stats


def _memory_v1(memory: MemoryStats, directory: str) -> None:
    prefix = directory + "/memory."
    memory.raw = files.read_table(prefix + "stat")
    memory.usage = files.read_int(prefix + "usage_in_bytes")
    memory.max_usage = files.read_int(prefix + "max_usage_in_bytes")
    memory.limit = _limit(prefix + "limit_in_bytes")
    memory.failcnt = files.read_int(prefix + "failcnt")
    memory.cache = memory.raw.get("total_cache", memory.raw.get("cache", 0))
    memory.inactive_file = memory.raw.get("total_inactive_file", 0)
    memory.swap_usage = files.read_int(prefix + "memsw.usage_in_bytes")
    memory.swap_limit = _limit(prefix + "memsw.limit_in_bytes")
    memory.swap_max_usage = files.read_int(prefix + "memsw.max_usage_in_bytes")
    memory.swap_failcnt = files.read_int(prefix + "memsw.failcnt")
    memory.kernel_usage = files.read_int(prefix + "kmem.usage_in_bytes")
    memory.kernel_limit = _limit(prefix + "kmem.limit_in_bytes")
    memory.kernel_max_usage = files.read_int(prefix + "kmem.max_usage_in_bytes")
    memory.kernel_failcnt = files.read_int(prefix + "kmem.failcnt")
    memory.kernel_tcp_usage = files.read_int(prefix + "kmem.tcp.usage_in_bytes")
    memory.kernel_tcp_limit = _limit(prefix + "kmem.tcp.limit_in_bytes")
    memory.kernel_tcp_max_usage = files.read_int(prefix + "kmem.tcp.max_usage_in_bytes")
    memory.kernel_tcp_failcnt = files.read_int(prefix + "kmem.tcp.failcnt")
    memory.oom_kills = files.read_table(prefix + "oom_control").get("oom_kill", 0)


def _blkio(directory: str, name: str) -> list[IoEntry]:
    """BFQ counts where it schedules; elsewhere only the throttling layer does."""
    found: list[IoEntry] = []
    for file in (
        f"blkio.bfq.{name}",
        f"blkio.throttle.{name}",
        f"blkio.throttle.{name.removesuffix('_recursive')}",
    ):
        for line in _text(f"{directory}/{file}").splitlines():
            words = line.split()
            if len(words) == 3 and ":" in words[0]:
                major, minor = words[0].split(":")
                found.append(IoEntry(int(major), int(minor), words[1], int(words[2])))
        if found:
            break
    return found


def stats_v2(directory: str) -> Stats:
    """Read one v2 group."""
    stats = Stats()
    table = files.read_table(directory + "/cpu.stat")
    cpu = stats.cpu
    cpu.total = table.get("usage_usec", 0) * 1000
    cpu.user = table.get("user_usec", 0) * 1000
    cpu.system = table.get("system_usec", 0) * 1000
    cpu.periods = table.get("nr_periods", 0)
    cpu.throttled_periods = table.get("nr_throttled", 0)
    cpu.throttled_time = table.get("throttled_usec", 0) * 1000
    memory = stats.memory
    memory.raw = files.read_table(directory + "/memory.stat")
    memory.usage = files.read_int(directory + "/memory.current")
    memory.max_usage = files.read_int(directory + "/memory.peak")
    memory.limit = files.read_int(directory + "/memory.max", -1)
    memory.cache = memory.raw.get("file", 0)
    memory.inactive_file = memory.raw.get("inactive_file", 0)
    # v2 counts swap apart; the shape of v1, memory plus swap, is what readers of these numbers know.
    swap, swap_limit = (
        files.read_int(directory + "/memory.swap.current"),
        files.read_int(directory + "/memory.swap.max", -1),
    )
    memory.swap_usage = memory.usage + swap
    memory.swap_limit = -1 if swap_limit < 0 or memory.limit < 0 else memory.limit + swap_limit
    memory.kernel_usage = memory.raw.get("kernel", 0)
    events = files.read_table(directory + "/memory.events")
    memory.failcnt = events.get("max", 0)
    memory.oom_kills = events.get("oom_kill", 0)
    stats.pids = files.read_int(directory + "/pids.current")
    stats.pids_limit = files.read_int(directory + "/pids.max", -1)
    for line in _text(directory + "/io.stat").splitlines():
        device, *pairs = line.split()
        if ":" not in device:
            continue
        major, minor = (int(n) for n in device.split(":"))
        for pair in pairs:
            key, _, value = pair.partition("=")
            if key in ("rbytes", "wbytes", "dbytes"):
                op = {"r": "Read", "w": "Write", "d": "Discard"}[key[0]]
                stats.io_bytes.append(IoEntry(major, minor, op, int(value)))
            elif key in ("rios", "wios", "dios"):
                op = {"r": "Read", "w": "Write", "d": "Discard"}[key[0]]
                stats.io_operations.append(IoEntry(major, minor, op, int(value)))
    for size in _huge_sizes(directory):
        _hugetlb_v2(stats, directory, size)
    for name in ("cpu", "memory", "io"):
        lines = _pressure(f"{directory}/{name}.pressure")
        if lines:
            stats.pressure[name] = lines
    return stats


def _hugetlb_v2(stats: Stats, directory: str, size: str) -> None:
    prefix = f"{directory}/hugetlb.{size}."
    failed = files.read_table(prefix + "events").get("max", 0)
    usage = files.read_int(prefix + "current", -1)
    if usage >= 0:
        stats.hugetlb[size] = HugetlbStats(usage, 0, failed)


def _huge_sizes(directory: str) -> list[str]:
    """``2MB``, ``1GB`` …: from the names of the group's own files."""
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    found = {n.split(".")[1] for n in names if n.startswith("hugetlb.") and n.count(".") >= 2}
    return sorted(found)


def _pressure(path: str) -> dict[str, Pressure]:
    lines: dict[str, Pressure] = {}
    for line in _text(path).splitlines():
        kind, *pairs = line.split()
        values = dict(pair.split("=", 1) for pair in pairs)
        try:
            lines[kind] = Pressure(
                float(values["avg10"]), float(values["avg60"]), float(values["avg300"]), int(values["total"])
            )
        except (KeyError, ValueError):
            continue
    return lines


def _text(path: str) -> str:
    from lading.errors import LadingError

    try:
        return files.read(path)
    except LadingError:
        return ""
