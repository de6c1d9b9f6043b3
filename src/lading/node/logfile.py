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
    number = missing = 0
    # A keeper that was killed while it moved them on left one number out.
    while missing < 2:
        number += 1
        if os.path.exists(f"{path}.{number}"):
            found.append(f"{path}.{number}")
            missing = 0
        else:
            missing += 1
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
    reader = Reader(path, since=since, until=until, tail=tail, container=container)
    try:
        while True:
            going = (
                follow is not None and follow()
            )  # before reading: what was written before it said no is still read
            quiet = True
            for lines in reader.batches(follow is not None):
                quiet = False
                yield from lines
            if not going or reader.over():
                return
            if quiet:
                time.sleep(poll)
    finally:
        reader.close()


class Reader:
    """A place in a log, from which it is read on, from file to file. The arguments are those of :func:`read`."""

    def __init__(
        self, path: str, *, since: float = 0.0, until: float = 0.0, tail: int = -1, container: str = ""
    ) -> None:
        self.path = path
        self.container = container
        self._upper = format_stamp(until) if until else b""
        self._over = False
        self._fd = -1
        self._offset = 0
        self._rest = b""
        opened = _open_all(path)
        starts = _tail_starts(opened, tail) if tail >= 0 else [0] * len(opened)
        if since:
            stamp = format_stamp(since)
            starts = [max(start, _first_at(fd, stamp)) for fd, start in zip(opened, starts, strict=True)]
        #: The files after the present one, and where to begin in each.
        self._ahead = list(zip(opened, starts, strict=True))

    def over(self) -> bool:
        """Whether ``until`` has come: nothing that is written from now on is wanted."""
        return self._over or bool(self._upper and format_stamp(time.time()) > self._upper)

    def batches(self, on: bool) -> Iterator[list[LogLine]]:
        """What has been written, some lines at a time; with ``on`` also into files that were begun after this one.

        Between two batches it can be left, and gone on with later. A torn last record is left for then, too.
        """
        while not self._over:
            if self._fd < 0 and not self._next():
                if not on or not self._begin():
                    return
                continue
            # Asked before the last read of this file: nothing is written to it once there is a newer one.
            more = bool(self._ahead) or (on and self._look_ahead())
            for block in self._blocks():
                lines, self._over = self._lines(block)
                yield lines
                if self._over:
                    return
            if not more:
                return
            os.close(self._fd)
            self._fd = -1

    def lines(self) -> Iterator[LogLine]:
        """What has been written, to be read to its end."""
        for batch in self.batches(False):
            yield from batch

    def _lines(self, block: list[bytes]) -> tuple[list[LogLine], bool]:
        """Those that are wanted, and whether a later one is there."""
        found: list[LogLine] = []
        for raw in block:
            if self._upper and raw[:_STAMP] > self._upper:
                return found, True
            line = parse_line(raw, self.container)
            if line is not None:
                found.append(line)
        return found, False

    def _next(self) -> bool:
        if not self._ahead:
            return False
        self._fd, self._offset = self._ahead.pop(0)
        self._rest = b""
        return True

    def _begin(self) -> bool:
        """Whether a log that did not exist does now."""
        self._ahead = [(fd, 0) for fd in _open_all(self.path)]
        return bool(self._ahead)

    def _look_ahead(self) -> bool:
        """Whether the present file has been moved away, for one or more that were begun meanwhile."""
        ours = os.fstat(self._fd).st_ino
        try:
            if os.stat(self.path).st_ino == ours:
                return False
        except FileNotFoundError:
            return False  # removed with its pod, or at this moment about to be there again
        after = _open_all(self.path)
        inodes = [os.fstat(fd).st_ino for fd in after]
        # Ours may have been dropped as the oldest: then the next one is the oldest that is left.
        place = inodes.index(ours) + 1 if ours in inodes else 0
        for fd in after[:place]:
            os.close(fd)
        self._ahead = [(fd, 0) for fd in after[place:]]
        return bool(self._ahead)

    def _blocks(self) -> Iterator[list[bytes]]:
        if os.fstat(self._fd).st_size < self._offset:
            self._offset, self._rest = 0, b""  # truncated in place: a log of a single file
        while block := os.pread(self._fd, _BLOCK, self._offset):
            self._offset += len(block)
            lines = (self._rest + block).split(b"\n")
            self._rest = lines.pop()
            yield lines

    def close(self) -> None:
        """Give the descriptors back."""
        for fd in (self._fd, *(fd for fd, _ in self._ahead)):
            if fd >= 0:
                os.close(fd)
        self._fd, self._ahead = -1, []


def _open_all(path: str) -> list[int]:
    """Descriptors of all files, oldest first, taken while no rotation happened in between."""
    opened: list[int] = []
    for _ in range(100):
        for fd in opened:
            os.close(fd)
        opened = []
        names = files(path)
        try:
            for name in names:
                opened.append(os.open(name, os.O_RDONLY | os.O_CLOEXEC))
        except FileNotFoundError:
            continue
        inodes = {os.fstat(fd).st_ino for fd in opened}
        if len(inodes) == len(opened) and files(path) == names and _newest(path, opened):
            break
        time.sleep(0.001)
    return opened


def _newest(path: str, opened: list[int]) -> bool:
    try:
        return not opened or os.stat(path).st_ino == os.fstat(opened[-1]).st_ino
    except FileNotFoundError:
        return True  # killed, or at this moment, between two moves


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
