"""``lading compose logs``."""

from __future__ import annotations

import time

from lading.cli.logs import lines_of
from lading.compose import follow, state
from lading.compose.application import Application
from lading.compose.choosing import chosen
from lading.errors import NotFound
from lading.formats import duration
from lading.node.shop import alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.flags import Parsed


def logs(context: Context, parsed: Parsed) -> int:
    """Print what the containers wrote, and with --follow go on until the last of them has ended."""
    app = Application(context, parsed)
    project, found = chosen(app, parsed.args, index=parsed["index"])
    now = time.time()
    since = duration.moment(parsed["since"], now) if parsed["since"] else 0.0
    until = duration.moment(parsed["until"], now) if parsed["until"] else 0.0
    tail = lines_of(parsed["tail"])
    shown = follow.Follower(
        context.node,
        colour=follow.coloured(app.globals["ansi"], parsed["no-color"] or app.globals["no-ansi"]),
        prefix=not parsed["no-log-prefix"],
        stamps=parsed["timestamps"],
    )
    try:
        for member in found:
            shown.add(member.record, f"{member.service}-{member.number}", since=since, until=until, tail=tail)
        shown.show()
        while parsed["follow"]:
            living = False
            for member in state.members(context.node, project, parsed.args):
                if parsed["index"] is not None and member.number != parsed["index"]:
                    continue
                if member.running or alive(member.record.keeper_pid, member.record.keeper_start):
                    living = True
                shown.add(member.record, f"{member.service}-{member.number}", since=now, until=until)
            if until and time.time() > until:
                break
            if not shown.show():
                if not living:
                    break
                time.sleep(0.1)
    except NotFound:
        pass  # removed meanwhile
    finally:
        shown.close()
    return 0
