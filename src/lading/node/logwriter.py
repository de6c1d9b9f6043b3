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
        try:
            self._fd = self._open(0)
            self._size = os.fstat(self._fd).st_size
        except FileNotFoundError:
            self._fd = -1  # made with the first line: many containers say nothing

    def _open(self, create: int = os.O_CREAT) -> int:
        return os.open(self.path, os.O_WRONLY | create | os.O_APPEND | os.O_CLOEXEC, 0o600)

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
            self._append(b"\n".join(out) + b"\n", len(out), now)

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
        if self.lost:
            note = (
                self._heads("stderr", now)[0] + b"[%d log lines were lost: the disk was full]\n" % self.lost
            )
            data = note + data
        try:
            if self._fd < 0:
                self._fd = self._open()
            written = os.write(self._fd, data)
        except OSError:
            self.lost += records
            return
        self._size += written
        if written < len(data):
            # A disk that filled up in the middle of a batch: end the torn record so that the next one starts a line.
            self.lost += data.count(b"\n", written)
            try:
                os.ftruncate(self._fd, self._size - written + data.rfind(b"\n", 0, written) + 1)
                self._size = os.fstat(self._fd).st_size
            except OSError:
                pass
        else:
            self.lost = 0

    def _rotate(self) -> None:
        try:
            if self.max_files == 1:
                os.ftruncate(self._fd, 0)
            else:
                for number in range(self.max_files - 1, 1, -1):
                    if os.path.exists(f"{self.path}.{number - 1}"):
                        os.rename(f"{self.path}.{number - 1}", f"{self.path}.{number}")
                os.rename(self.path, f"{self.path}.1")
                fresh = self._open()
                os.close(self._fd)
                self._fd = fresh
            self._size = 0
        except OSError:
            self._size = 0  # try again one file's size later; until then the log grows rather than lose lines
