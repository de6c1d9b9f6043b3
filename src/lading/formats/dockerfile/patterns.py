"""Shell patterns of ``${name#pattern}``, ``${name%pattern}`` and ``${name/pattern/text}``.

``*`` is any text of one line, ``?`` one character that does not end a line; a backslash makes ``*``, ``?`` and itself plain,
and may stand before ``}`` and ``/``. Matching takes time in proportion to pattern times text, whatever they hold.
"""

from __future__ import annotations

from lading.formats.dockerfile.mistakes import DockerfileError, quoted

_WORK = 2_000_000
"""Steps of one match at worst: a pattern of 20 characters on a text of 100,000. They take about a second."""

STAR = None
ANY = ""


def compiled(pattern: str) -> list[str | None]:
    """The pattern's items: a character, :data:`ANY` for one, :data:`STAR` for any number. Raises :class:`DockerfileError`."""
    items: list[str | None] = []
    position, end = 0, len(pattern)
    while position < end:
        char = pattern[position]
        position += 1
        if char == "*":
            if not items or items[-1] is not STAR:
                items.append(STAR)
        elif char == "?":
            items.append(ANY)
        elif char == "\\":
            following = pattern[position : position + 1]
            if following and following in "}/":
                continue
            if not following or following not in "*?\\":
                raise DockerfileError(
                    f"pattern {quoted(pattern)}: a backslash stands before *, ?, \\, / or }} alone",
                    hint="write \\\\ for a backslash",
                    token=pattern,
                )
            items.append(following)
            position += 1
        else:
            items.append(char)
    return items


def _match(items: list[str | None], text: str, start: int, dead: set[int], *, longest: bool) -> int:
    """Where a match that begins at ``start`` ends, -1 without one. ``dead`` collects (item, place) that lead nowhere.

    Stars prefer to be long (``longest``) or short, the first one first, which makes the whole match so.
    """
    count, end = len(items), len(text)
    width = end + 1
    pending = [start]  # item * width + place, the preferred on top
    while pending:
        state = pending.pop()
        item, place = divmod(state, width)
        while True:
            key = item * width + place
            if key in dead:
                break
            dead.add(key)
            if item == count:
                return place
            wanted = items[item]
            more = place < end and text[place] != "\n"
            if wanted is STAR:
                if longest and more:
                    pending.append(key + width)
                    place += 1
                else:
                    if more:
                        pending.append(key + 1)
                    item += 1
            elif more if wanted == ANY else place < end and text[place] == wanted:
                item += 1
                place += 1
            else:
                break
    return -1


def _checked(pattern: str, text: str) -> list[str | None]:
    items = compiled(pattern)
    if len(items) * len(text) > _WORK:
        raise DockerfileError(f"pattern {quoted(pattern)} on {len(text)} characters takes too long to match")
    return items


def without_prefix(text: str, pattern: str, *, longest: bool) -> str:
    """``text`` without the shortest or longest beginning that matches."""
    stop = _match(_checked(pattern, text), text, 0, set(), longest=longest)
    return text[max(stop, 0) :]


def without_suffix(text: str, pattern: str, *, longest: bool) -> str:
    """``text`` without the shortest or longest end that matches."""
    stop = _match(_checked(pattern, text)[::-1], text[::-1], 0, set(), longest=longest)
    return text[: len(text) - max(stop, 0)]


def replaced(text: str, pattern: str, new: str, *, every: bool, room: int) -> str:
    """``text`` with the first or ``every`` longest match of ``pattern`` replaced by ``new``, at most ``room`` long."""
    items = _checked(pattern, text)
    dead: set[int] = set()
    out: list[str] = []
    place = copied = 0
    matched = -1  # where the last match ended: an empty one may not follow at once
    while place <= len(text):
        stop = _match(items, text, place, dead, longest=True)
        if stop < 0 or (stop == place == matched):
            place += 1
            continue
        out.append(text[copied:place])
        out.append(new)
        room -= place - copied + len(new)
        if room < 0:
            raise DockerfileError("a replacement makes a word too long", token=pattern)
        copied = matched = stop
        if not every:
            break
        place = stop if stop > place else place + 1
        dead.clear()
    out.append(text[copied:])
    return "".join(out)
