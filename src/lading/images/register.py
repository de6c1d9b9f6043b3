"""Making stored content an image: the end of every pull, load, import, commit and bootstrap."""

from __future__ import annotations

import os

from lading.errors import Corrupt, InvalidInput, NotFound
from lading.formats import platform as platforms
from lading.formats.oci_image import INDEXES, Descriptor, ImageConfig, Platform
from lading.formats.reference import Reference
from lading.images.files import Lock
from lading.images.image import Image
from lading.images.names import Named
from lading.images.oci import Resolved, format_of, new_image
from lading.images.stacking import root_owner, stack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from lading.images import Images
    from lading.images.aliases import Alias
    from lading.images.layers import Layer
    from lading.images.leases import Lease
    from lading.images.source import Source


def register(
    images: Images,
    target: Descriptor,
    names: Collection[str],
    *,
    lease: Lease,
    platform: str,
    alias: Alias | None = None,
    pulled: bool = False,
) -> Image:
    """See :meth:`Images.register`."""
    references = [Reference.parse(name) for name in names]
    for reference in references:
        # Whoever asks for a digest gets what has it, whatever an archive calls its images.
        if reference.digest and reference.digest != target.digest:
            raise Corrupt(
                f"{reference}: the image has the digest {target.digest}, which its name denies",
                reason="digest-mismatch",
            )
    lease.add(target.digest)
    form = format_of(target.media_type)
    manifest = form.choose(images.content, target, platforms.parse(platform))
    lease.add(manifest.digest)
    resolved = form.resolve(images.content, manifest)
    lease.add(resolved.id, *(source.blob.digest for source in resolved.sources))
    image = _resolve(images, resolved, form.kind, lease)
    with Lock(images.root + "/lock", exclusive=False):
        # Record and name together under the lock: a remove in between would leave a name without an image.
        images.resolved.put(image)
        for reference in references:
            images.names.set(reference, Named(target, image.digest, pulled=pulled))
        if alias is not None:
            images.aliases.set(alias)
    return image


def _resolve(images: Images, resolved: Resolved, kind: str, lease: Lease) -> Image:
    layers = unpack_all(images, resolved.sources, lease)
    keys = stack(images.layers, layers, lease=lease)
    images.layers.settle(keys)
    return Image(
        id=resolved.id,
        descriptor=resolved.descriptor,
        kind=kind,
        config=resolved.config,
        layers=[images.layers.directory(key) for key in keys],
        diff_ids=[source.diff_id for source in resolved.sources],
        size=sum(layer.size for layer in layers),
        owner=root_owner(layers),
        find_names=images._names_of,
    )


def unpack_all(images: Images, sources: list[Source], lease: Lease) -> list[Layer]:
    """The unpacked layers, bottom first; what is missing is unpacked from its blob, several at once."""
    store, content = images.layers, images.content
    lease.add(*("layer:" + source.key for source in sources))
    found = {source.key: store.get(source) for source in sources}
    wholes = {s.whole().key: s.whole() for s in sources if found[s.key] is None}
    lease.add(*("layer:" + key for key in wholes))
    found.update((key, store.get(whole)) for key, whole in wholes.items())
    missing = {key: whole for key, whole in wholes.items() if found[key] is None}
    if len(missing) > 1:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(min(len(missing), os.cpu_count() or 1, 4)) as pool:
            work = {
                key: pool.submit(store.unpack, content.chunks(source.blob.digest), source, lease=lease)
                for key, source in missing.items()
            }
        found.update({key: w.result() for key, w in work.items()})
    else:
        for key, source in missing.items():
            found[key] = store.unpack(content.chunks(source.blob.digest), source, lease=lease)
    for source in sources:
        layer = found[source.whole().key] if found[source.key] is None else None
        if layer is not None:
            from lading.images.narrowing import narrowed

            found[source.key] = narrowed(store, layer, source, lease=lease)
    return [layer for source in sources if (layer := found[source.key]) is not None]


def create(
    images: Images,
    config: ImageConfig,
    layers: list[Descriptor],
    diff_ids: list[str],
    names: Collection[str],
    *,
    lease: Lease,
) -> Image:
    """Store the configuration and manifest of an image made here, and register it.

    One that is here as it would be made is left alone, and so are names that mean it already.
    """
    from lading.formats.oci_image import OCI_MANIFEST

    config_data, manifest_data = new_image(config, layers, diff_ids)
    known = _known(images, manifest_data, names, lease)
    if known is not None:
        return known
    images.content.put(config_data, lease=lease)
    digest = images.content.put(manifest_data, lease=lease)
    target = Descriptor(media_type=OCI_MANIFEST, digest=digest, size=len(manifest_data))
    made_for = Platform(os=config.os, architecture=config.architecture, variant=config.variant)
    # One that is for no machine in particular is for this one.
    text = platforms.text(made_for) if made_for.os and made_for.architecture else ""
    return register(images, target, names, lease=lease, platform=text)


def _known(images: Images, manifest_data: bytes, names: Collection[str], lease: Lease) -> Image | None:
    """The image of this manifest with all of ``names``, when it is here: nothing would have to be written."""
    from lading.formats import digest as digests

    digest = digests.of(manifest_data)
    lease.add(digest)
    image = images.resolved.get(digest)
    if image is None or not images.content.has(digest) or not images.content.has(image.id):
        return None
    for name in names:
        named = images.names.get(Reference.parse(name))
        if named is None or named.image != digest or named.target.digest != digest:
            return None
    return image


def tag(images: Images, image: str | Image, name: str) -> None:
    """See :meth:`Images.tag`."""
    reference = Reference.parse(name)
    if reference.digest:
        raise InvalidInput(f"cannot tag {name!r}: a tag has no digest", hint="leave out @ and what follows")
    with images.lease() as lease:
        source = images.get(image) if isinstance(image, str) else image
        lease.add(source.digest)
        with Lock(images.root + "/lock", exclusive=False):
            if images.resolved.get(source.digest) is None:
                raise NotFound(f"image {source.short_id} was removed meanwhile")
            images.names.set(reference, Named(_target(images, image, source), source.digest))


def _target(images: Images, wanted: str | Image, image: Image) -> Descriptor:
    """Tagging by name keeps the whole index that the name stood for, so that it can be pushed."""
    if isinstance(wanted, str):
        try:
            named = images.names.get(Reference.parse(wanted))
        except InvalidInput:
            named = None
        if named is not None and named.image == image.digest:
            return named.target
    return image.descriptor


def for_platform(images: Images, reference: str, image: Image, platform: str) -> Image:
    """The image for ``platform`` behind a name, unpacking it when only its content is here."""
    wanted = platforms.parse(platform)
    if platforms.rank(image.platform, wanted) == 0 or not (image.platform.os or image.platform.architecture):
        return image  # an image that names no machine is for any
    try:
        named = images.names.get(Reference.parse(reference))
    except InvalidInput:
        named = None
    if named is not None:
        form = format_of(named.target.media_type)
        manifest = form.choose(images.content, named.target, wanted)
        # Otherwise it is the manifest that the image travels with (travelling.py).
        if manifest.digest != image.digest and named.target.media_type in INDEXES:
            found = images.resolved.get(manifest.digest)
            if found is not None:
                return found
            if images.content.has(manifest.digest):
                with images.lease() as lease:
                    return images.register(manifest, [], lease=lease, platform=platform)
        elif platforms.rank(image.platform, wanted) is not None:
            return image
    raise NotFound(
        f"image {reference!r} is here for {platforms.text(image.platform)}, not for {platforms.text(wanted)}",
        hint=f"`lading pull --platform {platforms.text(wanted)} {reference}`",
        reason="platform",
    )
