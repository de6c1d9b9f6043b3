"""Tables, ``--format`` and ``--filter``: how lists and objects are shown."""

from __future__ import annotations

import sys

from lading.errors import InvalidInput, NotFound
from lading.formats import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any


class Fields(dict[str, object]):
    """A JSON object whose members are also attributes, so that ``{State.Pid}`` and ``{State[Pid]}`` both work."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> object:
        return wrapped(super().__getitem__(name))

    def __missing__(self, name: str) -> object:
        raise InvalidInput(
            f"--format: unknown field {name!r}", hint=f"the fields are {', '.join(self)}" if self else ""
        )

    def __format__(self, spec: str) -> str:
        return jsontext.dumps(dict(self))


class _Items(list[object]):
    def __getitem__(self, index: Any) -> Any:
        return wrapped(super().__getitem__(index))

    def __format__(self, spec: str) -> str:
        return jsontext.dumps(list(self))


class _Shown(str):
    """A value that is shown as JSON shows it (``true``, ``null``)."""


def wrapped(value: object) -> object:
    """``value`` ready for a format string."""
    if isinstance(value, dict):
        return value if isinstance(value, Fields) else Fields(value)
    if isinstance(value, list):
        return value if isinstance(value, _Items) else _Items(value)
    if value is None or isinstance(value, bool):
        return _Shown(jsontext.dumps(value))
    return value


def fill(template: str, row: Mapping[str, object]) -> str:
    """``template`` with Python's format fields filled from ``row``. Raises :class:`InvalidInput`."""
    if _is_go(template):
        raise InvalidInput(
            f"--format {template!r}: Go templates are not supported",
            hint="write Python format fields such as {name}, or json",
        )
    text = template.replace("\\t", "\t").replace("\\n", "\n")
    try:
        return text.format_map(row if isinstance(row, Fields) else Fields(row))
    except (AttributeError, IndexError, ValueError, TypeError) as error:
        raise InvalidInput(f"--format {template!r}: {error}") from None
    except (MemoryError, OverflowError):
        raise InvalidInput(f"--format {template!r}: a field is wider than memory") from None


#: What begins an action of Go's text/template, with Docker's own functions.
_GO_WORDS = frozenset(
    (
        "and block break call define else end eq ge gt html if index js join json le len lower lt ne not or pad print "
        "printf println range slice split table template title truncate upper urlquery with"
    ).split()
)


def _is_go(template: str) -> bool:
    """Whether doubled braces hold an action of a Go template; Python's are a brace that is printed."""
    for part in template.split("{{")[1:]:
        word = part.removeprefix("-").lstrip()
        if word[:1] in (".", "$") or word.replace("}", " ").partition(" ")[0] in _GO_WORDS:
            return True
    return False


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, out: Any = None) -> None:
    """Columns wide enough for their longest cell, three spaces between them, as Docker prints."""
    cells = [list(headings), *([_clean(cell) for cell in row] for row in rows)]
    if not headings:
        cells.pop(0)
    widths = [max((len(row[i]) for row in cells), default=0) for i in range(len(cells[0]) if cells else 0)]
    lines = []
    for row in cells:
        line = "   ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        lines.append(line.rstrip() + "\n")
    (out or sys.stdout).write("".join(lines))


def _clean(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def show(text: str) -> None:
    """Write lines to standard output. What a terminal would obey is shown escaped there: labels, names of files and the
    like are as a container or an image wrote them."""
    if not text.isprintable() and sys.stdout.isatty():
        text = "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)
    sys.stdout.write(text)


_OBEYED = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}


def _json(value: object, indent: int = 0) -> str:
    """JSON text in which the control characters are escaped, too, that JSON leaves as they are."""
    return jsontext.dumps(value, indent=indent).translate(_OBEYED)


def listing(
    rows: Sequence[Mapping[str, object]],
    columns: Sequence[tuple[str, str]],
    *,
    template: str = "",
    quiet: str = "",
) -> None:
    """Print rows: as a table of ``columns`` (heading, field), by ``--format``, or only the field ``quiet``.

    ``--format json`` prints one object a line; ``table {a}\\t{b}`` a table with headings of its own.
    """
    if quiet:
        show("".join(f"{row[quiet]}\n" for row in rows))
    elif not template or template == "table":
        table([h for h, _ in columns], [[str(row[f]) for _, f in columns] for row in rows])
    elif template == "json":
        show("".join(_json(dict(row)) + "\n" for row in rows))
    elif template.startswith("table "):
        # Cell by cell: what fills one may hold a tab itself.
        cells = template[6:].replace("\\t", "\t").split("\t")
        heads = {f: h for h, f in columns}
        names = rows[0] if rows else {f: "" for _, f in columns}
        head = {name: _Heading(heads.get(name, name.upper().replace("_", " "))) for name in names}
        table([fill(cell, head) for cell in cells], [[fill(cell, row) for cell in cells] for row in rows])
    else:
        if not rows:
            fill(template, _Anything())
        show("".join(fill(template, row) + "\n" for row in rows))


class _Anything(Fields):
    """Stands for a row, and for whatever is in it, when there is none: a template is only checked for its syntax."""

    def __getitem__(self, name: str) -> object:
        return self

    def __format__(self, spec: str) -> str:
        return ""


class _Heading(str):
    """A column's heading, in a template that was written for what stands below it (``{pid:d}``)."""

    def __format__(self, spec: str) -> str:
        try:
            return super().__format__(spec)
        except ValueError:
            return str(self)


def objects(found: Sequence[Mapping[str, object]], template: str) -> None:
    """Print objects in full: an indented JSON list, one line each for ``json``, or a format string each."""
    if not template:
        show(_json([dict(o) for o in found], indent=4) + "\n")
    elif template == "json":
        show("".join(_json(dict(o)) + "\n" for o in found))
    else:
        show("".join(fill(template, o) + "\n" for o in found))


def inspected(names: Sequence[str], look: Callable[[str], dict[str, object]], template: str) -> int:
    """Show in full whatever ``names`` name, report each that is not there; 1 when one was not."""
    found: list[Mapping[str, object]] = []
    status = each(names, lambda name: found.append(look(name)), say=False)
    objects(found, template)
    return status


def each(
    names: Sequence[str], act: Callable[[str], object], *, say: bool = True, may_miss: bool = False
) -> int:
    """Do ``act`` for every name, print each that succeeded, report each that failed; 1 when one failed.

    With ``may_miss`` what does not exist is reported too, and no failure: as with Docker's ``rm --force``.
    """
    from lading.cli.main import complain
    from lading.errors import LadingError

    status = 0
    for name in names:
        try:
            result = act(name)
        except LadingError as error:
            complain(error)
            if not (may_miss and isinstance(error, NotFound)):
                status = 1
            continue
        if say:
            print(name if result is None else result, flush=True)
    return status


def filters(texts: Sequence[str], known: Sequence[str]) -> dict[str, list[str]]:
    """``--filter KEY=VALUE`` rows by key. Raises :class:`InvalidInput` for a key that is not ``known``."""
    made: dict[str, list[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        key = key.strip().lower()
        if not equals:
            raise InvalidInput(f"--filter {text!r} is not KEY=VALUE")
        if key not in known:
            raise InvalidInput(
                f"--filter {text!r}: {key!r} is unknown", hint=f"the keys are {', '.join(known)}"
            )
        made.setdefault(key, []).append(value)
    return made


def truth(wanted: Mapping[str, Sequence[str]], key: str) -> bool | None:
    """What ``--filter KEY=true`` or ``=false`` says, the last one; None without it. Raises :class:`InvalidInput`."""
    said = None
    for text in wanted.get(key, ()):
        if text.lower() not in ("true", "1", "false", "0"):
            raise InvalidInput(f"--filter {key}={text}: neither true nor false")
        said = text.lower() in ("true", "1")
    return said


def name_fits(patterns: Sequence[str], *names: str) -> bool:
    """Whether one of the regular expressions of ``--filter name=`` is found in one of ``names``, as Docker does it."""
    import re

    for pattern in patterns:
        try:
            if any(re.search(pattern, name) for name in names):
                return True
        except re.error as error:
            raise InvalidInput(f"--filter name={pattern}: not a regular expression: {error}") from None
    return False


def labels_match(wanted: Sequence[str], labels: Mapping[str, str]) -> bool:
    """Whether every ``NAME`` or ``NAME=VALUE`` is among ``labels``."""
    for text in wanted:
        name, equals, value = text.partition("=")
        if name not in labels or (equals and labels[name] != value):
            return False
    return True


def confirm(question: str, force: bool) -> bool:
    """Ask before something is removed. Without a terminal to ask on, no."""
    if force:
        return True
    sys.stdout.write(f"{question} [y/N] ")
    sys.stdout.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        print()  # the end of the input: the cursor stands behind the question
    return answer.strip().lower() in ("y", "yes")
