"""List, inspect, logs, top, stats, events: reading what is there."""

from __future__ import annotations

import os
import time

from lading.errors import Conflict
from lading.node import lookup
from lading.node.engine import engine_of
from lading.node.model import AFTER, EXITED, PAUSED, RESTARTING, RUNNING
from lading.node.records import LIVE
from lading.node.shop import alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lading.kernel.cgroups.stats import Stats
    from lading.node.model import ContainerRecord, Event, LogLine, PodRecord
    from lading.node.shop import Shop

#: Batches (of at most 64 KiB) that are read of each log before those of all are put in order.
_ROUND = 16


def refresh(record: PodRecord) -> PodRecord:
    """Correct what a record says when the keeper that would have is gone. Nothing is written."""
    for container in record.containers:
        if container.state not in (RUNNING, PAUSED, RESTARTING):
            continue
        if alive(container.pid, container.pid_start):
            continue
        if alive(record.keeper_pid, record.keeper_start):
            continue  # about to be recorded
        container.state = EXITED
        if container.pid:
            if container.stage != AFTER:  # else it is known how the command ended
                container.exit_code = 255
                container.reason = "KeeperLost"
                container.message = "its keeper was killed, so nobody learned its exit status"
            container.pid = container.pid_start = 0
            container.finished = container.finished or time.time()
    return record


def pods(shop: Shop, *, all: bool) -> list[PodRecord]:
    """The pods, newest first."""
    found = [refresh(record) for record in shop.records.list(stages=(LIVE,))]
    if all:
        return found
    return [r for r in found if any(c.state in (RUNNING, PAUSED, RESTARTING) for c in r.containers)]


def inspect(shop: Shop, reference: str) -> PodRecord:
    """One pod, as it is."""
    return refresh(shop.records.resolve(reference)[0])


def find(shop: Shop, reference: str) -> tuple[PodRecord, ContainerRecord | None]:
    """One pod, as it is, and which of its several containers is meant."""
    record, container = shop.records.resolve(reference)
    return refresh(record), None if record.single else container


def _targets(shop: Shop, reference: str) -> tuple[PodRecord, list[ContainerRecord]]:
    record, container = shop.records.resolve(reference)
    return record, [container] if container is not None else record.containers


def _running(shop: Shop, reference: str) -> tuple[PodRecord, list[ContainerRecord]]:
    record, targets = _targets(shop, reference)
    living = [c for c in targets if alive(c.pid, c.pid_start)]
    if not living:
        raise Conflict(f"container {reference} is not running", reason="state")
    return record, living


# -- logs ----------------------------------------------------------------------------------------------------------


def logs(
    shop: Shop, reference: str, *, follow: bool, since: float, until: float, tail: int, previous: bool
) -> Iterator[LogLine]:
    """Log lines; see :meth:`lading.node.Node.logs`."""
    from lading.node import logfile

    record, targets = _targets(shop, reference)
    if previous:
        return _previous(shop, record, targets, since, until, tail)
    if follow and len(targets) > 1:
        return _merge_live(shop, record, targets, since, until, tail)
    going = _still_going(shop, record) if follow else None
    streams = [
        logfile.read(
            shop.log_path(record, target),
            since=since,
            until=until,
            tail=tail,
            follow=going,
            container=target.name,
        )
        for target in targets
    ]
    if len(streams) == 1:
        return streams[0]
    from heapq import merge

    return merge(*streams, key=lambda line: line.stamp)


def _previous(
    shop: Shop, record: PodRecord, targets: list[ContainerRecord], since: float, until: float, tail: int
) -> Iterator[LogLine]:
    """What the last ended run before the present one wrote, of each container that has one.

    What a run wrote last is read after its end, so it lasts until the next one begins. Raises :class:`Conflict`.
    """
    from collections import deque
    from heapq import merge

    from lading.node import logfile

    streams: list[Iterator[LogLine]] = []
    for target in targets:
        if target.state == RESTARTING:
            begun, over = target.started, 0.0
        elif target.last is not None:
            begun, over = target.last.started, target.started
        else:
            continue
        lines = logfile.read(
            shop.log_path(record, target),
            since=max(since, begun),
            until=min(until or over, over or until),
            container=target.name,
        )
        streams.append(lines if tail < 0 else iter(deque(lines, tail)))
    if not streams:
        names = ", ".join(target.name for target in targets)
        raise Conflict(f"{record.name}: there is no run before this one of {names}", reason="no-previous-run")
    return merge(*streams, key=lambda line: line.stamp)


def _still_going(shop: Shop, record: PodRecord):  # type: ignore[no-untyped-def]
    """A question to ask while following: may there be more? Cheap while nothing in the records changes."""
    state = {"version": -1, "going": True, "asked": 0.0}

    def going() -> bool:
        version = shop.records.database.version()
        now = time.monotonic()
        if version == state["version"] and now - state["asked"] < 1.0:
            return bool(state["going"])
        state["version"], state["asked"] = version, now
        found = shop.records.get(record.id)
        # The last lines are written right after the end was recorded: only when the keeper has let go is all there.
        state["going"] = found is not None and alive(found.keeper_pid, found.keeper_start)
        if not state["going"] and found is not None:
            state["going"] = any(alive(c.pid, c.pid_start) for c in found.containers)
        return bool(state["going"])

    return going


def _merge_live(
    shop: Shop,
    record: PodRecord,
    targets: list[ContainerRecord],
    since: float,
    until: float,
    tail: int,
) -> Iterator[LogLine]:
    """Several logs followed at once: what there is in order of time, then rounds of what is new, each sorted by time."""
    from heapq import merge
    from itertools import islice

    from lading.node import logfile

    going = _still_going(shop, record)
    readers = [
        logfile.Reader(
            shop.log_path(record, target), since=since, until=until, tail=tail, container=target.name
        )
        for target in targets
    ]
    try:
        yield from merge(*(reader.lines() for reader in readers), key=lambda line: line.stamp)
        while True:
            more = going()
            fresh: list[LogLine] = []
            for reader in readers:
                for batch in islice(reader.batches(True), _ROUND):
                    fresh += batch
            yield from sorted(fresh, key=lambda line: line.stamp)
            if fresh:
                continue
            if not more or all(reader.over() for reader in readers):
                return
            time.sleep(0.1)
    finally:
        for reader in readers:
            reader.close()


# -- processes and numbers -----------------------------------------------------------------------------------------


def top(shop: Shop, reference: str) -> list[dict[str, str]]:
    """The processes of a running container or pod, from proc(5)."""
    record, living = _running(shop, reference)
    tick = os.sysconf("SC_CLK_TCK")
    boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    rows = []
    for container in living:
        for pid in engine_of(shop, record).get(container.id).pids():
            row = _row(pid, tick, boot)
            if row is not None:
                rows.append(row)
    return rows


def _row(pid: int, tick: int, boot: float) -> dict[str, str] | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            head, _, tail = stream.read().rpartition(b")")
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            words = stream.read().rstrip(b"\0").split(b"\0")
        uid = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None
    fields = tail.split()
    used = (int(fields[11]) + int(fields[12])) / tick
    started = boot + int(fields[19]) / tick
    terminal = int(fields[4])
    elapsed = max(1e-9, time.time() - started)
    command = (
        b" ".join(words).decode("utf-8", "replace") or f"[{head.partition(b'(')[2].decode(errors='replace')}]"
    )
    return {
        "UID": _user(uid),
        "PID": str(pid),
        "PPID": fields[1].decode(),
        "C": str(int(100 * used / elapsed)),
        "STIME": time.strftime("%H:%M", time.localtime(started)),
        "TTY": f"pts/{terminal & 0xFF | terminal >> 12 & 0xFFF00}" if terminal >> 8 & 0xFFF == 136 else "?",
        "TIME": f"{int(used) // 3600:02d}:{int(used) // 60 % 60:02d}:{int(used) % 60:02d}",
        "CMD": command,
    }


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def stats(shop: Shop, reference: str) -> list[tuple[str, Stats]]:
    """What each running container uses."""
    record, living = _running(shop, reference)
    engine = engine_of(shop, record)
    return [(container.name, engine.get(container.id).stats()) for container in living]


def events(shop: Shop, *, since: float, until: float, follow: bool) -> Iterator[Event]:
    """Events from ``since`` on (from now on without one); see :meth:`lading.node.Node.events`."""
    records = shop.records
    last = 0
    if not since and follow:
        since = time.time()
    version = -1
    while True:
        now = records.database.version()
        if now != version:
            version = now
            for event in lookup.events(records.database, last, since):
                last = event.number
                if until and event.time > until:
                    return
                yield event
        if not follow or (until and time.time() > until):
            return
        time.sleep(0.1)
