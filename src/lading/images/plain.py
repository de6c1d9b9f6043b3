"""Archives that are no layers: what somebody packed, into a directory that may have files already.

The rules of :mod:`lading.images.unpack` hold; but a whiteout's name is a name like any other, hard links lead to what the same
archive holds or the directory has, and the directory itself keeps its attributes unless the archive speaks of it.
"""

from __future__ import annotations

import os

from lading.errors import LadingError
from lading.images.compression import decompress, sniff
from lading.images.tarentry import CHARACTER, DIRECTORY, Entry, show
from lading.images.tarread import TarReader
from lading.images.unpack import Extractor
from lading.images.unpacked import hostile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lading.images.limits import Limits
    from lading.images.rooted import RootedReader

    #: A mode and whether it is a directory's, to the mode it gets.
    Modes = Callable[[int, bool], int]

_CHUNK = 1 << 20
_HEAD = 512


class PlainExtractor(Extractor):
    """Writes an archive below the open directory ``root``. Use once, then :meth:`close`.

    ``owner``   uid and gid of everything, in place of the archive's. ``modes``: what becomes of its modes.
    ``moment``  the time of directories that it does not speak of, seconds since 1970; None for now.
    """

    def __init__(
        self,
        root: int,
        *,
        owner: tuple[int, int] | None = None,
        modes: Modes | None = None,
        moment: int | None = None,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(root, limits=limits)
        self._deletes = False
        self._owner = owner
        self._modes = modes
        self._moment = moment

    def _one(self, entry: Entry, reader: TarReader | RootedReader) -> None:
        if self._owner is not None:
            entry.uid, entry.gid = self._owner
        if self._modes is not None:
            entry.mode = self._modes(entry.mode, entry.kind == DIRECTORY)
        if entry.kind == CHARACTER and entry.device == (0, 0):
            raise hostile(f"{show(entry.name)}: the archive has a device that overlayfs takes for a deletion")
        super()._one(entry, reader)

    def _unsaid(self, fd: int, name: bytes) -> None:
        if not name:
            return
        os.fchown(fd, *(self._owner or (0, 0)))
        os.fchmod(fd, 0o755)
        if self._moment is not None:
            os.utime(fd, (self._moment,) * 2)


def pieces(fd: int) -> Iterator[bytes]:
    """An open file from its beginning."""
    position = 0
    while piece := os.pread(fd, _CHUNK, position):
        position += len(piece)
        yield piece


def is_archive(fd: int) -> bool:
    """Whether an open file is a tar archive with an entry, compressed or not: its first header decides."""
    head = os.pread(fd, _HEAD, 0)
    if not sniff(head) and len(head) < _HEAD:
        return False
    try:
        return TarReader(decompress(pieces(fd))).next() is not None
    except LadingError:
        return False


def extract(extractor: PlainExtractor, stream: Iterator[bytes], *, what: str) -> list[str]:
    """Unpack a stream, compressed or not; sentences about what could not be kept. Raises what :meth:`Extractor.extract` does."""
    try:
        return extractor.extract(TarReader(decompress(stream, what=what))).notes
    finally:
        extractor.close()
