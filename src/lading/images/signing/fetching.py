"""The signatures that a registry has of a digest: cosign's tag first, then referrers of either form.

Nothing that arrives is trusted; what cannot be read is a failure that is told when no other signature counts.
"""

from __future__ import annotations

from lading.errors import Corrupt, Exhausted, LadingError, NotFound
from lading.formats import digest as digests
from lading.formats import jsontext
from lading.formats.oci_image import MANIFESTS, OCI_INDEX, Descriptor, Index
from lading.formats.signing import attached, bundle
from lading.images.oci import decode_index
from lading.images.push import referrers_tag
from lading.images.remote import MAX_MANIFEST, Answered
from lading.images.signing.kept import BUNDLE, REFERRER, TAG, Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lading.formats.signing.attached import Layers
    from lading.images.remote import Remote

_PAGES = 100
_MOST = 200
"""Signatures that are looked at under cosign's tag, and of referrers: whoever may push could attach without end."""


def fetch(remotes: Sequence[Remote], digest: str, failures: list[LadingError]) -> Iterator[Entry]:
    """Every signature of ``digest`` at the endpoints, in order. What cannot be read is added to ``failures``."""
    seen: set[Entry] = set()
    for remote in remotes:
        for found in (_tagged(remote, digest, failures), _referring(remote, digest, failures)):
            for entry in found:
                if entry not in seen:
                    seen.add(entry)
                    yield entry


def tagged_layers(remote: Remote, digest: str) -> Layers | None:
    """The manifest under cosign's tag, None when there is none. Raises what a registry's failure does."""
    name = attached.tag(digest)
    try:
        found = remote.manifest(name)
    except NotFound:
        return None
    return attached.decode(found.data, what=f"{remote.repository}:{name}")


def _tagged(remote: Remote, digest: str, failures: list[LadingError]) -> Iterator[Entry]:
    try:
        layers = tagged_layers(remote, digest)
    except LadingError as error:
        remote.cancel.check()
        failures.append(error)
        return
    if layers is not None:
        yield from _payloads(remote, layers, TAG, failures)


def _payloads(
    remote: Remote, layers: Layers, form: str, failures: list[LadingError], most: int = _MOST
) -> Iterator[Entry]:
    if len(layers.layers) > most:
        failures.append(_too_many(remote))
    for layer in layers.layers[:most]:
        try:
            payload = _small(remote, layer)
        except LadingError as error:
            remote.cancel.check()
            failures.append(error)
            continue
        yield Entry(form, signature=attached.of_layer(layer, payload))


def _referring(remote: Remote, digest: str, failures: list[LadingError]) -> Iterator[Entry]:
    try:
        found = [d for d in referrers(remote, digest) if _interesting(d)]
    except LadingError as error:
        remote.cancel.check()
        failures.append(error)
        return
    if len(found) > _MOST:
        failures.append(_too_many(remote))
    left = _MOST
    for descriptor in found[:_MOST]:
        try:
            digests.check(descriptor.digest)
            manifest = attached.decode(
                remote.manifest(descriptor.digest).data, what=f"manifest {descriptor.digest}"
            )
            subject = manifest.manifest.subject
            if subject is None or subject.digest != digest:
                continue  # a list that a registry made up; the signature itself would say so too
            entries: list[Entry] = []
            if descriptor.artifact_type == attached.ARTIFACT_TYPE:
                entries += _payloads(remote, manifest, REFERRER, failures, left)
                left = max(0, left - len(manifest.layers))
            else:
                layer = next(
                    (w for w in manifest.manifest.layers if w.media_type.startswith(bundle.PREFIX)), None
                )
                if layer is not None and 0 <= layer.size <= bundle.LARGEST:
                    entries.append(Entry(BUNDLE, bundle=_small(remote, layer)))
        except LadingError as error:
            remote.cancel.check()
            failures.append(error)
            continue
        yield from entries


def _too_many(remote: Remote) -> Exhausted:
    return Exhausted(f"{remote.repository}: more than {_MOST} signatures", reason="payload")


def _interesting(descriptor: Descriptor) -> bool:
    kind = descriptor.artifact_type
    return descriptor.media_type in MANIFESTS and (
        kind == attached.ARTIFACT_TYPE or kind.startswith(bundle.PREFIX)
    )


def referrers(remote: Remote, digest: str) -> list[Descriptor]:
    """What a registry lists as being about ``digest``, by its API or in the index under the fallback tag.

    Source: distribution-spec, "Listing Referrers".
    """
    listed = api_referrers(remote, digest)
    if listed is not None:
        return listed
    try:
        found = remote.manifest(referrers_tag(digest))
    except NotFound:
        return []
    return decode_index(found.data, found.digest).manifests


def api_referrers(remote: Remote, digest: str) -> list[Descriptor] | None:
    """The same by the API alone, page by page; None where the registry has none."""
    what = f"referrers of {digest}"
    path = f"/v2/{remote.repository}/referrers/{digest}"
    found: list[Descriptor] = []
    try:
        for _ in range(_PAGES):
            with remote.request("GET", path, {"Accept": OCI_INDEX}, good=(200, 404), what=what) as answer:
                kind = answer.header("Content-Type").partition(";")[0].strip()
                link, url = answer.header("Link"), answer.url
                data = answer.read(MAX_MANIFEST)
            if answer.status != 200 or kind != OCI_INDEX:
                return None
            page = Index.decode(jsontext.loads(data, what=what), where=what, strict=False).manifests
            found += page
            path = remote.following(url, link, what)
            if not path or not page or sum(map(_interesting, found)) > _MOST:
                break
    except Answered as error:
        if error.status >= 500:  # an older registry answers what it does not know with 400 or 405
            raise
        return None
    return found


def _small(remote: Remote, layer: Descriptor) -> bytes:
    """A blob that is held in memory, verified."""
    digests.check(layer.digest)
    data = b""
    with remote.blob(layer.digest, layer.size) as stream:
        for piece in stream:
            data += piece
            if len(data) > layer.size:
                break
    if len(data) != layer.size or digests.of(data, layer.digest.partition(":")[0]) != layer.digest:
        raise Corrupt(f"blob {layer.digest}: what arrived is something else", reason="digest-mismatch")
    return data
