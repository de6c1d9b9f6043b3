"""A stored App Container image as OCI content: configuration, manifest, and its rendered layers packed as they are stacked."""

from __future__ import annotations

from lading.formats import digest as digests
from lading.formats.oci_image import OCI_MANIFEST, Descriptor, RootFS
from lading.images.newlayer import LayerWriter
from lading.images.oci import Resolved, new_image
from lading.images.pack import owner_on_disk, pack_changes
from lading.images.source import Source
from lading.images.tarentry import DIRECTORY, Entry
from lading.images.tarwrite import TarWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.images import Images
    from lading.images.image import Image
    from lading.images.leases import Lease


def to_layers(images: Images, image: Image, lease: Lease) -> Resolved:
    """``image`` as OCI's manifest, configuration and layers in the content store, held by ``lease``. The same every time.

    Raises :class:`Unsupported` for a file whose name begins with ``.wh.``, which an OCI layer cannot hold.
    """
    lease.add(image.digest, *("layer:" + path.split("/")[-2] for path in image.layers))
    owner = owner_on_disk()
    sources: list[Source] = []
    for path in reversed(image.layers):
        with LayerWriter(images, lease=lease) as layer:
            if path == image.layers[-1]:
                layer.write(_root(image))
            pack_changes(path, layer.write, owner=owner)
            sources.append(Source(*layer.finish()))
    config = image.config.replace(rootfs=RootFS(diff_ids=[source.diff_id for source in sources]))
    config_data, manifest_data = new_image(config, [s.blob for s in sources], [s.diff_id for s in sources])
    images.content.put(config_data, lease=lease)
    digest = images.content.put(manifest_data, lease=lease)
    described = Descriptor(media_type=OCI_MANIFEST, digest=digest, size=len(manifest_data))
    return Resolved(described, digests.of(config_data), config, sources)


def _root(image: Image) -> bytes:
    """The entry of the root directory itself, which a layer of changes does not have: its owner and mode are the image's."""
    mode, uid, gid = image.owner
    owner = owner_on_disk()(uid, gid)
    parts: list[bytes] = []
    TarWriter(parts.append).add(Entry(b"./", DIRECTORY, mode=mode, uid=owner[0], gid=owner[1]))
    return b"".join(parts)
