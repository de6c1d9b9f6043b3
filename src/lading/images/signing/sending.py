"""Attaching signatures to an image at its registry: added to those that are there, never instead of them.

A referrer is a manifest of its own, and two that sign at once do not meet. Under cosign's tag one manifest holds them all, which
is read, added to and written back. So that nobody's is lost in between, the manifest is written on the condition that the tag
still is what was read (``If-Match``, RFC 9110, 13.1.1), and begun again where it is not. Most registries know no such condition,
and other signers do not use it: so the tag is read once more when it is written, at once and after a while, and what somebody has
overwritten is added again.
"""

from __future__ import annotations

import time

from lading.errors import InvalidInput, NotFound, RemoteError
from lading.formats import digest as digests
from lading.formats.oci_image import OCI_MANIFEST, Descriptor
from lading.formats.reference import Reference
from lading.formats.signing import attached, bundle
from lading.images.pull import remotes
from lading.images.push import push_manifest
from lading.images.remote import backoff
from lading.images.remote_http import Cancel
from lading.images.signing.kept import BUNDLE, REFERRER, TAG
from lading.images.transfer import Progress
from lading.images.upload import Upload, check_digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.formats.signing.attached import Layers, Signature
    from lading.images import Images
    from lading.images.leases import Lease
    from lading.images.pull import PullOptions
    from lading.images.remote import Remote
    from lading.images.signing.kept import Entry

_ATTEMPTS = 40
"""How often a tag is written whose others write it as well: each round one of them at least is through."""
_SETTLE = 0.5
"""The least seconds after which a tag is looked at again: by then others have written what they began before ours was there."""


def attach(
    images: Images, where: Reference, subject: Descriptor, entries: Sequence[Entry], options: PullOptions
) -> None:
    """Send ``entries``, which sign ``subject``, to the repository of ``where``. Raises as a push does."""
    with images.lease() as lease:
        tagged = [e.signature for e in entries if e.form == TAG and e.signature is not None]
        if tagged:
            remote = remotes(where, options, Cancel(), actions="pull,push")[-1]
            try:
                _Tag(images, remote, subject.digest, lease).add(tagged)
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


class _Tag:
    """Cosign's tag of what signs ``digest``, at the repository of ``remote``."""

    def __init__(self, images: Images, remote: Remote, digest: str, lease: Lease) -> None:
        self._images = images
        self._remote = remote
        self._digest = digest
        self._lease = lease
        self._name = attached.tag(digest)
        self._conditional = True
        self._window = 0.0  # seconds between reading the tag and having written it

    def add(self, signatures: Sequence[Signature]) -> None:
        """Add those of ``signatures`` that are not there. Raises as a push does, :class:`InvalidInput` for too many."""
        settled, refused = True, None
        for attempt in range(_ATTEMPTS):
            found = self._read()
            missing = [s for s in signatures if not _listed(s, found)]
            if not missing:
                if settled:
                    return
                self._remote.cancel.sleep(max(_SETTLE, 3 * self._window))
                settled = True
                continue
            if refused is not None and refused == found.digest:
                self._conditional = False  # it means something else by our condition
            began = time.monotonic()
            written = self._write(missing, found)
            settled = False
            self._window = max(self._window, time.monotonic() - began)
            refused = None if written else found.digest
            if not written or attempt:  # somebody else is at it: not all at once again
                self._remote.cancel.sleep(backoff(1 + min(attempt, 3)))
        raise RemoteError(
            f"{self._remote.repository}: others sign {self._digest} all the time",
            hint="try again, or sign with --form referrer",
            reason="busy",
        )

    def _read(self) -> _Found:
        try:
            found = self._remote.manifest(self._name)
        except NotFound:
            return _Found("", None)
        what = f"{self._remote.repository}:{self._name}"
        return _Found(found.digest, attached.decode(found.data, what=what))

    def _write(self, signatures: Sequence[Signature], found: _Found) -> bool:
        """Write the tag with ``signatures`` behind what was ``found``; False where it is something else by now."""
        before = found.layers.manifest if found.layers is not None else None
        if before is not None and len(before.layers) + len(signatures) > attached.MOST:
            raise InvalidInput(
                f"{self._remote.repository}: {self._digest} has {attached.MOST} signatures, more are not read"
            )
        config, manifest = attached.encode(list(signatures), before)
        for blob in (config, *(s.payload for s in signatures)):
            stored = self._images.content.put(blob, lease=self._lease)
            Upload(self._remote, self._images.content, stored, Progress()).run()
        headers = {"Content-Type": OCI_MANIFEST}
        if self._conditional:
            name, value = ("If-Match", f'"{found.digest}"') if found.digest else ("If-None-Match", "*")
            headers[name] = value
        what, digest = f"signatures of {self._digest}", digests.of(manifest)
        path = f"/v2/{self._remote.repository}/manifests/{self._name}"
        good = (200, 201, 202, 412)
        with self._remote.request("PUT", path, headers, manifest, good=good, what=what) as answer:
            claimed = answer.header("Docker-Content-Digest").strip()
            answer.drain()
        if answer.status == 412:
            return False
        check_digest(self._remote, claimed, digest, what)
        return True


class _Found:
    """What the tag stands for: its ``digest``, empty where there is none, and the signatures."""

    __slots__ = ("digest", "layers")

    def __init__(self, digest: str, layers: Layers | None) -> None:
        self.digest = digest
        self.layers = layers


def _listed(signature: Signature, found: _Found) -> bool:
    wanted = (signature.descriptor().digest, signature.signature)
    layers = found.layers.layers if found.layers is not None else []
    return any((layer.digest, layer.annotations.get(attached.ANNOTATION)) == wanted for layer in layers)
