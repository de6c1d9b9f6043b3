"""What several containers write, line by line with whose line it is: for ``up`` and ``logs``.

Names stand in front as docker compose writes them, ``web-1  | ``, the marks below each other.
"""

from __future__ import annotations

import sys

from lading.node.labels import Label, on_terminal
from lading.node.logfile import Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lading.node import Node, PodRecord
    from lading.node.model import LogLine


class Follower:
    """Reads the logs of containers and shows what is new, each time :meth:`show` is called."""

    def __init__(
        self,
        node: Node,
        *,
        colour: bool | None = None,
        prefix: bool = True,
        stamps: bool = False,
        names: Sequence[str] = (),
    ) -> None:
        """``names``: of containers that may come, beside which the marks stand."""
        self._width = max((len(name) for name in names), default=0)
        self._node = node
        self._prefix = prefix
        self._stamps = stamps
        self._terminal = on_terminal(1) if colour is None else colour
        self._readers: dict[str, Reader] = {}
        self._labels: dict[tuple[str, str], Label] = {}
        self._torn: set[tuple[str, str]] = set()

    def add(
        self, record: PodRecord, name: str, *, since: float = 0.0, until: float = 0.0, tail: int = -1
    ) -> None:
        """Show a container's log from now on, as ``name``'s."""
        if record.id not in self._readers:
            path = self._node.shop.log_path(record, record.container)
            self._width = max(self._width, len(name))
            self._readers[record.id] = Reader(path, since=since, until=until, tail=tail, container=name)

    def show(self, wanted: Callable[[], bool] = lambda: True) -> bool:
        """Show what is new in order of time; whether there was anything."""
        fresh: list[tuple[LogLine, str]] = []
        for identity, reader in self._readers.items():
            for batch in reader.batches(True):
                fresh += [(line, identity) for line in batch]
        fresh.sort(key=lambda pair: pair[0].stamp)
        for line, identity in fresh:
            self._write(line, identity)
        if fresh:
            sys.stdout.flush()
        return bool(fresh)

    def _write(self, line: LogLine, identity: str) -> None:
        out = sys.stderr.buffer if line.stream == "stderr" and not self._prefix else sys.stdout.buffer
        who = (identity, line.stream)
        text = line.text if line.partial else line.text + b"\n"
        if self._stamps and who not in self._torn:
            text = line.stamp.encode() + b" " + text
        self._torn.add(who) if line.partial else self._torn.discard(who)
        if self._prefix:
            if who not in self._labels:
                numbers = list(self._readers)
                self._labels[who] = Label(
                    line.container,
                    numbers.index(identity),
                    terminal=self._terminal,
                    mark=f"{line.container:<{self._width}}  | ",
                )
            text = self._labels[who].lines(text)
        out.write(text)
        if out is not sys.stdout.buffer:
            out.flush()

    def close(self) -> None:
        """The last lines, and the descriptors back."""
        for label in self._labels.values():
            sys.stdout.buffer.write(label.end())
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()
        sys.stdout.flush()


def coloured(ansi: str, no_colour: bool) -> bool | None:
    """What ``--ansi`` and ``--no-color`` say: None leaves it to the terminal."""
    if no_colour or ansi == "never":
        return False
    return True if ansi == "always" else None
