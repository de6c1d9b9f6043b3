"""The resolver process of a root: started by the first attachment that needs it, gone with the last.

It runs in the host's network namespace and listens on the gateways. One process serves every network of the root:
inside the pods' namespaces there would be one set of sockets, or one process, for each pod, and starting a pod would
wait for it. A Unix socket in the run root takes ``refresh``: it is answered when every gateway is listened on, so a
pod never starts before its names resolve.
"""

from __future__ import annotations

import os
import sys
import time
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET
from _socket import socket as _RawSocket  # noqa: N812

from lading.errors import LadingError, TimedOut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.roots import Roots

_PATIENCE = 10.0
_BOOT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from lading.network.resolverd import main; main()"


def directory(roots: Roots) -> str:
    """Where the resolver's socket, lock and log are."""
    return roots.run + "/network"


def socket_path(roots: Roots) -> str:
    """The Unix socket; a relative detour keeps long run roots within ``sun_path``."""
    return directory(roots) + "/resolver.sock"


def refresh(roots: Roots, word: bytes = b"refresh") -> bool:
    """Ask a running resolver to read the records again and wait until it has. False when none runs.

    Raises :class:`LadingError` with the resolver's words when it cannot listen on a gateway.
    """
    place = directory(roots)
    try:
        holder = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    wire = _RawSocket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
    try:
        wire.settimeout(_PATIENCE)
        wire.connect(f"/proc/self/fd/{holder}/resolver.sock")
        wire.send(word)
        answer: bytes = wire.recv(4096)
    except TimeoutError:
        raise TimedOut(
            f"the resolver of {roots.data} does not answer", hint="run lading check --repair"
        ) from None
    except OSError:
        return False
    finally:
        wire.close()
        os.close(holder)
    if answer.startswith(b"error "):
        taken = answer.startswith(b"error name server on")
        raise LadingError(
            answer[6:].decode("utf-8", "replace"),
            reason="resolver",
            hint="who publishes or serves port 53 has to name a host address" if taken else "",
        )
    return answer == b"ok"


def stop_resolver(roots: Roots) -> None:
    """End the resolver at once, if one runs."""
    refresh(roots, b"stop")


def ensure_resolver(roots: Roots) -> None:
    """Have a resolver that listens on every gateway that is in use, starting one if there is none."""
    deadline = time.monotonic() + _PATIENCE
    while not refresh(roots):
        if time.monotonic() > deadline:
            raise TimedOut(
                f"no resolver could be started for {roots.data}", hint=f"see {directory(roots)}/resolver.log"
            )
        _start(roots)


def _start(roots: Roots) -> None:
    """Start a resolver and wait until it listens, or has found another one to be faster."""
    import lading

    place = directory(roots)
    os.makedirs(place, 0o700, exist_ok=True)
    source = os.path.dirname(os.path.dirname(os.path.abspath(lading.__file__)))
    python = sys.executable or "/usr/bin/python3"
    command = [python, "-I", "-S", "-c", _BOOT, source]
    log = place + "/resolver.log"
    # The first process forks and ends when the second one listens: nobody has to reap it later.
    first = os.posix_spawn(
        python,
        [*command, roots.data, roots.run, roots.config, str(roots.uid)],
        {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    os.waitpid(first, 0)
