"""Who fills a new volume from an image: one process at a time, and again from the start after one that was killed."""

from __future__ import annotations

import fcntl
import os

from lading.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType


class Filling:
    """The right to fill the volume in ``directory``, for ``with``; waits for whoever has it.

    The lock (flock(2), of the volume's own directory) is shared with the child that copies, so one whose parent was
    killed has it until it ends. ``marker`` names the file that says that the content is not whole.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.marker = f"{directory}/filling"
        self._fd = -1

    def __enter__(self) -> Filling:
        try:
            self._fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound(f"no such volume: {os.path.basename(self.directory)}") from None
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)
