"""``lading-runtime events``: statistics and out-of-memory notifications as JSON lines, in runc's form."""

from __future__ import annotations

import sys
import time

from lading.errors import Conflict, InvalidInput
from lading.formats.jsontext import dumps
from lading.runtime.commands import runtime
from lading.runtime.store import alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.flags import Parsed
    from lading.kernel.cgroups.stats import IoEntry, Stats
    from lading.runtime.cli import Log

#: What cgroup v1 says where there is no limit; readers of these events expect it from every version.
_UNLIMITED = 9223372036854771712


def stats_event(id: str, stats: Stats) -> dict[str, object]:
    """``{"type": "stats", "id": …, "data": …}``"""
    cpu = stats.cpu
    memory = stats.memory
    data: dict[str, object] = {
        "cpu": {
            "usage": {
                "total": cpu.total,
                "percpu": cpu.per_cpu,
                "kernel": cpu.system,
                "user": cpu.user,
            },
            "throttling": {
                "periods": cpu.periods,
                "throttledPeriods": cpu.throttled_periods,
                "throttledTime": cpu.throttled_time,
            },
            **_pressure(stats, "cpu"),
        },
        "memory": {
            "cache": memory.cache,
            "usage": _memory(memory.usage, memory.max_usage, memory.limit, memory.failcnt),
            "swap": _memory(memory.swap_usage, memory.swap_max_usage, memory.swap_limit, memory.swap_failcnt),
            "kernel": _memory(
                memory.kernel_usage, memory.kernel_max_usage, memory.kernel_limit, memory.kernel_failcnt
            ),
            "kernelTCP": _memory(
                memory.kernel_tcp_usage,
                memory.kernel_tcp_max_usage,
                memory.kernel_tcp_limit,
                memory.kernel_tcp_failcnt,
            ),
            "raw": memory.raw,
            **_pressure(stats, "memory"),
        },
        "pids": {"current": stats.pids, "limit": max(0, stats.pids_limit)},
        "blkio": {
            "ioServiceBytesRecursive": [_io(e) for e in stats.io_bytes],
            "ioServicedRecursive": [_io(e) for e in stats.io_operations],
            **_pressure(stats, "io"),
        },
        "hugetlb": {
            size: {"usage": huge.usage, "max": huge.max_usage, "failcnt": huge.failcnt}
            for size, huge in stats.hugetlb.items()
        },
        "intel_rdt": {},
        "network_interfaces": None,
    }
    return {"type": "stats", "id": id, "data": data}


def _memory(usage: int, top: int, limit: int, failcnt: int) -> dict[str, int]:
    return {"limit": _UNLIMITED if limit < 0 else limit, "usage": usage, "max": top, "failcnt": failcnt}


def _io(entry: IoEntry) -> dict[str, object]:
    return {"major": entry.major, "minor": entry.minor, "op": entry.op, "value": entry.value}


def _pressure(stats: Stats, name: str) -> dict[str, object]:
    lines = stats.pressure.get(name)
    if not lines:
        return {}
    return {
        "psi": {
            kind: {"avg10": p.avg10, "avg60": p.avg60, "avg300": p.avg300, "total": p.total}
            for kind, p in lines.items()
        }
    }


def events(parsed: Parsed, log: Log) -> int:
    """``events``: until the container stops, or one line with ``--stats``."""
    from lading.formats import duration

    container = runtime(parsed).get(parsed.args[0])
    interval = duration.seconds(parsed["interval"])
    if interval <= 0:
        raise InvalidInput(f"--interval: {parsed['interval']} is not above zero")
    if container.state().status == "stopped":
        raise Conflict(f"container {container.id} is not running")
    if parsed["stats"]:
        _print(stats_event(container.id, container.stats()))
        return 0
    import select

    from lading.runtime import resources

    watch = resources.load(container.record.cgroup).oom_watch()
    poller = select.poll()
    poller.register(watch.fileno(), select.POLLIN)
    due = time.monotonic() + interval
    try:
        while alive(container.record):
            # The end of the container wakes nobody here, so look every half second.
            wait = min(max(0.0, due - time.monotonic()), 0.5)
            poller.poll(wait * 1000)
            # Asked every time: v1 notifies before the kill is counted, and not again after it.
            for _ in range(watch.take()):
                _print({"type": "oom", "id": container.id})
            if time.monotonic() >= due and alive(container.record):
                _print(stats_event(container.id, container.stats()))
                due = time.monotonic() + interval
        for _ in range(watch.take()):
            _print({"type": "oom", "id": container.id})
    finally:
        watch.close()
    return 0


def _print(event: dict[str, object]) -> None:
    sys.stdout.write(dumps(event) + "\n")
    sys.stdout.flush()
