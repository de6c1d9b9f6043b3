"""Variables, quotes and escapes of a Dockerfile's words, by the rules of BuildKit's ``shell`` package.

``$name``, ``${name}``, ``${name:-word}``, ``${name-word}``, ``:+``, ``+``, ``:?``, ``?``, ``${name#pattern}``, ``##``, ``%``,
``%%``, ``${name/pattern/text}`` and ``//``; words and patterns may hold further ones. Single quotes keep everything, double
quotes everything but ``$`` and an escaped ``"``, ``$`` or escape character. An unset variable is empty.

Read in one pass; values that come out of variables are not read again, except that ``words`` splits them at white space.
"""

from __future__ import annotations

from lading.formats.dockerfile.mistakes import DockerfileError, quoted
from lading.formats.dockerfile.words import SPACE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_DEEPEST = 50
"""Levels of ``${a:-${b:-…}}``. Nobody writes five; each costs a frame of the stack."""
_LONGEST = 4 << 20
"""Characters of one expanded text. Names that double each other reach it in twenty lines."""
_SPECIAL = frozenset("@*#?-$!0")  # POSIX, 2.5.2: special parameters


class Expander:
    """Expands words with ``lookup``, which gives a variable's value or None when it is unset.

    ``escape`` is the file's escape character. ``used`` and ``missing`` collect the names that were looked up and found or
    not, in order.
    """

    __slots__ = ("escape", "lookup", "missing", "used")

    def __init__(self, lookup: Callable[[str], str | None], escape: str = "\\") -> None:
        self.lookup = lookup
        self.escape = escape
        self.used: dict[str, str] = {}
        self.missing: dict[str, None] = {}

    def word(self, text: str) -> str:
        """``text`` expanded as one word: white space in it and in values stays. Raises :class:`DockerfileError`."""
        if not _busy(text, self.escape):
            return text
        return _Reader(self, text, self.escape, quotes=True).whole()

    def words(self, text: str) -> list[str]:
        """``text`` expanded and split at white space outside quotes, in values too. Raises :class:`DockerfileError`."""
        reader = _Reader(self, text, self.escape, quotes=True)
        reader.split = []
        reader.whole()
        return reader.split_words()

    def heredoc(self, text: str) -> str:
        """The content of a document with its variables expanded: quotes are plain, the escape is always a backslash.

        Raises :class:`DockerfileError`.
        """
        if "$" not in text and "\\" not in text:
            return text
        return _Reader(self, text, "\\", quotes=False).whole()

    def value(self, name: str) -> str | None:
        """The value of a variable, noted in :attr:`used` or :attr:`missing`."""
        found = self.lookup(name)
        if found is None:
            self.missing[name] = None
        else:
            self.used[name] = found
        return found


def _busy(text: str, escape: str) -> bool:
    return "$" in text or "'" in text or '"' in text or escape in text


def _room(room: int, piece: str) -> int:
    """What is left of ``room`` behind ``piece``. Raises :class:`DockerfileError`."""
    if len(piece) > room:
        raise DockerfileError(f"a word becomes longer than {_LONGEST >> 20} MiB when it is expanded")
    return room - len(piece)


class _Reader:
    """One reading of one text. ``split`` collects words when it is a list."""

    __slots__ = (
        "depth",
        "escape",
        "expander",
        "in_word",
        "position",
        "quotes",
        "room",
        "split",
        "text",
        "word",
    )

    def __init__(self, expander: Expander, text: str, escape: str, *, quotes: bool) -> None:
        self.expander = expander
        self.text = text
        self.escape = escape
        self.quotes = quotes
        self.position = 0
        self.depth = 0
        self.room = _LONGEST
        self.split: list[str] | None = None
        self.word: list[str] = []

    def whole(self) -> str:
        return self._until("", raw_escapes=False)

    def split_words(self) -> list[str]:
        assert self.split is not None
        self._end_word()
        return self.split

    def _end_word(self) -> None:
        made = "".join(self.word)
        self.word.clear()
        if made and self.split is not None:
            self.split.append(made)

    def _add(self, out: list[str], piece: str, *, plain: bool) -> None:
        """``piece`` to the result; where words are split, at the white space of a piece that is ``plain``."""
        self.room = _room(self.room, piece)
        out.append(piece)
        if self.split is None or self.depth:
            return
        if not plain:
            self.word.append(piece)
            return
        for char in piece:
            if char in SPACE:
                self._end_word()
            else:
                self.word.append(char)

    def _until(self, stop: str, *, raw_escapes: bool) -> str:
        """The text up to ``stop``, which is consumed; up to the end without one."""
        text, out, end = self.text, [], len(self.text)  # type: ignore[var-annotated]
        while self.position < end:
            start = self.position
            char = text[start]
            if stop and char == stop:
                self.position += 1
                return "".join(out)
            if char == "$":
                self._add(out, self._dollar(), plain=True)
            elif self.quotes and char == "'":
                self._add(out, self._single(), plain=False)
            elif self.quotes and char == '"':
                self._add(out, self._double(raw_escapes), plain=False)
            elif char == self.escape:
                # Escapes one character; at the end of the text it stands for nothing.
                piece = text[start + 1 : start + 2]
                self.position += 2
                self._add(out, char + piece if raw_escapes else piece, plain=False)
            else:
                start += 1
                while start < end and text[start] not in "$'\"" and text[start] not in (stop, self.escape):
                    start += 1
                self._add(out, text[self.position : start], plain=True)
                self.position = start
        if stop:
            raise self._bad(f"{stop!r} is missing", hint="close the ${…}")
        return "".join(out)

    def _single(self) -> str:
        end = self.text.find("'", self.position + 1)
        if end < 0:
            raise self._bad("a single quote is not closed")
        made = self.text[self.position + 1 : end]
        self.position = end + 1
        return made

    def _double(self, raw_escapes: bool) -> str:
        text, out, end = self.text, [], len(self.text)  # type: ignore[var-annotated]
        room = self.room  # of the whole, which is taken from it when it is added
        self.position += 1
        while self.position < end:
            char = text[self.position]
            if char == '"':
                self.position += 1
                return "".join(out)
            if char == "$":
                out.append(self._dollar())
                room = _room(room, out[-1])
                continue
            self.position += 1
            if char == self.escape:
                following = text[self.position : self.position + 1]
                if raw_escapes:
                    out.append(char)
                if not following:
                    break
                if following in ('"', "$", self.escape):
                    char = following
                    self.position += 1
            out.append(char)
        raise self._bad("a double quote is not closed")

    def _name(self) -> str:
        """A name, a number (the digits alone), or one special parameter; empty when none begins here."""
        text, start, end = self.text, self.position, len(self.text)
        here = start
        if here < end and text[here].isdecimal():
            while here < end and text[here].isdecimal():
                here += 1
        elif here < end and text[here] in _SPECIAL:
            here += 1
        else:
            while here < end and (text[here] == "_" or text[here].isalpha() or text[here].isdecimal()):
                here += 1
        self.position = here
        return text[start:here]

    def _dollar(self) -> str:
        text = self.text
        self.position += 1
        if text[self.position : self.position + 1] != "{":
            name = self._name()
            return (self.expander.value(name) or "") if name else "$"
        start = self.position - 1
        self.position += 1
        if self.position >= len(text):
            raise self._bad("'}' is missing after '${'")
        name = "" if text[self.position] in "{}:" else self._name()
        if not name:
            raise self._bad(f"{text[start : start + 4]!r} names no variable", hint="write ${NAME}")
        sign = text[self.position : self.position + 1]
        self.position += 1
        if sign == "}":
            return self.expander.value(name) or ""
        if self.depth >= _DEEPEST:
            raise self._bad(f"more than {_DEEPEST} levels of ${{…}}")
        self.depth += 1
        made = self._replaced(name) if sign == "/" else self._modified(name, sign)
        self.depth -= 1
        return made

    def _modified(self, name: str, sign: str) -> str:
        empty_too = sign == ":"
        if empty_too:
            sign = self.text[self.position : self.position + 1]
            self.position += 1
        if not sign:
            raise self._bad(f"'}}' is missing after '${{{name}'")
        if sign not in "+-?#%" or (empty_too and sign in "#%"):
            shown = ":" + sign if empty_too else sign
            raise self._bad(
                f"${{{name}{shown}…}}: the modifier {shown!r} is not supported",
                hint="the modifiers are :- - :+ + :? ? # ## % %% / and //",
            )
        word = self._until("}", raw_escapes=sign in "#%")
        value = self.expander.value(name)
        missing = value is None or (empty_too and not value)
        if sign == "-":
            return word if missing else value or ""
        if sign == "+":
            return "" if missing else word
        if sign == "?":
            if missing:
                state = "unset" if value is None else "empty"
                raise DockerfileError(
                    f"{name}: {word or f'is not allowed to be {state}'}",
                    hint=f"give it a value: --build-arg {name}=…",
                    token=name,
                    reason="unset-variable",
                )
            return value or ""
        from lading.formats.dockerfile.patterns import without_prefix, without_suffix

        greedy = word.startswith(sign)
        trim = without_suffix if sign == "%" else without_prefix
        return trim(value or "", word[1:] if greedy else word, longest=greedy)

    def _replaced(self, name: str) -> str:
        every = self.text[self.position : self.position + 1] == "/"
        self.position += every
        pattern = self._until("/", raw_escapes=True)
        text = self._until("}", raw_escapes=True)
        from lading.formats.dockerfile.patterns import replaced

        return replaced(self.expander.value(name) or "", pattern, text, every=every, room=self.room)

    def _bad(self, why: str, hint: str = "") -> DockerfileError:
        return DockerfileError(f"{quoted(self.text)}: {why}", hint=hint, token=self.text)
