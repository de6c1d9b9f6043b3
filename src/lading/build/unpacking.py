"""ADD of an archive: its entries instead of itself."""

from __future__ import annotations

import os

from lading.build.copying import refuse_mark
from lading.build.trees import unreadable
from lading.errors import LadingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.build.copying import Place
    from lading.build.graph import CopyOp
    from lading.build.taking import Taken
    from lading.build.trees import Tree
    from lading.images.rooted import RootedReader
    from lading.images.tarentry import Entry
    from lading.images.tarread import TarReader


def unpack(place: Place, tree: Tree, source: Taken, op: CopyOp) -> bool:
    """Unpack ``source`` into the destination when it is an archive; whether it was one.

    Owners are the archive's unless the instruction says whose they are. Raises :class:`Corrupt`, :class:`Exhausted`,
    :class:`InvalidInput` (``hostile-archive``) for an archive that turns out to be none, too large, or no friend.
    """
    from lading.images.plain import PlainExtractor, extract, is_archive, pieces
    from lading.images.tarentry import show

    class Added(PlainExtractor):
        def _one(self, entry: Entry, reader: TarReader | RootedReader) -> None:
            for part in entry.name.split(b"/"):
                if part.startswith(b".wh."):
                    refuse_mark(show(part), show(entry.name))
            super()._one(entry, reader)

    for found in tree.walk(source.real):
        if not found.is_file:
            return False
        try:
            fd = found.open()
        except OSError as error:
            raise unreadable(found.path, tree.what, error) from None
        try:
            if not is_archive(fd):
                return False
            directory = place.directory(op.destination, mode=0o755)
            try:
                extractor = Added(
                    directory,
                    owner=place.attributes.owner if op.owner else None,
                    modes=place.attributes.modes,
                    moment=place.attributes.moment,
                )
                place.notes += extract(extractor, pieces(fd), what=found.path)
            except LadingError as error:
                error.message = f"{found.path}: {error.message}"
                raise
            finally:
                os.close(directory)
        finally:
            os.close(fd)
        return True
    return False
