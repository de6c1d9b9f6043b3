"""Things done at once, in an order: a task is carried out by a process of its own, for the core is blocking and forks keepers.

A task begins when those it ``needs`` are done and it is ``ready``. When one fails, those that run are waited for and no other
begins; the first failure is raised. Ctrl-C ends the tasks that run.
"""

from __future__ import annotations

import os
import select
import signal
import time

from lading.errors import LadingError
from lading.formats import jsontext
from lading.node import wire
from lading.node.shop import before_fork

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lading.compose.locking import Lock

_PATIENCE = 0.1  # seconds between two looks at whether a task is ready


class Task:
    """``work`` is called in a process of its own and gives a JSON value; ``ready`` is asked here, and may raise.

    ``done`` is called here with the result.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], object],
        *,
        needs: Sequence[str] = (),
        ready: Callable[[], bool] | None = None,
        done: Callable[[object], None] | None = None,
    ) -> None:
        self.name = name
        self.work = work
        self.needs = tuple(needs)
        self.ready = ready
        self.done = done


def run(
    tasks: Sequence[Task],
    *,
    limit: int = 0,
    meanwhile: Callable[[], None] | None = None,
    lock: Lock | None = None,
) -> dict[str, object]:
    """Carry the tasks out, at most ``limit`` at once (0: no limit): their results by name. Raises the first failure.

    ``meanwhile`` is called ten times a second. ``lock`` is held while a task is carried out, and let go while none is.
    """
    return _Crew(tasks, limit, meanwhile, lock).run()


class _Crew:
    def __init__(
        self, tasks: Sequence[Task], limit: int, meanwhile: Callable[[], None] | None, lock: Lock | None
    ) -> None:
        self.lock = lock
        self.meanwhile = meanwhile
        self.waiting = list(tasks)
        self.limit = limit if limit > 0 else len(tasks) or 1
        self.known = {task.name for task in tasks}
        self.results: dict[str, object] = {}
        self.living: dict[int, tuple[Task, int, bytearray]] = {}
        self.failure: LadingError | None = None

    def run(self) -> dict[str, object]:
        try:
            while self.waiting or self.living:
                self._begin()
                if self.failure is not None and not self.living:
                    break
                self._wait()
                if self.meanwhile is not None:
                    self.meanwhile()
        except BaseException:
            self._end()
            raise
        if self.failure is not None:
            raise self.failure
        return self.results

    def _begin(self) -> None:
        for task in list(self.waiting):
            if self.failure is not None:
                return
            if len(self.living) >= self.limit:
                return
            if any(name in self.known and name not in self.results for name in task.needs):
                continue
            try:
                if task.ready is not None and not task.ready():
                    continue
            except LadingError as error:
                self.failure = self.failure or error
                return
            self.waiting.remove(task)
            self._fork(task)

    def _fork(self, task: Task) -> None:
        if self.lock is not None:
            self.lock.hold()
        before_fork()
        read, write = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            os.close(read)
            _child(task, write)
        os.close(write)
        self.living[read] = (task, pid, bytearray())

    def _wait(self) -> None:
        if not self.living:
            if self.lock is not None:
                self.lock.let_go()
            time.sleep(_PATIENCE)
            return
        polled = self.meanwhile is not None or (self.waiting and self.failure is None)
        timeout = _PATIENCE if polled else None
        for fd in select.select(list(self.living), [], [], timeout)[0]:
            task, pid, data = self.living[fd]
            block = os.read(fd, 65536)
            if block:
                data += block
                continue
            os.close(fd)
            del self.living[fd]
            _, status = os.waitpid(pid, 0)
            self._finish(task, bytes(data), os.waitstatus_to_exitcode(status))

    def _finish(self, task: Task, data: bytes, status: int) -> None:
        try:
            answer = jsontext.loads(data, what="a task's answer") if data else {}
        except LadingError:
            answer = {}
        if not isinstance(answer, dict) or "result" not in answer:
            error = answer.get("error") if isinstance(answer, dict) else None
            made = wire.decode_error(error) if isinstance(error, dict) else None
            self.failure = (
                self.failure or made or LadingError(f"{task.name}: its process ended with {status}")
            )
            return
        self.results[task.name] = answer["result"]
        if task.done is not None:
            task.done(answer["result"])

    def _end(self) -> None:
        for fd, (_, pid, _) in self.living.items():
            os.close(fd)
            os.kill(pid, signal.SIGTERM)
        for _, pid, _ in self.living.values():
            os.waitpid(pid, 0)
        self.living.clear()


def _child(task: Task, write: int) -> None:
    """Carry the task out and never return. A terminal's Ctrl-C is for whoever waits for it, so this is no part of its group.

    An ignored signal would be handed down to keepers and containers.
    """
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    status = 0
    try:
        try:
            answer: dict[str, object] = {"result": task.work()}
        except LadingError as error:
            answer = {"error": wire.encode_error(error)}
        except OSError as error:
            said = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
            answer = {"error": wire.encode_error(LadingError(said))}
        except BaseException as error:
            if os.environ.get("LADING_DEBUG"):
                import traceback

                traceback.print_exc()
            answer = {"error": wire.encode_error(error)}
        data = jsontext.dumps(answer).encode("utf-8", "replace")
        view = memoryview(data)
        while view:
            view = view[os.write(write, view) :]
    except BaseException:
        status = 1
    finally:
        os._exit(status)
