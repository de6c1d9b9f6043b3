"""SSH agents for builds: the user's own socket, or keys in an agent that lives as long as the build.

A private agent runs a command of ours that waits for a pipe to close, and then ends the agent and takes its directory away. So
both go with the build, whatever ends that.
"""

from __future__ import annotations

import os
import stat

from lading.errors import InvalidInput, LadingError, NotFound
from lading.images.files import remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence

_SECONDS = 30
# The agent is our command's child: its number is still its own.
_COMMAND = 'cat; kill "$SSH_AGENT_PID"; rm -rf -- "$0"'
_LONGEST = 100  # bytes of a socket's path; the kernel takes 107


class Agents:
    """The agents of one build. ``directory``: where private ones keep their sockets. :meth:`close` ends them."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._running: list[subprocess.Popen[bytes]] = []
        self._places: list[str] = []

    def get(self, text: str, environ: Mapping[str, str]) -> tuple[str, str]:
        """What ``--ssh`` says, ``ID[=SOCKET|KEY[,KEY…]]``, as an id and a socket.

        Without a value it is the socket of ``SSH_AUTH_SOCK``. Raises :class:`InvalidInput`, :class:`NotFound`.
        """
        name, equals, rest = text.partition("=")
        if not name:
            raise InvalidInput(f"--ssh {text!r} has no id", hint="write default, or ID=SOCKET or ID=KEY")
        if not equals:
            socket = environ.get("SSH_AUTH_SOCK", "")
            if not socket:
                raise NotFound(
                    f"--ssh {name}: there is no agent: SSH_AUTH_SOCK is not set",
                    hint=f"start one, or name a socket or keys: --ssh {name}=PATH",
                    reason="no-agent",
                )
            return name, _socket(name, socket)
        paths = [path for path in rest.split(",") if path]
        if not paths:
            raise InvalidInput(f"--ssh {text!r} names no socket and no key")
        if len(paths) == 1 and _is_socket(paths[0]):
            return name, _socket(name, paths[0])
        return name, self._private(name, paths)

    def _private(self, name: str, keys: Sequence[str]) -> str:
        import shutil
        import subprocess
        import time

        agent, add = shutil.which("ssh-agent"), shutil.which("ssh-add")
        if agent is None or add is None:
            raise NotFound(
                f"--ssh {name}: ssh-agent is not on the PATH",
                hint="install openssh-client",
                reason="no-agent",
            )
        for key in keys:
            if not os.path.isfile(key):
                raise NotFound(f"--ssh {name}: {key!r} is neither a socket nor a key", reason="no-agent")
        place = self._place()
        socket = place + "/agent"
        environ = {"PATH": os.environ.get("PATH", os.defpath), "SSH_ASKPASS": "/bin/false", "LC_ALL": "C"}
        self._running.append(
            subprocess.Popen(
                [agent, "-a", socket, "sh", "-c", _COMMAND, place],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environ,
                start_new_session=True,
            )
        )
        until = time.monotonic() + _SECONDS
        while not _is_socket(socket):
            if self._running[-1].poll() is not None or time.monotonic() > until:
                raise LadingError(f"--ssh {name}: ssh-agent does not start", reason="no-agent")
            time.sleep(0.01)
        done = subprocess.run(
            [add, "-q", "--", *keys],
            env={**environ, "SSH_AUTH_SOCK": socket},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            start_new_session=True,  # without a terminal to ask for a passphrase on
            check=False,
        )
        if done.returncode:
            lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it says nothing"]
            why = "".join(char if char.isprintable() else "?" for char in lines[-1])[:300]
            raise InvalidInput(
                f"--ssh {name}: ssh-add does not take the key: {why}",
                hint="give a key without a passphrase, or the socket of an agent that has it",
                reason="key",
            )
        return socket

    def _place(self) -> str:
        place = f"{self._directory}/agent-{os.getpid()}-{os.urandom(4).hex()}"
        if len(place) > _LONGEST - len("/agent"):
            place = f"/tmp/lading-agent-{os.getpid()}-{os.urandom(8).hex()}"
        os.makedirs(os.path.dirname(place), exist_ok=True)
        os.mkdir(place, 0o700)
        self._places.append(place)
        return place

    def close(self) -> None:
        """End private agents."""
        if not self._places:
            return
        import subprocess

        for agent in self._running:
            assert agent.stdin is not None
            agent.stdin.close()
            try:
                agent.wait(5)
            except subprocess.TimeoutExpired:
                agent.kill()
                agent.wait()
        self._running.clear()
        for place in self._places:
            remove_tree(place)
        self._places.clear()


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def _socket(name: str, path: str) -> str:
    if not _is_socket(path):
        raise NotFound(f"--ssh {name}: {path!r} is no socket of an agent", reason="no-agent")
    return os.path.abspath(path)
