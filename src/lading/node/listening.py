"""Sockets that listen in the pod's network for a container and are there before it: socket activation (sd_listen_fds(3)).

The keeper holds them as long as the pod lives, so what connects between two runs of a container waits for the next one. One
that a service manager handed to the keeper takes the place of one in the pod's network.
"""

from __future__ import annotations

from lading.node import podsockets

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

    from lading.formats.oci_runtime import Spec
    from lading.formats.pod import Container
    from lading.formats.podextras import ListenSocket
    from lading.node.runner import PodRunner


class Listening:
    """The sockets of one pod's containers."""

    def __init__(self, runner: PodRunner) -> None:
        self.runner = runner
        self._sockets: dict[str, list[_socket.socket]] = {}

    def open(self) -> None:
        """Make all of them. Raises :class:`LadingError`."""
        spec = self.runner.record.pod.spec
        for container in (*spec.init_containers, *spec.containers):
            self._of(container)

    def _of(self, container: Container) -> list[_socket.socket]:
        found = self._sockets.setdefault(container.name, [])
        for wanted in container.extras.listen[len(found) :]:
            found.append(_handed(wanted) or self._made(container, wanted))
        return found

    def _made(self, container: Container, wanted: ListenSocket) -> _socket.socket:
        what = f"container {container.name}: x-lading.listen"
        return podsockets.listen(self.runner, wanted.address, wanted.port, what, udp=wanted.protocol == "UDP")

    def hand_to(self, container: Container, spec: Spec) -> list[int]:
        """The descriptors for a container that starts, in their order; their names go into its environment.

        After a keeper that was killed they are made anew here.
        """
        found = self._of(container)
        if found and spec.process is not None:
            names = ":".join(wanted.name or "unknown" for wanted in container.extras.listen)
            spec.process.env = [*spec.process.env, f"LISTEN_FDNAMES={names}"]
        return [socket.fileno() for socket in found]

    def close(self) -> None:
        """Listen no more. Sockets that were handed over listen on, for who handed them over."""
        for found in self._sockets.values():
            for socket in found:
                socket.close()
        self._sockets.clear()


def _handed(wanted: ListenSocket) -> _socket.socket | None:
    if not wanted.host_port:
        return None
    from lading.node import handed

    return handed.socket(wanted.protocol, wanted.host_port)
