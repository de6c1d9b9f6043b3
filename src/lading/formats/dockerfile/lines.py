"""The lines of a Dockerfile: parser directives, comments, continuation lines and heredocs, joined to instructions.

Source: BuildKit's ``frontend/dockerfile/parser`` (``parser.go``, ``directives.go``). One pass over the text.
"""

from __future__ import annotations

from lading.formats.dockerfile.mistakes import DockerfileError, Location, quoted
from lading.formats.dockerfile.words import SPACE, first_word, flags_and_rest, json_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lading.formats.dockerfile.model import Heredoc
    from lading.formats.dockerfile.stages import Dockerfile

LARGEST = 16 << 20
"""Bytes of a file, heredocs included."""
LONGEST_LINE = 1 << 20
"""Characters of a physical line, and of an instruction with its lines joined. BuildKit stops at 65,535 of a physical line."""
MOST_INSTRUCTIONS = 20_000
_WITH_HEREDOCS = ("RUN", "COPY", "ADD")
_DIRECTIVES = ("syntax", "escape", "check")
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_LETTERS_AND_DIGITS = _LETTERS | frozenset("0123456789")


class Written:
    """One instruction as text.

    ``original``  continuation lines joined; ``word`` its name as written, ``keyword`` in capitals.
    ``flags``     the words that begin with ``--``; ``rest`` what follows them.
    ``listed``    the exec form's words when the rest is a JSON list of strings, None otherwise.
    ``heredocs``  with their contents.
    """

    __slots__ = (
        "comments",
        "flags",
        "heredocs",
        "keyword",
        "listed",
        "location",
        "original",
        "rest",
        "word",
    )

    def __init__(
        self, original: str, location: Location, comments: tuple[str, ...] = (), escape: str = "\\"
    ) -> None:
        self.original = original
        self.location = location
        self.comments = comments
        self.heredocs: list[Heredoc] = []
        self.word, rest = first_word(original)
        self.keyword = self.word.upper()
        if rest.startswith("--"):
            self.flags, self.rest = flags_and_rest(rest, escape)
        else:
            self.flags, self.rest = [], rest
        self.listed: list[str] | None = json_list(self.rest) if self.rest.startswith("[") else None


def decoded(data: bytes, name: str) -> str:
    """The text of a file: UTF-8; bytes that are none survive as lone surrogates. Raises :class:`DockerfileError`."""
    if len(data) > LARGEST:
        raise _of_file(
            name, f"larger than {LARGEST >> 20} MiB", "put what it carries into files of the context"
        )
    if data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
    elif data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _of_file(name, "UTF-16 text", "save it as UTF-8")
    return data.decode("utf-8", "surrogateescape")


def _of_file(name: str, why: str, hint: str) -> DockerfileError:
    return DockerfileError(why, hint=hint).at(Location(name, 1, 1))


class Lines:
    """Reads the text of ``made`` and yields its instructions; fills in its directives, escape and source."""

    __slots__ = ("_comments", "_made", "_next", "_text")

    def __init__(self, made: Dockerfile, text: str) -> None:
        self._made = made
        self._text = text.split("\n")
        self._next = 0
        self._comments: list[str] = []
        if not self._text[-1]:
            self._text.pop()
        made.source = [line.rstrip("\r") for line in self._text] if "\r" in text else self._text

    def __iter__(self) -> Iterator[Written]:
        made = self._made
        try:
            self._directives()
            count = 0
            while self._next < len(self._text):
                start = self._next + 1
                line, ended = self._first()
                if ended and not line:
                    continue
                original = line if ended else self._joined(line, start)
                place = Location(made.name, start, self._next)
                try:
                    written = self._written(original, place)
                except DockerfileError as error:
                    raise error.at(place) from None
                count += 1
                if count > MOST_INSTRUCTIONS:
                    raise DockerfileError(f"more than {MOST_INSTRUCTIONS} instructions").at(place)
                yield written
                self._comments.clear()
        except DockerfileError as error:
            raise error.at(Location(made.name, max(self._next, 1), max(self._next, 1)), made.source) from None

    # -- physical lines ------------------------------------------------------------------------------------------------

    def _take(self) -> str:
        line = self._text[self._next]
        self._next += 1
        if len(line) > LONGEST_LINE:
            raise DockerfileError(
                f"a line of {len(line)} characters, {LONGEST_LINE} at most",
                hint="put it into a file of the context",
            )
        return line.rstrip("\r")

    def _first(self) -> tuple[str, bool]:
        """The next line without white space in front, and whether an instruction ends with it; empty for a comment."""
        line = self._take().lstrip(SPACE)
        if not line:
            self._comments.append("")
            return "", True
        if line[0] == "#":
            comment = line[1:].strip(SPACE)
            if comment:
                self._comments.append(comment)
            else:
                self._comments.clear()
            return "", True
        return self._continued(line)

    def _continued(self, line: str) -> tuple[str, bool]:
        """The line without its continuation character, and whether it has none."""
        escape = self._made.escape
        trimmed = line.rstrip(" \t")
        if trimmed.endswith(escape) and (len(trimmed) == 1 or trimmed[-2] != escape):
            return trimmed[:-1], False
        return line, True

    def _joined(self, line: str, start: int) -> str:
        """``line`` with the lines that continue it. Comments between them go; so do empty lines, with a warning."""
        parts, size, ended, empty = [line], len(line), False, False
        while not ended and self._next < len(self._text):
            line = self._take()
            bare = line.lstrip(SPACE)
            if not bare:
                empty = True
                continue
            if bare[0] == "#":
                continue
            line, ended = self._continued(line)
            parts.append(line)
            size += len(line)
            if size > LONGEST_LINE:
                raise DockerfileError(
                    f"an instruction of more than {LONGEST_LINE} characters",
                    hint="put the script into a file of the context, or into a heredoc",
                ).at(Location(self._made.name, start, start))
        if empty:
            self._made.empty_continuations.append(self._next)
        return "".join(parts)

    # -- instructions ----------------------------------------------------------------------------------------------------

    def _written(self, original: str, place: Location) -> Written:
        original = original.strip(SPACE)
        if "\0" in original:
            raise DockerfileError("a NUL character", hint="the file is not text, or was damaged")
        written = Written(original, place, tuple(self._comments), self._made.escape)
        if "<<" in original:
            announced = announced_by(written, self._made.escape)
            for document in announced:
                self._fill(document, place)
            written.heredocs = announced
            place.last = self._next
        return written

    def _fill(self, document: Heredoc, place: Location) -> None:
        """The content of ``document``: the lines up to the one that is its name alone."""
        text, name, start = self._text, document.name, self._next
        for index in range(start, len(text)):
            line = text[index].rstrip("\r")
            if document.chomp:
                line = line.lstrip("\t")
            if line == name:
                document.content = "".join([row + "\n" for row in text[start:index]])
                self._next = index + 1
                return
        near = next((row.strip() for row in text[start:] if row.strip(SPACE + ";") == name), None)
        hint = f"end it with a line that is {name} alone"
        if near is not None:
            hint += ": the one there is has other characters around it"
            hint += "" if document.chomp else ", and only <<- takes tabs away"
        raise DockerfileError(
            f"the heredoc {quoted(name)} has no end", hint=hint, token="<<", reason="heredoc-without-end"
        ).at(place)

    # -- directives --------------------------------------------------------------------------------------------------------

    def _directives(self) -> None:
        """``# name=value`` lines at the very top: before any other comment, empty line or instruction."""
        made = self._made
        shebang = bool(self._text) and self._text[0].startswith("#!")
        index = 1 if shebang else 0
        while index < len(self._text):
            found = directive(self._text[index].rstrip("\r").lstrip(SPACE))
            if found is None:
                break
            name, value = found
            index += 1
            self._next = index
            if name in made.directives.lines:
                raise DockerfileError(
                    f"the directive {name} is given twice, first on line {made.directives.lines[name]}",
                    hint="leave one out",
                    token=name,
                )
            made.directives.lines[name] = index
            setattr(made.directives, name, value)
            if name == "escape":
                if value not in ("\\", "`"):
                    raise DockerfileError(
                        f"escape={value[:40]} is neither a backslash nor a backtick",
                        hint="write # escape=\\ or # escape=`",
                        token=value,
                    )
                if not shebang:  # behind #! BuildKit reads the others, and leaves this one a comment
                    made.escape = value
        self._next = index


def directive(line: str) -> tuple[str, str] | None:
    """``(name, value)`` of ``# name = value`` for one of the known names, case ignored; None for any other line."""
    if not line.startswith("#"):
        return None
    name, equals, value = line[1:].lstrip(SPACE).partition("=")
    name = name.rstrip(SPACE)
    value = value.strip(SPACE)
    if not equals or not value or name.lower() not in _DIRECTIVES:
        return None
    return name.lower(), value


def announced_by(written: Written, escape: str) -> list[Heredoc]:
    """The heredocs, without contents, of an instruction that may have some: RUN, COPY, ADD, plain or ONBUILD."""
    inner = written
    if written.keyword == "ONBUILD":
        inner = Written(written.rest, written.location, (), escape)
    if inner.keyword not in _WITH_HEREDOCS or inner.listed is not None:
        return []
    from lading.formats.dockerfile.heredocs import heredocs

    return heredocs(written.original)
