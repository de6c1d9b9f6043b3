"""How the text of an instruction falls into its name, flags, words, lists and pairs.

Source: BuildKit's ``frontend/dockerfile/parser`` (``split_command.go``, ``line_parsers.go``). Words keep their quotes; they go
when the word is expanded.
"""

from __future__ import annotations

from lading.formats.dockerfile.mistakes import DockerfileError, quoted

SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""White space in Go's sense; what Python adds (the ASCII separators) is none."""
_BLANK = "\t\v\f\r "
"""What stands between the words of FROM, EXPOSE, COPY, ADD and VOLUME."""


def first_word(text: str) -> tuple[str, str]:
    """The first word, and the rest without blanks in front."""
    for index, char in enumerate(text):
        if char in _BLANK:
            return text[:index], text[index:].lstrip(_BLANK)
    return text, ""


def blank_separated(text: str) -> list[str]:
    """The words of ``text``; quotes mean nothing."""
    for blank in "\t\v\f\r":
        if blank in text:
            text = text.replace(blank, " ")
    return [word for word in text.split(" ") if word]


def flags_and_rest(text: str, escape: str) -> tuple[list[str], str]:
    """The leading words that begin with ``--``, quotes and escapes resolved, and the rest. ``--`` alone ends them."""
    flags: list[str] = []
    position, end = 0, len(text)
    while True:
        while position < end and text[position] in SPACE:
            position += 1
        if not text.startswith("--", position):
            return flags, text[position:].strip(SPACE)
        word, position = _flag(text, position, escape)
        if word == "--":
            return flags, text[position:].strip(SPACE)
        flags.append(word)


def _flag(text: str, position: int, escape: str) -> tuple[str, int]:
    made: list[str] = []
    quote = ""
    end = len(text)
    while position < end:
        char = text[position]
        if quote:
            if char == quote:
                quote = ""
                position += 1
                continue
        elif char in SPACE:
            break
        elif char in "'\"":
            quote = char
            position += 1
            continue
        if char == escape:
            position += 1
            char = text[position : position + 1]
        made.append(char)
        position += 1
    return "".join(made), position


def quoted_words(text: str, escape: str) -> list[str]:
    """The words of ENV, LABEL and ARG: split at white space outside quotes; quotes and escapes stay in the words."""
    if "'" not in text and '"' not in text and escape not in text:
        return text.split() if text.isascii() else [w for w in _split(text) if w]
    words: list[str] = []
    made: list[str] = []
    quote = ""
    position, end = 0, len(text)
    while position < end:
        char = text[position]
        if quote:
            if char == quote:
                quote = ""
            elif char == escape and quote != "'":
                if position + 1 == end:
                    break
                made.append(char)
                position += 1
                char = text[position]
        elif char in SPACE:
            if made:
                words.append("".join(made))
                made.clear()
            position += 1
            continue
        elif char in "'\"":
            quote = char
        elif char == escape:
            if position + 1 == end:
                break  # at the end of the text it stands for nothing
            made.append(char)
            position += 1
            char = text[position]
        made.append(char)
        position += 1
    if made:
        words.append("".join(made))
    return words


def _split(text: str) -> list[str]:
    for blank in SPACE:
        if blank != " ":
            text = text.replace(blank, " ")
    return text.split(" ")


def json_list(text: str) -> list[str] | None:
    """The strings of a JSON list (the exec form); None when the text is none, and so is meant for the shell.

    Raises :class:`DockerfileError` for a list that holds anything but strings.
    """
    if not text.startswith("["):
        return None
    from lading.errors import InvalidInput
    from lading.formats import jsontext

    try:
        value = jsontext.loads(text)
    except InvalidInput:
        return None
    for item in value:
        if not isinstance(item, str):
            raise DockerfileError(
                f"{jsontext.dumps(item)[:60]} in {quoted(text)} is not a string",
                hint='a JSON list holds strings alone: ["a", "1"]',
                token=text,
            )
    return list(value)


def why_not_json(text: str) -> str:
    """What keeps ``text`` from being a JSON list, for the message."""
    from lading.errors import InvalidInput
    from lading.formats import jsontext

    if not text.startswith("["):
        return "it does not begin with ["
    try:
        jsontext.loads(text, what="it")
    except InvalidInput as error:
        if "'" in text and '"' not in text:
            return "strings are in double quotes"
        return error.message
    return "it is no list of strings"
