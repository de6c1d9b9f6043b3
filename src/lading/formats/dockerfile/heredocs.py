"""Which words of an instruction announce inline documents (``<<EOF``, ``<<-"EOF"``, ``3<<EOF``).

Source: BuildKit's ``frontend/dockerfile/parser``, ``heredocsFromLine``. The escape is always a backslash here, whatever the
file's directive says, and a variable in a delimiter is a part of its name.
"""

from __future__ import annotations

from lading.formats.dockerfile.model import Heredoc
from lading.formats.dockerfile.words import SPACE

_MOST = 256
"""Documents of one instruction."""


def heredocs(line: str) -> list[Heredoc]:
    """The documents that the words of ``line`` announce, without their contents.

    A line with a quote that is not closed announces none, as with BuildKit: the shell will see to it.
    """
    if "<<" not in line:
        return []
    words = _words(line, raw=True)
    found = [made for made in map(heredoc, words or ()) if made is not None]
    if len(found) > _MOST:
        from lading.formats.dockerfile.mistakes import DockerfileError

        raise DockerfileError(f"{len(found)} heredocs in one instruction, {_MOST} at most")
    return found


def heredoc(word: str) -> Heredoc | None:
    """The document that one word announces: ``[DIGITS]<<[-]DELIMITER``; None for any other word."""
    number, arrows, rest = word.partition("<<")
    if not arrows or (number and not (number.isascii() and number.isdigit() and len(number) < 10)):
        return None
    chomp = rest.startswith("-")
    delimiter = rest[chomp:].lstrip("\t\n\f\r ")
    if not delimiter or "<" in delimiter:
        return None
    names = _words(delimiter, raw=False)
    if names is None or len(names) != 1:
        return None
    expand = not ("'" in delimiter or '"' in delimiter) or _quotes(names[0]) == _quotes(delimiter)
    return Heredoc(names[0], expand=expand, chomp=chomp, fd=int(number or "0"))


def _quotes(text: str) -> int:
    return text.count("'") + text.count('"')


def _words(line: str, *, raw: bool) -> list[str] | None:
    """``line`` split at white space outside quotes; ``raw`` keeps quotes and escapes. None when a quote is not closed.

    White space right behind ``<<`` does not end a word.
    """
    words: list[str] = []
    made: list[str] = []
    position, end = 0, len(line)
    while position < end:
        char = line[position]
        if char in SPACE:
            if made:
                words.append("".join(made))
                made.clear()
        elif char == "\\":
            position += 1
            made.append(line[position - 1 : position + 1] if raw else line[position : position + 1])
        elif char == "'" or char == '"':
            stop = _closing(line, position, char)
            if stop < 0:
                return None
            made.append(line[position : stop + 1] if raw else _plain(line[position + 1 : stop], char))
            position = stop
        elif char == "<" and line.startswith("<", position + 1):
            stop = position + 2
            while stop < end and line[stop] in "\t\r ":
                stop += 1
            made.append(line[position:stop])
            position = stop - 1
        else:
            made.append(char)
        position += 1
    if "".join(made):
        words.append("".join(made))
    return words


def _closing(line: str, position: int, quote: str) -> int:
    position += 1
    while position < len(line):
        if line[position] == quote:
            return position
        position += (
            2
            if quote == '"' and line[position] == "\\" and line[position + 1 : position + 2] in '"\\$'
            else 1
        )
    return -1


def _plain(text: str, quote: str) -> str:
    if quote == '"':
        for char in '"$':
            text = text.replace("\\" + char, char)
    return text
