"""Where something stands in a Dockerfile, and how a mistake in one is told.

A mistake names the file and the line, shows the line with the offending words marked, says why it is one, and what to
write instead. ``str()`` gives the one line that fits a log; :meth:`DockerfileError.render` the few lines that fit a terminal.
"""

from __future__ import annotations

from lading.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_WIDEST = 160
"""Characters of a source line that are shown. A minified script in a RUN may have thousands."""
_AROUND = " \t=,:'\"[](){}"
"""What stands around a word."""


class Location:
    """Lines ``first`` to ``last`` (counted from 1, both included) of the file called ``file``."""

    __slots__ = ("file", "first", "last")

    def __init__(self, file: str, first: int, last: int) -> None:
        self.file = file
        self.first = first
        self.last = last

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Location):
            return NotImplemented
        return (self.file, self.first, self.last) == (other.file, other.first, other.last)

    def __hash__(self) -> int:
        return hash((self.file, self.first, self.last))

    def __repr__(self) -> str:
        return f"Location({self})"

    def __str__(self) -> str:
        """``Dockerfile:12`` or ``Dockerfile:12-15``."""
        lines = f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"
        return f"{self.file}:{lines}"


NOWHERE = Location("", 0, 0)
"""Of an instruction that no file holds."""


class DockerfileError(InvalidInput):
    """A mistake in a Dockerfile.

    ``location``  the lines of the instruction, None while nobody has said which it is (:meth:`at`).
    ``why``       the message without the place.
    ``hint``      what to write instead; may be empty.
    ``token``     the words to mark in the line; may be empty.
    ``source``    the lines of the whole file, for :meth:`render`.
    """

    reason = "dockerfile"

    def __init__(self, why: str, *, hint: str = "", token: str = "", reason: str = "") -> None:
        # Words of the file are told as they stand there, but a terminal gets no control characters from it.
        why, hint = _one_line(why), _one_line(hint)
        super().__init__(why, hint=hint, reason=reason)
        self.why = why
        self.token = token
        self.location: Location | None = None
        self.source: Sequence[str] = ()

    def at(self, location: Location, source: Sequence[str] = ()) -> DockerfileError:
        """This error, told where it is; the first place that is told stays."""
        if self.location is None:
            self.location = location
            self.message = _one_line(f"{location}: {self.why}") if location.file else self.why
            self.args = (self.message,)
        if source and not self.source:
            self.source = source
        return self

    def render(self, *, around: int = 1) -> str:
        """Several lines for a terminal: the place and the reason, the source with a marker, the advice.

        ``around`` lines before and after the instruction are shown with it.
        """
        rows = [self.message]
        if self.location is not None and self.source:
            rows += excerpt(self.source, self.location, self.token, around=around)
        if self.hint:
            rows.append(self.hint)
        return "\n".join(rows)


def excerpt(source: Sequence[str], location: Location, token: str = "", *, around: int = 1) -> list[str]:
    """The lines of ``location`` as ``   3 │ RUN …``, and below the line that holds ``token`` a row of ``^`` under it.

    Of more than eight lines the middle is left out.
    """
    first, last = max(location.first, 1), min(max(location.last, location.first), len(source))
    shown = list(range(max(first - around, 1), min(last + around, len(source)) + 1))
    marked = _marked(source, first, last, token)
    if len(shown) > 8:
        keep = [n for n in shown if n <= first + 3 or n >= last - 1 or n == marked[0]]
        shown = keep
    width = len(str(shown[-1])) if shown else 1
    rows: list[str] = []
    before = 0
    for number in shown:
        if before and number != before + 1:
            rows.append(f"  {'':{width}} │ …")
        before = number
        sign = ">" if first <= number <= last else " "
        rows.append(f"{sign} {number:{width}} │ {printable(source[number - 1])}")
        if number == marked[0]:
            rows.append(f"  {'':{width}} │ {' ' * marked[1]}{'^' * marked[2]}")
    return rows


def _marked(source: Sequence[str], first: int, last: int, token: str) -> tuple[int, int, int]:
    """The line, column and length that ``^`` marks; line 0 is none."""
    if token:
        for number in range(first, last + 1):
            column = _column(source[number - 1], token)
            if column >= 0:
                indent, length = len(printable(source[number - 1][:column])), len(printable(token))
                return (number, indent, length) if indent + length < _WIDEST else (0, 0, 0)
    return (0, 0, 0)


def _column(line: str, token: str) -> int:
    """Where ``token`` stands in ``line``: rather as a word than within one; -1 when nowhere."""
    first = column = line.find(token)
    while column >= 0:
        end = column + len(token)
        before, after = line[max(column - 1, 0) : column], line[end : end + 1]
        if before in _AROUND and after in _AROUND:
            return column
        column = line.find(token, column + 1)
    return first


def _one_line(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else "�" for c in text)


def printable(line: str) -> str:
    """``line`` as one row of a terminal: tabs as four spaces, what does not print as ``�``, cut when very long."""
    line = _one_line(line.replace("\t", "    "))
    return line if len(line) <= _WIDEST else line[: _WIDEST - 1] + "…"


def quoted(text: str) -> str:
    """``text`` for a message: in single quotes, printable, at most 60 characters."""
    return repr(text if len(text) <= 60 else text[:59] + "…")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The hint ``did you mean WORD?`` with the nearest of ``known``; empty when none is near."""
    from lading.flags import nearest

    lowered = {name.lower(): name for name in known}
    found = nearest(word.lower()[:60], sorted(lowered))
    return f"did you mean {lowered[found]}?" if found else ""
