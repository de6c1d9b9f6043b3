"""Making archives: of a directory and a manifest, or of an OCI image. The same input gives the same bytes.

Names come sorted, the manifest first, numbers instead of names of owners, and no time but the files' own;
``SOURCE_DATE_EPOCH`` is the latest that any file may have, as elsewhere.
"""

from __future__ import annotations

import os
import stat

from lading.errors import Exhausted, InvalidInput, Unsupported
from lading.formats import digest as digests
from lading.formats.appc.convert import to_aci
from lading.formats.appc.image import Dependency, ImageManifest
from lading.formats.appc.record import LARGEST
from lading.formats.appc.values import image_id_of
from lading.images import union
from lading.images.changes import mounted_over
from lading.images.files import disk_error
from lading.images.make import source_date
from lading.images.newlayer import gzip_compressor
from lading.images.pack import Packer, owner_on_disk
from lading.images.tarentry import DIRECTORY, Entry, show
from lading.images.tarwrite import TarWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from typing import BinaryIO

    from lading.formats.rootfs import Rootfs
    from lading.images.image import Image
    from lading.images.newlayer import Compressor

COMPRESSIONS = ("gzip", "bzip2", "xz", "none")


class Built:
    """``image_id`` of what was written; ``skipped`` names that no archive can hold; ``lost`` what the manifest cannot say."""

    __slots__ = ("image_id", "lost", "skipped")

    def __init__(self, image_id: str, skipped: list[str], lost: list[str]) -> None:
        self.image_id = image_id
        self.skipped = skipped
        self.lost = lost


def build(manifest: ImageManifest, rootfs: str, out: BinaryIO, *, compression: str = "gzip") -> Built:
    """Write the archive of ``manifest`` and the directory ``rootfs`` to ``out``.

    Raises :class:`InvalidInput`, :class:`Denied` (a file that cannot be read), :class:`Exhausted`.
    """
    try:
        if not os.path.isdir(rootfs):
            raise InvalidInput(f"{rootfs} is not a directory")
        archive = _Archive(manifest, out, compression)
        base = os.fsencode(os.path.realpath(rootfs))
        archive.add(b"", base, os.lstat(base))
        for name, path, there in _walk(base):
            archive.add(name, path, there)
        return archive.finish([])
    except OSError as error:
        raise disk_error(error, f"cannot build an image of {rootfs}") from None


def from_image(
    image: Image, out: BinaryIO, *, name: str, labels: Mapping[str, str], compression: str = "gzip"
) -> Built:
    """Write a local image as one archive with everything in it. ``name`` and ``labels`` are the new image's.

    Raises :class:`InvalidInput` for a name or label that cannot be, :class:`Exhausted`.
    """
    converted = to_aci(image.config, name=name, labels=labels)
    archive = _Archive(converted.manifest, out, compression)
    archive.add_root(*image.owner)
    for node in union.walk(image.layers):
        archive.add(node.name, node.path, node.there)
    return archive.finish(converted.lost)


def from_container(
    manifest: ImageManifest, rootfs: Rootfs, out: BinaryIO, *, compression: str = "gzip"
) -> Built:
    """Write what a container that has ended sees as the archive of ``manifest``, without mounting anything.

    Mount points that only the runtime made stay out. Raises :class:`Exhausted`, and OSError for what goes while it is read.
    """
    directories = ([rootfs.upper] if rootfs.upper else []) + rootfs.lower
    hidden = mounted_over(rootfs.upper, rootfs.lower) if rootfs.upper else set()
    archive = _Archive(manifest, out, compression)
    base = os.fsencode(directories[0])
    archive.add(b"", base, os.lstat(base))
    for node in union.walk(directories):
        if not any(b"/" + node.name == name or (b"/" + node.name).startswith(name + b"/") for name in hidden):
            archive.add(node.name, node.path, node.there)
    return archive.finish([])


def layers_from_image(
    image: Image,
    out: BinaryIO,
    writing: Callable[[str], AbstractContextManager[BinaryIO]],
    *,
    name: str,
    labels: Mapping[str, str],
    compression: str = "gzip",
) -> Built:
    """Write a local image as its top layer, which depends on the others: each of them goes to ``writing(its name)``.

    A layer is called after what is in it, so that images that share layers share these too. What a layer deletes of those
    below is left out by the top's path whitelist.
    """
    if len(image.layers) < 2:
        return from_image(image, out, name=name, labels=labels, compression=compression)
    converted = to_aci(image.config, name=name, labels=labels)
    manifest = converted.manifest
    skipped: list[str] = []
    for path in reversed(image.layers[1:]):
        layer = ImageManifest.new("oci-layer/" + path.split("/")[-2])
        with writing(layer.name.replace("/", "-")) as stream:
            built = _one_layer(layer, path, stream, compression).finish([])
        skipped += built.skipped
        manifest.dependencies.append(Dependency(image_name=layer.name, image_id=built.image_id))
    if any(_deletes(path) for path in image.layers):
        manifest.path_whitelist = [_text(node.name) for node in union.walk(image.layers)] or ["/"]
    built = _one_layer(manifest, image.layers[0], out, compression, image).finish(converted.lost)
    return Built(built.image_id, skipped + built.skipped, built.lost)


def _one_layer(
    manifest: ImageManifest, path: str, out: BinaryIO, compression: str, image: Image | None = None
) -> _Archive:
    archive = _Archive(manifest, out, compression)
    base = os.fsencode(path)
    archive.add_root(*(image.owner if image is not None else (0o755, 0, 0)))
    for name, there_path, there in _walk(base):
        if not (union.is_whiteout(there) or _is_mark(name, there)):
            archive.add(name, there_path, there)
    return archive


def _is_mark(name: bytes, there: os.stat_result) -> bool:
    return name.rpartition(b"/")[2].startswith(union.MARK) and union.is_mark(there)


def _deletes(path: str) -> bool:
    base = os.fsencode(path)
    return union.is_opaque(base) or any(
        union.is_whiteout(there)
        or _is_mark(name, there)
        or (stat.S_ISDIR(there.st_mode) and union.is_opaque(inner))
        for name, inner, there in _walk(base)
    )


def _walk(base: bytes) -> Iterator[tuple[bytes, bytes, os.stat_result]]:
    """Everything below a directory: name, path and status, parents before children, sorted."""
    pending = [(name, base + b"/" + name) for name in sorted(os.listdir(base), reverse=True)]
    while pending:
        name, path = pending.pop()
        there = os.lstat(path)
        yield name, path, there
        if stat.S_ISDIR(there.st_mode):
            inner = sorted(os.listdir(path), reverse=True)
            pending += [(name + b"/" + entry, path + b"/" + entry) for entry in inner]


def _text(name: bytes) -> str:
    try:
        return "/" + name.decode()
    except UnicodeDecodeError:
        raise Unsupported(
            f"{show(name)}: the name is not UTF-8, so no path whitelist can hold it",
            hint="build one archive instead of layers",
        ) from None


class _Archive:
    """Writes one archive: the manifest first, then the root."""

    def __init__(self, manifest: ImageManifest, out: BinaryIO, compression: str) -> None:
        text = manifest.text().encode()
        if len(text) > LARGEST:
            raise Exhausted(
                f"the manifest of {manifest.name} has {len(text)} bytes, more than {LARGEST}",
                hint="build one archive instead of layers",
                reason="too-large",
            )
        self._out = out
        self._hash = digests.hasher("sha512")
        self._compressor = _compressor(compression)
        self._pending = bytearray()
        self._tar = _Clamped(self._write)
        self._packer = Packer(self._tar, owner=owner_on_disk())
        self._tar.add(Entry(b"manifest", size=len(text)))
        self._tar.data(text)

    def add_root(self, mode: int, uid: int, gid: int) -> None:
        """The root directory itself."""
        self._tar.add(Entry(b"rootfs", DIRECTORY, mode=mode, uid=uid, gid=gid))

    def add(self, name: bytes, path: bytes, there: os.stat_result) -> None:
        """One file, directory, link or node of the root."""
        if union.is_whiteout(there):
            raise Unsupported(f"{show(name)}: the device 0:0 would delete what is below in an overlay")
        self._packer.add(b"rootfs/" + name if name else b"rootfs", path, there)

    def finish(self, lost: list[str]) -> Built:
        """End the archive."""
        self._tar.close()
        self._flush()
        if self._compressor is not None:
            self._put(self._compressor.flush())
        return Built(image_id_of(f"sha512:{self._hash.hexdigest()}"), self._packer.skipped, lost)

    def _write(self, data: bytes) -> None:
        self._pending += data
        if len(self._pending) >= 1 << 20:
            self._flush()

    def _flush(self) -> None:
        data = bytes(self._pending)
        self._pending.clear()
        self._hash.update(data)
        self._put(data if self._compressor is None else self._compressor.compress(data))

    def _put(self, data: bytes) -> None:
        try:
            self._out.write(data)
        except OSError as error:
            raise disk_error(error, "cannot write the archive") from None


class _Clamped(TarWriter):
    """No entry is younger than ``SOURCE_DATE_EPOCH``."""

    def __init__(self, out: Callable[[bytes], object]) -> None:
        super().__init__(out)
        self._latest = source_date(-1)

    def add(self, entry: Entry) -> None:
        """See :meth:`TarWriter.add`."""
        if self._latest >= 0:
            entry.mtime = min(entry.mtime, self._latest * 1_000_000_000)
        super().add(entry)


def _compressor(kind: str) -> Compressor | None:
    if kind == "gzip":
        return gzip_compressor()
    if kind == "bzip2":
        import bz2

        return bz2.BZ2Compressor()
    if kind == "xz":
        import lzma

        return lzma.LZMACompressor()
    if kind == "none":
        return None
    raise InvalidInput(f"compression {kind!r} is not one of {', '.join(COMPRESSIONS)}")
