"""One pattern of ``.dockerignore`` or ``--exclude``, as moby/patternmatcher reads it.

What a pattern is made of decides how it is held against a path: without wildcards it is compared (``EXACT``), ``dir/**`` by its
beginning, ``**/name`` by its end, anything else item by item (``ITEMS``). ``*`` and ``?`` match anything but a slash; ``**/``
no, one or several directories; a final ``**`` everything; ``[a-c]`` and ``[^a-c]`` one character, a slash too; a backslash
makes the next character plain.

No regular expressions: a build with nothing to do reads its whole context in less time than ``re`` takes to import.
"""

from __future__ import annotations

from lading.formats.dockerfile.mistakes import DockerfileError

EXACT, PREFIX, SUFFIX, ITEMS = "exact", "prefix", "suffix", "items"
_LONGEST = 4096
_WILDCARDS = 100
"""Items of a pattern that are no plain character. Each may take a step for each character of a path."""

STAR, ANY, DIRECTORIES, ALL, START = range(5)
"""``*``, ``?``, ``**/``, a final ``**``; and ``^``, which means the beginning of the path beside wildcards."""


class Set:
    """``[…]``: ranges of characters, or all but those."""

    __slots__ = ("negated", "ranges")

    def __init__(self, negated: bool, ranges: list[tuple[str, str]]) -> None:
        self.negated = negated
        self.ranges = ranges

    def has(self, char: str) -> bool:
        """Whether ``char`` is one of them."""
        return any(low <= char <= high for low, high in self.ranges) != self.negated


Item = str | int | Set
"""A plain character, one of the numbers above, or a set."""

_CONTROLS = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_CLASSES = {
    "d": [("0", "9")],
    "s": [("\t", "\n"), ("\f", "\r"), (" ", " ")],
    "w": [("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z")],
}


class Glob:
    """``pattern``, cleaned and without ``!``; ``exception`` when it had one. Raises :class:`DockerfileError`."""

    __slots__ = ("_core", "_head", "_items", "_tail", "exception", "kind", "pattern")

    def __init__(self, pattern: str, exception: bool = False) -> None:
        if len(pattern) > _LONGEST:
            raise DockerfileError(f"longer than {_LONGEST} characters")
        self.pattern = pattern
        self.exception = exception
        self._items: list[Item] = []
        self._head = self._tail = self._core = ""
        self.kind = _compile(pattern, self._items)
        if sum(not isinstance(item, str) for item in self._items) > _WILDCARDS:
            raise DockerfileError(f"more than {_WILDCARDS} wildcards")
        if self.kind == PREFIX:
            self._head = pattern[:-2]
        elif self.kind == SUFFIX:
            self._tail = pattern[2:]
        elif self.kind == ITEMS:
            self._head = _plain(self._items)
            self._tail = _plain(self._items[::-1])[::-1]
            self._core = _longest(self._items)

    def matches(self, path: str) -> bool:
        """Whether the pattern matches ``path`` itself."""
        kind = self.kind
        if kind == EXACT:
            return path == self.pattern
        if kind == PREFIX:
            return path.startswith(self._head)
        tail = self._tail
        if kind == SUFFIX:
            return path.endswith(tail) or (tail.startswith("/") and path == tail[1:])
        if self._core not in path or not path.endswith(tail) or not path.startswith(self._head):
            return False
        return len(self._items) in self._run(path)

    @property
    def plain(self) -> tuple[str, str]:
        """The kind and what it compares with; nothing to compare with for ``ITEMS``."""
        if self.kind == EXACT:
            return EXACT, self.pattern
        return self.kind, self._head if self.kind == PREFIX else self._tail if self.kind == SUFFIX else ""

    def may_match_below(self, directory: str) -> bool:
        """Whether the pattern could match a path inside ``directory``."""
        inside = directory + "/"
        kind = self.kind
        if kind == EXACT:
            return self.pattern.startswith(inside)
        if kind == PREFIX:
            return self._head.startswith(inside) or inside.startswith(self._head)
        return kind == SUFFIX or bool(self._run(inside))

    def _run(self, text: str) -> set[int]:
        """The items that may come next after ``text``: the automaton of the pattern, all of its states at once."""
        items = self._items
        end = len(items)
        states = _reached(items, 0, set(), at_start=True)
        for char in text:
            following: set[int] = set()
            for state in states:
                if state == end:
                    continue
                item = items[state]
                if isinstance(item, str):
                    if item == char:
                        _reached(items, state + 1, following)
                elif isinstance(item, Set):
                    if item.has(char):
                        _reached(items, state + 1, following)
                elif item == STAR:
                    if char != "/":
                        _reached(items, state, following)
                elif item == ANY:
                    if char != "/":
                        _reached(items, state + 1, following)
                elif item != START and char != "\n":
                    following.add(state)
                    if item == ALL or char == "/":
                        _reached(items, state + 1, following)
            states = following
            if not states:
                break
        return states


def _reached(items: list[Item], state: int, states: set[int], *, at_start: bool = False) -> set[int]:
    """``states`` with ``state`` and those behind items that may match nothing."""
    while state not in states:
        states.add(state)
        if state == len(items):
            break
        item = items[state]
        if item in (STAR, DIRECTORIES, ALL) or (item == START and at_start):
            state += 1
        else:
            break
    return states


def _plain(items: list[Item]) -> str:
    made: list[str] = []
    for item in items:
        if not isinstance(item, str):
            break
        made.append(item)
    return "".join(made)


def _longest(items: list[Item]) -> str:
    """The longest plain text in the pattern: most paths do not have it, and need no closer look."""
    best, here = "", ""
    for item in items:
        here = here + item if isinstance(item, str) else ""
        if len(here) > len(best):
            best = here
    return best


def _compile(pattern: str, items: list[Item]) -> str:
    """Fill ``items``, and say how the pattern is matched."""
    kind = EXACT
    position, end = 0, len(pattern)
    while position < end:
        char = pattern[position]
        start = position
        position += 1
        if char == "*" and pattern.startswith("*", position):
            position += 1
            if pattern.startswith("/", position):
                position += 1
            if position < end:
                items.append(DIRECTORIES)
                kind = ITEMS
            else:
                items.append(ALL)
                kind = PREFIX if kind == EXACT else ITEMS
            if start == 0:
                kind = SUFFIX
        elif char == "*":
            items.append(STAR)
            kind = ITEMS
        elif char == "?":
            items.append(ANY)
            kind = ITEMS
        elif char == "[":
            made, position = _set(pattern, position)
            items.append(made)
            kind = ITEMS
        elif char == "]":
            items.append(char)
            kind = ITEMS
        elif char == "\\":
            if position == end:
                raise DockerfileError("a backslash at the end", hint="write \\\\ for a backslash")
            items.append(_escaped(pattern[position]))
            position += 1
            kind = ITEMS
        else:
            items.append(START if char == "^" else char)
    return kind


def _escaped(char: str) -> Item:
    """What a backslash before ``char`` means: itself, and for some letters what regular expressions have."""
    if not char.isalnum() or not char.isascii():
        return char
    if char in _CONTROLS:
        return _CONTROLS[char]
    if char.lower() in _CLASSES:
        return Set(char.isupper(), _CLASSES[char.lower()])
    raise DockerfileError(
        f"\\{char} means nothing", hint="a backslash stands before a character that is no letter or digit"
    )


def _set(pattern: str, position: int) -> tuple[Set, int]:
    """The set whose first character stands at ``position``, and where the pattern goes on."""
    negated = pattern.startswith("^", position)
    position += negated
    ranges: list[tuple[str, str]] = []
    while True:
        if position >= len(pattern):
            raise DockerfileError("[ without ]", hint="write \\[ for a plain bracket")
        if pattern[position] == "]" and ranges:
            return Set(negated, ranges), position + 1
        if pattern.startswith("[:", position):
            raise DockerfileError("[:…:] is not supported", hint="write a range: [a-z]")
        low, position = _member(pattern, position)
        high = low
        if pattern.startswith("-", position):
            high, position = _member(pattern, position + 1)
        if high < low:
            raise DockerfileError(f"the range {low}-{high} ends before it begins")
        ranges.append((low, high))


def _member(pattern: str, position: int) -> tuple[str, int]:
    char = pattern[position : position + 1]
    if char in ("", "-", "]"):
        raise DockerfileError(
            "[…] is not a set of characters", hint="for example [a-z], or \\[ for a plain bracket"
        )
    if char == "\\":
        position += 1
        char = pattern[position : position + 1]
        if not char or (char.isascii() and char.isalnum()):
            raise DockerfileError("a backslash in […] stands before a character that is no letter or digit")
    return char, position + 1
