"""One freeze of a container at a time, and a trace of it when its command is killed.

Pausing and committing freeze a container. Before they do, they make a file in its directory and lock it (flock(2)); they
remove it when the freeze is over or written down as a pause. A file that nobody holds the lock of is what a ``kill -9``
left: the container stands still, and its record does not say so.
"""

from __future__ import annotations

import fcntl
import os

from lading.errors import Conflict, NotFound
from lading.node.engine import engine_of
from lading.node.model import PAUSED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from lading.node.model import ContainerRecord, PodRecord
    from lading.node.shop import Shop


class Freezing:
    """The right to freeze or thaw ``container``, for ``with``; waits for whoever has it."""

    def __init__(self, shop: Shop, record: PodRecord, container: ContainerRecord) -> None:
        self.path = _path(shop, record, container)
        self._fd = -1

    def __enter__(self) -> Freezing:
        while True:
            try:
                self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                raise Conflict("the container is being removed", reason="state") from None
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            if _same(self._fd, self.path):
                return self
            os.close(self._fd)  # its holder removed the file while we waited for it

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass
        os.close(self._fd)


def abandoned(shop: Shop, record: PodRecord, container: ContainerRecord) -> bool:
    """Whether somebody was killed who froze or thawed this container."""
    fd = _abandoned(_path(shop, record, container))
    if fd >= 0:
        os.close(fd)
    return fd >= 0


def recover(shop: Shop, record: PodRecord, container: ContainerRecord) -> None:
    """Let the container run on, unless it is recorded as paused, and remove the trace."""
    path = _path(shop, record, container)
    fd = _abandoned(path)
    if fd < 0:
        return
    try:
        fresh = shop.records.get(record.id)
        now = next((c for c in fresh.containers if c.id == container.id), None) if fresh else None
        if now is not None and now.state != PAUSED:
            let_run(shop, record, container)
        os.unlink(path)
    finally:
        os.close(fd)


def let_run(shop: Shop, record: PodRecord, container: ContainerRecord) -> None:
    """Thaw whatever the record says: a frozen process of cgroup v1 does not even die (cgroup-v1/freezer-subsystem)."""
    try:
        engine_of(shop, record).get(container.id).resume()
    except (Conflict, NotFound):
        pass  # it runs, or is gone


def _path(shop: Shop, record: PodRecord, container: ContainerRecord) -> str:
    return f"{shop.container_directory(record, container)}/freezing"


def _abandoned(path: str) -> int:
    """The locked descriptor of a file that nobody held, or -1."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _same(fd, path):
            return fd
    except BlockingIOError:
        pass
    os.close(fd)
    return -1


def _same(fd: int, path: str) -> bool:
    try:
        return os.stat(path).st_ino == os.fstat(fd).st_ino
    except FileNotFoundError:
        return False
