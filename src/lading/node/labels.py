"""Whose line it is: what several containers say to one place, line by line, each with its container's name in front.

A line is passed on when it is whole, so no two are ever mixed. Bytes stay as they are. A container that is alone has no name
in front of what it says, and needs nothing of this.
"""

from __future__ import annotations

import os

from lading.node.outlet import Outlet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.node.loop import Loop
    from lading.node.model import Stdio

#: A line that is longer is broken there: nobody waits for its end, and no more than this is kept of it.
LONGEST = 64 << 10
#: Foregrounds that can be read on light and on dark: cyan, yellow, green, magenta, blue, and the bright ones (ECMA-48, SGR).
_COLOURS = b"36 33 32 35 34 96 93 92 95 94".split()


class Label:
    """One container's stream. ``number`` is the container's place in its pod, which chooses the colour.

    ``terminal``: it is shown on one, so names have a colour, which also ends whatever the line before has set, and a line that a
    carriage return begins anew has the name in front again. What was set is ended before the name, never after: it is the
    container's own business what its lines look like.

    ``mark``: what stands in front instead of ``[NAME]`` and a space.
    """

    def __init__(self, name: str, number: int = 0, *, terminal: bool = False, mark: str = "") -> None:
        plain = (mark or f"[{name}] ").encode()
        self._terminal = terminal
        self._front = plain
        if terminal:
            colour = b"" if os.environ.get("NO_COLOR") else b";" + _COLOURS[number % len(_COLOURS)]
            text = plain.rstrip(b" ")
            self._front = b"\x1b[0" + colour + b"m" + text + b"\x1b[0m" + plain[len(text) :]
        self._rest = b""

    def lines(self, data: bytes) -> bytes:
        """The lines that ``data`` makes whole; what follows them is kept."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        out = []
        for line in lines:
            while len(line) > LONGEST:
                out.append(self._line(line[:LONGEST]))
                line = line[LONGEST:]
            out.append(self._line(line))
        while len(self._rest) > LONGEST:
            out.append(self._line(self._rest[:LONGEST]))
            self._rest = self._rest[LONGEST:]
        return b"".join(out)

    def end(self) -> bytes:
        """The last line, where it never got its end: others follow, so it gets one."""
        last = self._line(self._rest) if self._rest else b""
        self._rest = b""
        return last

    def _line(self, line: bytes) -> bytes:
        if self._terminal and b"\r" in line:
            body = line.rstrip(b"\r")
            line = body.replace(b"\r", b"\r" + self._front) + line[len(body) :]
        return self._front + line + b"\n"


def on_terminal(fd: int) -> bool:
    """Whether colours make sense there."""
    return fd >= 0 and os.isatty(fd) and os.environ.get("TERM", "") not in ("", "dumb")


class Chorus:
    """What all containers of a pod say to the command's own stdout and stderr: in one line-up, so that nothing gets between."""

    def __init__(self, loop: Loop, stdio: Stdio) -> None:
        self._calls: list[Callable[[], None]] = []
        self.outlet = Outlet(loop, stdio, self._changed)
        self.terminals = {"stdout": on_terminal(stdio.stdout), "stderr": on_terminal(stdio.stderr)}

    def _changed(self) -> None:
        for call in self._calls:
            call()

    def voice(self, name: str, number: int, changed: Callable[[], None]) -> Voice:
        """That of the container ``name``; ``changed`` as :class:`lading.node.outlet.Outlet` has it."""
        self._calls.append(changed)
        return Voice(self, name, number)


class Voice:
    """One container's share of a :class:`Chorus`, to be used as an outlet of its own is."""

    def __init__(self, chorus: Chorus, name: str, number: int) -> None:
        self._outlet = chorus.outlet
        self._labels = {
            stream: Label(name, number, terminal=terminal) for stream, terminal in chorus.terminals.items()
        }
        self.breakable = chorus.outlet.breakable
        self.broken = chorus.outlet.broken
        self.stop = chorus.outlet.stop
        self.finish = chorus.outlet.finish

    @property
    def waiting(self) -> bool:
        """Whether something has not been taken yet, whoever said it."""
        return self._outlet.waiting

    @property
    def lost(self) -> str:
        """Where output was cut, and why."""
        return self._outlet.lost

    def write(self, stream: str, data: bytes) -> None:
        """Pass the lines on that are whole now."""
        lines = self._labels[stream].lines(data)
        if lines:
            self._outlet.write(stream, lines)

    def end(self) -> None:
        """The container says no more, or begins anew: its last line is whole."""
        for stream, label in self._labels.items():
            last = label.end()
            if last:
                self._outlet.write(stream, last)
