"""What is attested of an image: placeholder types until it is filled."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.build.image import Solved, Stored, Storer
    from lading.formats.oci_image import Descriptor


class Evidence:
    """See the module."""

    provenance: dict[str, object] | None = None

    def attach(self, storer: Storer, image: Stored, solved: Solved) -> Descriptor:
        """The descriptor of an attestation manifest."""
        raise NotImplementedError
