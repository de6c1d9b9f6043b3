"""Reading images out of archives: docker-archive, oci-archive, and an OCI layout directory, compressed or not.

What an archive is shows itself: ``index.json`` with ``oci-layout`` is OCI (Docker writes both since 25, and the OCI half keeps
the digests), ``manifest.json`` alone is ``docker save``. The order of its entries does not matter: every file becomes a
blob while it streams by, named by the digest of what arrived, and is sorted out at the end.
Sources: OCI image-spec, image-layout.md; Docker image-spec v1.2, "Combined Image JSON + Filesystem Changeset Format".
"""

from __future__ import annotations

import os
import stat

from lading.errors import Corrupt, Exhausted, InvalidInput, LadingError, NotFound
from lading.formats import digest as digests
from lading.formats import jsontext
from lading.formats import platform as platforms
from lading.formats.oci_image import (
    INDEXES,
    MANIFESTS,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
)
from lading.formats.reference import Reference
from lading.images.collect import collect
from lading.images.compression import decompress, sniff
from lading.images.files import Lock
from lading.images.limits import Limits
from lading.images.newlayer import BlobWriter
from lading.images.oci import MAX_CONFIG, MAX_MANIFEST, decode_index
from lading.images.remove import RemoveReport
from lading.images.tarentry import HARDLINK, REGULAR, SYMLINK, show
from lading.images.tarread import TarReader
from lading.roots import Roots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from lading.images import Images
    from lading.images.image import Image
    from lading.images.leases import Lease

_CHUNK = 1 << 20
MAX_ENTRIES = 100_000
_SMALL = 4 << 10
_TYPES = {"": OCI_LAYER, "gzip": OCI_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD}


def load(images: Images, source: BinaryIO | str, *, platform: str = "") -> list[Image]:
    """See :meth:`Images.load`."""
    try:
        return _load(images, source, platform)
    finally:
        # Small files of the archive became blobs for a moment; what a failure left goes with them.
        with Lock(images.root + "/lock", exclusive=True):
            collect(images, RemoveReport())


def _load(images: Images, source: BinaryIO | str, platform: str) -> list[Image]:
    with images.lease() as lease:
        if isinstance(source, str):
            if os.path.isdir(source):
                files: _Files = _Directory(images, source, lease)
            else:
                try:
                    with open(source, "rb", buffering=0) as file:
                        files = _Archive(images, _pieces(file), lease, os.path.basename(source))
                except OSError as error:
                    raise InvalidInput(f"cannot read {source}: {error.strerror}") from None
        else:
            files = _Archive(images, _pieces(source), lease, "the archive")
        if files.has("index.json") or files.has("manifest.json"):
            _check_policy(files, source if isinstance(source, str) else "")
        if files.has("index.json"):
            return _load_oci(images, files, platform, lease)
        if files.has("manifest.json"):
            return _load_docker(images, files, lease)
        raise InvalidInput(
            f"{files.what} is not an image archive: it has neither index.json nor manifest.json",
            hint="`lading import` makes an image of a plain tar of files",
            reason="not-an-archive",
        )


def _check_policy(files: _Files, path: str) -> None:
    """Raise :class:`Denied` where a policy for images does not accept what comes this way.

    An archive that Docker could read too goes by the name of Docker's, whichever half of it is read.
    """
    policy = Roots.default().policy
    if policy:
        from lading.images.signing import gate

        oci = "oci" if isinstance(files, _Directory) else "oci-archive"
        gate.loading("docker-archive" if files.has("manifest.json") else oci, path, policy)


def _pieces(source: BinaryIO) -> Iterator[bytes]:
    read = getattr(source, "read1", None) or source.read
    while piece := read(_CHUNK):
        yield piece


class _Files:
    """The files of an archive or directory, by name; blobs among them are in the store when asked for."""

    what = "the archive"

    def has(self, name: str) -> bool:
        raise NotImplementedError

    def text(self, name: str, limit: int) -> bytes:
        """A small file's content. Raises :class:`NotFound`, :class:`Exhausted`."""
        raise NotImplementedError

    def blob(self, name: str, digest: str = "") -> tuple[str, int]:
        """Make the file ``name`` a blob; digest and size. Raises :class:`NotFound`, :class:`Corrupt`."""
        raise NotImplementedError


class _Archive(_Files):
    def __init__(self, images: Images, pieces: Iterable[bytes], lease: Lease, what: str) -> None:
        self._images = images
        self.what = what
        self._blobs: dict[str, tuple[str, int]] = {}
        self._links: dict[str, str] = {}
        limits = images.layers.limits or Limits.from_environment()
        total = 0
        reader = TarReader(decompress(pieces, what=what))
        for count, entry in enumerate(reader):
            if count >= MAX_ENTRIES:
                raise Exhausted(f"{what} has more than {MAX_ENTRIES} entries", reason="too-many")
            name = _name(entry.name)
            if entry.kind in (SYMLINK, HARDLINK):
                link = entry.linkname.decode("utf-8", "surrogateescape")
                self._links[name] = link if entry.kind == HARDLINK else os.path.dirname(name) + "/" + link
            if entry.kind != REGULAR:
                continue
            total += entry.stored
            if total > limits.bytes:
                raise Exhausted(f"{what} holds more than {limits.bytes} bytes", reason="too-large")
            if entry.sparse is not None:
                raise InvalidInput(f"{what}: {show(entry.name)} is a sparse file")
            with BlobWriter(images, lease=lease, digest=_expected(name)) as blob:
                for piece in reader.data():
                    blob.write(piece)
                self._blobs[name] = blob.commit()
        reader.stream.drain()

    def _resolve(self, name: str) -> str:
        name = os.path.normpath(name)
        for _ in range(8):
            if name not in self._links:
                break
            name = os.path.normpath(self._links[name])
        return name

    def has(self, name: str) -> bool:
        return self._resolve(name) in self._blobs

    def blob(self, name: str, digest: str = "") -> tuple[str, int]:
        found = self._blobs.get(self._resolve(name))
        if found is None:
            raise NotFound(f"{self.what}: the file {name} is missing", reason="incomplete-archive")
        if digest and found[0] != digest:
            raise Corrupt(f"{self.what}: {name} has the digest {found[0]}", reason="digest-mismatch")
        return found

    def text(self, name: str, limit: int) -> bytes:
        digest, size = self.blob(name)
        if size > limit:
            raise Exhausted(f"{self.what}: {name} has {size} bytes, more than {limit}", reason="too-large")
        return self._images.content.read(digest, limit=limit)


class _Directory(_Files):
    """A layout on disk. Links inside it are followed, as some tools make layouts of links; none leads out of it."""

    def __init__(self, images: Images, path: str, lease: Lease) -> None:
        self._images = images
        self._path = path
        self._lease = lease
        self.what = path

    def _place(self, name: str) -> str:
        """Where ``name`` is, its links resolved. Raises :class:`InvalidInput` where that is outside of the directory."""
        place = os.path.realpath(f"{self._path}/{name}")
        if not place.startswith(os.path.realpath(self._path).rstrip("/") + "/"):
            raise InvalidInput(f"{self._path}: {name[:200]!r} leads outside of it", reason="hostile-archive")
        return place

    def _open(self, name: str) -> int:
        place = self._place(name)
        try:
            fd = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError as error:
            raise NotFound(
                f"{self._path}: cannot read {name}: {error.strerror}", reason="incomplete-archive"
            ) from None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise InvalidInput(f"{self._path}: {name} is not a file")
        return fd

    def has(self, name: str) -> bool:
        return os.path.isfile(self._place(name))

    def text(self, name: str, limit: int) -> bytes:
        fd = self._open(name)
        with open(fd, "rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise Exhausted(f"{self._path}: {name} has more than {limit} bytes", reason="too-large")
        return data

    def blob(self, name: str, digest: str = "") -> tuple[str, int]:
        fd = self._open(name)
        try:
            with BlobWriter(self._images, lease=self._lease, digest=digest) as blob:
                while piece := os.read(fd, _CHUNK):
                    blob.write(piece)
                return blob.commit()
        finally:
            os.close(fd)


def _name(name: bytes) -> str:
    return os.path.normpath(name.decode("utf-8", "surrogateescape").lstrip("/") or ".")


def _expected(name: str) -> str:
    """The digest that a file of this name must have: ``blobs/sha256/…``. Empty for any other."""
    parts = name.split("/")
    if len(parts) == 3 and parts[0] == "blobs" and digests.is_digest(f"{parts[1]}:{parts[2]}"):
        return f"{parts[1]}:{parts[2]}"
    return ""


# --- OCI --------------------------------------------------------------------------------------------------------------


def _load_oci(images: Images, files: _Files, platform: str, lease: Lease) -> list[Image]:
    layout = (
        jsontext.loads(files.text("oci-layout", _SMALL), what="oci-layout") if files.has("oci-layout") else {}
    )
    version = layout.get("imageLayoutVersion", "1.0.0") if type(layout) is dict else ""
    if not isinstance(version, str) or not version.startswith("1."):
        raise InvalidInput(f"{files.what}: the OCI layout version {version!r} is not 1.x")
    index = decode_index(files.text("index.json", MAX_MANIFEST), "index.json")
    wanted = platforms.parse(platform) if platform else None
    seen: set[tuple[str, str, int]] = set()
    found = []
    for entry in index.manifests:
        if entry.media_type not in INDEXES and entry.media_type not in MANIFESTS:
            continue
        if entry.annotations.get("vnd.docker.reference.type"):
            continue  # an attestation about another entry, not an image
        if (
            wanted is not None
            and entry.platform is not None
            and platforms.rank(entry.platform, wanted) is None
        ):
            continue
        target = Descriptor(media_type=entry.media_type, digest=entry.digest, size=entry.size)
        _fetch(images, files, target, seen)
        found.append(images.register(target, _oci_names(entry), lease=lease, platform=platform))
    if not found:
        raise NotFound(
            f"{files.what} holds no image" + (f" for {platform}" if platform else ""), reason="no-image"
        )
    return found


def _oci_names(entry: Descriptor) -> list[str]:
    """Names an entry of the layout's index carries. A bare tag names nothing without its repository."""
    full = entry.annotations.get("io.containerd.image.name", "")
    short = entry.annotations.get("org.opencontainers.image.ref.name", "")
    for text in (full, short if "/" in short or ":" in short else ""):
        if text:
            try:
                return [Reference.parse(text).canonical]
            except LadingError:
                continue
    return []


def _fetch(
    images: Images, files: _Files, target: Descriptor, seen: set[tuple[str, str, int]], depth: int = 0
) -> None:
    """Bring ``target`` and what it refers to into the store; parts of an index that are not there stay away.

    ``seen``: what was brought. A few small indexes that name each other many times are a tree of any size.
    """
    from lading.images.oci import format_of

    key = target.digest, target.media_type, target.size
    if key in seen:
        return
    seen.add(key)
    path = "blobs/" + digests.check(target.digest).replace(":", "/", 1)
    _, size = files.blob(path, target.digest)
    if size != target.size:
        raise Corrupt(
            f"{files.what}: {target.digest} has {size} bytes where {target.size} are announced",
            reason="size-mismatch",
        )
    if depth > 4:
        raise InvalidInput(f"{files.what}: indexes are nested too deeply")
    if target.media_type in INDEXES:
        for entry in decode_index(
            images.content.read(target.digest, limit=MAX_MANIFEST), target.digest
        ).manifests:
            inner = "blobs/" + entry.digest.replace(":", "/", 1)
            if (entry.media_type in INDEXES or entry.media_type in MANIFESTS) and files.has(inner):
                _fetch(images, files, entry, seen, depth + 1)
    elif target.media_type in MANIFESTS:
        for part in format_of(target.media_type).references(images.content, target):
            if part.digest != target.digest:
                inner = "blobs/" + part.digest.replace(":", "/", 1)
                if files.has(inner):
                    files.blob(inner, part.digest)


# --- Docker -----------------------------------------------------------------------------------------------------------


def _load_docker(images: Images, files: _Files, lease: Lease) -> list[Image]:
    value = jsontext.loads(files.text("manifest.json", MAX_MANIFEST), what="manifest.json")
    if type(value) is not list or not value:
        raise InvalidInput(f"{files.what}: manifest.json is not a list of images")
    found = []
    for item in value:
        config_name, layers, tags = _docker_item(item, files.what)
        config_data = files.text(config_name, MAX_CONFIG)
        config_digest, config_size = files.blob(config_name)
        config = jsontext.loads(config_data, what=config_name)
        rootfs = config.get("rootfs") if type(config) is dict else None
        diff_ids = rootfs.get("diff_ids") if type(rootfs) is dict else None
        if type(diff_ids) is not list or len(diff_ids) != len(layers):
            raise Corrupt(
                f"{files.what}: {config_name} does not list a diff-id for each of {len(layers)} layers",
                reason="layer-count",
            )
        manifest = Manifest(
            media_type=OCI_MANIFEST,
            config=Descriptor(media_type=OCI_CONFIG, digest=config_digest, size=config_size),
            layers=[_layer(images, *files.blob(name)) for name in layers],
        )
        data = jsontext.dumps(manifest.encode(), sort=True).encode()
        digest = images.content.put(data, lease=lease)
        target = Descriptor(media_type=OCI_MANIFEST, digest=digest, size=len(data))
        found.append(images.register(target, tags, lease=lease))
    return found


def _docker_item(item: object, what: str) -> tuple[str, list[str], list[str]]:
    if type(item) is dict:
        config, layers, tags = item.get("Config"), item.get("Layers"), item.get("RepoTags")
        if (
            type(config) is str
            and type(layers) is list
            and all(type(n) is str for n in layers)
            and (tags is None or (type(tags) is list and all(type(n) is str for n in tags)))
        ):
            if any("\0" in name for name in (config, *layers)):
                raise InvalidInput(
                    f"{what}: a name in manifest.json contains a NUL", reason="hostile-archive"
                )
            return config, layers, [t for t in tags or [] if t != "<none>:<none>"]
    raise InvalidInput(
        f"{what}: an entry of manifest.json has no Config, Layers and RepoTags of the right form"
    )


def _layer(images: Images, digest: str, size: int) -> Descriptor:
    head = next(images.content.chunks(digest, 16), b"")
    kind = sniff(head)
    if kind not in _TYPES:
        raise InvalidInput(f"layer {digest} is compressed with {kind}, which image layers are not")
    return Descriptor(media_type=_TYPES[kind], digest=digest, size=size)
