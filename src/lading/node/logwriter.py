"""Writing a container's log; :mod:`lading.node.logfile` says what one looks like, and reads it.

Apart from there, and importing nothing, for a keeper that sleeps (:mod:`lading.node.dormant`) still writes logs.
"""

from __future__ import annotations

import os
import time

#: A longer line is split into parts, as the kubelet and containerd do.
LINE_LIMIT = 16 << 10
MAX_SIZE = 10 << 20
MAX_FILES = 3


class LogWriter:
    """Writes one container's streams. Never raises for a full disk: what cannot be written is counted and said later.

    ``max_size`` is bytes a file, ``max_files`` how many files there are at most, the current one included.
    """

    def __init__(self, path: str, max_size: int = MAX_SIZE, max_files: int = MAX_FILES) -> None:
        self.path = path
        self.max_size = max_size
        self.max_files = max(1, max_files)
        self.lost = 0
        self.pending: dict[str, bytes] = {}
        self._second = -1
        self._prefix = b""
        self._size = 0
        self._torn = False  # the file ends within a record
        try:
            self._fd = self._open(self.path, 0)
            self._size = os.fstat(self._fd).st_size
            # A keeper that is killed within write(2) may have written a part of it.
            self._torn = self._size > 0 and os.pread(self._fd, 1, self._size - 1) != b"\n"
        except FileNotFoundError:
            self._fd = -1  # made with the first line: many containers say nothing

    def _open(self, path: str, create: int = os.O_CREAT) -> int:
        return os.open(path, os.O_RDWR | create | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, stream: str, data: bytes, now: int) -> None:
        """Add what ``stream`` (``stdout``, ``stderr``) produced at ``now`` (nanoseconds since the epoch)."""
        lines = (self.pending.pop(stream, b"") + data).split(b"\n")
        rest = lines.pop()
        whole, part = self._heads(stream, now)
        out: list[bytes] = []
        for line in lines:
            while len(line) > LINE_LIMIT:
                out.append(part + line[:LINE_LIMIT])
                line = line[LINE_LIMIT:]
            out.append(whole + line)
        while len(rest) >= LINE_LIMIT:
            out.append(part + rest[:LINE_LIMIT])
            rest = rest[LINE_LIMIT:]
        if rest:
            self.pending[stream] = rest
        if out:
            self._batch(out, now)

    def _batch(self, records: list[bytes], now: int) -> None:
        """Whole records, in as many pieces as files of their size need."""
        data = b"\n".join(records) + b"\n"
        if len(data) <= self.max_size or len(records) == 1:
            self._append(data, len(records), now)
            return
        half = len(records) // 2
        self._batch(records[:half], now)
        self._batch(records[half:], now)

    def flush(self, now: int) -> None:
        """Write last lines that never got their newline, as parts."""
        for stream, rest in self.pending.items():
            self._append(self._heads(stream, now)[1] + rest + b"\n", 1, now)
        self.pending.clear()

    def close(self, now: int) -> None:
        """Flush and close."""
        self.flush(now)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _heads(self, stream: str, now: int) -> tuple[bytes, bytes]:
        second, rest = divmod(now, 10**9)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second)).encode()
        head = self._prefix + b"%09dZ %s " % (rest, stream.encode())
        return head + b"F ", head + b"P "

    def _append(self, data: bytes, records: int, now: int) -> None:
        if self._size and self._size + len(data) > self.max_size:
            self._rotate()
        before = b"\n" if self._torn else b""  # readers leave out what does not begin as a record does
        if self.lost:
            before += self._heads("stderr", now)[0]
            before += b"[%d log lines were lost: the disk was full]\n" % self.lost
        try:
            if self._fd < 0:
                self._fd = self._open(self.path)
            written = os.write(self._fd, before + data)
        except OSError:
            self.lost += records
            return
        self._size += written
        self._torn = False
        if written >= len(before):
            self.lost = 0  # that is said
        if written < len(before) + len(data):
            # A disk that filled up in the middle of a batch.
            self.lost += data.count(b"\n", max(0, written - len(before)))
            self._cut((before + data)[:written])

    def _cut(self, tail: bytes) -> None:
        """The file ends with ``tail``: take back what is no whole record."""
        whole = tail.rfind(b"\n") + 1
        self._torn = whole < len(tail)
        try:
            os.ftruncate(self._fd, self._size - len(tail) + whole)
        except OSError:
            return
        self._size -= len(tail) - whole
        self._torn = False

    def _rotate(self) -> None:
        try:
            if self.max_files == 1:
                os.ftruncate(self._fd, 0)
            else:
                # First what a full disk or table of descriptors may refuse: without it, nothing is moved.
                fresh = self._open(f"{self.path}.new")
                try:
                    self._move()
                except OSError:
                    os.close(fresh)
                    raise
                os.close(self._fd)
                self._fd = fresh
        except OSError:
            pass  # tried again one file's size later; until then the log grows rather than lose lines
        self._size = 0

    def _move(self) -> None:
        for number in range(self.max_files - 1, 1, -1):
            if os.path.exists(f"{self.path}.{number - 1}"):
                os.rename(f"{self.path}.{number - 1}", f"{self.path}.{number}")
        os.rename(self.path, f"{self.path}.1")
        os.rename(f"{self.path}.new", self.path)
