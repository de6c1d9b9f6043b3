"""``WWW-Authenticate`` headers: which schemes a registry takes, and their parameters.

Source: RFC 9110, 11.3 and 11.6.1 (one header may carry several challenges, separated by commas like their parameters).
"""

from __future__ import annotations

_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_MAX = 16384


class Challenge:
    """``scheme`` in lower case; ``parameters`` by lower-case name."""

    __slots__ = ("parameters", "scheme")

    def __init__(self, scheme: str, parameters: dict[str, str]) -> None:
        self.scheme = scheme
        self.parameters = parameters

    def __repr__(self) -> str:
        return f"Challenge({self.scheme!r}, {self.parameters!r})"


def parse(header: str) -> list[Challenge]:
    """The challenges of a header, in order. What cannot be understood ends the list: a wrong guess would leak a password."""
    found: list[Challenge] = []
    text = header[:_MAX]
    at = 0
    while at < len(text):
        if text[at] in " \t,":
            at += 1
            continue
        word, at = _token(text, at)
        if not word:
            break
        after = _space(text, at)
        if after < len(text) and text[after] == "=" and found:
            value, at, good = _value(text, _space(text, after + 1))
            if not good:
                break
            found[-1].parameters.setdefault(word.lower(), value)
            continue
        found.append(Challenge(word.lower(), {}))
    return found


def _token(text: str, at: int) -> tuple[str, int]:
    start = at
    while at < len(text) and text[at] in _TOKEN:
        at += 1
    return text[start:at], at


def _space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t":
        at += 1
    return at


def _value(text: str, at: int) -> tuple[str, int, bool]:
    """A token or a quoted string at ``at``: its value, where it ends, and whether it was well-formed."""
    if at >= len(text) or text[at] != '"':
        value, end = _token(text, at)
        return value, end, bool(value)
    at += 1
    parts: list[str] = []
    while at < len(text):
        char = text[at]
        if char == '"':
            return "".join(parts), at + 1, True
        if char == "\\" and at + 1 < len(text):
            at += 1
            char = text[at]
        parts.append(char)
        at += 1
    return "", at, False
