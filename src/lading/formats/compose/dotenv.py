"""``.env`` files and ``env_file``: lines of ``NAME=VALUE``, quoted or not, with variables.

Source: Compose specification, "Services", "env_file format". An ``export`` before a name and a colon in place of the equals
sign are read, as docker compose does. Values in double quotes may hold line ends.
"""

from __future__ import annotations

import re
from collections import ChainMap

from lading.errors import InvalidInput
from lading.formats.compose.interpolation import interpolate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NAME = re.compile(r"[\w.\-\[\]]+")
_OCTAL = re.compile(r"0[0-7]{1,3}")
_BLANKS = " \t\v\f\r\x85\xa0"
_ESCAPES = {
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "\\": "\\",
    '"': '"',
    "'": "'",
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "v": "\v",
}


def parse(
    data: bytes, *, where: str, lookup: Mapping[str, str], unset: Callable[[str], None] | None = None
) -> dict[str, str | None]:
    """The variables in order. None: a name alone, whose value is the caller's to find.

    ``lookup`` has what values may refer to beside the lines above them, and wins over those. Raises :class:`InvalidInput` with
    ``where`` and the line.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput(f"{where}: not UTF-8 text") from None
    if "\0" in text:
        raise InvalidInput(f"{where}: holds a NUL character")
    return _Reader(text.replace("\r\n", "\n"), where, lookup, unset).read()


class _Reader:
    def __init__(
        self, text: str, where: str, lookup: Mapping[str, str], unset: Callable[[str], None] | None
    ) -> None:
        self.text = text
        self.where = where
        self.unset = unset
        self.index = 0
        self.made: dict[str, str | None] = {}
        self.values: dict[str, str] = {}
        self.variables = ChainMap(dict(lookup), self.values)

    def read(self) -> dict[str, str | None]:
        while True:
            self._skip(_BLANKS + "\n")
            if self.index >= len(self.text):
                return self.made
            if self.text[self.index] == "#":
                self._line_end()
                continue
            self._assignment()

    def _skip(self, chars: str) -> None:
        while self.index < len(self.text) and self.text[self.index] in chars:
            self.index += 1

    def _line_end(self) -> str:
        """The rest of the line, and past it."""
        end = self.text.find("\n", self.index)
        end = len(self.text) if end < 0 else end
        rest, self.index = self.text[self.index : end], end
        return rest

    def _wrong(self, why: str, at: int, hint: str = "") -> InvalidInput:
        line = self.text.count("\n", 0, at) + 1
        return InvalidInput(f"{self.where}:{line}: {why}", hint=hint)

    def _assignment(self) -> None:
        begin = self.index
        if self.text.startswith(("export ", "export\t"), self.index):
            self.index += 7
            self._skip(_BLANKS)
        name = _NAME.match(self.text, self.index)
        if name is None:
            raise self._wrong(f"{self._line_end()[:60]!r} is not NAME=VALUE", begin)
        self.index = name.end()
        self._skip(_BLANKS)
        char = self.text[self.index : self.index + 1]
        if char in ("", "\n", "#"):
            self._line_end()
            self.made[name[0]] = None
            self.values.pop(name[0], None)
            return
        if char not in ("=", ":"):
            raise self._wrong(
                f"{self.text[begin : self.index + 20].partition(chr(10))[0]!r}: {char!r} in or after a name",
                begin,
                "write NAME=VALUE",
            )
        self.index += 1
        self._skip(_BLANKS)
        quote = self.text[self.index : self.index + 1]
        quoted = quote in ('"', "'")
        value = self._quoted(quote, begin) if quoted else self._bare(begin)
        self.made[name[0]] = self.values[name[0]] = value

    def _bare(self, begin: int) -> str:
        """A value without quotes: a comment begins with a blank and ``#``, so that one may begin with ``#``."""
        raw = self._line_end()
        return self._expanded(raw.partition(" #")[0].rstrip(), begin)

    def _expanded(self, text: str, begin: int) -> str:
        if "$" not in text:
            return text
        try:
            return interpolate(text, self.variables, self.unset)
        except InvalidInput as error:
            raise self._wrong(error.message, begin, error.hint) from None

    def _quoted(self, quote: str, begin: int) -> str:
        index = self.index + 1
        out: list[str] = []
        while True:
            if index >= len(self.text):
                raise self._wrong("a quote is not closed", begin)
            char = self.text[index]
            if char == quote:
                break
            following = self.text[index + 1 : index + 2]
            if char == "\\" and quote == "'" and following == "'":
                out.append("'")
                index += 2
            elif char == "\\" and quote == '"' and following == "$":
                out.append("$$")
                index += 2
            elif char == "\\" and quote == '"' and (octal := _OCTAL.match(self.text, index + 1)):
                out.append(chr(int(octal[0], 8)))
                index = octal.end()
            elif char == "\\" and quote == '"' and following in _ESCAPES and following:
                out.append(_ESCAPES[following])
                index += 2
            else:
                out.append(char)
                index += 1
        self.index = index + 1
        rest = self._line_end().strip()
        if rest and not rest.startswith("#"):
            raise self._wrong(f"{rest[:40]!r} follows the closing quote", begin)
        value = "".join(out)
        return self._expanded(value, begin) if quote == '"' else value
