"""Work on a stream of bytes, a thread for each kind of it: hashing, compressing and writing release the interpreter's lock.

A stage takes pieces in their order, a few of them ahead at most, so that memory stays bounded. What goes wrong in it is raised at
the next :meth:`Stage.put`, or at :meth:`Stage.finish`. No thread is left behind: a process that forks later has none.
"""

from __future__ import annotations

import queue
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_AHEAD = 4


class Stage:
    """Calls ``work`` with each piece, in a thread of its own."""

    def __init__(self, work: Callable[[bytes], object]) -> None:
        self._work = work
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(_AHEAD)
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, piece: bytes) -> None:
        """Hand over the next piece. Raises what went wrong with one before."""
        self._room.acquire()
        if self._error is not None:
            raise self._error
        self._queue.put(piece)

    def finish(self) -> None:
        """Wait until all pieces are done. Raises what went wrong."""
        self._join()
        if self._error is not None:
            raise self._error

    def abort(self) -> None:
        """Let go of what waits, and end the thread."""
        if self._error is None:
            self._error = RuntimeError("given up")
        self._join()

    def _join(self) -> None:
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (piece := self._queue.get()) is not None:
            if self._error is None:
                try:
                    self._work(piece)
                except BaseException as error:
                    self._error = error
            self._room.release()
