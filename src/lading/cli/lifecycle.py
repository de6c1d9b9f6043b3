"""Commands that change what a container does: start, stop, restart, kill, rm, wait, pause, unpause, rename, update."""

from __future__ import annotations

from lading.cli.output import each
from lading.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.flags import Parsed


def start(context: Context, parsed: Parsed) -> int:
    """Start containers; with --attach stay until the one named ends, with its status."""
    if not (parsed["attach"] or parsed["interactive"]):

        def act(name: str) -> None:
            context.node.start(name)

        return each(parsed.args, act)
    if len(parsed.args) > 1:
        raise InvalidInput("--attach takes one container")
    from lading.cli import terminal

    terminal.detach_keys(parsed["detach-keys"])
    container = context.node.inspect(parsed.args[0]).pod.spec.containers[0]
    rows, columns = terminal.size()
    _record, session = context.node.start_session(parsed.args[0], rows=rows, columns=columns)
    return terminal.converse(
        session,
        stdin=parsed["interactive"],
        keys=parsed["detach-keys"],
        tty=container.tty,
        forward=parsed["sig-proxy"] and not container.tty,
    )


def timeout(parsed: Parsed) -> float | None:
    """The seconds of ``--time``: -1 waits for ever. Raises :class:`InvalidInput`."""
    seconds: int | None = parsed["time"]
    if seconds is not None and seconds < -1:
        raise InvalidInput(f"--time {seconds} is negative")
    return None if seconds is None else float(2**31 if seconds == -1 else seconds)


def stop(context: Context, parsed: Parsed) -> int:
    """Stop containers."""
    within = timeout(parsed)
    signal = _signal(parsed)

    def act(name: str) -> None:
        context.node.stop(name, timeout=within, signal=signal)

    return each(parsed.args, act)


def _signal(parsed: Parsed) -> int:
    if not parsed["signal"]:
        return 0
    from lading.formats import signals

    return signals.number(parsed["signal"])


def restart(context: Context, parsed: Parsed) -> int:
    """Stop and start containers."""
    within = timeout(parsed)
    signal = _signal(parsed)

    def act(name: str) -> None:
        context.node.restart(name, timeout=within, signal=signal)

    return each(parsed.args, act)


def kill(context: Context, parsed: Parsed) -> int:
    """Send a signal to containers."""
    number = _signal(parsed)
    return each(parsed.args, lambda name: context.node.kill(name, number))


def rm(context: Context, parsed: Parsed) -> int:
    """Remove containers."""

    def act(name: str) -> None:
        context.node.remove(name, force=parsed["force"], volumes=parsed["volumes"])

    return each(parsed.args, act, may_miss=parsed["force"])


def wait(context: Context, parsed: Parsed) -> int:
    """Wait for containers and print their exit codes."""
    return each(parsed.args, lambda name: str(context.node.wait(name, condition=parsed["condition"])))


def pause(context: Context, parsed: Parsed) -> int:
    """Freeze containers."""
    return each(parsed.args, context.node.pause)


def unpause(context: Context, parsed: Parsed) -> int:
    """Thaw containers."""
    return each(parsed.args, context.node.unpause)


def rename(context: Context, parsed: Parsed) -> int:
    """Give a container another name."""
    from lading.cli.translate import check_name

    context.node.rename(parsed.args[0], check_name(parsed.args[1]))
    return 0


def update(context: Context, parsed: Parsed) -> int:
    """Change limits of containers."""
    from lading.cli.translate_update import changes_from_update

    changes = changes_from_update(parsed.values)
    return each(parsed.args, lambda name: context.node.update(name, changes))
