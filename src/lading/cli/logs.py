"""``lading logs``."""

from __future__ import annotations

import sys
import time

from lading.errors import InvalidInput
from lading.formats import duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import BinaryIO

    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.node.labels import Label
    from lading.node.model import LogLine


def lines_of(tail: str) -> int:
    """The number that ``--tail`` says; -1 is all of them. Raises :class:`InvalidInput`."""
    digits = tail.removeprefix("-")
    if tail == "all" or (digits != tail and digits.isascii() and digits.isdigit()):
        return -1
    if not (tail.isascii() and tail.isdigit() and len(tail) < 19):
        raise InvalidInput(f"--tail {tail[:60]!r} is not a number of lines or 'all'")
    return int(tail)


def logs(context: Context, parsed: Parsed) -> int:
    """Print what a container wrote, each stream on its own."""
    return show(context, parsed, parsed.args[0])


def show(
    context: Context, parsed: Parsed, reference: str, *, prefix: bool = False, previous: bool = False
) -> int:
    """Print the log of ``reference`` by the flags of ``logs``."""
    now = time.time()
    since = duration.moment(parsed["since"], now) if parsed["since"] else 0.0
    until = duration.moment(parsed["until"], now) if parsed["until"] else 0.0
    count = lines_of(parsed["tail"])
    stamps = parsed["timestamps"]
    sys.stdout.flush()
    outputs = {"stdout": sys.stdout.buffer, "stderr": sys.stderr.buffer}
    labels: dict[tuple[str, str], Label] = {}  # several containers write to one stream
    torn: set[tuple[str, str]] = set()  # those whose line goes on
    lines = context.node.logs(
        reference, follow=parsed["follow"], since=since, until=until, tail=count, previous=previous
    )
    for line in lines:
        out = outputs.get(line.stream, outputs["stdout"])
        text = line.text if line.partial else line.text + b"\n"
        who = (line.container, line.stream)
        if stamps and who not in torn:
            text = line.stamp.encode() + b" " + text
        torn.add(who) if line.partial else torn.discard(who)
        if prefix:
            if who not in labels:
                labels[who] = _label(line, labels, out)
            text = labels[who].lines(text)
        out.write(text)
        if parsed["follow"] or line.stream == "stderr":
            out.flush()
    for (_, stream), label in labels.items():
        out = outputs.get(stream, outputs["stdout"])
        out.write(label.end())
        out.flush()
    return 0


def _label(line: LogLine, labels: Collection[tuple[str, str]], out: BinaryIO) -> Label:
    from lading.node.labels import Label, on_terminal  # a container that is alone has no name in front

    names = list(dict.fromkeys([name for name, _ in labels] + [line.container]))
    return Label(line.container, names.index(line.container), terminal=on_terminal(out.fileno()))
