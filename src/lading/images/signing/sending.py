"""Attaching signatures to an image at its registry: added to those that are there, never instead of them."""

from __future__ import annotations

import time

from lading.errors import InvalidInput
from lading.formats.oci_image import OCI_MANIFEST, Descriptor
from lading.formats.reference import Reference
from lading.formats.signing import attached, bundle
from lading.images.pull import remotes
from lading.images.push import push_manifest
from lading.images.remote_http import Cancel
from lading.images.signing.fetching import tagged_layers
from lading.images.signing.kept import BUNDLE, REFERRER, TAG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.formats.signing.attached import Signature
    from lading.images import Images
    from lading.images.leases import Lease
    from lading.images.pull import PullOptions
    from lading.images.signing.kept import Entry


def attach(
    images: Images, where: Reference, subject: Descriptor, entries: Sequence[Entry], options: PullOptions
) -> None:
    """Send ``entries``, which sign ``subject``, to the repository of ``where``. Raises as a push does."""
    with images.lease() as lease:
        tagged = [e.signature for e in entries if e.form == TAG and e.signature is not None]
        if tagged:
            _tagged(images, where, subject.digest, tagged, options, lease)
        for entry in entries:
            if entry.form == REFERRER and entry.signature is not None:
                config, manifest = attached.encode_referrer([entry.signature], subject)
                blobs = [config, entry.signature.payload]
            elif entry.form == BUNDLE:
                created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                config, manifest = bundle.encode_manifest(entry.bundle, subject, created)
                blobs = [config, entry.bundle]
            else:
                continue
            _send(images, Reference(where.registry, where.repository), blobs, manifest, options, lease)


def _tagged(
    images: Images,
    where: Reference,
    digest: str,
    signatures: list[Signature],
    options: PullOptions,
    lease: Lease,
) -> None:
    origin = remotes(where, options, Cancel(), actions="pull,push")[-1]
    try:
        before = tagged_layers(origin, digest)
        if before is not None:
            known = {(layer.digest, layer.annotations.get(attached.ANNOTATION)) for layer in before.layers}
            signatures = [s for s in signatures if (s.descriptor().digest, s.signature) not in known]
            if not signatures:
                return
            if len(before.manifest.layers) + len(signatures) > attached.MOST:
                raise InvalidInput(
                    f"{where.name}: {digest} has {attached.MOST} signatures, more are not read"
                )
    finally:
        origin.close()
    config, manifest = attached.encode(signatures, before.manifest if before is not None else None)
    blobs = [config, *(s.payload for s in signatures)]
    tag = Reference(where.registry, where.repository, attached.tag(digest))
    there = [layer.digest for layer in before.manifest.layers] if before is not None else []
    _send(images, tag, blobs, manifest, options, lease, there)


def _send(
    images: Images,
    where: Reference,
    blobs: Sequence[bytes],
    manifest: bytes,
    options: PullOptions,
    lease: Lease,
    there: Sequence[str] = (),
) -> None:
    for blob in blobs:
        images.content.put(blob, lease=lease)
    digest = images.content.put(manifest, lease=lease)
    target = Descriptor(media_type=OCI_MANIFEST, digest=digest, size=len(manifest))
    push_manifest(images, target, where, options=options, there=there)
