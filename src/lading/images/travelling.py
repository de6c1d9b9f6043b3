"""Images on their way to somewhere else: each layer a compressed blob, as registries and other machines expect it.

What was made here names its layers as they are kept, unpacked (:mod:`lading.images.rendering`). When such an image is pushed or
signed its layers are compressed, once: from then on its names stand for the manifest that travels; the image stays what it is,
with the same configuration and id, for those who have containers of it.
::

    layers/KEY/travels.json    the descriptor of the blob that the layer became when it travelled; it may be gone by now
    pins/layer-blob/NAME       blobs that builds made of layers and keep for the next one; NAME says layer, compression and level
"""

from __future__ import annotations

import os

from lading.errors import Corrupt, LadingError, NotFound
from lading.formats import digest as digests
from lading.formats import jsontext
from lading.formats.oci_image import (
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    INDEXES,
    MANIFESTS,
    OCI_LAYER_GZIP,
    Descriptor,
)
from lading.images import rendering
from lading.images.files import Lock, read, write_atomically
from lading.images.names import Named
from lading.images.oci import MAX_MANIFEST
from lading.images.source import layer_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.images import Images
    from lading.images.leases import Lease
    from lading.images.pack import Times

BLOBS = "layer-blob"
"""The kind of pins that say which blob a layer made here became: compressing it again would be for nothing."""
_NESTED = 4


def compressed(
    images: Images,
    target: Descriptor,
    *,
    lease: Lease,
    say: Callable[[str], None] = lambda _: None,
) -> Descriptor:
    """What travels of the manifest or index ``target``: itself, or the same with blobs in place of layers that are only unpacked.

    Names that stood for ``target`` stand for what is returned. ``say`` is told what takes time.
    Raises :class:`Corrupt` for a layer whose files changed, :class:`Exhausted`.
    """
    made = _compressed(images, target, lease, say, 0)
    if made.digest != target.digest:
        with Lock(images.root + "/lock", exclusive=False):
            for reference, named in list(images.names.list()):
                if named.target.digest == target.digest:
                    images.names.set(reference, Named(made, named.image, pulled=named.pulled))
    return made


def is_final(images: Images, digest: str) -> bool:
    """Whether the manifest or index is what registries would have: no layer below it waits for its compression.

    Of what is not here, or cannot be read, nothing is known that would speak against it.
    """
    waiting, seen = [digest], {digest}
    while waiting:
        try:
            data = images.content.read(waiting.pop(), limit=MAX_MANIFEST, verify=False)
            value = jsontext.loads(data)
        except LadingError:
            continue
        for part in ("manifests", "layers"):
            for entry in value.get(part) or () if isinstance(value, dict) else ():
                below = str(entry.get("digest")) if isinstance(entry, dict) else ""
                if not digests.is_digest(below) or below in seen:
                    continue
                seen.add(below)
                if part == "manifests":
                    waiting.append(below)
                elif not images.content.has(below) and rendering.layer_of(images, below) is not None:
                    return False
    return True


def _compressed(
    images: Images, target: Descriptor, lease: Lease, say: Callable[[str], None], depth: int
) -> Descriptor:
    lease.add(target.digest)
    if depth > _NESTED or not images.content.has(target.digest):
        return target
    if target.media_type not in INDEXES and target.media_type not in MANIFESTS:
        return target
    value = jsontext.loads(images.content.read(target.digest, limit=MAX_MANIFEST), what=target.digest)
    part = "manifests" if target.media_type in INDEXES else "layers"
    entries = value.get(part) if isinstance(value, dict) else None
    if not isinstance(entries, list):
        return target
    new = [_entry(images, entry, part, lease, say, depth) for entry in entries]
    if new == entries:
        return target
    data = jsontext.dumps({**value, part: new}, sort=True).encode()
    digest = images.content.put(data, lease=lease)
    return target.replace(digest=digest, size=len(data))


def _entry(
    images: Images, entry: object, part: str, lease: Lease, say: Callable[[str], None], depth: int
) -> object:
    """One entry of an index or a manifest's layer, as it travels."""
    try:
        old = Descriptor.decode(entry, strict=False)
    except LadingError:
        return entry
    if part == "manifests":
        made = _compressed(images, old, lease, say, depth + 1)
    elif images.content.has(old.digest) or rendering.layer_of(images, old.digest) is None:
        return entry
    else:
        made = _blob(images, old.digest, lease, say)
        made.media_type = DOCKER_LAYER_GZIP if old.media_type == DOCKER_LAYER else OCI_LAYER_GZIP
    if made.digest == old.digest:
        return entry
    assert isinstance(entry, dict)
    return {**entry, "mediaType": made.media_type, "digest": made.digest, "size": made.size}


def _blob(images: Images, diff_id: str, lease: Lease, say: Callable[[str], None]) -> Descriptor:
    """The layer as a blob that travels: the one that it became before, if that is still here."""
    lease.add(f"layer:{layer_key(diff_id)}")
    found = known(images, name(diff_id, "gzip", None, None), lease)
    if found is not None:
        return found[0]
    path = os.path.dirname(images.layers.directory(layer_key(diff_id))) + "/travels.json"
    try:
        made = Descriptor.decode(jsontext.loads(read(path) or b""), strict=False)
        lease.add(made.digest)
        if images.content.has(made.digest):
            return made
    except LadingError:
        pass
    say(f"compressing layer {digests.short(diff_id)}")
    made = _store(images, diff_id, "gzip", None, lease, None)[0]
    write_atomically(path, jsontext.dumps(made.encode()).encode())
    return made


def blob(
    images: Images,
    diff_id: str,
    compression: str,
    level: int | None,
    *,
    lease: Lease,
    times: Times | None = None,
) -> tuple[Descriptor, str]:
    """Store an unpacked layer that was made here as a blob, compressed: ``gzip``, ``zstd`` or ``uncompressed``.

    ``times`` makes it another layer, whose diff-id is returned beside the descriptor. What was made once is kept.
    Raises :class:`Corrupt` when the files are no more what the diff-id says.
    """
    called = name(diff_id, compression, level, times)
    found = known(images, called, lease)
    if found is not None:
        return found
    made = _store(images, diff_id, compression, level, lease, times)
    remember(images, called, diff_id, made)
    return made


def _store(
    images: Images, diff_id: str, compression: str, level: int | None, lease: Lease, times: Times | None
) -> tuple[Descriptor, str]:
    from lading.images.newlayer import LayerWriter
    from lading.images.pack import pack_changes

    layer = images.layers.by_key(layer_key(diff_id))
    if layer is None:
        raise Corrupt(f"layer {diff_id} is not here", hint="run `lading check --repair` and build again")
    with LayerWriter(images, lease=lease, compression=compression, level=level) as writer:
        if times is None and layer.tar is not None:
            rendering.render(layer, writer.write)
        else:
            pack_changes(layer.path, writer.write, times=times)
        return writer.finish(expected="" if times is not None else diff_id)


def name(diff_id: str, compression: str, level: int | None, times: Times | None) -> str:
    """What a blob made of the layer ``diff_id`` in this way is remembered under."""
    told = "" if times is None else f"-{times.latest}{'x' if times.exact else ''}"
    return f"{diff_id.partition(':')[2]}-{compression}{'' if level is None else f'-{level}'}{told}"


def known(images: Images, called: str, lease: Lease) -> tuple[Descriptor, str] | None:
    """The blob and diff-id that are remembered under ``called`` (:func:`name`) and here, or None; held by ``lease``."""
    try:
        pin = images.pins.get(BLOBS, called)
        if pin is None:
            return None
        lease.add(*pin.holds)
        found = Descriptor.decode(pin.about["blob"], strict=False)
        if not images.content.has(found.digest):
            return None
        images.pins.use(BLOBS, called)
        return found, digests.check(str(pin.about["diffID"]))
    except (Corrupt, NotFound, KeyError):
        return None


def remember(images: Images, called: str, diff_id: str, made: tuple[Descriptor, str]) -> None:
    """Which blob, of which diff-id, the layer ``diff_id`` became in the way that ``called`` (:func:`name`) says."""
    images.pins.put(
        BLOBS,
        called,
        holds=[made[0].digest, f"layer:{layer_key(diff_id)}"],
        about={"blob": made[0].encode(), "diffID": made[1]},
    )
