"""The node's interface: everything a face can ask of pods on this machine.

``reference`` is a name, an id, an unambiguous prefix of one, or ``POD/CONTAINER``. Every method raises
:class:`~lading.errors.NotFound` for a reference that means nothing and :class:`~lading.errors.Conflict` for a pod in the
wrong state. This module and :mod:`~lading.node.managing` only say who does the work, so that ``run`` loads nothing that
belongs to ``cp``.
"""

from __future__ import annotations

from lading.node.shop import Shop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.formats.pod import Pod
    from lading.images import Images
    from lading.kernel import Kernel
    from lading.network import Networks
    from lading.node.managing import Managing
    from lading.node.model import PodRecord, Stdio
    from lading.node.session import Session
    from lading.roots import Roots
    from lading.volumes import Volumes

    OnCreated = Callable[[PodRecord], None]
else:
    Managing = object


class Node(Managing):
    """Pods on one machine. Cheap to make: nothing is opened before it is needed.

    What is asked of pods that exist is :class:`Managing`'s, which is loaded when the first of it is asked.
    """

    def __init__(self, roots: Roots, kernel: Kernel | None = None) -> None:
        self.roots = roots
        self.shop = Shop(roots, kernel)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            from lading.node.managing import Managing

            return getattr(Managing, name).__get__(self)

    @property
    def images(self) -> Images:
        """The image store of the same roots."""
        return self.shop.images

    @property
    def networks(self) -> Networks:
        """The networks of the same roots."""
        return self.shop.networks

    @property
    def volumes(self) -> Volumes:
        """The volumes of the same roots."""
        return self.shop.volumes

    # -- making and starting ---------------------------------------------------------------------------------------

    def create(self, pod: Pod, *, progress: object = None) -> PodRecord:
        """Admit, resolve images (pulling by ``imagePullPolicy``), volumes and names, and record the pod; start nothing.

        ``progress`` goes to ``Images.pull``. An empty ``metadata.name`` gets a made-up one.
        Raises :class:`Conflict` (reason ``name-taken``) when the name is taken.
        """
        from lading.node import lifecycle

        return lifecycle.create(self.shop, pod, progress)

    def run(
        self,
        pod: Pod,
        stdio: Stdio | None = None,
        *,
        progress: object = None,
        on_created: OnCreated | None = None,
    ) -> int:
        """Create and run in the foreground, without a terminal: this process is the keeper. The exit code.

        INT, TERM, HUP, QUIT, USR1 and USR2 are forwarded to the container. Restart policies apply.
        ``on_created`` is called with the record before anything starts (``--cidfile``). Raises what the first start
        raised.
        """
        import gc

        # Nothing made on the way to the first instruction is garbage: looking for it takes 4 ms of 60.
        collecting = gc.isenabled()
        gc.disable()
        try:
            from lading.node import lifecycle

            return lifecycle.run(self.shop, pod, stdio, progress, on_created)
        finally:
            if collecting:
                gc.enable()

    def run_detached(
        self, pod: Pod, *, progress: object = None, on_created: OnCreated | None = None
    ) -> PodRecord:
        """Create and start under a keeper of its own; returns when it runs, or raises what failed."""
        from lading.node import detached

        return detached.run(self.shop, pod, progress, on_created)

    def run_session(
        self,
        pod: Pod,
        *,
        progress: object = None,
        rows: int = 0,
        columns: int = 0,
        on_created: OnCreated | None = None,
    ) -> tuple[PodRecord, Session]:
        """As :meth:`run_detached`, with a :class:`Session` on the container from its first byte: ``run -t``."""
        from lading.node import detached

        return detached.run_session(self.shop, pod, progress, (rows, columns), on_created)
