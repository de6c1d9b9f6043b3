"""``lading top`` and ``lading stats``."""

from __future__ import annotations

import os
import sys
import time

from lading.cli.output import listing, table
from lading.errors import Conflict, InvalidInput, LadingError, NotFound
from lading.formats import sizes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.node import ContainerRecord, PodRecord


_BSD = frozenset("aefjlruvwx")  # options of ps without a dash; every column has another letter


def top(context: Context, parsed: Parsed) -> int:
    """Show the processes of a container."""
    if any(word.startswith("-") or (word and _BSD.issuperset(word)) for word in parsed.args[1:]):
        from lading.cli.psrows import show

        return show(context, parsed.args[0], parsed.args[1:])
    rows = context.node.top(parsed.args[0])
    known = list(rows[0]) if rows else ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    columns = []
    for word in parsed.args[1:]:
        for name in word.split(","):
            if name.upper() not in known:
                raise InvalidInput(
                    f"{name!r} is not a column",
                    hint=f"name {' '.join(known)}, or options of ps such as -o pid,comm",
                )
            columns.append(name.upper())
    columns = columns or known
    table(columns, [[row[c] for c in columns] for row in rows])
    return 0


STATS_COLUMNS = (
    ("CONTAINER ID", "id"),
    ("NAME", "name"),
    ("CPU %", "cpu_percent"),
    ("MEM USAGE / LIMIT", "memory_usage"),
    ("MEM %", "memory_percent"),
    ("NET I/O", "net_io"),
    ("BLOCK I/O", "block_io"),
    ("PIDS", "pids"),
)


class _Sample:
    """One reading of one container."""

    def __init__(self, id_: str, name: str, stats: Any, traffic: tuple[int, int], at: float) -> None:
        self.id = id_
        self.name = name
        self.stats = stats
        self.traffic = traffic
        self.at = at


def stats(context: Context, parsed: Parsed) -> int:
    """Show what containers use, once or over and over."""
    live = not parsed["no-stream"]
    screen = live and os.isatty(1) and not parsed["format"]
    before = _samples(context, parsed.args, parsed["all"])
    while True:
        time.sleep(1.0 if live else 0.5)
        now = _samples(context, parsed.args, parsed["all"])
        rows = [_row(before.get(key), sample, full=parsed["no-trunc"]) for key, sample in now.items()]
        if screen:
            sys.stdout.write("\x1b[H\x1b[2J")
        listing(rows, STATS_COLUMNS, template=parsed["format"])
        sys.stdout.flush()
        if not live:
            return 0
        before = now


def _samples(context: Context, names: list[str], everything: bool) -> dict[str, _Sample]:
    from lading.cli.listing import container_name

    made: dict[str, _Sample] = {}
    chosen: list[tuple[PodRecord, ContainerRecord | None]] = [context.node.find(name) for name in names]
    if not names:
        chosen = [(record, None) for record in context.node.list(all=everything)]
    for record, inner in chosen:
        try:
            found = dict(context.node.stats(record.id))
        except (Conflict, NotFound):
            found = {}
        for container in [inner] if inner is not None else record.containers:
            got = found.get(container.name)
            if got is not None or everything or names:
                shared = record.pod.spec.host_network or record.pod.spec.extras.network_mode == "host"
                made[container.id] = _Sample(
                    container.id,
                    container_name(record, container),
                    got,
                    (0, 0) if shared else _traffic_of(container.pid),
                    time.monotonic(),
                )
    return made


def _traffic_of(pid: int) -> tuple[int, int]:
    try:
        with open(f"/proc/{pid}/net/dev") as file:
            return traffic(file.read())
    except OSError:
        return 0, 0  # it has ended meanwhile


def traffic(text: str) -> tuple[int, int]:
    """Bytes received and sent by every interface but loopback, from the text of ``/proc/PID/net/dev`` (proc(5))."""
    received = sent = 0
    for line in text.splitlines()[2:]:
        name, _, numbers = line.partition(":")
        fields = numbers.split()
        if name.strip() != "lo" and len(fields) >= 9:
            received += int(fields[0])
            sent += int(fields[8])
    return received, sent


def _row(before: _Sample | None, now: _Sample, *, full: bool) -> dict[str, object]:
    id_ = now.id if full else now.id[:12]
    if now.stats is None:
        return {
            "id": id_,
            "name": now.name,
            "cpu_percent": "--",
            "memory_usage": "-- / --",
            "memory_percent": "--",
            "net_io": "-- / --",
            "block_io": "-- / --",
            "pids": "--",
            "memory_bytes": 0,
            "memory_limit_bytes": 0,
            "cpu_nanoseconds": 0,
        }
    percent = 0.0
    if before is not None and before.stats is not None and now.at > before.at:
        percent = (now.stats.cpu.total - before.stats.cpu.total) / 1e9 / (now.at - before.at) * 100
    memory = now.stats.memory
    used = memory.working_set
    limit = memory.limit if memory.limit > 0 else total_memory()
    read = sum(e.value for e in now.stats.io_bytes if e.op == "Read")
    written = sum(e.value for e in now.stats.io_bytes if e.op == "Write")
    return {
        "id": id_,
        "name": now.name,
        "cpu_percent": f"{max(percent, 0.0):.2f}%",
        "memory_usage": f"{sizes.binary(used)} / {sizes.binary(limit)}",
        "memory_percent": f"{100 * used / limit if limit else 0:.2f}%",
        "net_io": " / ".join(sizes.decimal3(number) for number in now.traffic),
        "block_io": f"{sizes.decimal3(read)} / {sizes.decimal3(written)}",
        "pids": now.stats.pids,
        "memory_bytes": used,
        "memory_limit_bytes": limit,
        "cpu_nanoseconds": now.stats.cpu.total,
    }


def total_memory() -> int:
    """Bytes of memory this machine has."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        raise LadingError("the machine does not say how much memory it has") from None
