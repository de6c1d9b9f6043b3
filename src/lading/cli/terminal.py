"""The user's terminal while a container has it: raw mode, window size, detach keys, and always back to how it was."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal itself imports enum
import os

from lading.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lading.node import Session

DEFAULT_KEYS = b"\x10\x11"  # ctrl-p, ctrl-q
_FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")


def demand() -> None:
    """Standard input must be a terminal. Raises :class:`InvalidInput`."""
    if not os.isatty(0):
        raise InvalidInput("--tty: standard input is not a terminal", hint="leave out -t, or use script(1)")


def size() -> tuple[int, int]:
    """Rows and columns of the terminal; (0, 0) without one."""
    for fd in (0, 1, 2):
        try:
            got = os.get_terminal_size(fd)
        except OSError:
            continue
        return got.lines, got.columns
    return 0, 0


def detach_keys(text: str) -> bytes:
    """The bytes of ``ctrl-p,ctrl-q`` or ``ctrl-],q``; the default for empty text. Raises :class:`InvalidInput`."""
    if not text:
        return DEFAULT_KEYS
    made = bytearray()
    for word in text.split(","):
        if len(word) == 1 and word.isascii() and word.isprintable():
            made += word.encode()
        elif (
            word.lower().startswith("ctrl-")
            and len(word) == 6
            and word.isascii()
            and (word[5].isalpha() or word[5] in "@[\\]^_")
        ):
            made.append(ord(word[5].upper()) & 0x1F)
        else:
            raise InvalidInput(
                f"--detach-keys {text!r}: {word!r} is not a key",
                hint="keys are letters and ctrl-LETTER, for example ctrl-p,ctrl-q",
            )
    return bytes(made)


class KeyWatch:
    """Finds the detach keys in what the user types, even when they arrive in pieces."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""

    def __call__(self, data: bytes) -> tuple[bytes, bool]:
        """What to pass on, and whether the keys were seen. A beginning of the keys is held back until it is decided."""
        data = self._held + data
        self._held = b""
        found = data.find(self._keys)
        if found >= 0:
            return data[:found], True
        for length in range(min(len(self._keys) - 1, len(data)), 0, -1):
            if self._keys.startswith(data[-length:]):
                self._held = data[-length:]
                return data[:-length], False
        return data, False


class Raw:
    """The terminal ``fd`` in raw mode while the block runs; nothing happens when it is none."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._saved: list[Any] | None = None

    def __enter__(self) -> Raw:
        if not os.isatty(self._fd):
            return self
        import termios

        self._saved = termios.tcgetattr(self._fd)
        mode = termios.tcgetattr(self._fd)
        mode[0] &= ~(
            termios.IGNBRK
            | termios.BRKINT
            | termios.PARMRK
            | termios.ISTRIP
            | termios.INLCR
            | termios.IGNCR
            | termios.ICRNL
            | termios.IXON
        )
        mode[1] &= ~termios.OPOST
        mode[2] = mode[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        mode[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._fd, termios.TCSADRAIN, mode)
        return self

    def __exit__(self, *_: object) -> None:
        if self._saved is None:
            return
        import termios

        while True:
            try:
                termios.tcsetattr(self._fd, termios.TCSADRAIN, self._saved)
                return
            except InterruptedError:
                continue
            except termios.error:
                return  # the terminal is gone (hang-up): there is nothing left to restore


class _Ended(Exception):
    """A signal asks this command, not the container, to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Signals:
    """Signals as bytes on a pipe, so that the copy loop meets them between two reads; handlers back as they were."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._old: list[tuple[int, Any]] = []
        self.fd = -1
        self._write = -1

    def __enter__(self) -> Signals:
        self.fd, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wake = _signal.set_wakeup_fd(self._write)
        for name in self._names:
            number = getattr(_signal, name)
            self._old.append((number, _signal.signal(number, _nothing)))
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old:
            _signal.signal(number, handler if handler is not None else _signal.SIG_DFL)
        _signal.set_wakeup_fd(self._wake)
        os.close(self.fd)
        os.close(self._write)

    def take(self) -> bytes:
        """The numbers of the signals that have come."""
        try:
            return os.read(self.fd, 256)
        except BlockingIOError:
            return b""


def _nothing(_number: int, _frame: object) -> None:
    """The wake-up pipe tells; the handler only has to exist."""


def stay(start: Callable[[], Session], stdin: int) -> int:
    """Wait for a command without a terminal that ``start`` starts and ``stdin`` (-1: none) is given: its exit code.

    What would end this process is the command's: nobody would be left who waits for it, or could end it. Signals that the
    caller ignores stay ignored (nohup(1)).
    """
    came: list[int] = []
    session: Session | None = None

    def pass_on(number: int, _frame: object) -> None:
        if session is None:
            came.append(number)
        else:
            session.signal(number)

    numbers = [getattr(_signal, name) for name in _FORWARDED]
    old = [(number, _signal.getsignal(number)) for number in numbers]
    old = [(number, handler) for number, handler in old if handler != _signal.SIG_IGN]
    try:
        for number, _ in old:
            _signal.signal(number, pass_on)
        session = start()
        for number in came:
            session.signal(number)
        if not session.filenos():
            return session.wait()
    finally:
        for number, handler in old:
            _signal.signal(number, handler if handler is not None else _signal.SIG_DFL)
    return converse(session, stdin=stdin >= 0, keys=None, tty=False, forward=True)


def converse(
    session: Session,
    *,
    stdin: bool,
    keys: str | None = "",
    tty: bool,
    forward: bool,
    shown: tuple[bool, bool] = (True, True),
    lasting: bool = False,
) -> int:
    """Copy between the user and the session until it ends (its exit code) or the user detaches (0).

    ``keys``: those that detach, as :func:`detach_keys` reads them; None: there are none.
    ``shown``: whether the process's stdout, and its stderr, reach the user. ``lasting`` is :func:`pump`'s.
    ``forward`` sends signals to the process; otherwise a deadly signal ends this command and the process goes on.
    """
    from lading.node.session import pump

    watch = KeyWatch(detach_keys(keys)) if keys is not None else None
    window = -1

    def woken() -> None:
        nonlocal window
        for number in signals.take():
            if number == _signal.SIGWINCH:
                rows, columns = size()
                if tty and rows and rows << 16 | columns != window:
                    window = rows << 16 | columns
                    session.resize(rows, columns)
            elif forward:
                session.signal(number)
            else:
                raise _Ended(number)

    with Signals((*_FORWARDED, "SIGWINCH")) as signals, Raw(0 if tty and stdin else -1):
        rows, columns = size()
        if tty and rows:
            session.resize(rows, columns)
        try:
            status = pump(
                session,
                0 if stdin else -1,
                1 if shown[0] else -1,
                2 if shown[1] else -1,
                keys=watch if stdin and (tty or keys) else None,
                wake=signals.fd,
                on_wake=woken,
                lasting=lasting,
            )
        except _Ended as ended:
            session.close()
            return 128 + ended.number
        except BrokenPipeError:
            session.close()
            raise
    if status is None:
        session.close()
        if tty:
            os.write(2, b"\n")  # the cursor stands behind the container's prompt
        return 0
    return status
