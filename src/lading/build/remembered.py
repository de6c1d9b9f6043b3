"""What files contain, remembered between builds, so that a build with nothing to do only looks at status words.

A file is known by inode, size and times. What changed too shortly before it was read is not remembered: the clock of file
systems is coarse, and the next change may have the same time (git's "racy" rule).
"""

from __future__ import annotations

import os
import time

from lading.errors import LadingError
from lading.formats import jsontext
from lading.images.files import make_directories, read, write_atomically

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_RACY = 2_000_000_000  # nanoseconds
_MOST = 200_000  # files of one context
_FIELDS = 7


class Remembered:
    """Digests and attributes of the files of one directory, kept in the file ``path`` between builds."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._known: dict[str, list[object]] | None = None
        self._seen: dict[str, list[object]] = {}
        self._changed = False

    def facts(self, name: str, there: os.stat_result, find: Callable[[], tuple[str, str]]) -> tuple[str, str]:
        """What :func:`lading.build.trees.facts` says of a file with this status; ``find`` asks the file itself."""
        stamp: list[object] = [
            there.st_dev,
            there.st_ino,
            there.st_size,
            there.st_mtime_ns,
            there.st_ctime_ns,
        ]
        known = self._load().get(name)
        if known is not None and known[:5] == stamp:
            self._seen[name] = known
            return str(known[5]), str(known[6])
        # Read after the status was taken: a change between them makes the next status another one.
        found = find()
        if time.time_ns() - max(there.st_mtime_ns, there.st_ctime_ns) > _RACY:
            self._load()[name] = self._seen[name] = [*stamp, *found]
            self._changed = True
        return found

    def _load(self) -> dict[str, list[object]]:
        if self._known is None:
            self._known = {}
            data = read(self._path)
            if data is not None:
                try:
                    value = jsontext.loads(data.decode("utf-8", "surrogateescape"))
                    if isinstance(value, dict):
                        self._known = {
                            str(k): v for k, v in value.items() if isinstance(v, list) and len(v) == _FIELDS
                        }
                except (LadingError, ValueError):
                    pass  # it only spares reading
        return self._known

    def save(self) -> None:
        """Keep what was learned. A full disk is no reason to fail."""
        if not self._changed:
            return
        kept = self._load()
        if len(kept) > _MOST:
            kept = self._seen  # of other builds, or long gone
        if len(kept) > _MOST:
            return
        try:
            make_directories(os.path.dirname(self._path))
            write_atomically(self._path, jsontext.dumps(kept).encode("utf-8", "surrogateescape"))
            self._changed = False
        except (LadingError, OSError, ValueError):
            pass
