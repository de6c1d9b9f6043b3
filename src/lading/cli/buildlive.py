"""A build on a terminal: what is finished stands above, and below it, drawn again and again, what runs.

The drawn part never has more lines than the screen, so that the cursor always finds its beginning again; lines are cut to the
terminal's width as it is at that moment, and how many rows those of the last drawing take now is computed from their lengths.
The cursor is hidden and shown again in one write, so that no kill leaves it hidden.

The clock ticks by a timer signal: the builder forks for each step, and a process with threads should not.
"""

from __future__ import annotations

import signal
import threading
import time

from lading.cli.buildlines import fitted, printable, width
from lading.cli.buildprogress import Shown, Step, bases
from lading.formats import sizes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from types import FrameType
    from typing import TextIO

    from lading.build.executor import StepFailed
    from lading.build.graph import Graph, Vertex
    from lading.errors import LadingError
    from lading.formats.dockerfile import Dockerfile

_INTERVAL = 0.15  # seconds between two drawings
_TAIL = 6  # lines of a running step's output


class _Block:
    """Something that runs: ``text`` and, below it, the last lines of ``step``'s output."""

    __slots__ = ("amount", "began", "step", "text")

    def __init__(self, text: str, began: float, step: Step | None = None) -> None:
        self.text = text
        self.began = began
        self.step = step
        self.amount = ""


class Live(Shown):
    """``size`` gives columns and lines, ``clock`` seconds. ``ticking``: draw by a timer as well."""

    def __init__(
        self,
        out: TextIO,
        *,
        size: Callable[[], tuple[int, int]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        ticking: bool = True,
    ) -> None:
        super().__init__(out)
        from lading.cli.progress import _size as terminal_size

        self._size = size or terminal_size
        self._clock = clock
        self._began = clock()
        self._running: dict[object, _Block] = {}
        self._drawn: list[int] = []  # widths of the lines that are drawn
        self._next = 0.0
        self._total = self._finished = self._cached = 0
        self._open = True
        self._busy = False
        self._before: object = None
        if ticking and threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGALRM, self._tick)
            signal.siginterrupt(signal.SIGALRM, False)
            signal.setitimer(signal.ITIMER_REAL, _INTERVAL, _INTERVAL)

    def _tick(self, _number: int, _frame: FrameType | None) -> None:
        # It may come in the middle of a drawing, or of somebody else's write to the same stream: then it is left out.
        if not self._lock.acquire(blocking=False):
            return
        try:
            if not self._busy:
                self._draw()
        except RuntimeError:
            pass
        finally:
            self._lock.release()

    # -- drawing ---------------------------------------------------------------------------------------------------------

    def _draw(self, above: Sequence[str] = ()) -> None:
        """Draw anew, with ``above`` as lines that stay."""
        if not self._open:
            return
        self._busy = True
        try:
            columns, height = self._size()
            lines = self._lines(max(columns - 1, 1), max(height - 1, 0))
            parts = ["\x1b[?25l", self._back(columns, height)]
            parts += [f"{fitted(line, max(columns - 1, 1))}\n" for line in above]
            parts += [f"{line}\n" for line in lines]
            parts.append("\x1b[?25h")
            self.write("".join(parts))
            self._drawn = [width(line) for line in lines]
            self._next = self._clock() + _INTERVAL
        finally:
            self._busy = False

    def _back(self, columns: int, height: int) -> str:
        """Go to the first drawn row and clear all below. A terminal made narrower since has wrapped what is there."""
        rows = sum(max(1, -(-cells // max(columns, 1))) for cells in self._drawn)
        rows = min(rows, max(height - 1, 0))
        return f"\x1b[{rows}A\r\x1b[J" if rows else ""

    def _lines(self, columns: int, most: int) -> list[str]:
        """What is drawn: at most ``most`` lines of ``columns``."""
        now = self._clock()
        steps = f"{self._finished}/{self._total}" if self._total else ""
        cached = f", {self._cached} cached" if self._cached else ""
        head = f"[+] Building {now - self._began:.1f}s" + (f" ({steps}{cached})" if steps else "")
        lines = [fitted(head, columns)]
        blocks = list(self._running.values())
        room = most - 1
        if len(blocks) > room:
            hidden = len(blocks) - max(room - 1, 0)
            blocks = blocks[: max(room - 1, 0)]
            rest = [fitted(f" => and {hidden} more", columns)] if room > 0 else []
        else:
            rest = []
        speaking = [block for block in blocks if block.step is not None]
        each = min(_TAIL, (room - len(blocks) - len(rest)) // len(speaking)) if speaking else 0
        for block in blocks:
            text = f" => {block.text}" + (f" {block.amount}" if block.amount else "")
            lines.append(_timed(text, now - block.began, columns))
            if block.step is not None:
                lines += [fitted(f" => => # {line}", columns) for line in block.step.lines.showing(each)]
        return (lines + rest)[:most]

    def _soon(self) -> None:
        if self._clock() >= self._next:
            self._draw()

    def _stays(self, text: str, seconds: float) -> None:
        columns, _ = self._size()
        self._draw([_timed(f" => {text}", seconds, max(columns - 1, 1))])

    # -- what happens ----------------------------------------------------------------------------------------------------

    def begin(self, graph: Graph, needed: Collection[int]) -> None:
        """See :class:`lading.build.progress.Progress`."""
        with self._lock:
            new = self.learn(graph, needed)
            known = bases(graph, new)
            self._total += sum(1 for n in new if n in self._heads)
            self._finished += len(known)
            for number in known:
                self._stays(self.step(number, graph[number]).head, 0.0)

    def cached(self, number: int, vertex: Vertex) -> None:
        """See :class:`lading.build.progress.Progress`."""
        with self._lock:
            self._finished += 1
            self._cached += 1
            self._stays(f"CACHED {self.step(number, vertex).head}", 0.0)

    def started(self, number: int, vertex: Vertex) -> None:
        """See :class:`lading.build.progress.Progress`."""
        with self._lock:
            step = self.step(number, vertex)
            self._running[step] = _Block(step.head, self._clock(), step)
            self._draw()

    def log(self, number: int, vertex: Vertex, stream: str, data: bytes) -> None:
        """See :class:`lading.build.progress.Progress`."""
        with self._lock:
            super().log(number, vertex, stream, data)
            self._soon()

    def finished(self, number: int, vertex: Vertex, seconds: float) -> None:
        """See :class:`lading.build.progress.Progress`."""
        with self._lock:
            step = self.step(number, vertex)
            self._running.pop(step, None)
            self._finished += 1
            self._stays(step.head, seconds)

    def failed(self, number: int, vertex: Vertex, error: LadingError) -> None:
        """See :class:`lading.build.progress.Progress`."""
        with self._lock:
            super().failed(number, vertex, error)
            step = self.step(number, vertex)
            block = self._running.pop(step, None)
            self._stays(f"ERROR {step.head}", self._clock() - block.began if block else 0.0)

    def phase(self, name: str, state: str, done: int = 0, total: int = -1) -> None:
        """See :class:`lading.build.progress.Progress`."""
        with self._lock:
            block = self._running.get(name)
            if block is None:
                block = self._running[name] = _Block(printable(name), self._clock())
            block.amount = sizes.decimal3(done) if done > 0 else ""
            if state == "done":
                del self._running[name]
                text = f"{block.text} {block.amount}".rstrip()
                self._stays(text, self._clock() - block.began)
                return
            if total > 0:
                block.amount = f"{block.amount or '0B'} / {sizes.decimal3(total)}"
            self._soon()

    def warn(self, text: str) -> None:
        """See :class:`lading.build.progress.Progress`."""
        with self._lock:
            self._draw([f"WARNING: {printable(text)}"])

    # -- the end ---------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Take the drawn part away, leaving what did not end as such. After this nothing is drawn any more."""
        with self._lock:
            if not self._open:
                return
            if self._before is not None:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, self._before)  # type: ignore[arg-type]
            columns, height = self._size()
            now = self._clock()
            rows = [
                _timed(f" => CANCELED {block.text}", now - block.began, max(columns - 1, 1))
                for block in self._running.values()
            ]
            steps = (
                f" ({self._finished}/{self._total}"
                + (f", {self._cached} cached" if self._cached else "")
                + ")"
            )
            rows.append(f"[+] Building {now - self._began:.1f}s" + (steps if self._total else ""))
            self.write(
                self._back(columns, height) + "".join(f"{fitted(r, max(columns - 1, 1))}\n" for r in rows)
            )
            self._open = False
            self._drawn = []

    def tell_failure(self, error: StepFailed, file: Dockerfile) -> None:
        """See :class:`Shown`."""
        self.close()
        super().tell_failure(error, file)

    def done(self, image: str, names: Sequence[str]) -> None:
        """See :class:`Shown`."""
        if image:
            self.write(f"{image}" + (f" {', '.join(names)}" if names else "") + "\n")


def _timed(text: str, seconds: float, columns: int) -> str:
    """``text`` with its time at the right edge, as far as there is room."""
    time_ = f"{seconds:.1f}s"
    room = columns - len(time_) - 1
    if room < 12:
        return fitted(text, columns)
    shown = fitted(text, room)
    return shown + " " * (columns - width(shown) - len(time_)) + time_
