"""One layer of an image as its format names it: where its archive is, how it is read, and how much of it is meant."""

from __future__ import annotations

from lading.formats import digest as digests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_image import Descriptor

ROOTFS = "rootfs"
"""The dialect of archives that hold a whole image: a file ``manifest`` and the root below ``rootfs/`` (rooted.py)."""


class Source:
    """A layer to be unpacked.

    ``blob``     the archive, as received.
    ``diff_id``  the digest of the archive, decompressed.
    ``dialect``  how it is read: empty for an OCI layer, or :data:`ROOTFS`.
    ``keep``     the paths that stay of it (``etc/passwd``), directories without what is in them; None when everything does.
    """

    __slots__ = ("blob", "dialect", "diff_id", "keep")

    def __init__(
        self, blob: Descriptor, diff_id: str, dialect: str = "", keep: frozenset[str] | None = None
    ) -> None:
        self.blob = blob
        self.diff_id = diff_id
        self.dialect = dialect
        self.keep = keep

    @property
    def key(self) -> str:
        """The name of its directory among the unpacked layers."""
        return layer_key(self.diff_id, self.dialect, self.keep)

    def whole(self) -> Source:
        """The same without ``keep``."""
        return self if self.keep is None else Source(self.blob, self.diff_id, self.dialect)


def layer_key(diff_id: str, dialect: str = "", keep: frozenset[str] | None = None) -> str:
    """The directory name of a layer: 128 bits of its diff-id keep overlayfs's option line short.

    One archive read in two ways gives two layers that never meet.
    """
    algorithm, text = digests.split(diff_id, what="diff-id")
    if not dialect and keep is None:
        return text[:32] if algorithm == "sha256" else "x" + text[:31]
    parts = [diff_id, dialect, "all" if keep is None else "some", *sorted(keep or ())]
    # No path has a NUL in it.
    return "k" + digests.of("\0".join(parts).encode("utf-8", "surrogatepass")).partition(":")[2][:31]
