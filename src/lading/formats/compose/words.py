"""A command written as one line of text into words, as a POSIX shell splits them: quotes and backslashes, nothing else.

Source: Compose specification, "command": the short form is split as a shell would; docker compose's splitting is the shell's
quoting without variables or operators.
"""

from __future__ import annotations

from lading.errors import InvalidInput


def split(text: str) -> list[str]:
    """The words. Raises :class:`InvalidInput` for a quote that is not closed."""
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
            elif char == "\\" and quote == '"' and text[index : index + 1] in ("\\", '"', "$", "`", "\n"):
                if text[index] != "\n":
                    word.append(text[index])
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
                if index < len(text) and text[index] != "\n":
                    word.append(text[index])
                index += 1
            else:
                word.append(char)
    if quote:
        raise InvalidInput(f"{text[:60]!r}: a quote is not closed")
    if inside:
        made.append("".join(word))
    return made
