"""A seccomp listener (``SCMP_ACT_NOTIFY``): fetched from the process that made it, and sent to the agent that answers."""

from __future__ import annotations

import os

from lading.errors import InvalidInput
from lading.formats.jsontext import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_runtime import Spec, State
    from lading.kernel import Kernel


def hand_over(kernel: Kernel, pid: int, fd: int, spec: Spec, state: State) -> None:
    """Fetch the seccomp listener ``fd`` of ``pid`` and send it to ``linux.seccomp.listenerPath``."""
    linux = spec.linux
    assert linux is not None and linux.seccomp is not None
    pidfd = kernel.pidfd_open(pid)
    try:
        listener = kernel.pidfd_getfd(pidfd, fd)
    finally:
        os.close(pidfd)
    try:
        text = dumps(
            {
                "ociVersion": state.oci_version,
                "fds": ["seccompFd"],
                "pid": pid,
                "metadata": linux.seccomp.listener_metadata,
                "state": state.encode(),
            }
        )
        _send(linux.seccomp.listener_path, listener, text.encode())
    finally:
        os.close(listener)


def _send(path: str, listener: int, text: bytes) -> None:
    """Hand a listener to the agent at ``path`` together with the container process state (config-linux.md, Seccomp)."""
    import _socket

    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        sock.connect(path)
        sock.sendmsg([text], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, listener.to_bytes(4, "little"))])
    except OSError as error:
        raise InvalidInput(
            f"linux.seccomp.listenerPath {path}: failed to connect with seccomp agent: {error.strerror}"
        ) from None
    finally:
        sock.close()
