"""What a build shows while it runs."""

from __future__ import annotations

import sys
import time

from lading.build.progress import Progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from lading.build.executor import StepFailed
    from lading.build.graph import Vertex
    from lading.errors import LadingError
    from lading.formats.dockerfile import Dockerfile
    from lading.images.image import Image


class Plain(Progress):
    """Plain lines, for logs and pipes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._names: dict[int, int] = {}
        self._partial: dict[tuple[int, str], bytes] = {}
        self._began = time.monotonic()

    def _number(self, number: int) -> int:
        return self._names.setdefault(number, len(self._names) + 1)

    def _say(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()

    def _head(self, number: int, vertex: Vertex) -> str:
        stage = f"[{vertex.stage}] " if vertex.stage else ""
        return f"#{self._number(number)} {stage}{_printable(vertex.name)}"

    def cached(self, number: int, vertex: Vertex) -> None:
        """See :class:`lading.build.progress.Progress`."""
        self._say(f"{self._head(number, vertex)}\n#{self._number(number)} CACHED")

    def started(self, number: int, vertex: Vertex) -> None:
        """See :class:`lading.build.progress.Progress`."""
        self._say(self._head(number, vertex))

    def log(self, number: int, vertex: Vertex, stream: str, data: bytes) -> None:
        """See :class:`lading.build.progress.Progress`."""
        key = number, stream
        lines = (self._partial.pop(key, b"") + data).split(b"\n")
        if lines[-1]:
            self._partial[key] = lines[-1]
        for line in lines[:-1]:
            self._line(number, line)

    def _line(self, number: int, line: bytes) -> None:
        text = _printable(line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2])
        self._say(f"#{self._number(number)} {time.monotonic() - self._began:.3f} {text}")

    def _flush(self, number: int) -> None:
        for key in [key for key in self._partial if key[0] == number]:
            self._line(number, self._partial.pop(key))

    def finished(self, number: int, vertex: Vertex, seconds: float) -> None:
        """See :class:`lading.build.progress.Progress`."""
        self._flush(number)
        self._say(f"#{self._number(number)} DONE {seconds:.1f}s")

    def failed(self, number: int, vertex: Vertex, error: LadingError) -> None:
        """See :class:`lading.build.progress.Progress`."""
        self._flush(number)
        self._say(f"#{self._number(number)} ERROR: {_printable(error.message)}")

    def phase(self, name: str, state: str, done: int = 0, total: int = -1) -> None:
        """See :class:`lading.build.progress.Progress`."""
        if state in ("started", "done"):
            self._say(f"{name}: {state}")

    def warn(self, text: str) -> None:
        """See :class:`lading.build.progress.Progress`."""
        self._say(f"warning: {_printable(text)}")

    def close(self) -> None:
        """Nothing more comes."""

    def tell_failure(self, error: StepFailed, file: Dockerfile) -> None:
        """Which line of the file failed, and why."""
        line = error.vertex.line
        if 0 < line <= len(file.source):
            self._say(f"{file.name}:{line}")
            self._say(f"  {line} | {_printable(file.source[line - 1])}")
        self._say(f"lading build: {error}")

    def done(self, image: Image, names: list[str]) -> None:
        """The image is there."""
        self._say(f"{image.id}" + (f" {', '.join(names)}" if names else ""))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\t" else repr(c)[1:-1] for c in text)


class Quiet(Plain):
    """Nothing but failures."""

    def _say(self, text: str) -> None:
        pass

    def tell_failure(self, error: StepFailed, file: Dockerfile) -> None:
        """See :class:`Plain`."""
        print(f"lading build: {error}", file=sys.stderr)


def display(kind: str, *, quiet: bool) -> Plain:
    """What shows the build as ``--progress`` wants it."""
    return Quiet(sys.stderr) if quiet or kind == "quiet" else Plain(sys.stderr)
