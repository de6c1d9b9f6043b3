"""``rkt enter`` and ``rkt attach``: into an app that runs, as a process beside it or as the other end of its streams."""

from __future__ import annotations

import os
import sys

from lading.cli import terminal
from lading.errors import Conflict, InvalidInput
from lading.node import ExecRequest, Stdio
from lading.rocket.rkt import pods, seen
from lading.rocket.rkt.statuses import as_rocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.node import Node
    from lading.rocket.rkt.seen import SeenApp, SeenPod

_SHELLS = ("/bin/bash", "/bin/sh")
_STREAMS = ("stdin", "stdout", "stderr")
_TTY = {"tty": ("tty-in", "tty-out"), "tty-in": ("tty-in",), "tty-out": ("tty-out",)}


def running(node: Node, uuid: str, name: str, verb: str) -> SeenApp:
    """The app that is meant of a pod that runs. Raises :class:`Conflict` when it, or the pod, does not."""
    pod = seen.find(node, uuid)
    if pod.state != pods.RUNNING:
        raise not_running(pod)
    app = pod.chosen(name, verb)
    if app.container.state == "paused":
        raise Conflict(
            f"app {app.app.name!r} is paused", hint=f"lading unpause {app.reference}", reason="state"
        )
    if app.container.state != "running":
        raise Conflict(
            f"app {app.app.name!r} of pod {pod.pod.uuid} is {pod.state_of(app)}, not running",
            reason="not-running",
        )
    return app


def not_running(pod: SeenPod) -> Conflict:
    """The error for a pod that would have to run."""
    return Conflict(f'pod "{pod.pod.uuid}" isn\'t currently running: it is {pod.state}', reason="not-running")


@as_rocket
def enter(context: Context, parsed: Parsed) -> int:
    """Run a command in an app, as root there: its exit code."""
    uuid, *command = parsed.args
    app = running(context.node, uuid, parsed["app"], "enter")
    if not command:
        command = [_shell(context.node, app)]
        print(f'no command specified, assuming "{command[0]}"', file=sys.stderr, flush=True)
    if not command[0]:
        raise InvalidInput("the command is empty")
    tty = os.isatty(0) and os.isatty(1)
    rows, columns = terminal.size() if tty else (0, 0)
    request = ExecRequest(command=command, user="0", tty=tty, stdin=True, rows=rows, columns=columns)
    if tty:
        return terminal.converse(
            context.node.exec(app.reference, request), stdin=True, keys=None, tty=True, forward=False
        )
    return terminal.stay(lambda: context.node.exec(app.reference, request, Stdio(stdin=0)), 0)


def _shell(node: Node, app: SeenApp) -> str:
    """The first of the shells that the app's root has; where it has none, the one that Rocket assumes."""
    for shell in _SHELLS:
        if node.path_stat(app.reference, shell, follow=True) is not None:
            return shell
    return _SHELLS[0]


@as_rocket
def attach(context: Context, parsed: Parsed) -> int:
    """Be the other end of an app's streams until it ends (its exit code), or the user leaves."""
    mode: str = parsed["mode"]
    wanted = None if mode in ("", "auto", "list") else endpoints(mode)
    app = running(context.node, parsed.args[0], parsed["app"], "attach")
    definition = app.definition
    there = offered(tty=definition.tty, stdin=definition.stdin)
    if mode == "list":
        print("\n".join(["tty"] if definition.tty else there))
        return 0
    if wanted is None:
        wanted = there
    for name in wanted:
        if name not in there:
            raise InvalidInput(
                f"app {app.app.name!r} has no {name} to attach to",
                hint=f"there {'are' if len(there) > 1 else 'is'} {', '.join(there)}; run and prepare take --stdin, "
                "--stdout and --stderr",
                reason="no-endpoint",
            )
    stdin = "stdin" in wanted or "tty-in" in wanted
    session = context.node.attach(app.reference, stdin=stdin)
    if session.tty and stdin:
        terminal.demand()
    return terminal.converse(
        session,
        stdin=stdin,
        tty=session.tty,
        forward=False,
        shown=("stdout" in wanted or "tty-out" in wanted, "stderr" in wanted),
        lasting=True,
    )


def endpoints(mode: str) -> list[str]:
    """What ``--mode`` names: some of the streams, or sides of a terminal. Raises :class:`InvalidInput`."""
    found: list[str] = []
    words = [word.strip() for word in mode.split(",")]
    for word in words:
        names: Sequence[str] = (word,) if word in _STREAMS else _TTY.get(word, ())
        if not names:
            raise InvalidInput(
                f"--mode {mode[:60]!r}: {word[:30]!r} is no endpoint",
                hint=f"they are list, auto, {', '.join(_STREAMS)}, or {', '.join(_TTY)}",
            )
        found += [name for name in names if name not in found]
    if len({name in _STREAMS for name in found}) > 1:
        raise InvalidInput(f"--mode {mode}: an app has a terminal or streams, never both")
    return found


def offered(*, tty: bool, stdin: bool) -> list[str]:
    """What there is to attach to."""
    if tty:
        return ["tty-in", "tty-out"] if stdin else ["tty-out"]
    return list(_STREAMS) if stdin else ["stdout", "stderr"]
