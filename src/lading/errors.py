"""Every error Lading raises on purpose.

One hierarchy, so that a face catches :class:`LadingError` once and prints one clear line: *what* went
wrong, *where* (the object named), *why*, and *what to do next*. Tests assert :attr:`LadingError.reason`,
a stable word, and never the prose around it.

The exit status is Docker's: 125 when Lading itself refuses or fails, 126 when the command was found but
cannot be executed, 127 when it was not found. A container's own status is not an error and never comes
through here.
"""

from __future__ import annotations


class LadingError(Exception):
    """Something a user can understand and act on.

    ``message``  one sentence fragment without a full stop: what failed and why, naming the object.
    ``hint``     what to do next, as an imperative; empty when there is nothing useful to say.
    ``reason``   a stable code for tests and programs; defaults to the class's own.
    """

    reason = "internal"
    exit_status = 125

    def __init__(self, message: str, *, hint: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if reason:
            self.reason = reason

    def __str__(self) -> str:
        return f"{self.message}: {self.hint}" if self.hint else self.message


class InvalidInput(LadingError):
    """Input from outside (a flag, a manifest, a file) breaks a rule that its format states."""

    reason = "invalid"


class Unsupported(LadingError):
    """Valid input that asks for something Lading or this kernel does not do. The message names the field."""

    reason = "unsupported"


class NotFound(LadingError):
    """The named object does not exist."""

    reason = "not-found"


class Conflict(LadingError):
    """The object exists already, or is in a state (running, in use) that forbids the operation."""

    reason = "conflict"


class Denied(LadingError):
    """Permission is missing: of this user, of this process, or at a registry."""

    reason = "denied"


class Exhausted(LadingError):
    """A limit was reached: disk full, address pool empty, archive larger than allowed."""

    reason = "exhausted"


class Corrupt(LadingError):
    """Stored or received bytes are not what their digest or their format promises."""

    reason = "corrupt"


class RemoteError(LadingError):
    """A registry or another server failed, answered garbage, or stopped answering."""

    reason = "remote"


class TimedOut(LadingError):
    """A bounded wait ended without the awaited event."""

    reason = "timeout"


class KernelError(LadingError):
    """A system call failed. ``errno`` is the kernel's; ``call`` names the call and its main argument."""

    reason = "kernel"

    def __init__(self, call: str, errno: int, *, hint: str = "") -> None:
        import os

        super().__init__(f"{call}: {os.strerror(errno)}", hint=hint)
        self.call = call
        self.errno = errno


class CommandNotExecutable(LadingError):
    """The container's command exists but cannot be executed (EACCES, ENOEXEC, a directory), or not in its working directory."""

    reason = "not-executable"
    exit_status = 126


class CommandNotFound(LadingError):
    """The container's command does not exist in its image."""

    reason = "command-not-found"
    exit_status = 127
