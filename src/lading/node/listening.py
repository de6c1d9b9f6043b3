"""Sockets that listen in the pod's network for a container and are there before it: socket activation (sd_listen_fds(3)).

The keeper holds them as long as the pod lives, so what connects between two runs of a container waits for the next one.
"""

from __future__ import annotations

from lading.node import podsockets

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

    from lading.formats.oci_runtime import Spec
    from lading.formats.pod import Container
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
            what = f"container {container.name}: x-lading.listen"
            found.append(
                podsockets.listen(
                    self.runner, wanted.address, wanted.port, what, udp=wanted.protocol == "UDP"
                )
            )
        return found

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
        """Listen no more."""
        for found in self._sockets.values():
            for socket in found:
                socket.close()
        self._sockets.clear()
