"""A build from its request to what becomes of it: what every face calls."""

from __future__ import annotations

import os

from lading.build.bases import Bases
from lading.build.cache import StepCache
from lading.build.executor import Executor
from lading.build.exporting import Exporter
from lading.build.frontend import Frontend
from lading.build.graph import Graph
from lading.build.image import Solved, Storer
from lading.build.outputs import Output
from lading.build.sharing import INLINE
from lading.build.workshop import Workshop
from lading.errors import LadingError
from lading.images import snapshots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from contextlib import AbstractContextManager
    from typing import BinaryIO

    from lading.build.evidence import Attest, Evidence
    from lading.build.exporting import Exported, Open
    from lading.build.frontend import Built
    from lading.build.outputs import Form
    from lading.build.progress import Progress
    from lading.build.request import Request
    from lading.build.sharing import Place
    from lading.build.workshop import Source
    from lading.images import Images
    from lading.images.image import Image
    from lading.images.leases import Lease
    from lading.kernel import Kernel
    from lading.roots import Roots


class Wanted:
    """What becomes of a build.

    ``outputs``: at least one. ``open_``: the stream to write to for an output's ``dest``. ``rewrite``: no file of a new layer
    is younger than SOURCE_DATE_EPOCH. ``attest``: what is said of the images. ``final``: somebody notes their digests, which
    are to be those that they have at a registry. ``cache_to`` and ``cache_from``: where the cache is shared.
    """

    __slots__ = ("attest", "cache_from", "cache_to", "final", "open_", "outputs", "rewrite")

    def __init__(self, outputs: Sequence[Output], open_: Open) -> None:
        self.outputs = list(outputs)
        self.open_ = open_
        self.rewrite = False
        self.attest: Attest | None = None
        self.final = False
        self.cache_to: list[Place] = []
        self.cache_from: list[Place] = []

    def settle(self) -> None:
        """Decide which images keep their new layers as they are until they travel."""
        for output in self.outputs:
            form = output.form
            form.as_kept = not (output.push or form.chosen or self.final or self.attest) and output.stored

    @property
    def ahead(self) -> Form | None:
        """What layers are stored as, when it is one thing for all outputs and known before the build has ended."""
        images = [output for output in self.outputs if output.is_image]
        if self.rewrite or len(images) != 1 or images[0].rewrite or images[0].form.as_kept:
            return None
        return images[0].form


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
        wanted.settle()
        try:
            with (
                self._images.lease() as lease,
                self._cache(requests, progress, wanted, lease) as cache,
            ):
                bases = Bases(
                    self._images,
                    lease,
                    progress,
                    roots=self._roots,
                    pull=requests[0].pull,
                    never=requests[0].pull_never,
                )
                solved = self._solve(requests, bases, lease, progress, stepped, cache, wanted.ahead)
                exporter = Exporter(
                    self._images,
                    solved,
                    lease=lease,
                    progress=progress,
                    open_=wanted.open_,
                    config=self._roots.config,
                    rewrite=wanted.rewrite,
                    evidence=self._evidence(wanted, lease),
                    extend=_inline(cache) if any(p.kind == INLINE for p in wanted.cache_to) else None,
                )
                made = exporter.run(wanted.outputs)
                if wanted.cache_to:
                    from lading.build.exportcache import CacheExporter

                    exporting = CacheExporter(
                        self._images, exporter.storer, lease, progress, config=self._roots.config
                    )
                    exporting.run(wanted.cache_to, solved, cache)
        finally:
            for request in requests:
                request.close()
            snapshots.forget(self._images, stepped)
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
        requests: Sequence[Request],
        bases: Bases,
        lease: Lease,
        progress: Progress,
        stepped: set[str],
        cache: StepCache,
        form: Form | None,
    ) -> list[Solved]:
        """All platforms in one graph: their steps run side by side, and what is the same for several runs once."""
        graph = Graph()
        sources: list[Source] = []
        built = self._read(requests, bases, progress, graph, sources)
        first = requests[0]
        workshop = Workshop(self._roots, self._images, self._kernel, lease, sources, first.settings)
        workshop.cache = cache
        for one in built:
            progress.begin(graph, graph.needed([one.vertex]))
        ahead = None
        if form is not None:
            from lading.build.ahead import Ahead

            own = {step.vertex for one in built for step in one.steps if step.vertex >= 0}
            ahead = Ahead(Storer(self._images, lease, progress), form, own)
        executor = Executor(
            graph,
            [one.vertex for one in built],
            workshop=workshop,
            cache=cache,
            progress=progress,
            parallel=first.jobs or os.cpu_count() or 2,
            ahead=ahead,
        )
        try:
            results = executor.run()
        finally:
            stepped |= executor.stepped
        made = []
        for request, one in zip(requests, built, strict=True):
            solved = Solved(request, one, graph, results[one.vertex], workshop.now())
            solved.results, solved.content_keys = executor.results, executor.content_keys
            made.append(solved)
        return made

    def _read(
        self,
        requests: Sequence[Request],
        bases: Bases,
        progress: Progress,
        graph: Graph,
        sources: list[Source],
    ) -> list[Built]:
        """What the Dockerfile comes to for each platform, in one ``graph``."""
        built = []
        warnings: dict[str, None] = {}
        for request in requests:
            frontend = Frontend(request, bases, graph, sources, several=len(requests) > 1)
            built.append(frontend.build())
            warnings.update(dict.fromkeys(frontend.warnings))
        for warning in warnings:
            progress.warn(warning)
        return built

    def _evidence(self, wanted: Wanted, lease: Lease) -> Evidence | None:
        if not wanted.attest:
            return None
        from lading.build.evidence import Evidence

        names = list(dict.fromkeys(name for output in wanted.outputs for name in output.names))
        return Evidence(wanted.attest, self._images, lease, names)

    def _cache(
        self, requests: Sequence[Request], progress: Progress, wanted: Wanted, lease: Lease
    ) -> StepCache:
        """This machine's cache, with what is imported behind it."""
        if not wanted.cache_from:
            return StepCache(self._images, lease)
        from lading.build.importcache import SharedCache, open_all

        platforms_ = [request.platform for request in requests]
        found = open_all(
            wanted.cache_from, self._images, lease, progress, platforms_, config=self._roots.config
        )
        return SharedCache(self._images, lease, found, progress)


def _inline(cache: StepCache) -> Callable[[Solved], dict[str, str]]:
    """What an image that carries its own cache is annotated with."""
    from lading.build import exportcache

    return lambda solved: exportcache.inline(solved, exportcache.steps(solved, cache, whole=False))


def open_nothing(dest: str) -> AbstractContextManager[BinaryIO]:
    """For builds none of whose outputs is a stream."""
    raise ValueError(f"nobody said how to write to {dest}")
