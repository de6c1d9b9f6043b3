"""A build from its request to what becomes of it: what every face calls."""

from __future__ import annotations

import os

from lading.build.bases import Bases
from lading.build.executor import Executor
from lading.build.exporting import Exporter
from lading.build.frontend import Frontend
from lading.build.image import Solved
from lading.build.outputs import Output
from lading.build.workshop import Workshop
from lading.errors import LadingError
from lading.formats import platform as platforms
from lading.images import snapshots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from contextlib import AbstractContextManager
    from typing import BinaryIO

    from lading.build.evidence import Evidence
    from lading.build.exporting import Exported, Open
    from lading.build.progress import Progress
    from lading.build.request import Request
    from lading.images import Images
    from lading.images.image import Image
    from lading.images.leases import Lease
    from lading.kernel import Kernel
    from lading.roots import Roots


class Wanted:
    """What becomes of a build.

    ``outputs``: at least one. ``open_``: the stream to write to for an output's ``dest``. ``rewrite``: no file of a new layer
    is younger than SOURCE_DATE_EPOCH. ``evidence``: what is attested of the images.
    """

    __slots__ = ("evidence", "open_", "outputs", "rewrite")

    def __init__(self, outputs: Sequence[Output], open_: Open) -> None:
        self.outputs = list(outputs)
        self.open_ = open_
        self.rewrite = False
        self.evidence: Evidence | None = None


class Builder:
    """Builds for the stores below ``roots``."""

    def __init__(self, roots: Roots, images: Images, kernel: Kernel) -> None:
        self._roots = roots
        self._images = images
        self._kernel = kernel

    def build(self, request: Request, progress: Progress, *, names: Collection[str] = ()) -> Image:
        """Build, and store the image under ``names``. Raises as :meth:`make` does."""
        output = Output()
        output.names = list(names)
        made = self.make([request], progress, Wanted([output], open_nothing)).image
        assert made is not None
        return made

    def make(self, requests: Sequence[Request], progress: Progress, wanted: Wanted) -> Exported:
        """Build for each platform (a request each), and do with it what is ``wanted``.

        Raises :class:`DockerfileError` for a mistake in the file, :class:`StepFailed` for a step that failed, and what the stores
        raise. What was finished stays in the cache; nothing else stays.
        """
        stepped: set[str] = set()
        try:
            with self._images.lease() as lease:
                bases = Bases(self._images, lease, progress, pull=requests[0].pull, config=self._roots.config)
                several = len(requests) > 1
                solved = [self._solve(r, bases, lease, progress, stepped, several) for r in requests]
                exporter = Exporter(
                    self._images,
                    solved,
                    lease=lease,
                    progress=progress,
                    open_=wanted.open_,
                    config=self._roots.config,
                    rewrite=wanted.rewrite,
                    evidence=wanted.evidence,
                )
                made = exporter.run(wanted.outputs)
        finally:
            for digest in stepped:
                snapshots.forget(self._images, digest)
        self._keep_in_bounds(progress)
        return made

    def _keep_in_bounds(self, progress: Progress) -> None:
        """What became too old or too much goes; that it cannot go is no reason for a build to fail."""
        from lading.build import housekeeping

        try:
            pruned = housekeeping.keep_in_bounds(self._roots, self._images)
        except (LadingError, OSError) as error:
            progress.warn(f"the cache of builds could not be kept in bounds: {error}")
            return
        if pruned is not None and pruned.records:
            progress.warn(
                f"{len(pruned.records)} records of the cache went, unused for long or more than it may take"
            )

    def _solve(
        self,
        request: Request,
        bases: Bases,
        lease: Lease,
        progress: Progress,
        stepped: set[str],
        several: bool,
    ) -> Solved:
        frontend = Frontend(request, bases)
        built = frontend.build()
        for warning in frontend.warnings:
            progress.warn(warning)
        workshop = Workshop(
            self._roots, self._images, self._kernel, lease, frontend.sources, request.settings
        )
        graph = frontend.graph
        platform = platforms.text(request.platform) if several else ""
        progress.begin(graph, graph.needed([built.vertex]), platform)
        executor = Executor(
            graph,
            [built.vertex],
            workshop=workshop,
            cache=workshop.cache,
            progress=progress,
            parallel=request.jobs or os.cpu_count() or 2,
        )
        try:
            result = executor.run()[built.vertex]
        finally:
            self._save(request)
            stepped |= executor.stepped
        return Solved(built, graph, result, workshop.now(), request.settings.moment)

    @staticmethod
    def _save(request: Request) -> None:
        """Let the contexts keep what they learned of their files."""
        for context in request.contexts.values():
            close = getattr(context, "close", None)
            if close is not None:
                close()


def open_nothing(dest: str) -> AbstractContextManager[BinaryIO]:
    """For builds none of whose outputs is a stream."""
    raise ValueError(f"nobody said how to write to {dest}")
