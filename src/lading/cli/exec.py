"""``lading exec`` and ``lading attach``."""

from __future__ import annotations

import os

from lading.errors import Conflict, InvalidInput
from lading.node import ExecRequest, Stdio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.flags import Parsed


def exec_(context: Context, parsed: Parsed) -> int:
    """Run a command in a running container: its exit code."""
    return execute(context, parsed, parsed.args[0], parsed.args[1:])


def execute(context: Context, parsed: Parsed, reference: str, command: list[str]) -> int:
    """Run ``command`` in ``reference`` by the flags of ``exec``."""
    from lading.cli import terminal

    tty, interactive, detach = parsed["tty"], parsed["interactive"], parsed["detach"]
    if not command[0]:
        raise InvalidInput("the command is empty")
    if parsed["workdir"] and not parsed["workdir"].startswith("/"):
        raise InvalidInput(f"--workdir {parsed['workdir']!r} is not an absolute path")
    keys = parsed["detach-keys"]
    terminal.detach_keys(keys)
    if tty and interactive and not detach:
        terminal.demand()
    rows, columns = terminal.size() if tty else (0, 0)
    request = ExecRequest(
        command=command,
        env=_environment(parsed),
        user=parsed["user"],
        working_dir=parsed["workdir"],
        tty=tty,
        stdin=interactive and not detach,
        privileged=parsed["privileged"],
        detach=detach,
        rows=rows,
        columns=columns,
    )
    if detach:
        context.node.exec(reference, request)
        return 0
    if not tty:
        stdin = 0 if interactive else -1
        return terminal.stay(lambda: context.node.exec(reference, request, Stdio(stdin=stdin)), stdin)
    session = context.node.exec(reference, request)
    return terminal.converse(session, stdin=interactive, keys=keys, tty=True, forward=False)


def _environment(parsed: Parsed) -> list[str]:
    if not (parsed["env"] or parsed["env-file"]):
        return []
    from lading.formats import env

    values = env.variables(parsed["env-file"], parsed["env"], os.environ, env.read_file)
    return [f"{name}={value}" for name, value in values.items()]


def attach(context: Context, parsed: Parsed) -> int:
    """The streams of a running container, until it ends (its exit code) or the user detaches."""
    from lading.cli import terminal

    keys = parsed["detach-keys"]
    terminal.detach_keys(keys)
    from lading.cli.inspect import definition_of
    from lading.cli.listing import container_name

    record, inner = context.node.find(parsed.args[0])
    container = inner or record.container
    name = container_name(record, container)
    if container.state == "paused":
        raise Conflict(f"container {name} is paused", hint=f"lading unpause {name}")
    if container.state != "running":
        raise Conflict(
            f"container {name} is not running", hint=f"lading start {record.name}", reason="not-running"
        )
    stdin = definition_of(record, container).stdin and not parsed["no-stdin"]
    session = context.node.attach(parsed.args[0], stdin=stdin)
    if session.tty and stdin:
        terminal.demand()
    return terminal.converse(
        session, stdin=stdin, keys=keys, tty=session.tty, forward=parsed["sig-proxy"] and not session.tty
    )
