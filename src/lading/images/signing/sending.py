"""Attaching signatures to an image at its registry: added to those that are there, never instead of them.

A referrer is a manifest of its own, and two that sign at once do not meet. Under cosign's tag one manifest holds them all, and so
does the list of referrers where a registry has no API for it: these are added to by :mod:`~lading.images.amending`.
"""

from __future__ import annotations

import time

from lading.errors import InvalidInput
from lading.formats.oci_image import OCI_MANIFEST, Descriptor
from lading.formats.reference import Reference
from lading.formats.signing import attached, bundle
from lading.images.amending import amend
from lading.images.pull import remotes
from lading.images.push import push_manifest
from lading.images.remote_http import Cancel
from lading.images.signing.kept import BUNDLE, REFERRER, TAG
from lading.images.transfer import Progress
from lading.images.upload import Upload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.formats.signing.attached import Layers, Signature
    from lading.images import Images
    from lading.images.leases import Lease
    from lading.images.pull import PullOptions
    from lading.images.remote import FetchedManifest, Remote
    from lading.images.signing.kept import Entry


def attach(
    images: Images, where: Reference, subject: Descriptor, entries: Sequence[Entry], options: PullOptions
) -> None:
    """Send ``entries``, which sign ``subject``, to the repository of ``where``. Raises as a push does."""
    with images.lease() as lease:
        tagged = [e.signature for e in entries if e.form == TAG and e.signature is not None]
        if tagged:
            remote = remotes(where, options, Cancel(), actions="pull,push")[-1]
            try:
                _add_tagged(images, remote, subject.digest, tagged, lease)
            finally:
                remote.close()
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
            for blob in blobs:
                images.content.put(blob, lease=lease)
            digest = images.content.put(manifest, lease=lease)
            target = Descriptor(media_type=OCI_MANIFEST, digest=digest, size=len(manifest))
            push_manifest(images, target, Reference(where.registry, where.repository), options=options)


def _add_tagged(
    images: Images, remote: Remote, digest: str, signatures: Sequence[Signature], lease: Lease
) -> None:
    """Add those of ``signatures`` of ``digest`` that are not there under cosign's tag."""
    tag = attached.tag(digest)

    def add(found: FetchedManifest | None) -> bytes | None:
        before = None
        if found is not None:
            before = attached.decode(found.data, what=f"{remote.repository}:{tag}")
        missing = [s for s in signatures if not _listed(s, before)]
        if not missing:
            return None
        if before is not None and len(before.manifest.layers) + len(missing) > attached.MOST:
            raise InvalidInput(
                f"{remote.repository}: {digest} has {attached.MOST} signatures, more are not read"
            )
        config, manifest = attached.encode(missing, before.manifest if before is not None else None)
        for blob in (config, *(s.payload for s in missing)):
            Upload(remote, images.content, images.content.put(blob, lease=lease), Progress()).run()
        return manifest

    amend(remote, tag, OCI_MANIFEST, add, what=f"signatures of {digest}")


def _listed(signature: Signature, layers: Layers | None) -> bool:
    wanted = (signature.descriptor().digest, signature.signature)
    found = layers.layers if layers is not None else []
    return any((layer.digest, layer.annotations.get(attached.ANNOTATION)) == wanted for layer in found)
