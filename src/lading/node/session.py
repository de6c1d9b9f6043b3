"""A conversation with a process in a container: its streams, its size, its end.

One interface for two carriers: a process that this one started itself (``exec``), and a container whose streams its
keeper holds (``attach``, ``run -t``).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

STDOUT, STDERR = 1, 2


class Session:
    """The caller's end. Poll :meth:`filenos` for input, then :meth:`read`.

    ``tty``  whether the streams are one terminal: everything arrives as stdout, and :meth:`resize` works.
    """

    tty = False

    def filenos(self) -> list[int]:
        """Descriptors to poll for readability; empty once everything has ended."""
        raise NotImplementedError

    def read(self) -> list[tuple[int, bytes]]:
        """What has arrived, as (``STDOUT`` or ``STDERR``, bytes), without blocking."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Send ``data`` to the process's stdin. Silently too late when it has closed that."""
        raise NotImplementedError

    def close_stdin(self) -> None:
        """End of input. With a terminal the session goes on without input."""
        raise NotImplementedError

    def resize(self, rows: int, columns: int) -> None:
        """Tell the process its terminal's new size."""
        raise NotImplementedError

    def signal(self, number: int) -> None:
        """Send a signal to the process."""
        raise NotImplementedError

    def wait(self) -> int:
        """The exit code (128+n for a signal) once the process has ended; call after :meth:`filenos` is empty."""
        raise NotImplementedError

    def close(self) -> None:
        """Leave; the process goes on (detach)."""
        raise NotImplementedError


def pump(
    session: Session,
    stdin: int,
    stdout: int,
    stderr: int,
    *,
    keys: Callable[[bytes], tuple[bytes, bool]] | None = None,
    wake: int = -1,
    on_wake: Callable[[], None] | None = None,
) -> int | None:
    """Copy between ``session`` and the caller's descriptors (-1: none) until it ends: its exit code.

    ``keys`` sees what the user types and returns what to pass on and whether to detach; then the result is None.
    ``wake`` is one more descriptor to poll (a signal's wake-up pipe); ``on_wake`` is called when it is readable.
    """
    raise NotImplementedError
