"""A container's log: one file, timestamped lines, rotated by size.

The format is Kubernetes' CRI log, which every log shipper reads: ``2016-10-06T00:17:09.669794202Z stdout F text``. ``F`` is a
whole line, ``P`` a part of one that the next record of the same stream continues (lines beyond 16 KiB, and a last line
without its newline). Text is bytes: nothing is decoded or lost.

Files are ``PATH``, ``PATH.1`` (older) … Writing is one ``write(2)`` a batch to a file opened for append, so a reader sees
whole records. Reading seeks: by time through bisection, by count from the end; neither depends on the size of the log.
"""

from __future__ import annotations

import os
import time

from lading.node.model import LogLine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BLOCK = 64 << 10
_STAMP = 30


def parse_line(raw: bytes, container: str = "") -> LogLine | None:
    """One record (without its newline); None for a torn or foreign line."""
    head = raw[: _STAMP + 10].split(b" ", 3)
    if len(head) < 3 or len(head[0]) != _STAMP or head[2] not in (b"F", b"P"):
        return None
    stamp = head[0].decode("ascii", "replace")
    start = len(head[0]) + len(head[1]) + len(head[2]) + 3
    moment = parse_stamp(stamp)
    if moment is None:
        return None
    return LogLine(
        time=moment,
        stamp=stamp,
        stream=head[1].decode("ascii", "replace"),
        text=raw[start:],
        partial=head[2] == b"P",
        container=container,
    )


_seconds: dict[str, int] = {}


def parse_stamp(stamp: str) -> float | None:
    """Seconds since the epoch of ``2016-10-06T00:17:09.669794202Z``; None when it is not one."""
    second = _seconds.get(stamp[:19])
    if second is None:
        try:
            second = _timegm(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S"))
        except ValueError:
            return None
        if len(_seconds) > 64:
            _seconds.clear()
        _seconds[stamp[:19]] = second
    digits = stamp[20:29]
    return second + int(digits) / 1e9 if digits.isdigit() else None


def _timegm(moment: time.struct_time) -> int:
    import calendar

    return calendar.timegm(moment)


def format_stamp(seconds: float) -> bytes:
    """The stamp of a moment, for comparing: stamps sort as bytes."""
    whole = int(seconds // 1)
    return time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(whole)).encode() + b"%09dZ" % int(
        (seconds - whole) * 1e9
    )


def files(path: str) -> list[str]:
    """The log's files that exist, oldest first."""
    found = []
    number = 1
    while os.path.exists(f"{path}.{number}"):
        found.append(f"{path}.{number}")
        number += 1
    found.reverse()
    if os.path.exists(path):
        found.append(path)
    return found


def read(
    path: str,
    *,
    since: float = 0.0,
    until: float = 0.0,
    tail: int = -1,
    follow: Callable[[], bool] | None = None,
    container: str = "",
    poll: float = 0.05,
) -> Iterator[LogLine]:
    """The records of a log, oldest first.

    ``since`` and ``until`` are seconds since the epoch (0: no bound), ``tail`` counts whole lines from the end (-1: all).
    ``follow`` keeps reading, across rotations, until it returns False and everything written before was read; it is
    asked every ``poll`` seconds.
    """
    lower = format_stamp(since) if since else b""
    upper = format_stamp(until) if until else b""
    opened = _open_all(path)
    try:
        starts = _tail_starts(opened, tail) if tail >= 0 else [0] * len(opened)
        for index, fd in enumerate(opened):
            start = max(starts[index], _first_at(fd, lower) if lower else 0)
            last = index == len(opened) - 1
            if last and follow is not None:
                opened[index] = -1
                yield from _follow(path, fd, start, upper, follow, container, poll)
                return
            for raw in _lines(fd, start):
                if upper and raw[:_STAMP] > upper:
                    return
                line = parse_line(raw, container)
                if line is not None:
                    yield line
        if not opened and follow is not None:
            yield from _follow(path, -1, 0, upper, follow, container, poll)
    finally:
        for fd in opened:
            if fd >= 0:
                os.close(fd)


def _open_all(path: str) -> list[int]:
    """Descriptors of all files, oldest first, taken while no rotation happened in between."""
    for _ in range(8):
        names = files(path)
        opened = []
        try:
            for name in names:
                opened.append(os.open(name, os.O_RDONLY | os.O_CLOEXEC))
        except FileNotFoundError:
            pass
        else:
            inodes = {os.fstat(fd).st_ino for fd in opened}
            if len(inodes) == len(opened) and files(path) == names:
                return opened
        for fd in opened:
            os.close(fd)
    return []


def _lines(fd: int, start: int) -> Iterator[bytes]:
    """Whole lines from ``start``; a torn last one is left out."""
    rest = b""
    while True:
        block = os.pread(fd, _BLOCK, start)
        if not block:
            return
        start += len(block)
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        yield from lines


def _first_at(fd: int, stamp: bytes) -> int:
    """The offset of the first record at or after ``stamp``: a bisection over offsets, a few reads for any size."""
    low, high = 0, os.fstat(fd).st_size
    while low < high:
        middle = (low + high) // 2
        offset, found = _record_after(fd, middle, high)
        if found and found < stamp:
            low = offset + 1
        else:
            high = middle
    return _record_after(fd, low, os.fstat(fd).st_size)[0] if low else 0


def _record_after(fd: int, offset: int, end: int) -> tuple[int, bytes]:
    """The first record that starts at or after ``offset``: where, and its stamp (empty at the end)."""
    if offset:
        offset -= 1
        while True:
            block = os.pread(fd, 4096, offset)
            if not block:
                return end, b""
            newline = block.find(b"\n")
            if newline >= 0:
                offset += newline + 1
                break
            offset += len(block)
    return offset, os.pread(fd, _STAMP, offset)


def _tail_starts(opened: list[int], tail: int) -> list[int]:
    """For each file the offset where the last ``tail`` whole lines of all of them start."""
    starts = [os.fstat(fd).st_size for fd in opened]
    for index in range(len(opened) - 1, -1, -1):
        if tail <= 0:
            break
        starts[index], tail = _tail_start(opened[index], starts[index], tail)
    return starts


def _tail_start(fd: int, size: int, tail: int) -> tuple[int, int]:
    """Where the last ``tail`` lines of one file start, and how many of them are missing there.

    Parts count with the line they belong to; a last line without its newline counts as one.
    """
    end, after = size, b""
    wanted = tail
    boundary = size
    while end > 0:
        begin = max(0, end - _BLOCK)
        data = os.pread(fd, end - begin, begin) + after
        lines = data.split(b"\n")
        first = 0 if begin == 0 else 1
        offset = begin + len(data)
        for number in range(len(lines) - 1, first - 1, -1):
            line = lines[number]
            offset -= len(line) + (1 if number < len(lines) - 1 else 0)
            if not line:
                continue
            last_part = boundary == size and _is_part(line)
            if not _is_part(line) or last_part:
                if wanted == 0:
                    return boundary, 0
                wanted -= 1
            boundary = offset
        after = lines[0] if first else b""
        end = begin
    return 0, wanted


def _is_part(line: bytes) -> bool:
    head = line[_STAMP : _STAMP + 12].split(b" ", 3)
    return len(head) > 2 and head[2] == b"P"


def _follow(
    path: str, fd: int, offset: int, upper: bytes, follow: Callable[[], bool], container: str, poll: float
) -> Iterator[LogLine]:
    rest = b""
    try:
        while True:
            going = follow()  # asked before reading: what was written before it said no is still read
            moved = False
            if fd < 0:
                try:
                    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                    offset = 0
                except FileNotFoundError:
                    pass
            else:
                moved = _rotated(path, fd)  # likewise asked before the last read of the old file
                size = os.fstat(fd).st_size
                if size < offset:
                    offset, rest = 0, b""  # truncated in place: a log of a single file
            quiet = True
            while fd >= 0 and (block := os.pread(fd, _BLOCK, offset)):
                quiet = False
                offset += len(block)
                lines = (rest + block).split(b"\n")
                rest = lines.pop()
                for raw in lines:
                    if upper and raw[:_STAMP] > upper:
                        return
                    line = parse_line(raw, container)
                    if line is not None:
                        yield line
            if moved:
                os.close(fd)
                fd, rest = -1, b""
                continue
            if not going or (upper and format_stamp(time.time()) > upper):
                return
            if quiet:
                time.sleep(poll)
    finally:
        if fd >= 0:
            os.close(fd)


def _rotated(path: str, fd: int) -> bool:
    try:
        return os.stat(path).st_ino != os.fstat(fd).st_ino
    except FileNotFoundError:
        return False
