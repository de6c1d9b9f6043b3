"""``--ulimit`` to a Pod. Pure; see :mod:`lading.cli.translate`."""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats.pod import Ulimit

ULIMITS = "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack as".split()


def ulimit(text: str) -> Ulimit:
    """``NAME=SOFT[:HARD]``; -1 is unlimited. Raises :class:`InvalidInput`."""
    name, equals, rest = text.partition("=")
    if name not in ULIMITS:
        raise InvalidInput(f"--ulimit {text!r}: {name!r} is not one of {', '.join(ULIMITS)}")
    soft, colon, hard = rest.partition(":")
    if not equals:
        raise InvalidInput(f"--ulimit {text!r} has no value", hint=f"write {name}=1024 or {name}=1024:2048")
    low = _bound(soft, text)
    high = _bound(hard, text) if colon else low
    if high != -1 and (low > high or low == -1):
        raise InvalidInput(f"--ulimit {text!r}: the soft limit is above the hard one")
    return Ulimit(name=name, soft=low, hard=high)


def _bound(word: str, text: str) -> int:
    if word in ("-1", "unlimited"):
        return -1
    if not (word.isascii() and word.isdigit() and len(word) < 20) or int(word) >= 2**63:
        raise InvalidInput(f"--ulimit {text[:80]!r}: a limit is a number, -1 or unlimited")
    return int(word)
