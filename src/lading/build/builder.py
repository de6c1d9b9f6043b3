"""A build from its request to its image: what every face calls."""

from __future__ import annotations

import os

from lading.build.bases import Bases
from lading.build.executor import Executor
from lading.build.frontend import Frontend
from lading.build.image import Output, store
from lading.build.workshop import Workshop
from lading.images import snapshots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from lading.build.progress import Progress
    from lading.build.request import Request
    from lading.images import Images
    from lading.images.image import Image
    from lading.kernel import Kernel
    from lading.roots import Roots


class Builder:
    """Builds for the stores below ``roots``."""

    def __init__(self, roots: Roots, images: Images, kernel: Kernel) -> None:
        self._roots = roots
        self._images = images
        self._kernel = kernel

    def build(
        self,
        request: Request,
        progress: Progress,
        *,
        names: Collection[str] = (),
        output: Output | None = None,
    ) -> Image:
        """Build, and store the image under ``names``.

        Raises :class:`DockerfileError` for a mistake in the file, :class:`StepFailed` for a step that failed, and what the stores
        raise. What was finished stays in the cache; nothing else stays.
        """
        stepped: list[str] = []
        try:
            return self._build(request, progress, names, output or Output(), stepped)
        finally:
            for digest in stepped:
                snapshots.forget(self._images, digest)

    def _build(
        self,
        request: Request,
        progress: Progress,
        names: Collection[str],
        output: Output,
        stepped: list[str],
    ) -> Image:
        images = self._images
        with images.lease() as lease:
            bases = Bases(images, lease, progress, pull=request.pull, config=self._roots.config)
            frontend = Frontend(request, bases)
            built = frontend.build()
            for warning in frontend.warnings:
                progress.warn(warning)
            workshop = Workshop(self._roots, images, self._kernel, lease, frontend.sources, request.settings)
            progress.begin(frontend.graph, frontend.graph.needed([built.vertex]))
            executor = Executor(
                frontend.graph,
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
                stepped += executor.stepped
            return store(
                images,
                built,
                result,
                names,
                output,
                progress,
                moment=workshop.now(),
                lease=lease,
            )

    @staticmethod
    def _save(request: Request) -> None:
        """Let the contexts keep what they learned of their files."""
        for context in request.contexts.values():
            close = getattr(context, "close", None)
            if close is not None:
                close()
