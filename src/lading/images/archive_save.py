"""Writing images into archives that everybody reads.

One layout serves all: an OCI image layout, and for ``docker-archive`` Docker's ``manifest.json`` beside it that points at
the same blobs (as Docker itself writes since version 25). Blobs are written as they were received, each once, so digests
survive every round trip.
Source: OCI image-spec, image-layout.md.
"""

from __future__ import annotations

import os

from lading.errors import InvalidInput
from lading.formats import jsontext
from lading.formats.oci_image import OCI_INDEX, Descriptor, Index
from lading.formats.reference import Reference
from lading.images import rendering
from lading.images.files import disk_error, remove_tree, sync_file_system, write_atomically
from lading.images.oci import Resolved, format_of
from lading.images.tarentry import DIRECTORY, Entry
from lading.images.tarwrite import TarWriter
from lading.images.travelling import compressed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from lading.images import Images
    from lading.images.image import Image
    from lading.images.leases import Lease

FORMATS = ("docker-archive", "oci-archive", "oci-dir")


def save(
    images: Images, references: Sequence[str], out: BinaryIO | str, *, format: str, platform: str = ""
) -> None:
    """See :meth:`Images.save`."""
    if format not in FORMATS:
        raise InvalidInput(f"archive format {format!r} is not one of {', '.join(FORMATS)}")
    if not references:
        raise InvalidInput("no image to save")
    with images.lease() as lease:
        # Docker's archives have layers as they are; an OCI layout has what registries have, as other tools expect it.
        travels = format != "docker-archive"
        entries, docker = _plan(images, references, platform, lease, travels=travels)
        write(images, entries, docker, out, format=format, lease=lease)


def write(
    images: Images,
    entries: list[Descriptor],
    docker: list[dict[str, object]],
    out: BinaryIO | str,
    *,
    format: str,
    lease: Lease,
) -> None:
    """Write an archive of ``entries``, an OCI layout's index; ``docker`` are those of ``manifest.json`` where that is written."""
    blobs = _blobs(images, entries, lease)
    index = Index(media_type=OCI_INDEX, manifests=entries)
    small = {
        "index.json": jsontext.dumps(index.encode(), sort=True).encode(),
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
    }
    if format == "docker-archive":
        small["manifest.json"] = jsontext.dumps(docker).encode()
    if isinstance(out, str):
        if format != "oci-dir":
            raise InvalidInput(f"{format} is written to a stream, not to a directory")
        _write_directory(images, out, blobs, small)
    elif format == "oci-dir":
        raise InvalidInput("oci-dir is written to a directory", hint="name it with --output")
    else:
        _write_archive(images, out, blobs, small)


def _plan(
    images: Images, references: Sequence[str], platform: str, lease: Lease, *, travels: bool
) -> tuple[list[Descriptor], list[dict[str, object]]]:
    """Entries for the layout's index, and Docker's ``manifest.json``."""
    entries: list[Descriptor] = []
    docker: dict[str, dict[str, object]] = {}
    for text in references:
        image = images.get(text, platform)
        lease.add(image.digest)
        reference, target = _named(images, text, image)
        portable = format_of(image.descriptor.media_type).portable(images, image, lease)
        if platform or target.digest == image.digest or not _complete(images, target):
            target = portable.descriptor
        alone = target.digest == portable.descriptor.digest
        if travels:
            target = compressed(images, target, lease=lease)
        described = Descriptor(
            media_type=target.media_type,
            digest=target.digest,
            size=target.size,
            platform=image.platform if alone else None,
        )
        if reference is not None and reference.tag:
            described.annotations = named(reference)
        if described not in entries:
            entries.append(described)
        item = docker.setdefault(portable.descriptor.digest, docker_item(portable))
        if reference is not None and reference.tag:
            tags = item["RepoTags"]
            assert isinstance(tags, list)
            tag = reference.with_tag(reference.tag).familiar
            if tag not in tags:
                tags.append(tag)
    return entries, list(docker.values())


def named(reference: Reference) -> dict[str, str]:
    """The annotations by which readers of a layout find an image's name."""
    tagged = reference.with_tag(reference.tag)
    return {
        "io.containerd.image.name": tagged.canonical,
        "org.opencontainers.image.ref.name": tagged.familiar,
    }


def _named(images: Images, text: str, image: Image) -> tuple[Reference | None, Descriptor]:
    try:
        reference: Reference | None = Reference.parse(text)
    except InvalidInput:
        reference = None
    named = images.names.get(reference) if reference is not None else None
    if named is None:
        return _tag_of_alias(images, text, image), image.descriptor
    return reference, named.target


def _tag_of_alias(images: Images, text: str, image: Image) -> Reference | None:
    """What others may call an image that was named in another format's words: its name and version, where those are a tag."""
    for alias in images.aliases.list():
        if alias.target.digest == image.digest and text.partition(",")[0].partition(":")[0] == alias.name:
            try:
                return Reference.parse(alias.text.partition(",")[0])
            except InvalidInput:
                return None
    return None


def _complete(images: Images, target: Descriptor) -> bool:
    """Whether everything below ``target`` is here: an index that lost platforms is not written as a whole."""
    return all(
        rendering.has(images, d.digest)
        for d in format_of(target.media_type).references(images.content, target)
    )


def docker_item(image: Resolved) -> dict[str, object]:
    """An image's entry in Docker's ``manifest.json``, without a name."""
    return {
        "Config": _path(image.id),
        "RepoTags": [],
        "Layers": [_path(source.blob.digest) for source in image.sources],
    }


def _path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/", 1)


def _blobs(images: Images, targets: list[Descriptor], lease: Lease) -> list[str]:
    found: dict[str, None] = {}
    for target in targets:
        for descriptor in format_of(target.media_type).references(images.content, target):
            found[descriptor.digest] = None
    lease.add(*found)
    return sorted(found)


def _write_archive(images: Images, out: BinaryIO, blobs: list[str], small: dict[str, bytes]) -> None:
    tar = TarWriter(out.write)
    try:
        algorithms = sorted({digest.partition(":")[0] for digest in blobs})
        for name in ("blobs", *(f"blobs/{a}" for a in algorithms)):
            tar.add(Entry(name.encode(), DIRECTORY, mode=0o755))
        for digest in blobs:
            tar.add(Entry(_path(digest).encode(), mode=0o444, size=rendering.size(images, digest)))
            for piece in rendering.verified(images, digest):
                tar.data(piece)
        for name, data in sorted(small.items()):
            tar.add(Entry(name.encode(), size=len(data)))
            tar.data(data)
        tar.close()
        out.flush()
    except OSError as error:
        raise disk_error(error, "cannot write the archive") from None


def _write_directory(images: Images, path: str, blobs: list[str], small: dict[str, bytes]) -> None:
    path = os.path.abspath(path)
    fresh = not os.path.lexists(path)
    try:
        os.makedirs(path, exist_ok=True)
        if os.path.exists(path + "/index.json"):
            raise InvalidInput(f"{path} is an OCI layout already", hint="name a new directory")
        for digest in blobs:
            target = f"{path}/{_path(digest)}"
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                for piece in rendering.verified(images, digest):
                    file.write(piece)
        # What the index names has to be on the disk before it: one sync for all blobs.
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sync_file_system(fd)
        finally:
            os.close(fd)
        for name, data in sorted(small.items(), reverse=True):
            write_atomically(f"{path}/{name}", data)
    except BaseException as error:
        if fresh:
            remove_tree(path)
        if isinstance(error, OSError):
            raise disk_error(error, f"cannot write {path}") from None
        raise
