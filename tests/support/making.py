"""Images made of tar archives, for the tests of the store."""

from __future__ import annotations

from lading.formats.oci_image import ImageConfig, RunConfig
from lading.images import Images
from lading.images.newlayer import LayerWriter
from lading.images.register import create


def make(images: Images, *layers: bytes, names=("test:1",), **config: object):
    """An image of the given tars, bottom first."""
    with images.lease() as lease:
        descriptors, diff_ids = [], []
        for data in layers:
            with LayerWriter(images, lease=lease) as writer:
                writer.write(data)
                descriptor, diff_id = writer.finish()
            descriptors.append(descriptor)
            diff_ids.append(diff_id)
        made = ImageConfig(os="linux", architecture="amd64", config=RunConfig(**config))
        return create(images, made, descriptors, diff_ids, names, lease=lease)
