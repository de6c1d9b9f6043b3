"""A build as JSON lines for programs: BuildKit's solve status (``docker buildx build --progress=rawjson``), an object a line.

An object has any of

==============  ==================================================================================================
``vertexes``    ``digest``, ``inputs``, ``name``, ``started``, ``completed``, ``cached``, ``error``
``statuses``    ``id``, ``vertex``, ``name``, ``current``, ``total``, ``timestamp``, ``started``, ``completed``
``logs``        ``vertex``, ``stream`` (1 or 2), ``data`` in base64, ``timestamp``
``warnings``    ``level``, ``short`` in base64
==============  ==================================================================================================

Source: BuildKit, client/graph.go.
"""

from __future__ import annotations

import base64
import time

from lading.cli.buildprogress import Shown, bases
from lading.formats import digest as digests
from lading.formats import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import TextIO

    from lading.build.executor import StepFailed
    from lading.build.graph import Graph, Vertex
    from lading.cli.buildprogress import Step
    from lading.errors import LadingError
    from lading.formats.dockerfile import Dockerfile

_INTERVAL = 0.2  # seconds between two reports of the same bytes


class JSONLines(Shown):
    """JSON lines; ``clock`` gives seconds since 1970."""

    def __init__(self, out: TextIO, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(out)
        self._clock = clock
        self._starts: dict[Step, str] = {}
        self._phases: dict[str, str] = {}
        self._told: dict[str, float] = {}

    def _now(self) -> str:
        now = self._clock()
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1e9):09d}Z"

    def _put(self, kind: str, row: dict[str, object]) -> None:
        self.write(jsontext.dumps({kind: [row]}) + "\n")

    def _vertex(self, step: Step, **told: object) -> None:
        row: dict[str, object] = {
            "digest": f"sha256:{step.vertex.key}",
            "inputs": [f"sha256:{key}" for key in step.inputs],
            "name": step.head,
        }
        row.update({key: value for key, value in told.items() if value})
        self._put("vertexes", {key: value for key, value in row.items() if value})

    def begin(self, graph: Graph, needed: Collection[int]) -> None:
        """See :class:`lading.build.progress.Progress`."""
        new = self.learn(graph, needed)
        with self._lock:
            now = self._now()
            known = set(bases(graph, new))
            for number in new:
                step = self.step(number, graph[number])
                if number in known:
                    self._vertex(step, started=now, completed=now, cached=True)
                else:
                    self._vertex(step)

    def cached(self, number: int, vertex: Vertex) -> None:
        """See :class:`lading.build.progress.Progress`."""
        with self._lock:
            now = self._now()
            self._vertex(self.step(number, vertex), started=now, completed=now, cached=True)

    def started(self, number: int, vertex: Vertex) -> None:
        """See :class:`lading.build.progress.Progress`."""
        with self._lock:
            step = self.step(number, vertex)
            self._starts[step] = self._now()
            self._vertex(step, started=self._starts[step])

    def log(self, number: int, vertex: Vertex, stream: str, data: bytes) -> None:
        """See :class:`lading.build.progress.Progress`."""
        with self._lock:
            step = self.step(number, vertex)
            step.lines.feed(stream, data)
            self._put(
                "logs",
                {
                    "vertex": f"sha256:{step.vertex.key}",
                    "stream": 1 if stream == "stdout" else 2,
                    "data": base64.b64encode(data).decode(),
                    "timestamp": self._now(),
                },
            )

    def finished(self, number: int, vertex: Vertex, seconds: float) -> None:
        """See :class:`lading.build.progress.Progress`."""
        with self._lock:
            step = self.step(number, vertex)
            self._vertex(step, started=self._starts.get(step, ""), completed=self._now())

    def failed(self, number: int, vertex: Vertex, error: LadingError) -> None:
        """See :class:`lading.build.progress.Progress`."""
        super().failed(number, vertex, error)
        with self._lock:
            step = self.step(number, vertex)
            self._vertex(step, started=self._starts.get(step, ""), completed=self._now(), error=error.message)

    def phase(self, name: str, state: str, done: int = 0, total: int = -1) -> None:
        """See :class:`lading.build.progress.Progress`."""
        with self._lock:
            now = self._now()
            digest = digests.of(f"phase\0{name}".encode())
            begun = self._phases.get(name)
            if begun is None:
                begun = self._phases[name] = now
                self._put("vertexes", {"digest": digest, "name": name, "started": now})
            if done or state not in ("started", "done"):
                self._amount(digest, name, state, done, total, now)
            if state == "done":
                self._put("vertexes", {"digest": digest, "name": name, "started": begun, "completed": now})

    def _amount(self, digest: str, name: str, state: str, done: int, total: int, now: str) -> None:
        if state != "done" and self._clock() - self._told.get(name, 0.0) < _INTERVAL:
            return
        self._told[name] = self._clock()
        row: dict[str, object] = {
            "id": name,
            "vertex": digest,
            "name": state,
            "current": done,
            "timestamp": now,
        }
        if total >= 0:
            row["total"] = total
        row["started"] = self._phases[name]
        if state == "done":
            row["completed"] = now
        self._put("statuses", row)

    def warn(self, text: str) -> None:
        """See :class:`lading.build.progress.Progress`."""
        with self._lock:
            self._put("warnings", {"level": 1, "short": base64.b64encode(text.encode()).decode()})

    def tell_failure(self, error: StepFailed, file: Dockerfile) -> None:
        """See :class:`Shown`. It was told with the vertex."""

    def told_elsewhere(self) -> bool:
        """See :class:`Shown`."""
        return True
