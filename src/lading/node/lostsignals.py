"""Signals that the first process of a PID namespace never gets: those that it has no handler for (pid_namespaces(7))."""

from __future__ import annotations

_SIGKILL = 9
#: Whose default action is not to end a process: SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH.
_HARMLESS = (17, 18, 19, 20, 21, 22, 23, 28)


def effective(pid: int, number: int) -> int:
    """The signal that has the effect of ``number`` on process ``pid``: SIGKILL where its default action would be lost."""
    if number in _HARMLESS:
        return number
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as stream:
            text = stream.read()
    except OSError:
        return number  # it has ended
    return judged(text, number)


def judged(status: str, number: int) -> int:
    """As :func:`effective`, of a process whose ``/proc/PID/status`` is ``status``."""
    fields = dict(line.partition(":")[::2] for line in status.splitlines())
    first = fields.get("NSpid", "").split()[-1:] == ["1"]
    bit = 1 << (number - 1)
    met = int(fields.get("SigCgt", "0"), 16) | int(fields.get("SigIgn", "0"), 16)
    return _SIGKILL if first and not met & bit else number
