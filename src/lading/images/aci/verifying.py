"""Whether an image on disk still is what it was when it came: its content by digests, its unpacked roots by the archives.

Nothing is repaired here: `lading check --repair` does that for content, and fetching the image again for the rest.
"""

from __future__ import annotations

import os
import stat

from lading.errors import LadingError
from lading.images.aci.envelope import ENVELOPE, Envelope
from lading.images.aci.format import ACI
from lading.images.compression import decompress
from lading.images.rooted import RootedReader
from lading.images.tarentry import DIRECTORY, HARDLINK, REGULAR, SYMLINK, Entry, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lading.images import Images
    from lading.images.image import Image

_KINDS = {REGULAR: stat.S_IFREG, SYMLINK: stat.S_IFLNK, DIRECTORY: stat.S_IFDIR}
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def verify(images: Images, image: Image) -> Iterator[str]:
    """What is wrong with ``image`` and what it depends on, a sentence each; nothing when all of it is as it was."""
    content = images.content
    for found in ACI().references(content, image.descriptor):
        if not content.has(found.digest):
            yield f"content {found.digest} is missing"
        elif not content.verify(found.digest):
            yield f"content {found.digest} does not match its digest"
        elif found.media_type == ENVELOPE:
            try:
                yield from _root(images, Envelope.read(content, found.digest))
            except LadingError as error:
                yield f"content {found.digest}: {error.message}"


def _root(images: Images, envelope: Envelope) -> Iterator[str]:
    """What differs between an archive and the root that it was unpacked to. One that is not unpacked whole is none."""
    layer = images.layers.get(envelope.source(None))
    if layer is None or not os.path.isdir(layer.path):
        return
    chunks = images.content.chunks(envelope.aci.digest)
    reader = RootedReader(decompress(chunks, what=envelope.image_id[:19]))
    while (entry := reader.next()) is not None:
        wrong = _entry(layer.path.encode(), entry, reader)
        if wrong:
            yield f"{show(entry.name or b'rootfs')} of {envelope.image_id[:19]}: {wrong}"


def _entry(root: bytes, entry: Entry, reader: RootedReader) -> str:
    """What is wrong with one file; empty when nothing is. Entries are looked up as the extractor made them: through no link."""
    path = root + b"/" + entry.name
    try:
        there = os.lstat(path)
        if entry.kind == HARDLINK:
            other = os.lstat(root + b"/" + entry.linkname)
            return "" if (there.st_dev, there.st_ino) == (other.st_dev, other.st_ino) else "another hard link"
        if entry.kind not in _KINDS:
            return ""  # a device is what the machine could make of it: an ordinary user has none
        if stat.S_IFMT(there.st_mode) != _KINDS[entry.kind]:
            return "another kind of file"
        if entry.kind == SYMLINK:
            return "" if os.readlink(path) == entry.linkname else "it leads elsewhere"
        if stat.S_IMODE(there.st_mode) != entry.mode:
            return f"mode {stat.S_IMODE(there.st_mode):o}, not {entry.mode:o}"
        if entry.kind == REGULAR:
            return _content(path, entry, there, reader)
    except FileNotFoundError:
        return "it is missing"
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return ""


def _content(path: bytes, entry: Entry, there: os.stat_result, reader: RootedReader) -> str:
    if there.st_size != entry.size:
        return f"{there.st_size} bytes, not {entry.size}"
    if entry.sparse is not None:
        return ""  # its holes are no data of the archive; the size has been looked at
    fd = os.open(path, _FLAGS)
    try:
        for piece in reader.data():
            done = 0
            while done < len(piece):
                found = os.read(fd, len(piece) - done)
                if not found or found != piece[done : done + len(found)]:
                    return "other content"
                done += len(found)
    finally:
        os.close(fd)
    return ""
