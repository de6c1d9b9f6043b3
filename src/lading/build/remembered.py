"""What files contain, remembered between builds, so that a build with nothing to do only looks at status words.

A file is known by inode, size and times. What changed too shortly before it was read is not remembered: the clock of file
systems is coarse, and the next change may have the same time (git's "racy" rule).
"""

from __future__ import annotations

import os
import time

from lading.errors import LadingError
from lading.images.files import make_directories, read, write_atomically

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_RACY = 2_000_000_000  # nanoseconds
_MOST = 200_000  # files of one context
_VERSION = "1"


class Remembered:
    """Digests and attributes of the files of one directory, kept in the file ``path`` between builds.

    The file is a version and then name, status, digest and attributes of each, everything ended by a NUL.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._known: dict[str, tuple[str, str, str]] | None = None
        self._seen: dict[str, tuple[str, str, str]] = {}
        self._changed = False

    def facts(self, name: str, there: os.stat_result, find: Callable[[], tuple[str, str]]) -> tuple[str, str]:
        """What :func:`lading.build.trees.facts` says of a file with this status; ``find`` asks the file itself."""
        stamp = f"{there.st_dev} {there.st_ino} {there.st_size} {there.st_mtime_ns} {there.st_ctime_ns}"
        known = self._load().get(name)
        if known is not None and known[0] == stamp:
            self._seen[name] = known
            return known[1], known[2]
        # Read after the status was taken: a change between them makes the next status another one.
        found = find()
        if time.time_ns() - max(there.st_mtime_ns, there.st_ctime_ns) > _RACY:
            self._load()[name] = self._seen[name] = (stamp, *found)
            self._changed = True
        return found

    def _load(self) -> dict[str, tuple[str, str, str]]:
        if self._known is None:
            self._known = {}
            # A file that is broken spares no reading, and does no harm: a status belongs to one content.
            parts = (read(self._path) or b"").decode("utf-8", "surrogateescape").split("\0")
            if parts[0] == _VERSION and len(parts) % 4 == 2:
                fields = iter(parts[1:-1])
                self._known = {
                    name: (stamp, digest, attributes)
                    for name, stamp, digest, attributes in zip(fields, fields, fields, fields, strict=True)
                }
        return self._known

    def save(self) -> None:
        """Keep what was learned. A full disk is no reason to fail."""
        if not self._changed:
            return
        kept = self._load()
        if len(kept) > _MOST:
            kept = self._seen  # the others are of other builds, or long gone
        if len(kept) > _MOST:
            return
        text = "".join(f"{name}\0{a}\0{b}\0{c}\0" for name, (a, b, c) in kept.items())
        try:
            make_directories(os.path.dirname(self._path))
            write_atomically(self._path, f"{_VERSION}\0{text}".encode("utf-8", "surrogateescape"))
            self._changed = False
        except (LadingError, OSError, ValueError):
            pass
