"""The solver: which step to look up, compute or leave alone next. Pure: no clocks, no files, no processes.

Steps are demanded from the target backwards, as far as the cache does not know the answer:

1. A demanded step is *looked up* by its key, which speaks of all that it depends on. Known: nothing before it is needed.
2. Otherwise its inputs are demanded. When they are there it is looked up by their *content*: another way may have led to the
   same files (a stage was built anew and gave the same program).
3. Otherwise it is *executed*.

So a step that nobody needs is neither looked up nor executed, and independent steps run side by side. The driver asks
:meth:`Solver.next` for work, and reports what became of it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.build.graph import Graph

UNKNOWN, LOOKING, WAITING, WEIGHING, SEEKING, READY, RUNNING, DONE, FAILED = range(9)

LOOK = "look"
"""Look the vertex up by its key: :meth:`Solver.found` or :meth:`Solver.missed`."""
WEIGH = "weigh"
"""Say what the inputs' content is: :meth:`Solver.content`, or :meth:`Solver.missed` when that cannot be said."""
SEEK = "seek"
"""Look the vertex up by the content key: :meth:`Solver.found` or :meth:`Solver.missed`."""
EXECUTE = "execute"
"""Carry the step out: :meth:`Solver.made` or :meth:`Solver.failed`."""


class Action:
    """Something the driver is to do for a vertex: ``kind`` is :data:`LOOK`, :data:`WEIGH`, :data:`SEEK` or :data:`EXECUTE`."""

    __slots__ = ("kind", "vertex")

    def __init__(self, kind: str, vertex: int) -> None:
        self.kind = kind
        self.vertex = vertex

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Action) and (self.kind, self.vertex) == (other.kind, other.vertex)

    def __hash__(self) -> int:
        return hash((self.kind, self.vertex))

    def __repr__(self) -> str:
        return f"{self.kind} {self.vertex}"


class Solver:
    """The state of one build. ``targets`` are the vertices whose results are wanted; at most ``parallel`` steps run at once."""

    def __init__(self, graph: Graph, targets: Sequence[int], *, parallel: int = 2) -> None:
        self._graph = graph
        self._parallel = max(1, parallel)
        self._state = [UNKNOWN] * len(graph)
        self._takers: list[list[int]] = [[] for _ in range(len(graph))]
        for index, vertex in enumerate(graph.vertices):
            for given in set(vertex.inputs):
                self._takers[given].append(index)
        self._targets = list(dict.fromkeys(targets))
        self._actions: list[Action] = []
        self._ready: list[int] = []
        self._fresh: list[int] = []  # demanded, and not to be looked up
        self._running = 0
        self.broken = False
        for target in self._targets:
            self._demand(target)

    @property
    def finished(self) -> bool:
        """Nothing is left to do: every target is there, or something failed and nothing runs any more."""
        if self._running:
            return False
        if self.broken:
            return True
        return all(self._state[target] == DONE for target in self._targets)

    def state(self, vertex: int) -> int:
        """What the solver knows of a vertex, for progress and tests."""
        return self._state[vertex]

    def next(self) -> list[Action]:
        """What to do now. An action is given once. Nothing is executed any more after a failure."""
        while self._fresh:
            self.missed(self._fresh.pop())
        given, self._actions = self._actions, []
        if self.broken:
            return [action for action in given if action.kind != EXECUTE]
        # In the file's order: what was written first is told first.
        self._ready.sort()
        while self._ready and self._running < self._parallel:
            vertex = self._ready.pop(0)
            self._state[vertex] = RUNNING
            self._running += 1
            given.append(Action(EXECUTE, vertex))
        return given

    def found(self, vertex: int) -> None:
        """The cache knows the result."""
        self._done(vertex)

    def missed(self, vertex: int) -> None:
        """The cache does not know it: not by the key, after :data:`LOOK`, nor by the content, after the two others."""
        if self._state[vertex] in (WEIGHING, SEEKING):
            self._prepare(vertex)
            return
        self._state[vertex] = WAITING
        for given in self._graph[vertex].inputs:
            self._demand(given)
        self._advance(vertex)

    def content(self, vertex: int) -> None:
        """The inputs' content is known, and with it the content key."""
        self._state[vertex] = SEEKING
        self._actions.append(Action(SEEK, vertex))

    def made(self, vertex: int) -> None:
        """The step was carried out."""
        self._running -= 1
        self._done(vertex)

    def failed(self, vertex: int) -> None:
        """The step failed, or was given up; nothing more is begun."""
        self._running -= 1
        self._state[vertex] = FAILED
        self.broken = True

    def _demand(self, vertex: int) -> None:
        if self._state[vertex] != UNKNOWN:
            return
        self._state[vertex] = LOOKING
        if self._graph[vertex].fresh:
            self._fresh.append(vertex)
        else:
            self._actions.append(Action(LOOK, vertex))

    def _advance(self, vertex: int) -> None:
        if self._state[vertex] != WAITING:
            return
        if any(self._state[given] != DONE for given in self._graph[vertex].inputs):
            return
        if self._graph[vertex].fresh or not self._graph[vertex].inputs:
            self._prepare(vertex)
        else:
            self._state[vertex] = WEIGHING
            self._actions.append(Action(WEIGH, vertex))

    def _prepare(self, vertex: int) -> None:
        self._state[vertex] = READY
        self._ready.append(vertex)

    def _done(self, vertex: int) -> None:
        self._state[vertex] = DONE
        for taker in self._takers[vertex]:
            self._advance(taker)
