"""``lading-runtime``: runc's command line on :class:`lading.runtime.Runtime`.

Podman's conmon, containerd's shim and a person's shell call an OCI runtime with runc's words, so those are
the words here: the same commands, flags, outputs and log lines. The command that every container start waits
for imports nothing it does not need; see ``commands`` and ``inspection`` for what the commands do.
"""

from __future__ import annotations

import os
import sys

from lading.errors import LadingError
from lading.flags import Command, Flag, Parsed, UsageError, parse

_NO_CRIU = "checkpoint and restore are not supported"

_BUNDLE = Flag("bundle", "b", "str", "DIR", "The bundle's directory (default: the current one)")
_PID_FILE = Flag("pid-file", "", "str", "FILE", "Write the process id here")
_CONSOLE = Flag("console-socket", "", "str", "SOCKET", "Send the terminal's master to this Unix socket")
_PIDFD = Flag("pidfd-socket", "", "str", "SOCKET", "Send the first process's pidfd to this Unix socket")
_PRESERVE = Flag("preserve-fds", "", "int", "N", "Pass N further descriptors, 3 … N+2")
_NO_PIVOT = Flag("no-pivot", "", "bool", help="Do not use pivot_root (for a root on a ramdisk)")
_NO_KEYRING = Flag("no-new-keyring", "", "bool", help="Keep the caller's session keyring")
_NO_SUBREAPER = Flag("no-subreaper", "", "bool", hidden=True)


_CONFIG = Flag(
    "config", "f", "str", "FILE", "The configuration (default: config.json in the bundle); crun's flag"
)


def _create() -> tuple[Flag, ...]:
    return _BUNDLE, _CONFIG, _CONSOLE, _PIDFD, _PID_FILE, _NO_PIVOT, _NO_KEYRING, _PRESERVE


def _run() -> tuple[Flag, ...]:
    return (
        *_create(),
        Flag("detach", "d", "bool", help="Do not wait for the container to end"),
        Flag("keep", "", "bool", help="Do not delete the container when it ends"),
        _NO_SUBREAPER,
    )


def _exec() -> tuple[Flag, ...]:
    return (
        Flag("process", "p", "str", "FILE", "A process.json instead of a command"),
        Flag("detach", "d", "bool", help="Do not wait for the process to end"),
        Flag("tty", "t", "bool", help="Give it a terminal"),
        _CONSOLE,
        _PIDFD,
        _PID_FILE,
        Flag("cwd", "", "str", "DIR", "Working directory in the container"),
        Flag("env", "e", "list", "NAME=VALUE", "Set a variable"),
        Flag("user", "u", "str", "UID[:GID]", "Run as this user"),
        Flag("additional-gids", "g", "list", "GID", "A supplementary group"),
        Flag("cap", "c", "list", "CAP", "Add a capability"),
        Flag("no-new-privs", "", "bool", help="Set no_new_privs"),
        Flag("process-label", "", "str", "LABEL", "SELinux label"),
        Flag("apparmor", "", "str", "PROFILE", "AppArmor profile"),
        Flag("cgroup", "", "list", "GROUP", "A group below the container's own, [CONTROLLER,…:]PATH"),
        Flag("ignore-paused", "", "bool", help="Also in a paused container (the process then waits)"),
        _PRESERVE,
        _NO_SUBREAPER,
    )


def _update() -> tuple[Flag, ...]:
    def number(name: str, metavar: str, help: str) -> Flag:
        return Flag(name, "", "int", metavar, help, unset=True)

    def size(name: str, help: str) -> Flag:
        return Flag(name, "", "str", "BYTES", help)

    return (
        Flag("resources", "r", "str", "FILE", "OCI resources as JSON; - is the standard input"),
        size("memory", "Memory limit, 512M for example"),
        size("memory-reservation", "Soft memory limit"),
        size("memory-swap", "Limit of memory and swap together, -1 for none"),
        number("cpu-period", "MICROSECONDS", "CFS period"),
        number("cpu-quota", "MICROSECONDS", "CFS quota"),
        number("cpu-burst", "MICROSECONDS", "CFS burst"),
        Flag("cpu-share", "", "int", "N", "CPU shares", unset=True, aliases=("cpu-shares",)),
        number("cpu-idle", "0|1", "Schedule like SCHED_IDLE"),
        number("cpu-rt-period", "MICROSECONDS", "Realtime period"),
        number("cpu-rt-runtime", "MICROSECONDS", "Realtime budget"),
        Flag("cpuset-cpus", "", "str", "LIST", "Processors"),
        Flag("cpuset-mems", "", "str", "LIST", "Memory nodes"),
        number("pids-limit", "N", "Greatest number of tasks, -1 for none"),
        number("blkio-weight", "WEIGHT", "Block device weight, 10 … 1000"),
        size("kernel-memory", "Kernel memory limit (cgroup v1)"),
        size("kernel-memory-tcp", "TCP buffer limit (cgroup v1)"),
        Flag("l3-cache-schema", "", refuse="Intel RDT cannot be changed later"),
        Flag("mem-bw-schema", "", refuse="Intel RDT cannot be changed later"),
    )


_FORMAT = Flag("format", "f", "str", "FORMAT", "Output", default="table", choices=("table", "json"))

ROOT = Command(
    "lading-runtime",
    description="Run containers from OCI bundles, with runc's command line.",
    single_dash=True,
    flags=(
        Flag("root", "", "str", "DIR", "Where the state of containers is kept"),
        Flag("log", "", "str", "FILE", "Append errors and warnings here"),
        Flag("log-format", "", "str", "FORMAT", "Form of the log", default="text", choices=("text", "json")),
        Flag("debug", "", "bool", help="Log more"),
        Flag("systemd-cgroup", "", "bool", help="Make control groups through systemd"),
        Flag(
            "cgroup-manager",
            "",
            "str",
            "MANAGER",
            "The same in crun's words",
            default="cgroupfs",
            choices=("cgroupfs", "systemd", "disabled"),
        ),
        Flag("rootless", "", "str", "MODE", "true, false or auto", default="auto", no_value="true"),
        Flag("criu", "", "str", hidden=True, refuse=_NO_CRIU),
        Flag("version", "v", "bool", help="Print the version"),
    ),
    commands=(
        Command("create", "Set a container up", "ID", flags=_create, action="commands:create"),
        Command("start", "Start a created container", "ID", action="commands:start"),
        Command("run", "Create and start a container", "ID", flags=_run, action="commands:run"),
        Command("state", "Print a container's state", "ID", action="commands:state"),
        Command(
            "kill",
            "Send a signal (default SIGTERM)",
            "ID [SIGNAL]",
            flags=(Flag("all", "a", "bool", help="To every process of the container"),),
            action="commands:kill",
        ),
        Command(
            "delete",
            "Remove a stopped container",
            "ID",
            flags=(Flag("force", "f", "bool", help="Kill it first; fine if it does not exist"),),
            action="commands:delete",
        ),
        Command(
            "exec",
            "Run a further process in a container",
            "ID [COMMAND] [ARG...]",
            flags=_exec,
            interspersed=False,
            action="commands:execute",
        ),
        Command(
            "list",
            "List containers",
            flags=(_FORMAT, Flag("quiet", "q", "bool", help="Only ids")),
            action="inspection:list_containers",
        ),
        Command(
            "ps",
            "List a container's processes",
            "ID [PS-OPTION...]",
            flags=(_FORMAT,),
            interspersed=False,
            action="inspection:processes",
        ),
        Command("pause", "Stop all processes of a container", "ID", action="inspection:pause"),
        Command("resume", "Let them run again", "ID", action="inspection:resume"),
        Command("update", "Change limits", "ID", flags=_update, action="inspection:update"),
        Command(
            "events",
            "Print statistics and out-of-memory events",
            "ID",
            flags=(
                Flag("stats", "", "bool", help="Print statistics once and end"),
                Flag("interval", "", "str", "DURATION", "Between statistics", default="5s"),
            ),
            action="events:events",
        ),
        Command(
            "spec",
            "Write a config.json to start from",
            flags=(_BUNDLE, Flag("rootless", "", "bool", help="For an ordinary user")),
            action="hostspec:write_spec",
        ),
        Command("features", "Print what this runtime can do, as JSON", action="features:show"),
        Command("checkpoint", "Checkpoint a container", refuse=_NO_CRIU),
        Command("restore", "Restore a container", refuse=_NO_CRIU),
    ),
)


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status. Errors are one line on standard error, and in ``--log``."""
    words = sys.argv[1:] if argv is None else argv
    if argv is None:
        # A caller's ignored SIGCHLD would take the exit statuses from us (waitpid(2)); execve(2) hands it down.
        import _signal  # type: ignore[import-not-found]

        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    log = Log.of_words(words)
    command = ""
    try:
        parsed = parse(ROOT, words)
        if parsed.help:
            from lading.flaghelp import help_text

            sys.stdout.write(help_text(parsed.path))
            return 0
        if len(parsed.path) == 1:  # --version is all that may stand without a command
            sys.stdout.write(version_text())
            return 0
        command = parsed.command.name
        log.debug_wanted = bool(parsed.globals["debug"])
        log.open()
        if parsed.globals["rootless"] not in ("true", "false", "auto", "1", "0"):
            raise UsageError(f"--rootless: {parsed.globals['rootless']!r} is not true, false or auto")
        if log.debug_wanted:
            log.debug(f"{command} {' '.join(parsed.args)}".rstrip())
        module, _, name = parsed.command.action.partition(":")
        __import__("lading.runtime." + module)  # importlib's Python half takes a third of a millisecond
        status: int = getattr(sys.modules["lading.runtime." + module], name)(parsed, log)
        sys.stdout.flush()
        return status
    except LadingError as error:
        message = str(error)
        if error.reason == "not-executable" and "permission denied" not in message.lower():
            message += ": permission denied"  # the words by which engines choose exit status 126
        log.error(message)
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        log.error(str(error))
    except Exception as error:
        import traceback

        where = traceback.extract_tb(error.__traceback__)[-1]
        log.error(
            f"{type(error).__name__}: {error} ({where.filename.rpartition('/')[2]}:{where.lineno}): this is a bug"
        )
        if log.debug_wanted or os.environ.get("LADING_DEBUG"):
            traceback.print_exc()
    return 255 if command == "exec" else 1  # runc's: an exec'd command's own 1 must be told apart


def version_text() -> str:
    """runc's form, which engines read line by line."""
    from lading import __version__

    return f"lading-runtime version {__version__}\nspec: 1.2.0\n"


class Log:
    """``--log`` and ``--log-format``: engines read the last error from there. Standard error has it too."""

    def __init__(self, path: str = "", form: str = "text") -> None:
        self.path = path
        self.form = form
        self.debug_wanted = False

    @classmethod
    def of_words(cls, words: list[str]) -> Log:
        """Found before parsing, so that a mistake on the command line is logged as well."""
        found = {"log": "", "log-format": "text"}
        for index, word in enumerate(words):
            name, equals, value = word.lstrip("-").partition("=")
            if word.startswith("-") and name in found:
                found[name] = value if equals else (words[index + 1] if index + 1 < len(words) else "")
            elif word in _COMMANDS:
                break
        return cls(found["log"], found["log-format"])

    def open(self) -> None:
        """See that the file can be written: an engine that named one would look for errors there. Raises OSError's text."""
        if self.path:
            try:
                os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644))
            except OSError as error:
                path, self.path = self.path, ""
                raise UsageError(f"--log {path}: {error.strerror}") from None

    def error(self, message: str) -> None:
        """What made the command fail."""
        self._line("error", message)
        sys.stderr.write(f"lading-runtime: {' '.join(message.split())}\n")

    def warn(self, message: str) -> None:
        """What was left out or will not work."""
        self._line("warning", message)
        if not self.path:
            sys.stderr.write(f"lading-runtime: warning: {message}\n")

    def debug(self, message: str) -> None:
        """What is being done, with ``--debug``."""
        if self.debug_wanted:
            self._line("debug", message)
            if not self.path:
                sys.stderr.write(f"level=debug msg={message}\n")

    def _line(self, level: str, message: str) -> None:
        if not self.path:
            return
        import time

        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        from lading.formats.jsontext import dumps

        if self.form == "json":
            line = dumps({"level": level, "msg": message, "time": stamp})
        else:
            line = f'time="{stamp}" level={level} msg={dumps(message)}'
        try:
            fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            os.write(fd, (line + "\n").encode("utf-8", "replace"))
            os.close(fd)
        except OSError as error:
            sys.stderr.write(f"lading-runtime: --log {self.path}: {error.strerror}\n")


_COMMANDS = frozenset(c.name for c in ROOT.commands)


def state_root(parsed: Parsed) -> str:
    """``--root``, or the one the ``lading`` command uses."""
    given: str = parsed.globals["root"]
    if given:
        return os.path.abspath(given)
    from lading.roots import Roots

    return Roots.default().runtime


if __name__ == "__main__":
    sys.exit(main())
