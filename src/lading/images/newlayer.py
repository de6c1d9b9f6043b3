"""Making a layer here: tar bytes go, in one pass, into a compressed blob and into an unpacked layer."""

from __future__ import annotations

import os

from lading.errors import Corrupt
from lading.formats import digest as digests
from lading.formats.oci_image import OCI_LAYER_GZIP, Descriptor
from lading.images.files import OwnFile, disk_error, make_directories, sync_directory
from lading.images.leases import Lease

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from lading.images import Images

    class Compressor(Protocol):
        def compress(self, data: bytes, /) -> bytes: ...
        def flush(self) -> bytes: ...


GZIP_LEVEL = 1  # igzip's levels are 0 to 3; 1 is a third larger than zlib's 6 at best and ten times faster
_GZIP_CHUNK = 1 << 20


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

    A context manager: leaving without finish removes what was made.
    """

    def __init__(self, images: Images, *, lease: Lease) -> None:
        self._blob = BlobWriter(images, lease=lease)
        self._plain = digests.hasher("sha256")
        self._gzip = gzip_compressor()
        self._pending = bytearray()

    def write(self, data: bytes) -> None:
        """The next bytes of the tar."""
        self._pending += data
        if len(self._pending) >= _GZIP_CHUNK:
            self._flush()

    def _flush(self) -> None:
        data = bytes(self._pending)
        self._pending.clear()
        self._plain.update(data)
        self._blob.write(self._gzip.compress(data))

    def finish(self) -> tuple[Descriptor, str]:
        """Store the blob durably; its descriptor and diff-id. Registering the image unpacks it."""
        self._flush()
        self._blob.write(self._gzip.flush())
        digest, size = self._blob.commit()
        return Descriptor(
            media_type=OCI_LAYER_GZIP, digest=digest, size=size
        ), f"sha256:{self._plain.hexdigest()}"

    def __enter__(self) -> LayerWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._blob.__exit__()


def gzip_compressor() -> Compressor:
    """A gzip compressor without time or name in its header: the same tar gives the same blob."""
    try:
        from isal import isal_zlib

        return isal_zlib.compressobj(GZIP_LEVEL, isal_zlib.DEFLATED, 31)
    except ImportError:
        import zlib

        return zlib.compressobj(1, zlib.DEFLATED, 31)
