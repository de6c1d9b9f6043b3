"""Guessing passwords made slow: after some wrong ones, an address has to wait, and longer each time. Pure; time is passed in."""

from __future__ import annotations

from collections import OrderedDict

FREE = 5
LONGEST = 60.0
FORGET = 900.0
_MOST = 20000


class Damping:
    """Wrong passwords by key (an address with a user's name)."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait(self, key: str, now: float) -> float:
        """Seconds until another attempt is looked at, 0 for at once."""
        count, last = self._failures.get(key, (0, 0.0))
        if count < FREE or now - last > FORGET:
            return 0.0
        return max(0.0, last + min(LONGEST, 2.0 ** (count - FREE)) - now)

    def failed(self, key: str, now: float) -> None:
        """One more wrong password."""
        count, last = self._failures.pop(key, (0, 0.0))
        self._failures[key] = (count + 1 if now - last <= FORGET else 1), now
        if len(self._failures) > _MOST:
            self._failures.popitem(last=False)

    def succeeded(self, key: str) -> None:
        """A right one: what was before is forgotten."""
        self._failures.pop(key, None)
