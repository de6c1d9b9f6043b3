"""What a build tells while it runs. A face overrides what it shows; nothing here may raise or take long."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from lading.build.graph import Graph, Vertex
    from lading.errors import LadingError


class Progress:
    """``number`` is the vertex's index in the graph.

    Everything comes from one thread, but :meth:`phase` and :meth:`warn`, which a transfer calls from several.
    """

    def begin(self, graph: Graph, needed: Collection[int]) -> None:
        """The graph is made: ``needed`` are the steps that may have to be carried out.

        It is called once for each platform, with the same graph; a step may be needed for several.
        """

    def cached(self, number: int, vertex: Vertex) -> None:
        """The step's result was in the cache."""

    def started(self, number: int, vertex: Vertex) -> None:
        """The step is being carried out."""

    def log(self, number: int, vertex: Vertex, stream: str, data: bytes) -> None:
        """Bytes that the step's command wrote to ``stdout`` or ``stderr``, or that Lading says of it (``note``)."""

    def finished(self, number: int, vertex: Vertex, seconds: float) -> None:
        """The step was carried out in so many seconds."""

    def failed(self, number: int, vertex: Vertex, error: LadingError) -> None:
        """The step failed."""

    def phase(self, name: str, state: str, done: int = 0, total: int = -1) -> None:
        """Work around the steps: contexts read, base images fetched, layers compressed. ``state``: started, done, or a detail."""

    def warn(self, text: str) -> None:
        """A line the user should see."""
