"""Network namespaces as open descriptors.

``unshare`` and ``setns`` change the calling *thread* alone, so a namespace is made by stepping into a new one and
straight back: half a millisecond, where a forked child costs four and more. The descriptor keeps the namespace
alive; nothing is mounted, so nothing can be left behind.

Who is root in a user namespace only may not come back into the host's network namespace. A thread then steps in for
him and ends there (:func:`elsewhere`).
"""

from __future__ import annotations

import os

from lading.errors import KernelError
from lading.kernel.libc import call
from lading.kernel.netlink import Netlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

CLONE_NEWNET = 0x40000000
_EPERM = 1
_SELF = "/proc/thread-self/ns/net"


def _unshare() -> None:
    call("unshare", CLONE_NEWNET, about="CLONE_NEWNET")


def enter(descriptor: int) -> None:
    """Move the calling thread into the network namespace of ``descriptor`` (setns(2))."""
    call("setns", descriptor, CLONE_NEWNET, about="CLONE_NEWNET")


def current() -> int:
    """A close-on-exec descriptor of the calling thread's network namespace."""
    try:
        return os.open(_SELF, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError(f"open {_SELF}", error.errno or 0) from None


def create(work: Callable[[], T]) -> tuple[int, T]:
    """A new network namespace: its descriptor, and what ``work`` returned while the thread was inside.

    The thread is back in its own namespace when this returns or raises.
    """
    home = current()
    try:
        if not _returns(home):
            return elsewhere(lambda: _create(work))
        try:
            return _create(work)
        finally:
            enter(home)
    finally:
        os.close(home)


def _create(work: Callable[[], T]) -> tuple[int, T]:
    _unshare()
    made = current()
    try:
        return made, work()
    except BaseException:
        os.close(made)
        raise


def _returns(home: int) -> bool:
    """Whether this thread may enter the namespace it is in, and so come back to it."""
    try:
        enter(home)
    except KernelError as error:
        if error.errno == _EPERM:
            return False
        raise
    return True


def elsewhere(work: Callable[[], T]) -> T:
    """Run ``work`` in a thread of its own, which may go where it likes; this thread waits until that one is gone."""
    import _thread
    import time

    done = _thread.allocate_lock()
    done.acquire()
    results: list[T] = []
    failures: list[BaseException] = []
    thread: list[int] = []

    def body() -> None:
        thread.append(_thread.get_native_id())
        try:
            results.append(work())
        except BaseException as error:  # handed over to who waits
            failures.append(error)
        finally:
            done.release()

    _thread.start_new_thread(body, ())
    done.acquire()
    # A caller that forks next counts on being alone.
    while os.path.exists(f"/proc/self/task/{thread[0]}"):
        time.sleep(0.0001)
    if failures:
        raise failures[0]
    return results[0]


def inside(descriptor: int, work: Callable[[], T]) -> T:
    """Run ``work`` in the namespace of ``descriptor`` and come back."""
    home = current()
    try:
        if not _returns(home):

            def there() -> T:
                enter(descriptor)
                return work()

            return elsewhere(there)
        enter(descriptor)
        try:
            return work()
        finally:
            enter(home)
    finally:
        os.close(home)


def open_route(descriptor: int) -> Netlink:
    """An rtnetlink socket that speaks to the namespace of ``descriptor``."""
    return inside(descriptor, Netlink)
