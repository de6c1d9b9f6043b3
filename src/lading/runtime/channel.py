"""What a container's first process and its creator say to each other while it is being made.

Two pipes, one a direction. Down goes one byte a permission (:data:`GO`); up come :data:`HOOKS`, :data:`MEANWHILE`,
:data:`READY` or one error record. A closed pipe is a message too: downwards the creator died, upwards the process executed
its command.
"""

from __future__ import annotations

import os

from lading.errors import CommandNotExecutable, CommandNotFound, KernelError, LadingError

GO = b"g"
GO_WITHOUT_GROUPS = b"n"  # the same, in a user namespace that forbids setgroups(2)
HOOKS = b"h"  # the root is mounted; runtime-side hooks may run
READY = b"r"  # nothing left but startContainer hooks and execve
MEANWHILE = b"m"  # ready but for what the creator does meanwhile
LISTENER = b"l"  # a seccomp listener waits to be fetched; the descriptor's number follows
_ERROR = b"e"
LIMIT = 4000  # below PIPE_BUF: one write, one record

_CLASSES = {c.reason: c for c in LadingError.__subclasses__() if c not in (KernelError,)}


def encode_error(error: BaseException) -> bytes:
    """An error as one record that fits a pipe's atomic write."""
    if isinstance(error, LadingError):
        errno = error.errno if isinstance(error, KernelError) else 0
        fields = (type(error).reason, error.reason, str(errno), error.hint, error.message)
    else:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else "?"
        fields = ("internal", "internal", "0", "", f"{type(error).__name__}: {error} ({place})")
    return _ERROR + "\0".join(f[:2000] for f in fields).encode(errors="replace")[:LIMIT]


def is_error(record: bytes) -> bool:
    """Whether a record is one of :func:`encode_error`."""
    return record[:1] == _ERROR


def decode_error(record: bytes) -> LadingError:
    """The error that :func:`encode_error` wrote. An empty record means that the process died without a word."""
    if record[:1] != _ERROR:
        return LadingError(
            "the container's first process died while it was being set up",
            hint="look for an out-of-memory kill",
        )
    kind, reason, errno, hint, message = record[1:].decode(errors="replace").split("\0", 4)
    if kind == KernelError.reason:
        made: LadingError = KernelError.__new__(KernelError)
        LadingError.__init__(made, message, hint=hint, reason=reason)
        made.call, made.errno = message, int(errno)  # type: ignore[attr-defined]
        return made
    return _CLASSES.get(kind, LadingError)(message, hint=hint, reason=reason)


class Channel:
    """One side's two ends."""

    __slots__ = ("read_fd", "write_fd")

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self.read_fd = read_fd
        self.write_fd = write_fd

    def send(self, message: bytes) -> None:
        """Write one message; the other side's death is not an error here, its silence will be."""
        try:
            os.write(self.write_fd, message)
        except BrokenPipeError:
            pass

    def receive(self) -> bytes:
        """The next message, empty when the other side has closed."""
        return os.read(self.read_fd, 65536)

    def waiting(self) -> bytes:
        """What has arrived already; empty when nothing has."""
        os.set_blocking(self.read_fd, False)
        try:
            return self.receive()
        except BlockingIOError:
            return b""
        finally:
            os.set_blocking(self.read_fd, True)

    def close(self) -> None:
        """Close both ends."""
        os.close(self.read_fd)
        os.close(self.write_fd)


def pair() -> tuple[Channel, Channel]:
    """(the creator's side, the container's side)."""
    down_read, down_write = os.pipe()
    up_read, up_write = os.pipe()
    return Channel(up_read, down_write), Channel(down_read, up_write)


def exec_error(path: str, errno: int) -> LadingError:
    """execve's errno as the error a user understands: not found is 127, everything else 126."""
    text = os.strerror(errno).lower()  # runc's words, by which engines choose an exit status
    if errno in (2, 20):  # ENOENT, ENOTDIR
        return CommandNotFound(f"exec {path}: {text}")
    if errno == 8:
        return CommandNotExecutable(f"exec {path}: {text}", hint="a script needs an interpreter line (#!)")
    return CommandNotExecutable(f"exec {path}: {text}")
