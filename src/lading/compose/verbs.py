"""``start``, ``stop``, ``restart``, ``kill``, ``rm``, ``pause``, ``unpause`` and ``wait`` of ``lading compose``."""

from __future__ import annotations

import time

from lading.compose import conditions, ending, state
from lading.compose.application import Application
from lading.compose.choosing import chosen
from lading.errors import Conflict, LadingError, NotFound, TimedOut
from lading.formats.compose.document import retold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.flags import Parsed


def start(context: Context, parsed: Parsed) -> int:
    """Start containers that are there, dependencies first."""
    app = Application(context, parsed)
    project, found = chosen(app, parsed.args)
    if not found:
        raise NotFound(f"the project {project} has no containers to start", hint="lading compose up -d")
    ending.in_waves(
        app,
        [m for m in found if not m.running],
        lambda hand, member: hand.keep(member.record, start=True),
        services=app.services,
        last_first=False,
    )
    if parsed["wait"]:
        end = time.monotonic() + parsed["wait-timeout"] if parsed["wait-timeout"] is not None else None
        while not conditions.settled([context.node.inspect(m.id) for m in found]):
            if end is not None and time.monotonic() > end:
                raise TimedOut(f"after {parsed['wait-timeout']} s not everything runs and is healthy")
            time.sleep(0.1)
    return 0


def stop(context: Context, parsed: Parsed) -> int:
    """Stop containers, dependents first."""
    app = Application(context, parsed)
    _, found = chosen(app, parsed.args)
    ending.stop(app, found, timeout=ending.seconds(parsed["timeout"]), services=app.services)
    return 0


def restart(context: Context, parsed: Parsed) -> int:
    """Restart containers, and those of services that ask to be restarted with what they depend on."""
    app = Application(context, parsed)
    project, found = chosen(app, parsed.args)
    if parsed.args and not parsed["no-deps"]:
        named = set(parsed.args)
        dependents = [
            name
            for name, service in app.services.items()
            if name not in named and any(d.restart and k in named for k, d in service.depends_on.items())
        ]
        if dependents:
            found += [m for m in state.members(context.node, project, dependents) if m.running]
    if not found:
        raise NotFound(f"the project {project} has no containers to restart", hint="lading compose up -d")
    ending.in_waves(
        app,
        found,
        lambda hand, member: hand.restart(member.record),
        timeout=ending.seconds(parsed["timeout"]),
        services=app.services,
        last_first=False,
    )
    return 0


def kill(context: Context, parsed: Parsed) -> int:
    """Send a signal to containers that run."""
    from lading.formats import signals

    app = Application(context, parsed)
    number = signals.number(parsed["signal"])
    project, found = chosen(app, parsed.args, oneoffs=None)
    living = [m for m in found if m.running]
    if not living:
        raise Conflict(f"no container of the project {project} runs", reason="not-running")
    for member in living:
        try:
            context.node.kill(member.id, number)
        except (NotFound, Conflict):
            continue  # it ended meanwhile
        app.say(f" Container {member.name}  Killed")
    if parsed["remove-orphans"]:
        ending.remove(app, [m for m in found if m.service not in app.services])
    return 0


def rm(context: Context, parsed: Parsed) -> int:
    """Remove containers that do not run."""
    from lading.cli.output import confirm

    app = Application(context, parsed)
    _, found = chosen(app, parsed.args, oneoffs=None)
    if parsed["stop"]:
        ending.stop(app, found, services=app.services)
        _, found = chosen(app, parsed.args, oneoffs=None)
    ended = [m for m in found if not m.running]
    if not ended:
        app.say("No stopped containers")
        return 0
    if not confirm(f"Going to remove {', '.join(m.name for m in ended)}. Are you sure?", parsed["force"]):
        return 1
    ending.remove(app, ended, volumes=parsed["volumes"])
    return 0


def pause(context: Context, parsed: Parsed) -> int:
    """Freeze containers."""
    app = Application(context, parsed)
    for member in chosen(app, parsed.args)[1]:
        if member.state == "running":
            context.node.pause(member.id)
            app.say(f" Container {member.name}  Paused")
    return 0


def unpause(context: Context, parsed: Parsed) -> int:
    """Thaw frozen containers."""
    app = Application(context, parsed)
    for member in chosen(app, parsed.args)[1]:
        if member.state == "paused":
            context.node.unpause(member.id)
            app.say(f" Container {member.name}  Unpaused")
    return 0


def wait(context: Context, parsed: Parsed) -> int:
    """Wait until the first of the containers has ended: its status."""
    app = Application(context, parsed)
    project, found = chosen(app, parsed.args)
    found = [m for m in found if m.state != "created"]
    if not found:
        raise NotFound(
            f"the project {project} has no containers of {', '.join(parsed.args)} that were started"
        )
    while True:
        for member in found:
            try:
                record = context.node.inspect(member.id)
            except LadingError as error:
                raise retold(error, f"container {member.name} was removed while it was waited for") from None
            if record.state not in state.RUNNING:
                print(
                    f'container "{member.name}" exited with status code {record.container.exit_code}',
                    flush=True,
                )
                if parsed["down-project"]:
                    from lading.compose.downing import take_down

                    take_down(app, [])
                return record.container.exit_code
        time.sleep(0.1)
