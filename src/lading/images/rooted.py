"""Reading an archive that holds a whole image: a file ``manifest`` and everything of the root below ``rootfs/``.

It is not a layer of differences. Nothing in it speaks of what is below: a name that begins with ``.wh.`` is a file like any
other, no name stands twice, no entry goes through a symbolic link, and a hard link's target comes before it. Where readers of
the world disagree about an archive it is refused.
"""

from __future__ import annotations

from lading.errors import Corrupt, InvalidInput
from lading.images.tarentry import CHARACTER, DIRECTORY, HARDLINK, REGULAR, Entry, show
from lading.images.tarread import TarReader
from lading.images.unpacked import hostile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lading.images.tarread import Stream

LARGEST_MANIFEST = 4 << 20
_MANIFEST, _ROOT = b"manifest", b"rootfs"


class RootedReader:
    """Entries of the root, by their names in it; the root itself has the name ``b""``. Used as :class:`TarReader` is.

    ``manifest`` holds the file of that name as soon as it was passed; it may come last.
    """

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._tar = TarReader(pieces)
        self._rooted = False
        self.manifest: bytes | None = None

    @property
    def stream(self) -> Stream:
        """The bytes below."""
        return self._tar.stream

    def data(self) -> Iterator[memoryview]:
        """See :meth:`TarReader.data`."""
        return self._tar.data()

    def whole(self) -> bytes | None:
        """See :meth:`TarReader.whole`."""
        return self._tar.whole()

    def next(self) -> Entry | None:
        """The next entry of the root, None at the end. Raises :class:`InvalidInput`, and what :meth:`TarReader.next` does.

        Reasons: ``bad-layout``, ``duplicate-entry``, ``no-manifest``, ``no-root``, ``hostile-archive``.
        """
        while (entry := self._tar.next()) is not None:
            name = _normal(entry.name)
            if not name and entry.kind == DIRECTORY:
                continue
            top, _, rest = name.partition(b"/")
            if name == _MANIFEST:
                self._take_manifest(entry)
            elif top == _ROOT:
                self._rooted = True
                return _below_root(entry, rest)
            else:
                raise InvalidInput(
                    f"{show(entry.name)}: an image archive has nothing but manifest and rootfs/ at its top",
                    reason="bad-layout",
                )
        if self.manifest is None:
            raise InvalidInput("the archive has no manifest", reason="no-manifest")
        if not self._rooted:
            raise InvalidInput("the archive has no rootfs", reason="no-root")
        return None

    def _take_manifest(self, entry: Entry) -> None:
        if self.manifest is not None:
            raise twice(_MANIFEST)
        if entry.kind != REGULAR or entry.sparse is not None:
            raise InvalidInput("the manifest of the archive is not a plain file", reason="bad-layout")
        if entry.size > LARGEST_MANIFEST:
            raise InvalidInput(
                f"the manifest has {entry.size} bytes, more than {LARGEST_MANIFEST}", reason="too-large"
            )
        self.manifest = b"".join(self._tar.data())


def twice(name: bytes) -> InvalidInput:
    """The error for the second entry of one name: readers disagree about which of them counts."""
    return InvalidInput(f"{show(name)} is in the archive twice", reason="duplicate-entry")


def through_link(name: bytes) -> InvalidInput:
    """The error for an entry below something that is no directory."""
    return hostile(f"{show(name)}: what is above it in the archive is no directory")


def bad_link(name: bytes, target: bytes) -> Corrupt:
    """The error for a hard link to what has not come yet, or never does."""
    return Corrupt(
        f"{show(name)} is a hard link to {show(target)}, which is not before it in the archive",
        reason="bad-link",
    )


def _below_root(entry: Entry, name: bytes) -> Entry:
    if not name and entry.kind != DIRECTORY:
        raise InvalidInput("rootfs in the archive is not a directory", reason="bad-layout")
    if entry.kind == HARDLINK:
        top, _, target = _normal(entry.linkname).partition(b"/")
        if top != _ROOT or not target:
            raise hostile(f"{show(entry.name)}: a hard link to {show(entry.linkname)}, outside rootfs")
        entry.linkname = target
    if entry.kind == CHARACTER and entry.device == (0, 0):
        raise hostile(f"{show(entry.name)}: the device 0:0 would delete what is below in the overlay")
    if entry.kind == REGULAR and not (entry.mode or entry.size or entry.mtime):
        # Just this, under a name with .wh., is the mark of a deletion (union.is_mark), and no archive shall make one.
        entry.mtime = 1_000_000_000
    entry.name = name
    return entry


def _normal(name: bytes) -> bytes:
    """Without empty and ``.`` components. Raises :class:`InvalidInput` for absolute names and ``..``."""
    if name[:1] == b"/":
        raise hostile(f"{show(name)}: the name is absolute")
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise hostile(f"{show(name)}: the name leaves its directory")
    return b"/".join(parts)
