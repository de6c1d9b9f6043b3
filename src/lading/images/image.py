"""An image that is here and unpacked: what ``lading run`` reads, in one file.

``resolved/sha256-HEX`` (HEX: the manifest's digest) is written when an image arrives, so that starting a container
neither parses manifests nor looks at blobs.
"""

from __future__ import annotations

import os

from lading.errors import Corrupt, LadingError
from lading.formats import jsontext
from lading.formats.oci_image import Descriptor, ImageConfig, Platform
from lading.images.files import is_temporary, make_directories, read, write_atomically

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


STEP = "step"  # the kind of what is no image, and only made so that containers can be (snapshots.py)
MARK = "removing"  # a file of the store that says that images are being removed at this moment (remove.py)


class Image:
    """A local image.

    ``id``        digest of its configuration, what people call the image ID.
    ``digest``    digest of its manifest.
    ``kind``      the format it came in: ``oci``; or :data:`STEP`.
    ``layers``    absolute layer directories, top-most first, as overlayfs wants them.
    ``size``      bytes of its unpacked layers.
    ``names``     familiar names (``busybox:latest``) that stand for it now.
    """

    __slots__ = (
        "_find_names",
        "_names",
        "config",
        "descriptor",
        "diff_ids",
        "id",
        "kind",
        "layers",
        "owner",
        "platform",
        "size",
    )

    def __init__(
        self,
        *,
        id: str,
        descriptor: Descriptor,
        kind: str,
        config: ImageConfig,
        layers: list[str],
        diff_ids: list[str],
        size: int,
        owner: tuple[int, int, int],
        find_names: Callable[[str], dict[str, str]],
    ) -> None:
        self.id = id
        self.descriptor = descriptor
        self.kind = kind
        self.config = config
        self.layers = layers
        self.diff_ids = diff_ids
        self.size = size
        self.owner = owner  # mode, uid and gid of the root directory
        self.platform = Platform(os=config.os, architecture=config.architecture, variant=config.variant)
        self._find_names = find_names
        self._names: dict[str, str] | None = None

    @property
    def digest(self) -> str:
        """The digest of its manifest."""
        return self.descriptor.digest

    @property
    def names(self) -> list[str]:
        """Every reference that leads to it now; looked up once."""
        return list(self.targets)

    @property
    def targets(self) -> dict[str, str]:
        """Each of its names with the digest that the name stands for: its index's, where it came out of one, or its own."""
        if self._names is None:
            self._names = self._find_names(self.digest)
        return self._names

    @property
    def created(self) -> str:
        """When it was made, RFC 3339, empty when the image does not say."""
        return self.config.created

    @property
    def short_id(self) -> str:
        """The twelve digits that people read and type."""
        return self.id.partition(":")[2][:12]

    def __repr__(self) -> str:
        return f"Image({self.id}, {self.digest})"


class ResolvedStore:
    """Records of unpacked images below ``root`` (the image store's directory)."""

    def __init__(self, root: str, find_names: Callable[[str], dict[str, str]]) -> None:
        self._directory = root + "/resolved"
        self._layers = root + "/layers"
        self._find_names = find_names

    def path(self, digest: str) -> str:
        """Where the record of the manifest ``digest`` is."""
        return f"{self._directory}/{digest.replace(':', '-', 1)}"

    def get(self, digest: str) -> Image | None:
        """The image with this manifest, None when it is not here. Raises :class:`Corrupt` for a broken record."""
        data = read(self.path(digest))
        if data is None:
            return None
        try:
            record = jsontext.loads(data)
            mode, uid, gid = record["owner"]
            return Image(
                id=record["id"],
                descriptor=Descriptor.decode(record["descriptor"], strict=False),
                kind=record["kind"],
                config=ImageConfig.decode(record["config"], strict=False),
                layers=[f"{self._layers}/{key}/fs" for key in record["layers"]],
                diff_ids=record["diffIDs"],
                size=record["size"],
                owner=(mode, uid, gid),
                find_names=self._find_names,
            )
        except (LadingError, KeyError, TypeError, ValueError):
            raise Corrupt(
                f"the record of image {digest} is broken", hint="run `lading check --repair`"
            ) from None

    def put(self, image: Image) -> None:
        """Write the record of ``image``."""
        make_directories(self._directory)
        record = {
            "id": image.id,
            "kind": image.kind,
            "descriptor": image.descriptor.encode(),
            "size": image.size,
            "owner": list(image.owner),
            "layers": [path.split("/")[-2] for path in image.layers],
            "diffIDs": image.diff_ids,
            "config": image.config.encode(),
        }
        # What only a running build needs is gone with it.
        write_atomically(self.path(image.digest), jsontext.dumps(record).encode(), durable=image.kind != STEP)

    def remove(self, digest: str) -> bool:
        """Forget the record; whether there was one."""
        try:
            os.unlink(self.path(digest))
        except FileNotFoundError:
            return False
        return True

    def list(self) -> list[str]:
        """Digests of all recorded manifests."""
        try:
            names = os.listdir(self._directory)
        except FileNotFoundError:
            return []
        return sorted(n.replace("-", ":", 1) for n in names if not is_temporary(n))
