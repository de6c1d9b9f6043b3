"""A command written as one line of text into words, as docker compose splits it: quotes and backslashes, nothing else.

Source: Compose specification, "command". ``\\n`` and ``\\t`` are a line end and a tab but in single quotes, and a backslash makes
any other character itself. Operators of a shell are words like others, where docker compose drops the rest of the line.
"""

from __future__ import annotations

from lading.errors import InvalidInput


def _escaped(text: str, index: int) -> str:
    """What a backslash before ``index`` makes of what stands there: a line end, a tab, or the character itself."""
    if index >= len(text):
        raise InvalidInput(f"{text[:60]!r}: a backslash stands at the end")
    return _ESCAPES.get(text[index], text[index])


_ESCAPES = {"n": "\n", "t": "\t"}


def split(text: str) -> list[str]:
    """The words. Raises :class:`InvalidInput` for a quote that is not closed, and for a backslash at the end."""
    made: list[str] = []
    word: list[str] = []
    inside = False
    quote = ""
    index = 0
    while index < len(text):
        char = text[index]
        index += 1
        if quote:
            if char == quote:
                quote = ""
            elif char == "\\" and quote == '"':
                word.append(_escaped(text, index))
                index += 1
            else:
                word.append(char)
        elif char in " \t\r\n":
            if inside:
                made.append("".join(word))
                word, inside = [], False
        else:
            inside = True
            if char in "'\"":
                quote = char
            elif char == "\\":
                word.append(_escaped(text, index))
                index += 1
            else:
                word.append(char)
    if quote:
        raise InvalidInput(f"{text[:60]!r}: a quote is not closed")
    if inside:
        made.append("".join(word))
    return made
