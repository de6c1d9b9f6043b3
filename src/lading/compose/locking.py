"""One command at a time works on a project's containers: a lock on a file below the run root.

The processes that carry a command's steps out have it too, so that it lasts until the last of them is done, whatever becomes of
the command. Keepers close what they inherit. While a command only waits (for a dependency to be healthy), others may go on.
"""

from __future__ import annotations

import fcntl
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from lading.compose.application import Application


class Lock:
    """The lock of one project; for ``with``, or held and let go in between."""

    def __init__(self, app: Application, project: str) -> None:
        self._app = app
        self._project = project
        self._fd = -1

    def hold(self) -> None:
        """Take it, and wait for whoever has it."""
        if self._fd >= 0:
            return
        directory = f"{self._app.context.roots.run}/compose"
        os.makedirs(directory, 0o700, exist_ok=True)
        fd = os.open(
            f"{directory}/{self._project}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._app.say(f"another command works on the project {self._project}: waiting for it")
                fcntl.flock(fd, fcntl.LOCK_EX)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def let_go(self) -> None:
        """Give it back, as far as this process has it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Lock:
        self.hold()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.let_go()
