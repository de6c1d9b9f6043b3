"""A build in plain lines, for logs and pipes, in the form that BuildKit made known.

``#5 [builder 2/3] RUN …``, then ``#5 CACHED``, or its output and ``#5 DONE 0.3s`` or ``#5 ERROR: …``.
"""

from __future__ import annotations

import time

from lading.cli.buildlines import printable
from lading.cli.buildprogress import Shown, bases

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from typing import TextIO

    from lading.build.graph import Graph, Vertex
    from lading.errors import LadingError


class Plain(Shown):
    """Plain lines; ``clock`` gives seconds."""

    _where_all_is = " (above)"

    def __init__(self, out: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(out)
        self._clock = clock
        self._began: dict[int, float] = {}
        self._phases: dict[str, tuple[int, float]] = {}
        self._last = 0

    def _head(self, number: int, text: str) -> None:
        """Begin to speak of something, apart from what was spoken of before."""
        self.write(f"\n#{number} {text}\n" if self._last else f"#{number} {text}\n")
        self._last = number

    def _say(self, number: int, text: str) -> None:
        self._last = number
        self.write(f"#{number} {text}\n")

    def begin(self, graph: Graph, needed: Collection[int]) -> None:
        """See :class:`lading.build.progress.Progress`."""
        new = self.learn(graph, needed)
        with self._lock:
            for number in bases(graph, new):
                step = self.step(number, graph[number])
                self._head(step.number, step.head)

    def cached(self, number: int, vertex: Vertex) -> None:
        """See :class:`lading.build.progress.Progress`."""
        with self._lock:
            step = self.step(number, vertex)
            self._head(step.number, step.head)
            self._say(step.number, "CACHED")

    def started(self, number: int, vertex: Vertex) -> None:
        """See :class:`lading.build.progress.Progress`."""
        with self._lock:
            step = self.step(number, vertex)
            self._began[step.number] = self._clock()
            self._head(step.number, step.head)

    def log(self, number: int, vertex: Vertex, stream: str, data: bytes) -> None:
        """See :class:`lading.build.progress.Progress`."""
        with self._lock:
            step = self.step(number, vertex)
            self._lines(step.number, step.lines.feed(stream, data))

    def _lines(self, number: int, lines: list[str]) -> None:
        seconds = self._clock() - self._began.get(number, self._clock())
        for line in lines:
            self._say(number, f"{seconds:.3f} {line}")

    def finished(self, number: int, vertex: Vertex, seconds: float) -> None:
        """See :class:`lading.build.progress.Progress`."""
        with self._lock:
            step = self.step(number, vertex)
            self._lines(step.number, step.lines.flush())
            self._say(step.number, f"DONE {seconds:.1f}s")

    def failed(self, number: int, vertex: Vertex, error: LadingError) -> None:
        """See :class:`lading.build.progress.Progress`."""
        with self._lock:
            step = self.step(number, vertex)
            self._lines(step.number, step.lines.flush())
            self._say(step.number, f"ERROR: {printable(error.message)}")

    def phase(self, name: str, state: str, done: int = 0, total: int = -1) -> None:
        """See :class:`lading.build.progress.Progress`."""
        with self._lock:
            known = self._phases.get(name)
            if known is None:
                known = self._phases[name] = self.next_number(), self._clock()
                self._head(known[0], printable(name))
            if state == "done":
                from lading.formats import sizes

                amount = f" {sizes.decimal3(done)}" if done > 0 else ""
                self._say(known[0], f"{printable(name)}{amount} {self._clock() - known[1]:.1f}s done")

    def warn(self, text: str) -> None:
        """See :class:`lading.build.progress.Progress`."""
        with self._lock:
            self.write(f"WARNING: {printable(text)}\n")

    def done(self, image: str, names: Sequence[str]) -> None:
        """See :class:`Shown`."""
        if image:
            self.write(f"{image}" + (f" {', '.join(names)}" if names else "") + "\n")
