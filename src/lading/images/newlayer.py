"""Making a layer here: tar bytes go, in one pass, into a compressed blob and into an unpacked layer."""

from __future__ import annotations

import os

from lading.formats import digest as digests
from lading.formats.oci_image import OCI_LAYER_GZIP, Descriptor
from lading.images.files import disk_error, try_lock
from lading.images.leases import Lease

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from lading.images import Images

    class _Compressor(Protocol):
        def compress(self, data: bytes, /) -> bytes: ...
        def flush(self) -> bytes: ...


GZIP_LEVEL = 1  # igzip's levels are 0 to 3; 1 is a third larger than zlib's 6 at best and ten times faster
_GZIP_CHUNK = 1 << 20


class LayerWriter:
    """Takes the bytes of an uncompressed tar; :meth:`finish` gives the blob's descriptor and its diff-id.

    A context manager: leaving without finish removes what was made.
    """

    def __init__(self, images: Images, *, lease: Lease) -> None:
        self._images = images
        self._lease = lease
        directory = images.root + "/ingest"
        self._path = f"{directory}/new.{os.getpid()}-{os.urandom(6).hex()}"
        try:
            os.makedirs(directory, exist_ok=True)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            try_lock(self._fd)
        except OSError as error:
            raise disk_error(error, f"cannot write below {images.root}") from None
        self._plain = digests.hasher("sha256")
        self._packed = digests.hasher("sha256")
        self._gzip = _gzip()
        self._pending = bytearray()
        self.size = 0

    def write(self, data: bytes) -> None:
        """The next bytes of the tar."""
        self._pending += data
        if len(self._pending) >= _GZIP_CHUNK:
            self._flush()

    def _flush(self) -> None:
        data = bytes(self._pending)
        self._pending.clear()
        self._plain.update(data)
        self._store(self._gzip.compress(data))

    def _store(self, data: bytes) -> None:
        self._packed.update(data)
        self.size += len(data)
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            raise disk_error(error, "cannot store a new layer") from None

    def finish(self) -> tuple[Descriptor, str]:
        """Store the blob durably; its descriptor and diff-id. Unpack it with :meth:`LayerStore.unpack` or register."""
        self._flush()
        self._store(self._gzip.flush())
        digest = f"sha256:{self._packed.hexdigest()}"
        diff_id = f"sha256:{self._plain.hexdigest()}"
        self._lease.add(digest)
        final = self._images.content.path(digest)
        try:
            os.fchmod(self._fd, 0o444)
            os.fsync(self._fd)
            os.makedirs(os.path.dirname(final), exist_ok=True)
            os.rename(self._path, final)
        except OSError as error:
            raise disk_error(error, "cannot store a new layer") from None
        os.close(self._fd)
        self._fd = -1
        return Descriptor(media_type=OCI_LAYER_GZIP, digest=digest, size=self.size), diff_id

    def __enter__(self) -> LayerWriter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            try:
                os.unlink(self._path)
            except OSError:
                pass
            os.close(self._fd)
            self._fd = -1


def _gzip() -> _Compressor:
    """A gzip compressor without time or name in its header: the same tar gives the same blob."""
    try:
        from isal import isal_zlib

        return isal_zlib.compressobj(GZIP_LEVEL, isal_zlib.DEFLATED, 31)
    except ImportError:
        import zlib

        return zlib.compressobj(1, zlib.DEFLATED, 31)
