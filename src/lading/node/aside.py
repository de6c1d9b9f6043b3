"""Work that may take long, in a child of the keeper: whoever keeps pods waits for nobody.

A process that enters a container sets itself up inside the container's control group. Where that group may use two
thousandths of a processor it takes seconds; a keeper that waited for it would meanwhile read no output, see no end and
answer no command. So it forks. The child is a session of its own: what is typed at the terminal of a keeper in the foreground
is not for it. It ends when its keeper does, by SIGTERM, and so does what it has started.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import NoReturn

    from lading.formats.oci_runtime import Process
    from lading.kernel import Kernel
    from lading.node.handle import Handle
    from lading.runtime import Stdio

SIGTERM = 15
_SIGKILL = 9
_PR_SET_PDEATHSIG = 1
_SIG_BLOCK, _SIG_SETMASK = 0, 2
_SIGNALS = range(1, 32)
_WORDS = 4096


class Ended(BaseException):
    """The child has been told to end."""


def fork(kernel: Kernel, keep: Collection[int], work: Callable[[], int]) -> int:
    """Do ``work`` in a child, whose exit status it returns; the child's pid.

    The child has no descriptors but its standard streams and ``keep``. On SIGTERM :class:`Ended` is raised in ``work``, and
    what it started is ended.
    """
    import _signal  # type: ignore[import-not-found]

    # What arrives between the fork and the child's own handlers would wake the keeper's loop, which it shares until then.
    before = _signal.pthread_sigmask(_SIG_BLOCK, _SIGNALS)
    keeper = os.getpid()
    pid = -1
    try:
        pid = os.fork()
        if pid == 0:
            _be_child(kernel, keep, work, keeper, before - {SIGTERM})
    finally:
        if pid == 0:
            os._exit(1)
        _signal.pthread_sigmask(_SIG_SETMASK, before)
    return pid


def _be_child(
    kernel: Kernel, keep: Collection[int], work: Callable[[], int], keeper: int, blocked: set[int]
) -> NoReturn:
    import _signal

    status = 1
    try:
        _settle(kernel, keep, keeper)
        _signal.pthread_sigmask(_SIG_SETMASK, blocked)
        status = work()
    except Ended:
        _end_children()
    finally:
        os._exit(status)


def _settle(kernel: Kernel, keep: Collection[int], keeper: int) -> None:
    import _signal
    import gc

    # Finalised here, an object of the keeper's would close a descriptor by a number that means something else by then.
    gc.disable()
    os.setsid()
    for number in _SIGNALS:
        if callable(_signal.getsignal(number)):
            _signal.signal(number, _signal.SIG_DFL)
    _signal.signal(SIGTERM, _told_to_end)
    low = 3
    for fd in sorted(fd for fd in keep if fd >= low):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, max(low, os.sysconf("SC_OPEN_MAX")))
    kernel.prctl(_PR_SET_PDEATHSIG, SIGTERM)
    if os.getppid() != keeper:
        raise Ended


def _told_to_end(_number: int, _frame: object) -> None:
    import _signal

    _signal.signal(SIGTERM, _signal.SIG_IGN)
    raise Ended


def execute(kernel: Kernel, handle: Handle, process: Process, words: int) -> int:
    """Run ``process`` in a container, its output to ``words``, in a child that exits as it does; the child's pid.

    One that cannot be run says why on ``words``, and the child exits with 1.
    """
    from lading.runtime import Stdio

    def work() -> int:
        try:
            return handle.exec(process, stdio=Stdio(-1, words, words)).wait()
        except Exception as error:
            os.write(words, str(error).encode()[:_WORDS])
            return 1

    _load()
    return fork(kernel, [words], work)


def serve(kernel: Kernel, handle: Handle, process: Process, stdio: Stdio, caller: int) -> int:
    """Run ``process`` in a container for whoever is at the socket ``caller``, in a child; the child's pid.

    The child answers: with its pid and the master of its terminal once it runs, with ``x`` and its exit code once it has
    ended, or with why it could not be run.
    """
    from lading.node import sockets, wire

    def work() -> int:
        sock = sockets.adopt(caller)  # as non-blocking as the keeper's, and with room for what is said here
        try:
            made = handle.exec(process, stdio=stdio)
        except Exception as error:
            wire.send(sock, {"error": wire.encode_error(error)})
            return 1
        wire.send(sock, {"pid": made.pid}, [made.console] if made.console >= 0 else None)
        for fd in {made.console, stdio.stdin, stdio.stdout, stdio.stderr}:
            if fd >= 0:
                os.close(fd)
        sock.send(b"x%d" % made.wait())
        return 0

    _load()
    return fork(kernel, [caller, stdio.stdin, stdio.stdout, stdio.stderr], work)


def _load() -> None:
    """Load what the child needs before it is forked, so that not every child has to."""
    from lading.runtime import execute, helper  # noqa: F401


def _end_children() -> None:
    """End what this child has started: each leads a group of its own, which its own children are in."""
    me = os.getpid()
    try:
        with open(f"/proc/{me}/task/{me}/children") as stream:
            pids = [int(word) for word in stream.read().split()]
    except OSError:
        return
    for pid in pids:
        for end in (os.killpg, os.kill):
            try:
                end(pid, _SIGKILL)
                break
            except ProcessLookupError:
                continue  # not yet the leader of a group, or gone
    for pid in pids:
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            continue
