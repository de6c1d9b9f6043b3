"""What is done about one container, in a process of its own. Each answer is ``{id, name, said}``."""

from __future__ import annotations

from lading.compose import hooks, options
from lading.compose.state import RUNNING
from lading.errors import LadingError, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.compose.model_service import Service
    from lading.formats.pod import Pod
    from lading.node import Node, PodRecord
    from lading.roots import Roots


class Hand:
    """Works with a node of its own: the one of the command that forked it stays that command's."""

    def __init__(self, roots: Roots, service: Service | None, timeout: float | None, where: str = "") -> None:
        from lading.cli.context import Context

        self._where = where
        self._node: Node = Context(roots).node
        self._service = service
        self._timeout = timeout

    def create(self, pod: Pod, *, start: bool) -> object:
        """Make a container, and start it. One that does not start stays, to be looked at, and is tried again by the next up."""
        record = self._made(pod)
        if not start:
            return _said(record.id, record.name, "Created")
        self._start(record.id, record.name)
        return _said(record.id, record.name, "Started")

    def replace(self, old: PodRecord, pod: Pod, name: str, *, start: bool) -> object:
        """Make a container in the place of another: the new one exists before the old one is touched."""
        new = self._made(pod)
        try:
            if old.state in RUNNING:
                self._stop(old)
            self._node.remove(old.id, force=True)
        except NotFound:
            pass
        except BaseException:
            self._node.remove(new.id, force=True)
            raise
        self._node.rename(new.id, name)
        if start:
            self._start(new.id, name)
        return _said(new.id, name, "Recreated")

    def adopt(self, record: PodRecord, name: str, *, start: bool) -> object:
        """Finish what a killed :meth:`replace` began."""
        self._node.rename(record.id, name)
        if start:
            self._start(record.id, name)
        return _said(record.id, name, "Started" if start else "Created")

    def keep(self, record: PodRecord, *, start: bool, restart: bool = False) -> object:
        """Leave a container as it is, started where it is not."""
        if record.state in RUNNING:
            if not restart:
                return _said(record.id, record.name, "Running")
            self._stop(record)
            self._start(record.id, record.name)
            return _said(record.id, record.name, "Restarted")
        if not start:
            return _said(record.id, record.name, "Created")
        self._start(record.id, record.name)
        return _said(record.id, record.name, "Started")

    def remove(self, record: PodRecord, *, volumes: bool = False) -> object:
        """Stop and remove a container."""
        try:
            if record.state in RUNNING:
                self._stop(record)
            self._node.remove(record.id, force=True, volumes=volumes)
        except NotFound:
            pass
        return _said(record.id, record.name, "Removed")

    def stop(self, record: PodRecord) -> object:
        """Stop a container."""
        self._stop(record)
        return _said(record.id, record.name, "Stopped")

    def restart(self, record: PodRecord) -> object:
        """Stop and start a container."""
        if record.state in RUNNING:
            self._stop(record)
        self._start(record.id, record.name)
        return _said(record.id, record.name, "Started")

    def _start(self, identity: str, name: str) -> None:
        try:
            self._node.start(identity)
        except LadingError as error:
            # A status of its own (127: no such command) is for whoever runs one command.
            raise LadingError(
                f"container {name}: {error.message}", hint=error.hint, reason=error.reason
            ) from None
        if self._service is not None and self._service.post_start:
            hooks.carry_out(self._node, identity, self._service.post_start, "post_start")

    def _stop(self, record: PodRecord) -> None:
        if self._service is not None and self._service.pre_stop and record.state == "running":
            hooks.carry_out(self._node, record.id, self._service.pre_stop, "pre_stop")
        self._node.stop(record.id, timeout=self._timeout)

    def _made(self, pod: Pod) -> PodRecord:
        self._bare(pod)
        try:
            return self._node.create(pod)
        except LadingError as error:
            raise options.told(error, self._where) from None

    def _bare(self, pod: Pod) -> None:
        """``command: []`` means no command, where a Pod without arguments means the image's."""
        service = self._service
        if service is None or service.command != [] or service.entrypoint is not None:
            return
        container = pod.spec.containers[0]
        config = self._node.images.get(container.image, container.extras.platform).config.config
        container.extras.entrypoint_given = True
        container.command = list(config.entrypoint or []) if config is not None else []


def _said(identity: str, name: str, said: str) -> dict[str, str]:
    return {"id": identity, "name": name, "said": said}
