"""Progress of a pull that ``run`` may have to make, apart from what draws it: most runs have their image."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from lading.cli.progress import Display
    from lading.images.transfer import Progress


class Deferred:
    """Progress of a pull that may never happen: nothing is made before its first word.

    Stands for ``images.transfer.Progress`` on the start-up path, which must not import it.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._display: Display | None = None

    def layer(self, digest: str, state: str, done: int, total: int) -> None:
        """See :class:`lading.images.transfer.Progress`."""
        self._made().layer(digest, state, done, total)

    def say(self, text: str) -> None:
        """See :class:`lading.images.transfer.Progress`."""
        self._made().say(text)

    def _made(self) -> Display:
        if self._display is None:
            from lading.cli.progress import Display

            self._display = Display(self._out)
        return self._display


def progress(quiet: bool) -> Progress | None:
    """What a command tells its user of a pull: on standard error, or nothing when ``quiet``."""
    return None if quiet else Deferred(sys.stderr)  # type: ignore[return-value]
