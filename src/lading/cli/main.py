"""The ``lading`` command: find the command in the table, run it, turn every failure into one line and a status.

Statuses are Docker's: 125 when the command line is wrong or ``run`` fails before the container starts, 126 and 127 for
the container's command, the container's own status for ``run`` and ``exec``, 1 for any other command that failed
(on one of several objects, too), 130 after Ctrl-C.
"""

from __future__ import annotations

import os
import sys

from lading.errors import LadingError
from lading.flags import Parsed, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


BROKEN_PIPE = 141  # what a shell says of a program that SIGPIPE ended
INTERRUPTED = 130
FAILED = 1
_UMASK = 0o022  # containers', and of what only root shall change
_WRITE_FOR_THE_CALLER = ("cp", "save", "export", "build", "extract", "render")
_LONGEST_LINE = 2000  # an argument may be 128 KiB, and every error quotes what it is about


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``lading`` with ``argv`` (without it: this process's own, and standard output is flushed); the exit status."""
    if argv is not None:
        return _guarded(list(argv))
    # A caller's ignored SIGCHLD would take the exit statuses from us (waitpid(2)), and blocked signals would stay so in
    # keepers; execve(2) hands both down.
    import _signal  # type: ignore[import-not-found]

    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    if _signal.getsignal(_signal.SIGINT) == _signal.SIG_DFL:  # start.lading's
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    status = _guarded(sys.argv[1:], os.umask(_UMASK))
    if not _flush() and status == 0:
        status = BROKEN_PIPE
    return status


def _guarded(argv: list[str], umask: int = -1) -> int:
    """``umask``: the caller's, where this process has another now."""
    global _debug, _spoken
    _spoken = "lading"
    _debug = bool(os.environ.get("LADING_DEBUG"))
    refused = LadingError.exit_status
    try:
        from lading.cli.commands import ROOT

        parsed = parse(ROOT, argv)
        _debug = _debug or parsed.globals.get("debug") or parsed.globals.get("log-level") == "debug"
        _spoken = " ".join(c.name for c in parsed.path)
        if parsed.command.name != "run" or (len(parsed.path) > 2 and parsed.path[1].name == "pod"):
            refused = FAILED
        refused = parsed.failed or refused
        if umask >= 0 and parsed.command.name in _WRITE_FOR_THE_CALLER:
            os.umask(umask | 0o002)  # and nobody else's, for our own directories may be new
        status = _dispatch(parsed)
        sys.stdout.flush()
        return status
    except LadingError as error:
        if isinstance(error.__context__, BrokenPipeError):  # a floor below met it while writing to us
            _drop_stdout()
            return BROKEN_PIPE
        complain(error)
        return refused if error.exit_status == LadingError.exit_status else error.exit_status
    except BrokenPipeError:
        _drop_stdout()
        return BROKEN_PIPE
    except KeyboardInterrupt:
        if os.isatty(2):
            os.write(2, b"\n")  # the terminal has shown ^C on the line
        _failed("interrupted")
        return INTERRUPTED
    except UnicodeEncodeError as error:
        # Python hands on bytes that are no UTF-8 as surrogates: paths may hold them, but no record of ours.
        odd = next(
            (word for word in argv if not _is_text(word)), error.object[error.start : error.start + 20]
        )
        _failed(f"{odd[:80]!r} is not UTF-8 text")
        return refused
    except RecursionError:
        _failed("the input is nested too deeply")
        return refused
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        _failed(f"{named}{error.strerror or error}")
        return refused
    except Exception as error:
        what = " ".join(str(error).split()) or "no message"
        _failed(f"internal error: {type(error).__name__}: {what}: run it again with lading --debug")
        return refused


def _is_text(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _dispatch(parsed: Parsed) -> int:
    if parsed.help or len(parsed.path) == 1:
        if not parsed.help and parsed["version"]:
            from lading import __version__

            print(f"lading version {__version__}")
            return 0
        from lading.cli.help import show

        show(parsed.path)
        return 0
    from lading.cli.context import Context

    for command in parsed.path:
        if command.before:
            _named(command.before)(parsed)
    action = _named(parsed.command.action)
    context = Context.of(parsed)
    if parsed.values.get("insecure-policy") or os.environ.get("LADING_INSECURE_POLICY") == "1":
        from lading.cli.insecure import disobey

        disobey(context.roots)
    status = action(context, parsed) or 0
    if os.path.exists(context.roots.network + "/untold"):
        from lading.cli.hostchanges import tell

        tell(context.roots)
    return status


def _named(text: str) -> Callable[..., int | None]:
    module, _, name = text.partition(":")
    __import__(module)
    found: Callable[..., int | None] = getattr(sys.modules[module], name)
    return found


_spoken = "lading"
_debug = False


def complain(error: LadingError) -> None:
    """Report a failure, of the command or on one of several objects. Several problems get a line each below it."""
    problems: Sequence[str] = getattr(error, "problems", ())
    text = error.message if len(problems) > 1 else str(error)
    _failed(text)
    if len(problems) > 1:
        for problem in problems:
            _print_error(f"  {problem}")


def _failed(text: str) -> None:
    if _debug:
        import traceback

        traceback.print_exc()
    # The grammar names the command itself, which is not known before it has been read.
    _print_error(text if text.startswith((f"{_spoken}: ", f"{_spoken} ")) else f"{_spoken}: {text}")


def _print_error(text: str) -> None:
    """One line on standard error, whatever the text holds: control characters are shown escaped, the middle is left out."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    if len(line) > _LONGEST_LINE:
        line = f"{line[: _LONGEST_LINE // 2]} … {line[-_LONGEST_LINE // 2 :]}"
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        _drop_stdout()
    try:
        os.write(2, (line + "\n").encode(errors="backslashreplace"))
    except OSError:
        pass


def _flush() -> bool:
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        _drop_stdout()
        return False
    return True


def _drop_stdout() -> None:
    """Nobody reads any more: let the interpreter's own flush at exit go nowhere."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)
    except OSError:
        pass
