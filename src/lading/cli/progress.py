"""What pulls, pushes and loads tell the user: live lines on a terminal, plain lines elsewhere."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO


class Deferred:
    """Progress of a pull that may never happen: nothing is made before its first word."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
