"""The same surroundings for every test process, whoever started it and how.

A CI machine may start us in the background (a shell without job control ignores SIGINT and SIGQUIT there), below
``nohup`` (SIGHUP ignored), with signals blocked, with any umask and almost no environment. All of it is inherited
through fork and execve (signal(7), execve(2)) and would change what the commands under test do.
"""

from __future__ import annotations

import os
import pwd
import signal
from typing import Any

_INTERPRETERS_OWN: dict[int, Any] = {
    signal.SIGINT: signal.default_int_handler,
    # What Python itself ignores at its start; subprocess gives both back to what it executes.
    signal.SIGPIPE: signal.SIG_IGN,
    signal.SIGXFSZ: signal.SIG_IGN,
}
_KEPT = ("LADING_TEST_STRICT", "LADING_FUZZ", "LADING_KILLS", "LADING_SEED", "LADING_SOAK")
_TOOLS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


def settle() -> None:
    """Give this process, and so its children, default signals, a usual umask and a plain environment."""
    default_signals()
    os.umask(0o022)
    environment()


def default_signals() -> None:
    """Undo ignored and blocked signals that were inherited; handlers somebody installed here stay."""
    for number in signal.valid_signals():
        if number in (signal.SIGKILL, signal.SIGSTOP):
            continue
        if signal.getsignal(number) == signal.SIG_IGN or number in _INTERPRETERS_OWN:
            signal.signal(number, _INTERPRETERS_OWN.get(number, signal.SIG_DFL))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def environment() -> None:
    """What tools expect is there, what would change Lading's behaviour is not."""
    for name in list(os.environ):
        if name.startswith("LADING_") and name not in _KEPT:
            del os.environ[name]
    for name in (
        "DOCKER_HOST",
        "DOCKER_CONFIG",
        "CONTAINER_HOST",
        "NOTIFY_SOCKET",
        "LISTEN_FDS",
        "LISTEN_PID",
    ):
        os.environ.pop(name, None)
    os.environ.setdefault("HOME", pwd.getpwuid(os.geteuid()).pw_dir)
    path = [word for word in os.environ.get("PATH", "").split(":") if word]
    os.environ["PATH"] = ":".join([*path, *(word for word in _TOOLS if word not in path)])
    # Registries of the tests listen on loopback: never through the machine's proxy.
    for name in ("no_proxy", "NO_PROXY"):
        words = [word for word in os.environ.get(name, "").split(",") if word]
        os.environ[name] = ",".join(dict.fromkeys([*words, "localhost", "127.0.0.1", "::1"]))
