"""Writing results down behind the build's back: a record may only name layers that have reached the disk, which takes its time.

A child waits for the disk and writes what was finished until then; what is finished meanwhile is the next child's. The steps that
follow do not wait: they work with what is there.
"""

from __future__ import annotations

import os

from lading.errors import LadingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.build.cache import Result, StepCache
    from lading.build.progress import Progress


class Recorder:
    """``fd`` can be read from when a child has ended, for ``poll``; -1 while there is none."""

    def __init__(self, cache: StepCache, progress: Progress) -> None:
        self._cache = cache
        self._progress = progress
        self._waiting: list[tuple[list[str], Result, str, int, float]] = []
        self._pid = 0
        self.fd = -1

    def add(self, keys: list[str], result: Result, name: str, size: int, seconds: float) -> None:
        """A result to be recorded under ``keys``; the rest as in :meth:`StepCache.put`."""
        self._waiting.append((keys, result, name, size, seconds))

    def begin(self) -> bool:
        """Let a child record what is waiting, unless one is at work. Whether one began."""
        if self.fd >= 0 or not self._waiting:
            return False
        rows, self._waiting = self._waiting, []
        read, write = os.pipe2(os.O_CLOEXEC)
        self._pid = os.fork()
        if self._pid == 0:
            self._record(rows, write)
        os.close(write)
        self.fd = read
        return True

    def _record(self, rows: list[tuple[list[str], Result, str, int, float]], pipe: int) -> None:
        import signal

        try:
            os.setpgid(0, 0)  # Ctrl-C is no reason to lose what is finished
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            said = ""
            for keys, result, name, size, seconds in rows:
                try:
                    for key in keys:
                        self._cache.put(key, result, name=name, size=size, seconds=seconds)
                except LadingError as error:
                    said = str(error)
                except Exception as error:
                    said = f"{type(error).__name__}: {error}"
            os.write(pipe, said.encode()[:4000])
            os._exit(0)
        finally:
            os._exit(70)

    def ended(self) -> None:
        """Take leave of the child; wait for it if it is at work."""
        said = b""
        while piece := os.read(self.fd, 4096):
            said += piece
        os.close(self.fd)
        self.fd = -1
        _, status = os.waitpid(self._pid, 0)
        if status and not said:
            said = b"its process was killed"
        if said:
            # The build is none the worse for it, and the next one has more to do.
            self._progress.warn(f"a step's result was not recorded: {said.decode(errors='replace')}")

    def finish(self) -> None:
        """Return when everything is recorded."""
        while self.fd >= 0 or self._waiting:
            if self.fd < 0:
                self.begin()
            self.ended()
