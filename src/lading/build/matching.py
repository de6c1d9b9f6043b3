"""Wildcards in the sources of COPY and ADD: one component of a path at a time.

Source: Go's path/filepath.Match, which Docker's reference names: ``*`` and ``?`` never match a ``/``, ``[a-c]`` and ``[^a-c]``
are classes, ``\\`` takes the next character as it is.
"""

from __future__ import annotations

from lading.errors import InvalidInput

_SPECIAL = frozenset("*?[\\")


def is_pattern(component: str) -> bool:
    """Whether a component has wildcards, or a ``\\`` that means to take something as it is."""
    return not _SPECIAL.isdisjoint(component)


def matches(pattern: str, name: str) -> bool:
    """Whether a component matches. Raises :class:`InvalidInput` for a pattern that is none (a class without end)."""
    tokens = _tokens(pattern)
    # Two places are enough to go back to: the last star decides, as in every matcher without backtracking.
    at = here = 0
    star, mark = -1, 0
    while here < len(name):
        if at < len(tokens) and tokens[at] is None:
            star, mark = at, here
            at += 1
            continue
        if at < len(tokens) and _fits(tokens[at], name[here]):
            at += 1
            here += 1
            continue
        if star < 0:
            return False
        mark += 1
        at, here = star + 1, mark
    while at < len(tokens) and tokens[at] is None:
        at += 1
    return at == len(tokens)


class _Class:
    __slots__ = ("negated", "ranges")

    def __init__(self, ranges: list[tuple[str, str]], negated: bool) -> None:
        self.ranges = ranges
        self.negated = negated


_ANY = _Class([], True)


def _fits(token: str | _Class | None, character: str) -> bool:
    if isinstance(token, _Class):
        return any(low <= character <= high for low, high in token.ranges) != token.negated
    return token == character


def _tokens(pattern: str) -> list[str | _Class | None]:
    """Literal characters, classes, and None for a star."""
    made: list[str | _Class | None] = []
    at = 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*":
            if not made or made[-1] is not None:
                made.append(None)
        elif character == "?":
            made.append(_ANY)
        elif character == "\\":
            if at == len(pattern):
                raise _bad(pattern)
            made.append(pattern[at])
            at += 1
        elif character == "[":
            found, at = _class(pattern, at)
            made.append(found)
        else:
            made.append(character)
    return made


def _class(pattern: str, at: int) -> tuple[_Class, int]:
    negated = pattern[at : at + 1] == "^"
    at += negated
    ranges: list[tuple[str, str]] = []
    while True:
        if at >= len(pattern):
            raise _bad(pattern)
        if pattern[at] == "]" and ranges:
            return _Class(ranges, negated), at + 1
        low, at = _character(pattern, at)
        high = low
        if pattern[at : at + 1] == "-":
            high, at = _character(pattern, at + 1)
        ranges.append((low, high))


def _character(pattern: str, at: int) -> tuple[str, int]:
    if at < len(pattern) and pattern[at] == "\\":
        at += 1
    elif at < len(pattern) and pattern[at] in "-]":
        raise _bad(pattern)
    if at >= len(pattern):
        raise _bad(pattern)
    return pattern[at], at + 1


def _bad(pattern: str) -> InvalidInput:
    return InvalidInput(
        f"pattern {pattern[:80]!r} is broken",
        hint="write \\\\ before a bracket that is meant",
        reason="pattern",
    )
