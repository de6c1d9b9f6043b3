"""From the result of a build to an image: configuration with its history, blobs of the layers, manifest, index."""

from __future__ import annotations

from lading.build.graph import CopyOp, FilesOp
from lading.formats import digest as digests
from lading.formats import jsontext
from lading.formats import platform as platforms
from lading.formats.oci_image import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    Descriptor,
    History,
    ImageConfig,
    Index,
    Manifest,
    Platform,
    RootFS,
)
from lading.images import rendering, travelling
from lading.images.pack import Times

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lading.build.cache import LayerMade, Result
    from lading.build.frontend import Built
    from lading.build.graph import Graph
    from lading.build.outputs import Annotation, Form
    from lading.build.progress import Progress
    from lading.build.request import Request
    from lading.images import Images
    from lading.images.leases import Lease

_COMMENT = "lading.dockerfile"
_TYPES = {"gzip": OCI_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD, "uncompressed": OCI_LAYER}
_TO_DOCKER = {OCI_LAYER_GZIP: DOCKER_LAYER_GZIP, OCI_LAYER: DOCKER_LAYER}
_TO_OCI = {docker: oci for oci, docker in _TO_DOCKER.items()}


class Solved:
    """One platform's build: what the frontend made of the file, and what the executor gave.

    ``moment``: when (RFC 3339); ``fixed``: SOURCE_DATE_EPOCH in seconds, or None. ``results`` and ``content_keys``: of the
    vertices that were looked at.
    """

    __slots__ = ("built", "content_keys", "fixed", "graph", "moment", "request", "result", "results")

    def __init__(self, request: Request, built: Built, graph: Graph, result: Result, moment: str) -> None:
        self.request = request
        self.results: dict[int, Result] = {}
        self.content_keys: dict[int, str] = {}
        self.built = built
        self.graph = graph
        self.result = result
        self.moment = moment
        self.fixed = request.settings.moment

    @property
    def platform(self) -> Platform:
        """What it is for."""
        return self.built.platform


class Stored:
    """An image in the content store: its manifest, and the configuration that it names."""

    __slots__ = ("config", "diff_ids", "id", "manifest", "platform")

    def __init__(
        self, manifest: Descriptor, id: str, config: ImageConfig, diff_ids: list[str], platform: Platform
    ) -> None:
        self.manifest = manifest
        self.id = id
        self.config = config
        self.diff_ids = diff_ids
        self.platform = platform


class Storer:
    """Stores what was built as images, each as its output wants it."""

    def __init__(self, images: Images, lease: Lease, progress: Progress) -> None:
        self._images = images
        self._lease = lease
        self._progress = progress

    def store(
        self, solved: Solved, form: Form, *, rewrite: bool, annotations: Mapping[str, str] | None = None
    ) -> Stored:
        """Blobs, configuration and manifest. ``rewrite``: no file of a layer made here is younger than ``solved.fixed``.

        ``annotations``: more of them for the manifest.
        """
        pairs = self._layers(solved, form, rewrite=rewrite)
        diff_ids = [diff_id for _, diff_id in pairs]
        config = configuration(solved).replace(rootfs=RootFS(diff_ids=diff_ids))
        data = jsontext.dumps(config.encode(), sort=True).encode()
        described = Descriptor(
            media_type=DOCKER_CONFIG if form.docker else OCI_CONFIG, digest=digests.of(data), size=len(data)
        )
        self._images.content.put(data, lease=self._lease)
        manifest = Manifest(
            media_type=DOCKER_MANIFEST if form.docker else OCI_MANIFEST,
            config=described,
            layers=[_typed(blob, docker=form.docker) for blob, _ in pairs],
            annotations={
                **(annotations or {}),
                **_annotations(form.annotations, "manifest", solved.platform),
            },
        )
        made = self.put(manifest.encode(), manifest.media_type)
        made.platform = solved.platform
        made.annotations = _annotations(form.annotations, "manifest-descriptor", solved.platform)
        return Stored(made, described.digest, config, diff_ids, solved.platform)

    def index(self, manifests: Sequence[Descriptor], form: Form) -> Descriptor:
        """An index of manifests."""
        index = Index(
            media_type=DOCKER_LIST if form.docker else OCI_INDEX,
            manifests=list(manifests),
            annotations=_annotations(form.annotations, "index", None),
        )
        made = self.put(index.encode(), index.media_type)
        made.annotations = _annotations(form.annotations, "index-descriptor", None)
        return made

    def put(self, value: dict[str, object], media_type: str) -> Descriptor:
        """Store a manifest or an index."""
        data = jsontext.dumps(value, sort=True).encode()
        digest = self._images.content.put(data, lease=self._lease)
        return Descriptor(media_type=media_type, digest=digest, size=len(data))

    # -- layers ----------------------------------------------------------------------------------------------------------

    def _layers(self, solved: Solved, form: Form, *, rewrite: bool) -> list[tuple[Descriptor, str]]:
        """Blob and diff-id of each layer: a base image's own, one that was made before, or a new one."""
        first = len(solved.built.base.op.diff_ids)
        steps = [step.vertex for step in solved.built.steps if step.vertex >= 0]
        found = []
        for place, layer in enumerate(solved.result.layers):
            times = None
            if rewrite and layer.diff_id not in solved.built.blobs and place >= first:
                # Times of a context's files are no part of what is built: they are those of a checkout, or of a copy.
                exact = place - first < len(steps) and _of_context(solved.graph, steps[place - first])
                times = Times((solved.fixed or 0) * 1_000_000_000, exact=exact)
            found.append(self.layer(solved, layer, form, times))
        return found

    def layer(
        self, solved: Solved, layer: LayerMade, form: Form, times: Times | None = None
    ) -> tuple[Descriptor, str]:
        """Blob and diff-id of one layer of any of the build's steps."""
        theirs = solved.built.blobs.get(layer.diff_id)
        kept = rendering.layer_of(self._images, layer.diff_id)
        if theirs is not None and (kept is None or self._images.content.has(theirs.digest)):
            kind = _TO_OCI.get(theirs.media_type, theirs.media_type)
            if not form.force or kind == _TYPES[form.compression]:
                return theirs, layer.diff_id
            return self._layer(layer.diff_id, layer.size, form, times, theirs)
        if kept is not None and kept.tar is not None and form.as_kept and times is None:
            return Descriptor(media_type=OCI_LAYER, digest=layer.diff_id, size=kept.tar.size), layer.diff_id
        return self._layer(layer.diff_id, layer.size, form, times, None)

    def quietly(self, progress: Progress) -> Storer:
        """The same, telling somebody else."""
        return Storer(self._images, self._lease, progress)

    def own_layer(self, layer: LayerMade, form: Form) -> None:
        """Store a layer that was made here."""
        self._layer(layer.diff_id, layer.size, form, None, None)

    def _layer(
        self, diff_id: str, size: int, form: Form, times: Times | None, theirs: Descriptor | None
    ) -> tuple[Descriptor, str]:
        images, compression = self._images, form.compression
        name = travelling.name(diff_id, compression, form.level, times)
        known = travelling.known(images, name, self._lease)
        if known is not None:
            return known
        phase = f"store layer {digests.short(diff_id)}"
        self._progress.phase(phase, "started", 0, size)
        if theirs is not None:
            made = self._again(theirs, diff_id, form)
            travelling.remember(images, name, diff_id, made)
        else:
            made = travelling.blob(images, diff_id, compression, form.level, lease=self._lease, times=times)
        self._progress.phase(phase, "done", made[0].size, size)
        return made

    def _again(self, theirs: Descriptor, diff_id: str, form: Form) -> tuple[Descriptor, str]:
        """A base image's layer, compressed in another way."""
        from lading.images.compression import decompress
        from lading.images.newlayer import LayerWriter

        with LayerWriter(
            self._images, lease=self._lease, compression=form.compression, level=form.level
        ) as writer:
            for piece in decompress(self._images.content.chunks(theirs.digest), what=f"layer {diff_id}"):
                writer.write(piece)
            return writer.finish(expected=diff_id)


def _of_context(graph: Graph, vertex: int) -> bool:
    """Whether a step copies files from outside the build."""
    made = graph[vertex]
    return isinstance(made.op, CopyOp) and any(
        isinstance(graph[given].op, FilesOp) for given in made.inputs[1:]
    )


def _typed(blob: Descriptor, *, docker: bool) -> Descriptor:
    """A layer's descriptor as a manifest of one kind has it: mixed, some readers refuse it."""
    kinds = _TO_DOCKER if docker else _TO_OCI
    return Descriptor(
        media_type=kinds.get(blob.media_type, blob.media_type),
        digest=blob.digest,
        size=blob.size,
        urls=blob.urls,
    )


def _annotations(all_: Sequence[Annotation], place: str, platform: Platform | None) -> dict[str, str]:
    wanted = "" if platform is None else platforms.text(platform)
    return {a.key: a.value for a in all_ if a.place == place and a.platform in ("", wanted)}


def configuration(solved: Solved) -> ImageConfig:
    """The image's configuration, with a line of history for each instruction and each layer's moment.

    What changes no files is told at the moment of the layer before it, so that the same build gives the same image whenever it is
    made. With SOURCE_DATE_EPOCH everything that was made here has that moment.
    """
    built, result = solved.built, solved.result
    base = list(built.base.config.history)
    told = sum(not step.empty_layer for step in base)
    untold = len(built.base.op.diff_ids) - told
    history = [*base, *(History(comment="not told") for _ in range(untold))]
    own = iter(result.layers[len(built.base.op.diff_ids) :])
    fixed = solved.moment if solved.fixed is not None else ""
    last = fixed or built.base.config.created or solved.moment
    for step in built.steps:
        if step.vertex >= 0:
            last = fixed or next(own).created or last
        history.append(
            History(created=last, created_by=step.created_by, comment=_COMMENT, empty_layer=step.vertex < 0)
        )
    return built.config.replace(created=last or solved.moment, history=history)
