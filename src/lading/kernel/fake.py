"""A kernel that only writes down what it was asked: the other side of the seam, for tests of decisions.

kernel = FakeKernel({"openat2": KernelError("openat2", 2), "fork": [100, 0]})
attach(kernel, …)
assert kernel.names() == ["open", "open_tree", "mount_setattr", "move_mount", "close"]
"""

from __future__ import annotations

import os

from lading.kernel import Kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: Calls that give a new descriptor: each answer is a number of its own.
_DESCRIPTORS = frozenset(
    "open openat2 open_tree fsopen fsmount new_filesystem pidfd_open pidfd_getfd dup_above".split()
)
_TEXT = {"readlinkat": "self", "getcwd": "/", "fs_log": ""}


class FakeKernel(Kernel):
    """Records ``(name, arguments)`` in :attr:`calls` and answers from ``script``.

    ``script`` maps a call's name to its answer: a value, an exception to raise, a function of the arguments, or a list of
    such answers that are used up in order (its last one stays). Calls that are not in it succeed: with a new descriptor
    where the real one gives one, with the file status of a directory for ``fstat``, with 0 or nothing else.
    """

    def __init__(self, script: dict[str, Any] | None = None) -> None:
        self.script = dict(script or {})
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self._next = 1000

    def names(self, *only: str) -> list[str]:
        """The calls' names in order; with arguments, of those calls alone."""
        return [name for name, _ in self.calls if not only or name in only]

    def arguments(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of each call of ``name``; keywords follow as (key, value) pairs."""
        return [arguments for called, arguments in self.calls if called == name]

    def _answer(self, name: str, arguments: tuple[Any, ...]) -> Any:
        answer = self.script.get(name, _MISSING)
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, BaseException):
            raise answer
        if callable(answer):
            return answer(*arguments)
        if answer is not _MISSING:
            return answer
        if name in _DESCRIPTORS:
            self._next += 1
            return self._next
        if name == "fstat":
            return os.stat_result((0o040755, 2, 0, 1, 0, 0, 0, 0, 0, 0))
        if name == "capget":
            return ((1 << 41) - 1,) * 3
        if name == "read":
            return b""
        return _TEXT.get(name, 0)


_MISSING = object()


def _recorder(name: str) -> Callable[..., Any]:
    def call(self: FakeKernel, *arguments: Any, **named: Any) -> Any:
        given = arguments + tuple(named.items())
        self.calls.append((name, given))
        return self._answer(name, given)

    call.__name__ = name
    return call


for _class in Kernel.__mro__:
    for _name in vars(_class):
        if not _name.startswith("_") and _class is not object:
            setattr(FakeKernel, _name, _recorder(_name))
