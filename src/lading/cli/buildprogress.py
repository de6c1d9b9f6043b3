"""What a build shows: what all ways of showing it have in common, and the choice between them."""

from __future__ import annotations

import sys
import threading

from lading.build.graph import FilesOp, ImageOp
from lading.build.progress import Progress
from lading.cli.buildlines import Lines, printable
from lading.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import TextIO

    from lading.build.executor import StepFailed
    from lading.build.graph import Graph, Vertex
    from lading.errors import LadingError
    from lading.formats.dockerfile import Dockerfile


class Step:
    """A step as it is shown. ``number``: counted from 1 in the order of showing; ``head``: ``[builder 2/5] RUN …``."""

    __slots__ = ("head", "inputs", "lines", "number", "vertex")

    def __init__(self, number: int, head: str, vertex: Vertex, inputs: list[str]) -> None:
        self.number = number
        self.head = head
        self.vertex = vertex
        self.inputs = inputs
        self.lines = Lines()


_LAST = 20  # lines that are shown once more of a command that failed


class Shown(Progress):
    """Keeps what every way of showing needs; writes to ``out``, and stops when nobody reads any more."""

    _where_all_is = " (--progress=plain shows all)"

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.RLock()
        self._graph: Graph | None = None
        self._heads: dict[int, str] = {}
        self._known: set[int] = set()
        self._steps: dict[int, Step] = {}
        self._count = 0

    # -- of use to all -------------------------------------------------------------------------------------------------

    def begin(self, graph: Graph, needed: Collection[int]) -> None:
        """See :class:`lading.build.progress.Progress`."""
        self.learn(graph, needed)

    def learn(self, graph: Graph, needed: Collection[int]) -> list[int]:
        """Which of ``needed`` were not told before, in order; how each is called is known then."""
        with self._lock:
            self._graph = graph
            new = [number for number in sorted(needed) if number not in self._known]
            self._known.update(new)
            self._heads = heads(graph, needed) | self._heads
            return new

    def step(self, number: int, vertex: Vertex) -> Step:
        """The step that a vertex is shown as."""
        found = self._steps.get(number)
        if found is None:
            head = self._heads.get(number) or printable(vertex.name)
            inputs = [self._graph[i].key for i in vertex.inputs] if self._graph is not None else []
            found = self._steps[number] = Step(self.next_number(), head, vertex, inputs)
        return found

    def next_number(self) -> int:
        """A number for whatever is shown next."""
        self._count += 1
        return self._count

    def write(self, text: str) -> None:
        """Write at once. That nobody reads any more is no reason to stop building."""
        try:
            self._out.write(text)
            self._out.flush()
        except UnicodeEncodeError:
            encoding = self._out.encoding or "ascii"
            self._out.write(text.encode(encoding, "backslashreplace").decode(encoding))
            self._out.flush()
        except (OSError, ValueError):
            pass

    def log(self, number: int, vertex: Vertex, stream: str, data: bytes) -> None:
        """See :class:`lading.build.progress.Progress`."""
        with self._lock:
            self.step(number, vertex).lines.feed(stream, data)

    def failed(self, number: int, vertex: Vertex, error: LadingError) -> None:
        """See :class:`lading.build.progress.Progress`."""
        with self._lock:
            self.step(number, vertex).lines.flush()

    # -- the end -------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Nothing more comes, or only the end of it."""

    def tell_failure(self, error: StepFailed, file: Dockerfile) -> None:
        """Which line of the file failed and why, with the last of what its command said."""
        from lading.cli.buildfailure import failure

        with self._lock:
            step = next((s for s in self._steps.values() if s.vertex is error.vertex), None)
            said = step.lines.showing(_LAST) if step is not None else []
            if step is not None and step.lines.count > len(said) > 0:
                said.insert(0, f"… {step.lines.count - len(said)} more before{self._where_all_is}")
            head = step.head if step is not None else printable(error.vertex.name)
            self.write("\n".join(failure(error, file, head, said)) + "\n")

    def done(self, image: str, names: Sequence[str]) -> None:
        """The image is there; without one (files were asked for) ``image`` is empty."""

    def told_elsewhere(self) -> bool:
        """Whether what was built is to be printed on standard output, because nothing of this says it."""
        return False


class Quiet(Shown):
    """Nothing but failures."""

    def told_elsewhere(self) -> bool:
        """See :class:`Shown`."""
        return True


def heads(graph: Graph, needed: Collection[int]) -> dict[int, str]:
    """``[stage 2/3] RUN …`` for each vertex that is a step of a stage; a stage without a name that is alone is not named.

    In a build for several platforms it begins with the step's: ``[linux/arm64 stage 2/3] RUN …``.
    """
    stages: dict[str, list[int]] = {}
    for number in sorted(needed):
        vertex = graph[number]
        if vertex.stage and not isinstance(vertex.op, FilesOp):
            stages.setdefault(vertex.stage, []).append(number)
    made = {}
    for stage, numbers in stages.items():
        named = len(stages) > 1 or not stage.startswith("stage-")
        for place, number in enumerate(numbers, 1):
            told = [graph[number].where, stage if named else "", f"{place}/{len(numbers)}"]
            where = " ".join(word for word in told if word)
            made[number] = f"[{printable(where)}] {printable(one_line(graph[number].name))}"
    return made


def one_line(name: str) -> str:
    """An instruction as one line."""
    return " ".join(name.split()) if "\n" in name else name


def bases(graph: Graph, needed: Collection[int]) -> list[int]:
    """The steps of ``needed`` that are base images."""
    found = []
    for number in sorted(needed):
        op = graph[number].op
        if isinstance(op, ImageOp) and op.diff_ids and graph[number].stage:
            found.append(number)
    return found


def display(kind: str, *, quiet: bool) -> Shown:
    """What shows the build as ``--progress`` wants it. Raises :class:`InvalidInput` for ``tty`` where there is none."""
    from lading.cli.progress import _is_terminal as is_terminal

    if quiet or kind == "quiet":
        return Quiet(sys.stderr)
    if kind == "rawjson":
        from lading.cli.buildjson import JSONLines

        return JSONLines(sys.stderr)
    live = is_terminal(sys.stderr)
    if kind == "tty" and not live:
        raise InvalidInput("--progress=tty: standard error is no terminal", hint="use --progress=plain")
    if kind in ("auto", "tty") and live:
        from lading.cli.buildlive import Live

        return Live(sys.stderr)
    from lading.cli.buildplain import Plain

    return Plain(sys.stderr)
