"""``--cache-to``: what a build's steps gave, sent where other machines find it."""

from __future__ import annotations

import fcntl
import os

from lading.build.outputs import Form
from lading.build.sharing import (
    ANNOTATION,
    ARTIFACT,
    CONFIG,
    INLINE,
    REGISTRY,
    SharedConfig,
    SharedLayer,
    SharedRecord,
    described,
)
from lading.errors import InvalidInput, LadingError
from lading.formats import jsontext
from lading.formats.oci_image import OCI_INDEX, OCI_MANIFEST, Descriptor, Index, Manifest
from lading.formats.reference import Reference
from lading.images.files import disk_error, make_directories, read, write_atomically

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.build.cache import Result, StepCache
    from lading.build.image import Solved, Storer
    from lading.build.progress import Progress
    from lading.build.sharing import Place
    from lading.images import Images
    from lading.images.leases import Lease


class Found:
    """A step that can be shared: its keys, what it gave, and how people call it."""

    __slots__ = ("keys", "name", "result")

    def __init__(self, keys: list[str], result: Result, name: str) -> None:
        self.keys = keys
        self.result = result
        self.name = name


def steps(solved: Solved, cache: StepCache, *, whole: bool) -> list[Found]:
    """The steps of a build that the cache knows, in the graph's order; without ``whole`` those whose layers the result has."""
    from lading.build.graph import FilesOp, ImageOp

    graph, target = solved.graph, solved.built.vertex
    final = solved.result.diff_ids
    made = []
    for number in sorted(graph.needed([target])):
        vertex = graph[number]
        if isinstance(vertex.op, (ImageOp, FilesOp)):
            continue
        result = solved.results.get(number) or cache.get(vertex.key)
        if result is None or not (whole or result.diff_ids == final[: len(result.diff_ids)]):
            continue
        keys = [vertex.key, solved.content_keys.get(number, "")]
        made.append(Found([key for key in dict.fromkeys(keys) if key], result, vertex.name))
    return made


def inline(solved: Solved, found: Sequence[Found]) -> dict[str, str]:
    """The annotation of an image that carries its own cache."""
    config = SharedConfig()
    for step in found:
        config.records.append(_record(step, list(range(len(step.result.layers)))))
    return {ANNOTATION: jsontext.dumps(config.encode(), sort=True)}


def _record(step: Found, layers: list[int]) -> SharedRecord:
    return SharedRecord(
        keys=step.keys,
        name=step.name,
        layers=layers,
        created=[layer.created for layer in step.result.layers],
        sizes=[layer.size for layer in step.result.layers],
    )


class CacheExporter:
    """Exports to any number of places."""

    def __init__(
        self, images: Images, storer: Storer, lease: Lease, progress: Progress, *, config: str
    ) -> None:
        self._images = images
        self._storer = storer
        self._lease = lease
        self._progress = progress
        self._config = config

    def run(self, places: Sequence[Place], solved: Sequence[Solved], cache: StepCache) -> None:
        """Export. What fails is raised, or told where the user tolerates it."""
        for place in places:
            if place.kind == INLINE:
                continue
            phase = f"export cache to {place.name}"
            self._progress.phase(phase, "started")
            try:
                self._export(place, solved, cache, phase)
            except (LadingError, OSError) as error:
                if not place.tolerant:
                    raise
                self._progress.warn(f"{phase}: {error}")
            self._progress.phase(phase, "done")

    def _export(self, place: Place, solved: Sequence[Solved], cache: StepCache, phase: str) -> None:
        form = Form(place.compression, place.level)
        form.force = place.force
        config = SharedConfig()
        layers: list[Descriptor] = []
        known: dict[str, int] = {}
        for one in solved:
            for step in steps(one, cache, whole=place.whole):
                numbers = []
                for layer in step.result.layers:
                    number = known.get(layer.diff_id)
                    if number is None:
                        blob, _ = self._storer.layer(one, layer, form)
                        number = known[layer.diff_id] = len(layers)
                        layers.append(blob)
                        config.layers.append(SharedLayer(blob=number, diff_id=layer.diff_id))
                    numbers.append(number)
                config.records.append(_record(step, numbers))
        data = jsontext.dumps(config.encode(), sort=True).encode()
        self._images.content.put(data, lease=self._lease)
        manifest = Manifest(
            media_type=OCI_MANIFEST, artifact_type=ARTIFACT, config=described(CONFIG, data), layers=layers
        )
        target = self._storer.put(manifest.encode(), OCI_MANIFEST)
        if place.kind == REGISTRY:
            self._push(target, place, phase)
        else:
            write_layout(self._images, target, manifest, place)

    def _push(self, target: Descriptor, place: Place, phase: str) -> None:
        from lading.build.bases import transferring
        from lading.images.pull import PullOptions
        from lading.images.push import push_manifest

        push_manifest(
            self._images,
            target,
            Reference.parse(place.where),
            options=PullOptions(config=self._config),
            progress=transferring(self._progress, phase),
        )


def write_layout(images: Images, target: Descriptor, manifest: Manifest, place: Place) -> None:
    """Write a cache into the OCI layout ``place.where``, under its tag; blobs that no tag has any more are removed.

    Raises :class:`InvalidInput` for a directory that is something else.
    """
    path = os.path.abspath(place.where)
    make_directories(path + "/blobs/sha256")
    lock = os.open(path + "/.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        index = _index(path)
        for blob in (*manifest.layers, manifest.config, target):
            _copy(images, blob.digest, f"{path}/blobs/{blob.digest.replace(':', '/', 1)}")
        tag = "org.opencontainers.image.ref.name"
        index.manifests = [m for m in index.manifests if m.annotations.get(tag) != place.tag]
        entry = target.replace(annotations={tag: place.tag}, artifact_type=ARTIFACT)
        index.manifests.append(entry)
        write_atomically(path + "/oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        write_atomically(path + "/index.json", jsontext.dumps(index.encode(), sort=True).encode())
        _drop_unused(path, index)
    except OSError as error:
        raise disk_error(error, f"cannot write {path}") from None
    finally:
        os.close(lock)


def _index(path: str) -> Index:
    data = read(path + "/index.json")
    if data is None:
        return Index(media_type=OCI_INDEX)
    what = f"{path}/index.json"
    made = Index.decode(jsontext.loads(data, what=what), where=what, strict=False)
    if any(entry.artifact_type != ARTIFACT for entry in made.manifests):
        raise InvalidInput(f"{path} holds something else than caches", hint="name another directory")
    return made


def _copy(images: Images, digest: str, path: str) -> None:
    if os.path.exists(path) and os.stat(path).st_size == images.content.size(digest):
        return
    make_directories(os.path.dirname(path))
    temporary = f"{path}.{os.getpid()}.part"
    try:
        with open(temporary, "xb") as file:
            for piece in images.content.verified(digest):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        if os.path.lexists(temporary):
            os.unlink(temporary)
        raise


def _drop_unused(path: str, index: Index) -> None:
    """Remove blobs that nothing in the index leads to. Of a manifest that cannot be read nothing is known: then all stays."""
    needed = set()
    for entry in index.manifests:
        needed.add(entry.digest)
        data = read(f"{path}/blobs/{entry.digest.replace(':', '/', 1)}")
        if data is None:
            return
        try:
            manifest = Manifest.decode(jsontext.loads(data), where="manifest", strict=False)
        except LadingError:
            return
        needed.update(blob.digest for blob in (*manifest.layers, manifest.config))
    for algorithm in os.listdir(path + "/blobs"):
        for name in os.listdir(f"{path}/blobs/{algorithm}"):
            if f"{algorithm}:{name}" not in needed:
                os.unlink(f"{path}/blobs/{algorithm}/{name}")
