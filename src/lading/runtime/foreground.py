"""Waiting for a process in the foreground: signals go to it, its terminal is ours, its exit status is
returned."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from types import FrameType
    from typing import Any

    from lading.formats.oci_runtime import Process
else:
    import _signal  # signal itself imports enum: 3 ms of a container's start

_TIOCGWINSZ, _TIOCSWINSZ = 0x5413, 0x5414
# SIGCHLD and SIGURG are the kernel's and the interpreter's own; SIGPIPE is about our own output; SIGWINCH is
# handled.
_OURS = (_signal.SIGCHLD, _signal.SIGURG, _signal.SIGPIPE, _signal.SIGWINCH, _signal.SIGKILL, _signal.SIGSTOP)
_FORWARDED = tuple(n for n in range(1, 32) if n not in _OURS and n not in (8, 11, 4, 5, 7, 20, 21, 22))


def adopt_size(process: Process) -> None:
    """Give the process's terminal the size of ours, where the specification says none."""
    if process.console_size is not None:
        return
    for fd in (0, 1, 2):
        try:
            size = os.get_terminal_size(fd)
        except OSError:
            continue
        from lading.formats.oci_runtime import Box

        process.console_size = Box(height=size.lines, width=size.columns)
        return


class Signals:
    """Forwards signals to one process, from before it exists: those that come too early wait for
    :meth:`send_to`.

    Without that, a SIGTERM between the start of the container and the first line of :func:`attend` would end
    the runtime alone and leave the container running.
    """

    def __init__(self) -> None:
        self._pid = 0
        self._early: list[int] = []
        kept = _signal.SIGHUP if _signal.getsignal(_signal.SIGHUP) == _signal.SIG_IGN else 0  # by nohup(1)
        self._before = {n: _signal.signal(n, self._forward) for n in _FORWARDED if n != kept}

    def _forward(self, number: int, frame: FrameType | None) -> None:
        if not self._pid:
            self._early.append(number)
            return
        try:
            os.kill(self._pid, number)
        except ProcessLookupError:
            pass

    def send_to(self, pid: int) -> None:
        """``pid`` exists now and is our child."""
        self._pid = pid
        early, self._early = self._early, []
        for number in early:
            self._forward(number, None)

    def restore(self) -> None:
        """Back to the handlers of before; a signal that reached nobody is then ours."""
        for number, handler in self._before.items():
            if handler is not None:
                _signal.signal(number, handler)
        early, self._early = self._early, []
        for number in early:
            os.kill(os.getpid(), number)


def attend(pid: int, master: int = -1, signals: Signals | None = None) -> int:
    """Forward signals to our child ``pid``, and copy between its terminal ``master`` and our standard
    streams.

    ``signals`` were caught since before the child was started. Returns its exit status, 128 + n when signal
    n ended it.
    """
    signals = signals or Signals()
    signals.send_to(pid)
    try:
        if master >= 0:
            _copy_terminal(master)
        status = os.waitpid(pid, 0)[1]
    finally:
        signals.restore()
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _copy_terminal(master: int) -> None:
    """Until the slave is closed everywhere. Our own terminal is raw meanwhile, and restored whatever
    happens."""
    import select
    import termios

    saved = None
    if os.isatty(0):
        saved = termios.tcgetattr(0)
        termios.tcsetattr(0, termios.TCSADRAIN, raw(saved))

    def resized(number: int, frame: FrameType | None) -> None:
        import fcntl

        try:
            fcntl.ioctl(master, _TIOCSWINSZ, fcntl.ioctl(0, _TIOCGWINSZ, b"\0" * 8))
        except OSError:
            pass

    old = _signal.signal(_signal.SIGWINCH, resized)
    poller = select.poll()
    poller.register(master, select.POLLIN)
    poller.register(0, select.POLLIN)
    try:
        while True:
            for fd, _ in poller.poll():
                if fd == master:
                    try:
                        data = os.read(master, 65536)
                    except OSError:  # EIO: the last slave was closed
                        data = b""
                    if not data:
                        return
                    _write_all(1, data)
                else:
                    data = os.read(0, 65536)
                    if data:
                        _write_all(master, data)
                    else:
                        # The end of our input is Ctrl-D to a terminal.
                        poller.unregister(0)
                        _write_all(master, b"\x04")
    finally:
        if old is not None:
            _signal.signal(_signal.SIGWINCH, old)
        if saved is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)
        os.close(master)
        sys.stdout.flush()


def raw(attributes: list[Any]) -> list[Any]:
    """``cfmakeraw`` of termios(3) on what ``tcgetattr`` gave, but for its output: the container's terminal passes line feeds on
    as they are (``RunRequest.plain_lines``)."""
    import termios

    made = list(attributes)
    iflag, oflag, cflag, lflag = made[:4]
    made[0] = iflag & ~(
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON
    )
    made[1] = oflag | termios.OPOST | termios.ONLCR
    made[2] = cflag & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    made[3] = lflag & ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    return made


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except OSError:
            return  # nobody reads any more
