"""``--cache-from``: results that another machine exported. Records are read at once, layers when a step asks for them.

Everything that comes is hostile until checked: digests, diff-ids and sizes are what the records say, or a record does not count.
That its content is what the step would give, nobody can check: import from where one would take the image from, too.
"""

from __future__ import annotations

import os

from lading.build.cache import LayerMade, Result, StepCache
from lading.build.sharing import (
    ANNOTATION,
    CONFIG,
    LOCAL,
    MAX_CONFIG,
    SharedConfig,
    SharedLayer,
    check_indexes,
    decode,
)
from lading.errors import Corrupt, InvalidInput, LadingError, NotFound, Unsupported
from lading.formats import digest as digests
from lading.formats import jsontext
from lading.formats.oci_image import INDEXES, Descriptor, Manifest
from lading.formats.reference import Reference
from lading.images.files import read
from lading.images.oci import MAX_MANIFEST, choose_from, decode_config, decode_index
from lading.images.source import Source

# Its configuration's media type, in an index or a manifest, and its key in an image's configuration (type=inline).
_BUILDKITS = ("application/vnd.buildkit.cacheconfig.v0", "moby.buildkit.cache.v0")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Protocol

    from lading.build.progress import Progress
    from lading.build.sharing import Place, SharedRecord
    from lading.formats.oci_image import Platform
    from lading.images import Images
    from lading.images.leases import Lease
    from lading.images.remote import FetchedManifest, Remote
    from lading.images.remote_http import Cancel

    class Origin(Protocol):
        """Where a cache comes from."""

        def manifest(self, platform: Platform) -> Manifest: ...
        def small(self, blob: Descriptor) -> bytes: ...
        def layer(self, source: Source) -> None: ...
        def close(self) -> None: ...


class Imported:
    """The records of one place, by key."""

    def __init__(self, place: Place, origin: Origin, manifest: Manifest, config: SharedConfig) -> None:
        self.place = place
        self.origin = origin
        self._manifest = manifest
        self._config = config
        self.for_all = manifest.config.media_type == CONFIG
        self.records: dict[str, SharedRecord] = {}
        for record in config.records:
            for key in record.keys:
                self.records[key] = record

    def sources(self, record: SharedRecord) -> list[Source]:
        """The layers of a record, bottom first."""
        layers = [self._config.layers[index] for index in record.layers]
        return [Source(self._manifest.layers[layer.blob], layer.diff_id) for layer in layers]


class SharedCache(StepCache):
    """The cache of this machine, and behind it what was imported."""

    def __init__(
        self, images: Images, lease: Lease, imported: Sequence[Imported], progress: Progress
    ) -> None:
        super().__init__(images, lease)
        self._imported = imported
        self._progress = progress
        self._owner = os.getpid()

    def __exit__(self, *_: object) -> None:
        """Let go of where it was imported from."""
        for source in self._imported:
            source.origin.close()

    def get(self, key: str) -> Result | None:
        """See :class:`StepCache`. A layer that cannot be had is told, and the step is carried out instead."""
        found = super().get(key)
        if found is not None or os.getpid() != self._owner:
            return found
        for source in self._imported:
            record = source.records.get(key)
            if record is None:
                continue
            try:
                return self._fetch(source, record)
            except (LadingError, OSError) as error:
                self._progress.warn(f"cache of {source.place.name}: {record.name}: {error}")
                for other in record.keys:
                    source.records.pop(other, None)
        return None

    def _fetch(self, source: Imported, record: SharedRecord) -> Result:
        sources = source.sources(record)
        self._lease.add(*(name for s in sources for name in (s.blob.digest, f"layer:{s.key}")))
        missing = [s for s in sources if self._images.layers.get(s) is None]
        if missing:
            phase = f"fetch {' '.join(record.name.split())[:60]}"
            size = sum(s.blob.size for s in missing)
            self._progress.phase(phase, "started", 0, size)
            for one in missing:
                source.origin.layer(one)
            self._progress.phase(phase, "done", size, size)
        rows = zip(sources, record.created, record.sizes, strict=True)
        result = Result([LayerMade(s.diff_id, created, size) for s, created, size in rows])
        own = result.layers[-1].size if result.layers else 0
        for key in record.keys:
            self.put(key, result, name=record.name, size=own, seconds=0.0)
        return result


def open_all(
    places: Sequence[Place],
    images: Images,
    lease: Lease,
    progress: Progress,
    platforms: Sequence[Platform],
    *,
    config: str,
) -> list[Imported]:
    """The caches that can be read; of others a warning is told."""
    found: list[Imported] = []
    for place in places:
        phase = f"import cache from {place.name}"
        progress.phase(phase, "started")
        for platform in platforms:
            origin: Origin | None = None
            try:
                origin = (
                    _Layout(place, images, lease)
                    if place.kind == LOCAL
                    else _Registry(place, images, lease, config)
                )
                made = _opened(place, origin, platform)
            except (LadingError, OSError) as error:
                if origin is not None:
                    origin.close()
                progress.warn(f"{phase}: {error}")
                break
            found.append(made)
            if made.for_all:
                break
        progress.phase(phase, "done")
    return found


def _opened(place: Place, origin: Origin, platform: Platform) -> Imported:
    manifest = origin.manifest(platform)
    if len(manifest.layers) > 10_000:
        raise InvalidInput("it has too many layers")
    for blob in (manifest.config, *manifest.layers):
        digests.check(blob.digest)
    what = f"the cache of {place.name}"
    if manifest.config.media_type == CONFIG:
        config = decode(origin.small(manifest.config), what)
        if any(not 0 <= layer.blob < len(manifest.layers) for layer in config.layers):
            raise InvalidInput(f"{what} speaks of blobs that it does not have")
        check_indexes(config, len(config.layers), what)
        return Imported(place, origin, manifest, config)
    text = manifest.annotations.get(ANNOTATION)
    if text is None:
        _refuse_buildkits([manifest.config.media_type])
        value = jsontext.loads(origin.small(manifest.config), what=what)
        _refuse_buildkits(value if isinstance(value, dict) else [])
        raise NotFound("it has no cache of this kind", hint="export one with --cache-to")
    config = decode(text, what)
    image = decode_config(origin.small(manifest.config), manifest)
    config.layers = [SharedLayer(blob=n, diff_id=d) for n, d in enumerate(image.rootfs.diff_ids)]
    check_indexes(config, len(config.layers), what)
    return Imported(place, origin, manifest, config)


def _refuse_buildkits(words: Iterable[str]) -> None:
    """Raise :class:`Unsupported` where ``words`` (media types, keys of a configuration) have BuildKit's for its cache.

    Its records name results by digests of its own low-level steps, so none of them answers a key of ours.
    """
    for word in _BUILDKITS:
        if word in words:
            raise Unsupported(
                f"it is a cache that BuildKit made ({word}), with keys that only BuildKit can compute",
                hint="export one with lading build --cache-to",
                reason="buildkit-cache",
            )


class _Layout:
    """A cache in a directory."""

    def __init__(self, place: Place, images: Images, lease: Lease) -> None:
        self._place = place
        self._path = place.where
        self._images = images
        self._lease = lease

    def manifest(self, platform: Platform) -> Manifest:
        """The one that the tag or digest names."""
        data = read(self._path + "/index.json")
        if data is None:
            raise NotFound(f"{self._path} is no OCI layout")
        index = decode_index(data, self._path)
        tag = "org.opencontainers.image.ref.name"
        for entry in index.manifests:
            named = (
                entry.digest == self._place.digest
                if self._place.digest
                else entry.annotations.get(tag) == self._place.tag
            )
            if named:
                text = self.small(entry)
                if entry.media_type in INDEXES:
                    index = decode_index(text, entry.digest)
                    _refuse_buildkits([inner.media_type for inner in index.manifests])
                    entry = choose_from(index, platform, entry.digest)
                    text = self.small(entry)
                return Manifest.decode(jsontext.loads(text), where=f"manifest {entry.digest}", strict=False)
        raise NotFound(f"{self._path} has no {self._place.digest or self._place.tag!r}")

    def small(self, blob: Descriptor) -> bytes:
        """A manifest or a configuration."""
        if blob.size > MAX_CONFIG:
            raise InvalidInput(f"{blob.digest} is too large")
        data = b"".join(self._pieces(blob))
        if digests.of(data, blob.digest.partition(":")[0]) != blob.digest:
            raise Corrupt(f"{self._path}: {blob.digest} does not match its digest")
        return data

    def _pieces(self, blob: Descriptor) -> Iterator[bytes]:
        path = f"{self._path}/blobs/{digests.check(blob.digest).replace(':', '/', 1)}"
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        left = blob.size
        try:
            while left > 0 and (piece := os.read(fd, min(1 << 20, left))):
                left -= len(piece)
                yield piece
        finally:
            os.close(fd)

    def layer(self, source: Source) -> None:
        """Store and unpack a layer."""
        sink = self._images.layers.receive(self._images.content, source, lease=self._lease)
        if sink is None:
            return
        with sink:
            skip = sink.offset
            for piece in self._pieces(source.blob):
                if skip:
                    piece, skip = piece[skip:], max(0, skip - len(piece))
                if piece:
                    sink.write(piece)
            sink.commit()

    def close(self) -> None:
        """Nothing is open."""


class _Registry:
    """A cache, or an image with an inline one, at a registry."""

    def __init__(self, place: Place, images: Images, lease: Lease, config: str) -> None:
        from lading.images.pull import PullOptions, remotes
        from lading.images.remote_http import Cancel

        self._images = images
        self._lease = lease
        self._reference = Reference.parse(place.where)
        self._cancel: Cancel = Cancel()
        self._remotes: list[Remote] = remotes(self._reference, PullOptions(config=config), self._cancel)

    def manifest(self, platform: Platform) -> Manifest:
        """The reference's, or of an image for several platforms that for ``platform``."""
        found = self._ask(lambda remote: remote.manifest(self._reference.target))
        for _ in range(4):
            if found.media_type not in INDEXES:
                break
            index = decode_index(found.data, found.digest)
            _refuse_buildkits([inner.media_type for inner in index.manifests])
            chosen = choose_from(index, platform, found.digest)
            found = self._ask(lambda remote: remote.manifest(chosen.digest))  # noqa: B023  (asked at once)
        if len(found.data) > MAX_MANIFEST:
            raise InvalidInput(f"manifest {found.digest} is too large")
        return Manifest.decode(jsontext.loads(found.data), where=f"manifest {found.digest}", strict=False)

    def _ask(self, question: Callable[[Remote], FetchedManifest]) -> FetchedManifest:
        for remote in self._remotes[:-1]:
            try:
                return question(remote)
            except LadingError:
                continue
        return question(self._remotes[-1])

    def small(self, blob: Descriptor) -> bytes:
        """A configuration."""
        if not 0 <= blob.size <= MAX_CONFIG:
            raise InvalidInput(f"{blob.digest} is too large")
        content = self._images.content
        self._download(
            blob,
            lambda: (
                None
                if content.has(blob.digest)
                else content.ingest(blob.digest, blob.size, lease=self._lease)
            ),
        )
        return content.read(blob.digest, limit=MAX_CONFIG)

    def layer(self, source: Source) -> None:
        """Fetch and unpack a layer."""
        store, content = self._images.layers, self._images.content
        self._download(source.blob, lambda: store.receive(content, source, lease=self._lease))

    def _download(self, blob: Descriptor, open_sink: Callable[[], object]) -> None:
        from lading.images.transfer import Download, Progress

        self._lease.add(blob.digest)
        Download(self._remotes, blob.digest, blob.size, Progress()).run(open_sink)  # type: ignore[arg-type]

    def close(self) -> None:
        """Let go of connections."""
        for remote in self._remotes:
            remote.close()
