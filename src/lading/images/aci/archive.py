"""Archives that are not in the store: checked from end to end, read for their manifest, or unpacked into a directory.

What :func:`examine` takes is what the store takes, and what it refuses the store refuses for the same reason.
"""

from __future__ import annotations

import os

from lading.errors import Exhausted, InvalidInput
from lading.formats import digest as digests
from lading.formats import jsontext
from lading.formats.appc.image import ImageManifest
from lading.formats.appc.record import spelled, unknown_fields
from lading.formats.appc.values import image_id_of
from lading.images.aci.receive import check_compression
from lading.images.beside import Making
from lading.images.compression import decompress, sniff
from lading.images.files import disk_error
from lading.images.limits import Limits
from lading.images.rooted import RootedReader, bad_link, through_link, twice
from lading.images.tarentry import BLOCK, CHARACTER, DIRECTORY, HARDLINK, SYMLINK, Entry, show
from lading.images.unpack import Extractor
from lading.images.unpack_attributes import refuse_xattrs
from lading.images.unpacked import hostile

TYPE_CHECKING = False
if TYPE_CHECKING:
    import hashlib
    from collections.abc import Iterable, Iterator

_CHUNK = 1 << 20
_MADE_UP, _DIRECTORY, _OTHER = range(3)


class Examined:
    """What an archive turned out to be.

    ``text``     the bytes of its manifest.
    ``unknown``  fields of the manifest that nobody knows.
    ``entries``  in its root; ``size`` the bytes of its files.
    """

    __slots__ = ("compression", "entries", "image_id", "manifest", "size", "text", "unknown")

    def __init__(
        self, image_id: str, text: bytes, compression: str, entries: int, size: int, what: str
    ) -> None:
        self.image_id = image_id
        self.text = text
        self.compression = compression
        self.entries = entries
        self.size = size
        self.manifest = ImageManifest.parse(text, what=f"{what}: manifest")
        self.unknown = unknown_fields(self.manifest, spelled(jsontext.loads(text)))


def pieces_of(path: str) -> Iterator[bytes]:
    """The bytes of a file; of standard input for ``-``."""
    fd = -1
    try:
        fd = os.dup(0) if path == "-" else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        while piece := os.read(fd, _CHUNK):
            yield piece
    except IsADirectoryError:
        raise InvalidInput(f"{path} is a directory, not a file") from None
    except OSError as error:
        raise disk_error(error, f"cannot read {path}") from None
    finally:
        if fd >= 0:
            os.close(fd)


def examine(pieces: Iterable[bytes], *, what: str = "the archive", limits: Limits | None = None) -> Examined:
    """Read an archive through and check everything that can be checked without keeping it. Raises as the store does."""
    limits = limits or Limits.from_environment()
    plain = _Plain(pieces, what, limits)
    reader = RootedReader(plain)
    names = _Names(limits)
    while (entry := reader.next()) is not None:
        names.add(entry)
    reader.stream.drain()
    text = reader.manifest or b""
    return Examined(plain.image_id, text, plain.compression, names.entries, names.size, what)


def manifest_of(pieces: Iterable[bytes], *, what: str = "the archive") -> bytes:
    """The manifest of an archive, of which little more is read than it takes to find it. Raises :class:`InvalidInput`."""
    reader = RootedReader(_Plain(pieces, what, Limits.from_environment()))
    while reader.manifest is None and reader.next() is not None:
        pass
    text = reader.manifest or b""
    ImageManifest.parse(text, what=f"{what}: manifest")
    return text


def extract(
    pieces: Iterable[bytes],
    directory: str,
    *,
    root_only: bool,
    what: str = "the archive",
    overwrite: bool = False,
) -> str:
    """Unpack an archive into a new directory: ``manifest`` and ``rootfs``, or the root alone. Its image ID.

    Raises :class:`InvalidInput` for a directory that is there, unless ``overwrite`` says that it goes, and as the store does;
    then nothing is left.
    """
    limits = Limits.from_environment()
    plain = _Plain(pieces, what, limits)
    with Making(directory, overwrite=overwrite) as made:
        target = made.path if root_only else made.path + "/rootfs"
        os.makedirs(target, exist_ok=True)
        root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        extractor = Extractor(root, limits=limits, differences=False)
        try:
            reader = RootedReader(plain)
            extractor.extract(reader)
            reader.stream.drain()
        finally:
            extractor.close()
            os.close(root)
        text = reader.manifest or b""
        ImageManifest.parse(text, what=f"{what}: manifest")
        if not root_only:
            made.write_manifest(text)
    return plain.image_id


class _Plain:
    """The uncompressed bytes of an archive, hashed on the way. ``image_id`` is known at their end."""

    def __init__(self, pieces: Iterable[bytes], what: str, limits: Limits) -> None:
        self._pieces = pieces
        self._what = what
        self._limits = limits
        self._received = 0
        self._hash: hashlib._Hash = digests.hasher("sha512")
        self.compression = ""

    @property
    def image_id(self) -> str:
        return image_id_of(f"sha512:{self._hash.hexdigest()}")

    def _counted(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if not self._received:
                check_compression(piece, self._what)
                self.compression = sniff(piece)
            self._received += len(piece)
            yield piece

    def __iter__(self) -> Iterator[bytes]:
        total = 0
        for piece in decompress(self._counted(), what=self._what):
            self._hash.update(piece)
            total += len(piece)
            if total > self._limits.ratio_after and total > self._limits.ratio * self._received:
                raise Exhausted(
                    f"{self._what} unpacks to more than {self._limits.ratio} times its size",
                    reason="too-large",
                )
            yield piece


class _Names:
    """Follows the entries of a root as the extractor would make them. Of each name 16 bytes are kept, however long it is."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kinds: dict[bytes, int] = {}
        self.entries = self.size = 0

    def add(self, entry: Entry) -> None:
        """Check the next entry. Raises what :class:`Extractor` raises for it."""
        limits = self._limits
        self.entries += 1
        if self.entries > limits.entries:
            raise Exhausted(f"the archive has more than {limits.entries} entries", reason="too-many")
        name = entry.name
        if len(name) > limits.path or any(len(part) > 255 for part in name.split(b"/")):
            raise hostile(f"{show(name)}: the name is too long")
        self._make_parents(name)
        known = self._kinds.get(_short(name))
        if entry.kind == DIRECTORY:
            if known not in (None, _MADE_UP):
                raise twice(name or b"rootfs")
            self._kinds[_short(name)] = _DIRECTORY
        else:
            target = self._target(name, entry.linkname) if entry.kind == HARDLINK else _OTHER
            if known is not None:
                raise twice(name)
            if target != _OTHER:
                raise hostile(f"{show(name)}: a hard link to a directory")
            self._kinds[_short(name)] = _OTHER
        self.size += entry.stored
        if self.size > limits.bytes or entry.size > limits.bytes:
            raise Exhausted(
                f"{show(name)}: the archive unpacks to more than {limits.bytes} bytes", reason="too-large"
            )
        if entry.kind == SYMLINK and not 0 < len(entry.linkname) <= limits.path:
            raise hostile(f"{show(name)}: the symbolic link's target is empty or too long")
        if entry.kind in (CHARACTER, BLOCK) and (entry.device[0] >= 1 << 12 or entry.device[1] >= 1 << 20):
            raise InvalidInput(
                f"{show(name)}: the device {entry.device[0]}:{entry.device[1]} does not exist on Linux"
            )
        if entry.kind != HARDLINK:
            refuse_xattrs(entry)

    def _make_parents(self, name: bytes) -> None:
        above = name.rpartition(b"/")[0]
        missing = []
        while above and (kind := self._kinds.get(_short(above))) != _DIRECTORY:
            if kind == _OTHER:
                raise through_link(name)
            if kind == _MADE_UP:
                break
            missing.append(above)
            above = above.rpartition(b"/")[0]
        for part in missing:
            self._kinds[_short(part)] = _MADE_UP

    def _target(self, name: bytes, target: bytes) -> int:
        """What a hard link leads to."""
        above = target
        while above := above.rpartition(b"/")[0]:
            if self._kinds.get(_short(above)) == _OTHER:
                raise through_link(above)
        kind = self._kinds.get(_short(target))
        if kind is None:
            raise bad_link(name, target)
        return kind


def _short(name: bytes) -> bytes:
    made = digests.hasher("sha256")
    made.update(name)
    return made.digest()[:16]
