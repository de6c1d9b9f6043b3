"""``lading logs``."""

from __future__ import annotations

import sys
import time

from lading.errors import InvalidInput
from lading.formats import duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.flags import Parsed


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
    tail = parsed["tail"]
    if tail != "all" and not (tail.lstrip("-").isascii() and tail.lstrip("-").isdigit()):
        raise InvalidInput(f"--tail {tail!r} is not a number of lines or 'all'")
    count = -1 if tail == "all" else int(tail)
    stamps = parsed["timestamps"]
    sys.stdout.flush()
    outputs = {"stdout": sys.stdout.buffer, "stderr": sys.stderr.buffer}
    fresh = {"stdout": True, "stderr": True}
    lines = context.node.logs(
        reference, follow=parsed["follow"], since=since, until=until, tail=max(count, -1), previous=previous
    )
    for line in lines:
        out = outputs.get(line.stream, outputs["stdout"])
        text = line.text if line.partial else line.text + b"\n"
        if fresh.get(line.stream, True):
            if prefix:
                text = f"[{line.container}] ".encode() + text
            if stamps:
                text = line.stamp.encode() + b" " + text
        fresh[line.stream] = not line.partial
        out.write(text)
        if parsed["follow"] or line.stream == "stderr":
            out.flush()
    return 0
