"""This process's own user namespace: are we in one, and which ids does it have (user_namespaces(7))."""

from __future__ import annotations

_cached: tuple[tuple[int, int, int], ...] | None = None
_ALL = ((0, 0, 4294967295),)


def own_map() -> tuple[tuple[int, int, int], ...]:
    """The uid map of this process: (inside, outside, length) rows. Read once; see :func:`entered`."""
    global _cached
    if _cached is None:
        try:
            with open("/proc/self/uid_map", "rb") as file:
                numbers = [int(word) for word in file.read().split()]
        except FileNotFoundError:  # a kernel without user namespaces
            numbers = [0, 0, 4294967295]
        _cached = tuple((numbers[i], numbers[i + 1], numbers[i + 2]) for i in range(0, len(numbers), 3))
    return _cached


def entered() -> None:
    """Forget what was read: this process has just moved to another user namespace."""
    global _cached
    _cached = None


def inside() -> bool:
    """Whether this process is in a user namespace other than the machine's first."""
    return own_map() != _ALL


def has_range() -> bool:
    """Whether more ids than one can own files here."""
    return sum(row[2] for row in own_map()) > 1
