"""Variables in values: ``$NAME``, ``${NAME}``, ``${NAME:-word}``, ``${NAME:?message}``, ``${NAME:+word}``; ``$$`` is a dollar.

Source: Compose specification, "Interpolation". ``:+`` and ``+`` (the word when the variable is set) are in the shell's grammar
and in docker compose's. Words are interpolated themselves, and only when they are used.
"""

from __future__ import annotations

import re

from lading.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DEEPEST = 20
_LARGEST = 1 << 20


class Missing(InvalidInput):
    """A variable that the file demands (``${NAME:?message}``) is not set."""

    reason = "missing-variable"


def interpolate(text: str, variables: Mapping[str, str], unset: Callable[[str], None] | None = None) -> str:
    """``text`` with its variables filled in; ``unset`` is told of names that are not set and have no default.

    Raises :class:`InvalidInput` (what is in braces is no substitution) and :class:`Missing`. The messages hold no place.
    """
    made, end = _until(text, 0, False, variables, unset or _quiet, 0)
    assert end == len(text)
    return made


def _quiet(name: str) -> None:
    pass


def _until(
    text: str,
    index: int,
    braced: bool,
    variables: Mapping[str, str],
    unset: Callable[[str], None],
    depth: int,
    *,
    used: bool = True,
) -> tuple[str, int]:
    """Up to the end, or to the brace that closes a word (which is left out); with ``used`` false only where that is."""
    if depth > _DEEPEST:
        raise InvalidInput(f"variables are nested deeper than {_DEEPEST} levels")
    out: list[str] = []
    size = 0
    while index < len(text):
        char = text[index]
        if braced and char == "}":
            return "".join(out), index + 1
        if char != "$":
            stop = index + 1
            while stop < len(text) and text[stop] != "$" and not (braced and text[stop] == "}"):
                stop += 1
            out.append(text[index:stop])
            index = stop
            continue
        if text.startswith("$$", index):
            out.append("$")
            index += 2
            continue
        if text.startswith("${", index):
            value, index = _substitution(text, index, variables, unset, depth, used)
        else:
            name = _NAME.match(text, index + 1)
            if name is None:
                out.append("$")  # "in other circumstances it is preserved"
                index += 1
                continue
            value = _value(name[0], variables, unset if used else _quiet)
            index = name.end()
        size += len(value)
        if size > _LARGEST:
            raise InvalidInput(f"its variables make the value larger than {_LARGEST >> 20} MiB")
        out.append(value)
    if braced:
        raise InvalidInput(f"{text[:80]!r}: a brace is not closed", hint="a literal dollar is written $$")
    return "".join(out), index


def _value(name: str, variables: Mapping[str, str], unset: Callable[[str], None]) -> str:
    found = variables.get(name)
    if found is None:
        unset(name)
        return ""
    return found


def _substitution(
    text: str,
    index: int,
    variables: Mapping[str, str],
    unset: Callable[[str], None],
    depth: int,
    used: bool,
) -> tuple[str, int]:
    name = _NAME.match(text, index + 2)
    if name is None:
        raise _bad(text, index, "a name has to follow ${")
    end = name.end()
    operator = text[end : end + 2] if text[end : end + 1] == ":" else text[end : end + 1]
    if operator == "}":
        return _value(name[0], variables, unset if used else _quiet), end + 1
    if operator not in (":-", "-", ":?", "?", ":+", "+"):
        raise _bad(text, index, f"{text[end : end + 1]!r} cannot follow the name {name[0]}")
    found = variables.get(name[0])
    there = bool(found) if operator[0] == ":" else found is not None
    wanted = used and (there if operator[-1] == "+" else not there)
    word, after = _until(
        text,
        end + len(operator),
        True,
        variables if wanted else {},
        unset if wanted else _quiet,
        depth + 1,
        used=wanted,
    )
    if operator[-1] == "+":
        return (word if there else ""), after
    if there:
        return found or "", after
    if operator[-1] == "?":
        if used:
            raise Missing(f"required variable {name[0]} is missing a value: {word or 'it is not set'}")
        return "", after
    return word, after


def _bad(text: str, index: int, why: str) -> InvalidInput:
    return InvalidInput(
        f"{text[index : index + 60]!r}: {why}",
        hint="write ${NAME}, ${NAME:-default} or ${NAME:?message}; a literal dollar is $$",
    )


def names(text: str) -> list[tuple[str, str, str]]:
    """Every variable of ``text`` as (name, operator, word), for ``config --variables``; those of words follow."""
    found: list[tuple[str, str, str]] = []
    index = 0
    while (part := _VARIABLE.search(text, index)) is not None:
        index = part.end()
        if part[0] == "$$":
            continue
        if part[3]:
            found.append((part[3], "", ""))
            continue
        end, depth = index, 1
        while end < len(text) and depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        word = text[index : end - 1] if not depth else text[index:]
        index = end
        found.append((part[1], part[2] or "", word))
        found += names(word)
    return found


_VARIABLE = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(:?[-?+])?|\$([A-Za-z_][A-Za-z0-9_]*)")
