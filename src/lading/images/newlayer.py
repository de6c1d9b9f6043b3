"""Making a layer here: tar bytes go, in one pass, into a compressed blob or into an unpacked layer."""

from __future__ import annotations

import os
import sys

from lading.errors import Corrupt, InvalidInput, Unsupported
from lading.formats import digest as digests
from lading.formats.oci_image import OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, Descriptor
from lading.images.apart import Apart, Beside
from lading.images.files import OwnFile, disk_error, make_directories, sync_directory
from lading.images.leases import Lease
from lading.images.limits import Limits
from lading.images.pack import packed_changes
from lading.images.rooted import bad_link
from lading.images.source import layer_key
from lading.images.stages import Stage
from lading.images.unpacked import Tar, Unpacked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from lading.images import Images
    from lading.images.pack import Packed

    class Compressor(Protocol):
        def compress(self, data: bytes, /) -> bytes: ...
        def flush(self) -> bytes: ...


GZIP_LEVEL = 1  # igzip's levels are 0 to 3; 1 is a third larger than zlib's 6 at best and ten times faster
_PIECE = 1 << 20


class BlobWriter:
    """A blob whose digest is known only at its end (or given, and checked). A context manager: without commit it vanishes."""

    def __init__(self, images: Images, *, lease: Lease, digest: str = "") -> None:
        self._images = images
        self._lease = lease
        self._expected = digest
        self._algorithm = digest.partition(":")[0] or "sha256"
        self._hash = digests.hasher(self._algorithm)
        try:
            self._file = OwnFile(images.root + "/ingest", "new.")
        except OSError as error:
            raise disk_error(error, f"cannot write below {images.root}") from None
        self.size = 0

    def write(self, data: bytes | memoryview) -> None:
        """The next bytes. Raises :class:`Exhausted` when the disk is full."""
        self._hash.update(data)
        self.size += len(data)
        try:
            self._file.write(data)
        except OSError as error:
            raise disk_error(error, "cannot store content") from None

    def commit(self) -> tuple[str, int]:
        """Make it durable and give it its name: digest and size. Raises :class:`Corrupt` when it is not what was expected."""
        digest = f"{self._algorithm}:{self._hash.hexdigest()}"
        if self._expected and digest != self._expected:
            raise Corrupt(
                f"content {self._expected}: what arrived has the digest {digest}", reason="digest-mismatch"
            )
        self._lease.add(digest)
        if self._images.content.has(digest):
            self._file.drop()
            return digest, self.size
        final = self._images.content.path(digest)
        try:
            os.fchmod(self._file.fd, 0o444)
            os.fsync(self._file.fd)
            make_directories(os.path.dirname(final))
            os.rename(self._file.path, final)
        except OSError as error:
            raise disk_error(error, f"cannot store {digest}") from None
        sync_directory(os.path.dirname(final))
        self._file.keep()
        return digest, self.size

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.drop()


class LayerWriter:
    """Takes the bytes of an uncompressed tar; :meth:`finish` gives the blob's descriptor and its diff-id.

    ``compression``: ``gzip``, ``zstd`` or ``uncompressed``; ``level``: as the algorithm has it, None for ours.
    Hashing and compressing go on beside each other, in threads that have ended when :meth:`finish` returns.
    A context manager: leaving without finish removes what was made.
    Raises :class:`InvalidInput` for another compression or level.
    """

    def __init__(
        self,
        images: Images,
        *,
        lease: Lease,
        compression: str = "gzip",
        level: int | None = None,
    ) -> None:
        self._compressor = compressor(compression, level)
        self._type = _MEDIA_TYPES[compression]
        self._blob = BlobWriter(images, lease=lease)
        self._pending = bytearray()
        self._plain = digests.hasher("sha256")
        self._stages = [Stage(self._compress), Stage(self._plain.update)]

    def write(self, data: bytes) -> None:
        """The next bytes of the tar."""
        self._pending += data
        # Pieces of one size, whatever sizes they came in: what a compressor makes depends on it.
        while len(self._pending) >= _PIECE:
            self._hand_on(bytes(self._pending[:_PIECE]))
            del self._pending[:_PIECE]

    def _hand_on(self, piece: bytes) -> None:
        for stage in self._stages:
            stage.put(piece)

    def _compress(self, piece: bytes) -> None:
        self._blob.write(self._compressor.compress(piece))

    def finish(self, *, expected: str = "") -> tuple[Descriptor, str]:
        """Store the blob durably; its descriptor and diff-id.

        Raises :class:`Corrupt` when ``expected`` is another diff-id.
        """
        if self._pending:
            self._hand_on(bytes(self._pending))
            self._pending.clear()
        for stage in self._stages:
            stage.finish()
        self._blob.write(self._compressor.flush())
        diff_id = f"sha256:{self._plain.hexdigest()}"
        if expected and diff_id != expected:
            raise Corrupt(
                f"layer {expected}: its files are those of {diff_id} now",
                hint="run `lading check --repair` and build again",
                reason="diff-id-mismatch",
            )
        digest, size = self._blob.commit()
        return Descriptor(media_type=self._type, digest=digest, size=size), diff_id

    def __enter__(self) -> LayerWriter:
        return self

    def __exit__(self, *_: object) -> None:
        for stage in self._stages:
            stage.abort()
        self._blob.__exit__()


class OwnLayer:
    """Takes the bytes of an uncompressed tar and unpacks them: a layer of our own, which need not be stored twice (rendering.py).

    What :meth:`finish` makes is packed in our way, whoever packed the archive; :meth:`adopt` is for what was packed in our way.
    A context manager: leaving without either removes what was made. A process that has threads already unpacks in one more.
    """

    def __init__(self, images: Images, *, lease: Lease) -> None:
        self._lease = lease
        limits = images.layers.limits or Limits.from_environment()
        self._staging = images.layers.stage()
        threading = sys.modules.get("threading")
        kind = Apart if threading is None or threading.active_count() == 1 else Beside
        try:
            self._unpacking: Apart | Beside = kind(self._staging.fs, limits)
        except BaseException:
            self._staging.discard()
            raise

    def write(self, data: bytes) -> None:
        """The next bytes of the tar. Raises what went wrong with those before."""
        self._unpacking.write(data)

    def finish(self) -> tuple[Descriptor, str]:
        """Pack what was unpacked, and make it a layer, durably; its descriptor and diff-id. Raises what unpacking raises.

        Raises :class:`Corrupt` for hard links that lead nowhere, :class:`Unsupported` for whiteouts where there can be none.
        """
        contents = self._unpacking.finish()
        for name, target in contents.links:
            raise bad_link(name, target)
        if contents.marks:
            raise Unsupported(
                "the archive has whiteouts, which need overlayfs or the right to make device files here",
                hint="leave out the files whose names begin with .wh.",
            )
        made = digests.hasher("sha256")
        packed = packed_changes(self._staging.fs, made.update, told=b"" not in contents.implicit)
        return self._publish(f"sha256:{made.hexdigest()}", contents, packed)

    def adopt(self, packed: Packed, diff_id: str) -> tuple[Descriptor, str] | None:
        """The same for bytes that :func:`packed_changes` has written. None, and nothing left, where they cannot be had again.

        That is where this machine cannot make all that the archive speaks of.
        """
        contents = self._unpacking.finish()
        if contents.marks or contents.links or contents.notes:
            return None
        return self._publish(diff_id, contents, packed)

    def _publish(self, diff_id: str, contents: Unpacked, packed: Packed) -> tuple[Descriptor, str]:
        key = layer_key(diff_id)
        self._lease.add(f"layer:{key}")
        self._staging.publish(key, diff_id, contents, tar=Tar(packed.size, packed.holes))
        return Descriptor(media_type=OCI_LAYER, digest=diff_id, size=packed.size), diff_id

    def __enter__(self) -> OwnLayer:
        return self

    def __exit__(self, *_: object) -> None:
        self._unpacking.close()
        self._staging.discard()


_MEDIA_TYPES = {"gzip": OCI_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD, "uncompressed": OCI_LAYER}
LEVELS = {"gzip": (0, 9), "zstd": (1, 22)}


def compressor(compression: str, level: int | None) -> Compressor:
    """What compresses a layer. Without time or name in its header: the same tar gives the same blob.

    gzip's levels 0 to 3 are igzip's, which are ten times faster than zlib's; 4 to 9 are zlib's.
    Raises :class:`InvalidInput`, :class:`Unsupported` for zstd where no module has it.
    """
    if compression not in _MEDIA_TYPES:
        raise InvalidInput(f"compression {compression!r} is not one of {', '.join(_MEDIA_TYPES)}")
    if compression == "uncompressed":
        if level is not None:
            raise InvalidInput("a compression level goes with gzip or zstd")
        return _Plain()
    lowest, highest = LEVELS[compression]
    if level is not None and not lowest <= level <= highest:
        raise InvalidInput(f"compression level {level} of {compression} is not {lowest} to {highest}")
    if compression == "zstd":
        return _zstd(3 if level is None else level)
    if level is not None and level > 3:
        import zlib

        return zlib.compressobj(level, zlib.DEFLATED, 31)
    return gzip_compressor(GZIP_LEVEL if level is None else level)


class _Plain:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def _zstd(level: int) -> Compressor:
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        try:
            from backports import zstd
        except ImportError:
            raise Unsupported(
                "this Python has no zstd", hint="install backports.zstd, or compress with gzip"
            ) from None
    made: Compressor = zstd.ZstdCompressor(level)
    return made


def gzip_compressor(level: int = GZIP_LEVEL) -> Compressor:
    """A gzip compressor without time or name in its header: the same tar gives the same blob."""
    try:
        from isal import isal_zlib

        return isal_zlib.compressobj(level, isal_zlib.DEFLATED, 31)
    except ImportError:
        import zlib

        return zlib.compressobj(1, zlib.DEFLATED, 31)
