"""Saying once what a command had to change about the host itself, such as switching on routing."""

from __future__ import annotations

import os

from lading.network.networks import UNTOLD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.roots import Roots

_LIMIT = 1 << 16


def tell(roots: Roots) -> None:
    """Print the sentences nobody has said yet on standard error. Of commands that come here at once, one says them."""
    mine = f"{roots.network}/{UNTOLD}.{os.getpid()}"
    try:
        os.rename(f"{roots.network}/{UNTOLD}", mine)
    except OSError:
        return  # another was first, or this user may not
    try:
        with open(mine, encoding="utf-8", errors="replace") as stream:
            text = stream.read(_LIMIT)
    finally:
        os.unlink(mine)
    for sentence in text.splitlines():
        os.write(2, f"lading: note: {sentence}\n".encode())
