"""What every command gets: the roots, the global options, and the floors below, opened when first asked for."""

from __future__ import annotations

import os

from lading.roots import Roots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.flags import Parsed
    from lading.images import Images
    from lading.network import Networks
    from lading.node import Node
    from lading.volumes import Volumes


class Context:
    """One invocation of ``lading``."""

    def __init__(self, roots: Roots) -> None:
        self.roots = roots
        self._node: Node | None = None
        self._images: Images | None = None
        self._networks: Networks | None = None
        self._volumes: Volumes | None = None

    @classmethod
    def of(cls, parsed: Parsed) -> Context:
        """The context that the global flags ask for. ``--root`` and ``--run-root`` also reach child processes."""
        for flag, variable in (("root", "LADING_ROOT"), ("run-root", "LADING_RUN")):
            if parsed.globals.get(flag):
                os.environ[variable] = os.path.abspath(parsed.globals[flag])
        roots = Roots.default()
        if roots.uid and os.geteuid() and not _files_alone(parsed):
            from lading.kernel import Kernel
            from lading.node import rootless

            rootless.enter(roots, Kernel())
        return cls(roots)

    @property
    def node(self) -> Node:
        """The pods of this machine."""
        if self._node is None:
            from lading.node import Node

            self._node = Node(self.roots)
        return self._node

    @property
    def images(self) -> Images:
        """The image store."""
        if self._images is None:
            from lading.images import Images

            self._images = Images(self.roots.images)
        return self._images

    @property
    def networks(self) -> Networks:
        """The networks."""
        if self._networks is None:
            from lading.kernel import Kernel
            from lading.network import Networks

            self._networks = Networks(self.roots, Kernel())
        return self._networks

    @property
    def volumes(self) -> Volumes:
        """The named volumes."""
        if self._volumes is None:
            from lading.volumes import Volumes

            self._volumes = Volumes(self.roots.volumes)
        return self._volumes


def _files_alone(parsed: Parsed) -> bool:
    """Whether a command touches no more than files of the user's own: a registry that has its own store.

    It needs no namespaces then, and runs where there are none to be had: in a container, in a unit of systemd that allows little.
    """
    group = parsed.path[-2].name if len(parsed.path) > 1 else ""
    return group == "registry" and bool(parsed.values.get("storage") or parsed.command.name == "passwd")
