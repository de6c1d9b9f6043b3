"""The executor: carries out what the solver asks for, each step in a process of its own.

A step runs in a forked child (:mod:`lading.build.worker`): a command's pod is kept there as ``lading run`` keeps one, and files
are copied there, so that steps side by side really use several processors. The parent has no threads; it draws progress, holds
the lease of everything that was made, and writes results down. When it dies, so do its children, and with them their containers.
"""

from __future__ import annotations

import os
import select
import time

from lading.build import worker
from lading.build.cache import LayerMade, Result
from lading.build.graph import CopyOp, FilesOp, ImageOp, RunOp, key_of
from lading.build.recorder import Recorder
from lading.build.solver import EXECUTE, LOOK, SEEK, Solver
from lading.errors import LadingError
from lading.formats import jsontext
from lading.images import snapshots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.build.ahead import Ahead
    from lading.build.cache import StepCache
    from lading.build.graph import Graph, Vertex
    from lading.build.progress import Progress
    from lading.build.workshop import Workshop

_READ = 1 << 16
_SIGKILL, _SIGTERM = 9, 15
_PATIENCE = 3.0  # seconds for steps to undo what they began


class StepFailed(LadingError):
    """A step of the build failed. ``vertex``: which; ``code``: its command's status, or -1."""

    reason = "step-failed"

    def __init__(self, vertex: Vertex, error: LadingError, code: int) -> None:
        super().__init__(error.message, hint=error.hint, reason=error.reason)
        self.vertex = vertex
        self.code = code


class _Running:
    """A child at work: ``control`` is where its report comes from, ``streams`` what its command writes."""

    __slots__ = ("began", "control", "heard", "pid", "streams", "vertex")

    def __init__(self, vertex: int, pid: int, control: int, streams: dict[int, str]) -> None:
        self.vertex = vertex
        self.pid = pid
        self.control = control
        self.streams = streams
        self.heard = bytearray()
        self.began = time.monotonic()


class Executor:
    """Solves ``graph`` for ``targets``."""

    def __init__(
        self,
        graph: Graph,
        targets: Sequence[int],
        *,
        workshop: Workshop,
        cache: StepCache,
        progress: Progress,
        parallel: int,
        ahead: Ahead | None = None,
    ) -> None:
        self._graph = graph
        self._targets = targets
        self._workshop = workshop
        self._cache = cache
        self._progress = progress
        self._solver = Solver(graph, targets, parallel=parallel)
        self._results: dict[int, Result] = {}
        self._content_keys: dict[int, str] = {}
        self._running: dict[int, _Running] = {}
        self._poll = select.poll()
        self._recorder = Recorder(cache, progress)
        self._ahead = ahead
        self._failure: StepFailed | None = None
        #: What was recorded so that commands' containers could be made, for ``snapshots.forget``.
        self.stepped: set[str] = set()

    def run(self) -> dict[int, Result]:
        """The results of the targets. Raises :class:`StepFailed` for the first step that failed; what was finished is kept.

        Ctrl-C ends all steps in good order and is raised again.
        """
        try:
            while not self._solver.finished:
                for action in self._solver.next():
                    if action.kind == EXECUTE:
                        self._execute(action.vertex)
                    elif action.kind == LOOK:
                        self._look(action.vertex)
                    elif action.kind == SEEK:
                        self._seek(action.vertex)
                    else:
                        self._weigh(action.vertex)
                if self._recorder.begin():
                    self._poll.register(self._recorder.fd, select.POLLIN)
                if self._ahead is not None and self._ahead.begin():
                    self._poll.register(self._ahead.fd, select.POLLIN)
                if self._running and not self._solver.finished:
                    self._wait()
        except BaseException:
            self._give_up()
            raise
        finally:
            if self._ahead is not None:
                self._ahead.finish(wanted=self._failure is None and self._solver.finished)
            self._recorder.finish()
        if self._failure is not None:
            raise self._failure
        return {target: self._results[target] for target in self._targets}

    @property
    def results(self) -> dict[int, Result]:
        """What was found or made so far, by vertex."""
        return self._results

    @property
    def content_keys(self) -> dict[int, str]:
        """Keys by what inputs contained, of the vertices whose own key was not known."""
        return self._content_keys

    # -- the cache -----------------------------------------------------------------------------------------------------

    def _look(self, index: int) -> None:
        vertex = self._graph[index]
        if isinstance(vertex.op, ImageOp):
            self._results[index] = Result([LayerMade(diff_id) for diff_id in vertex.op.diff_ids])
            self._solver.found(index)
        elif isinstance(vertex.op, FilesOp):
            self._results[index] = Result([])
            self._solver.found(index)
        else:
            self._answer(index, self._cache.get(vertex.key))

    def _weigh(self, index: int) -> None:
        """The key of a step by what its inputs contain: all layers of the first, and what is taken of the others."""
        vertex = self._graph[index]
        try:
            told = self._contents(vertex)
        except LadingError:
            # What it takes is not there, say: the step itself tells, as its own mistake.
            self._solver.missed(index)
            return
        self._content_keys[index] = key_of(vertex.op, vertex.platform, ["content", *told])
        self._solver.content(index)

    def _contents(self, vertex: Vertex) -> list[str]:
        told = []
        for place, given in enumerate(vertex.inputs):
            if isinstance(self._graph[given].op, FilesOp):
                told.append(self._graph[given].key)
            elif place and isinstance(vertex.op, CopyOp):
                told.append(self._workshop.content(self._results[given], vertex.op, place))
            elif place and isinstance(vertex.op, RunOp) and vertex.op.shown(place):
                told.append(self._workshop.mounted(self._results[given], vertex.op.shown(place)))
            elif not place and isinstance(vertex.op, CopyOp) and vertex.op.link:
                told.append("")
            else:
                told.append(" ".join(self._results[given].diff_ids))
        return told

    def _seek(self, index: int) -> None:
        vertex = self._graph[index]
        found = self._cache.get(self._content_keys[index])
        if found is not None and isinstance(vertex.op, CopyOp) and vertex.op.link:
            found = Result([*self._results[vertex.inputs[0]].layers, found.layers[-1]])
        if found is not None:
            self._recorder.add([vertex.key], found, vertex.name, found.layers[-1].size, 0.0)
        self._answer(index, found)

    def _answer(self, index: int, found: Result | None) -> None:
        if found is None:
            self._solver.missed(index)
            return
        self._results[index] = found
        self._progress.cached(index, self._graph[index])
        self._solver.found(index)

    # -- children ------------------------------------------------------------------------------------------------------

    def _execute(self, index: int) -> None:
        vertex = self._graph[index]
        self._progress.started(index, vertex)
        inputs = [self._results[given] for given in vertex.inputs]
        given_ops = [self._graph[given].op for given in vertex.inputs]
        if isinstance(vertex.op, RunOp):
            if not self.stepped:
                from lading.build import running as commands

                commands.preload()
            self.stepped.add(snapshots.step_digest(inputs[0].diff_ids, vertex.platform))
        pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(3)]
        keys = [vertex.key, self._content_keys.get(index, "")]
        pid = os.fork()
        if pid == 0:
            for read, _ in pipes:
                os.close(read)
            worker.main(self._workshop, vertex, inputs, given_ops, keys, [write for _, write in pipes])
        for _, write in pipes:
            os.close(write)
        control, out, err = (read for read, _ in pipes)
        running = _Running(index, pid, control, {out: "stdout", err: "stderr"})
        for fd in (control, out, err):
            os.set_blocking(fd, False)
            self._running[fd] = running
            self._poll.register(fd, select.POLLIN)

    def _wait(self) -> None:
        for fd, _ in self._poll.poll():
            if fd == self._recorder.fd:
                self._poll.unregister(fd)
                self._recorder.ended()
                continue
            if self._ahead is not None and fd == self._ahead.fd:
                self._poll.unregister(fd)
                self._ahead.ended()
                continue
            running = self._running.get(fd)
            if running is None:
                continue
            try:
                data = os.read(fd, _READ)
            except BlockingIOError:
                continue
            if fd == running.control:
                running.heard += data
            elif data:
                self._progress.log(running.vertex, self._graph[running.vertex], running.streams[fd], data)
            if not data:
                self._forget(fd)
                if running not in self._running.values():
                    self._ended(running)

    def _forget(self, fd: int) -> None:
        self._poll.unregister(fd)
        del self._running[fd]
        os.close(fd)

    def _ended(self, running: _Running) -> None:
        """A child has closed all its pipes: take its report."""
        _, status = os.waitpid(running.pid, 0)
        seconds = time.monotonic() - running.began
        index, vertex = running.vertex, self._graph[running.vertex]
        report = _report(running.heard, status)
        for note in report.get("notes", ()):  # type: ignore[attr-defined]
            self._progress.log(index, vertex, "note", str(note).encode() + b"\n")
        if "diffID" not in report:
            error = worker.error_of(report)
            self._solver.failed(index)
            code = report.get("code", -1)
            if self._failure is None:
                self._failure = StepFailed(vertex, error, code if isinstance(code, int) else -1)
                self._progress.failed(index, vertex, error)
                self._stop(_SIGTERM)
            return
        before = self._results[vertex.inputs[0]].layers if vertex.inputs else []
        made = LayerMade(str(report["diffID"]), str(report["created"]), int(report["size"]))  # type: ignore[call-overload]
        result = Result([*before, made])
        self._results[index] = result
        if not report.get("again"):
            keys = [key for key in (vertex.key, self._content_keys.get(index, "")) if key]
            if self._ahead is not None:
                self._ahead.add(index, made)
            self._recorder.add(keys, result, vertex.name, made.size, seconds)
        self._progress.finished(index, vertex, seconds)
        self._solver.made(index)

    def _stop(self, number: int) -> None:
        for running in set(self._running.values()):
            try:
                os.kill(running.pid, number)
            except ProcessLookupError:
                pass

    def _give_up(self) -> None:
        """End all children, and wait for them: they undo what they began."""
        self._stop(_SIGTERM)
        patient = time.monotonic() + _PATIENCE
        for running in set(self._running.values()):
            for fd in (running.control, *running.streams):
                if fd in self._running:
                    self._forget(fd)
            while True:
                try:
                    os.waitpid(running.pid, 0)
                    break
                except KeyboardInterrupt:
                    # A second Ctrl-C comes by a key that was held: what is killed cannot clear up.
                    if time.monotonic() > patient:
                        os.kill(running.pid, _SIGKILL)
                except ChildProcessError:
                    break


def _report(heard: bytearray, status: int) -> dict[str, object]:
    """What a child said last; made up for one that died without a word."""
    if heard:
        try:
            report = jsontext.loads(bytes(heard))
            if isinstance(report, dict):
                return report
        except LadingError:
            pass
    how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"status {os.WEXITSTATUS(status)}"
    return {"error": f"the step's process ended with {how} and said nothing", "reason": "worker-died"}
