"""What ``--help`` prints, from the same tables that :mod:`lading.flags` parses by. Loaded only when help is asked for."""

from __future__ import annotations

import os

from lading.flags import usage_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.flags import Command, Flag


def terminal_width() -> int:
    """Columns for help texts: ``$COLUMNS``, else the terminal's, else 100; between 40 and 120."""
    try:
        width = int(os.environ.get("COLUMNS") or 0) or os.get_terminal_size(1).columns
    except (OSError, ValueError):
        width = 100
    return max(40, min(width, 120))


def help_text(path: tuple[Command, ...], width: int = 0) -> str:
    """What ``--help`` prints for ``path[-1]``, ending in a newline."""
    width = width or terminal_width()
    command = path[-1]
    parts = [f"Usage: {usage_line(path)}\n"]
    about = command.description or command.summary
    if about:
        parts.append("\n".join("\n".join(_wrap(p, width)) for p in about.split("\n")) + "\n")
    rows = [(c.name, c.summary) for c in command.commands if not c.hidden]
    if rows:
        parts.append("Commands:\n" + _table(rows, width))
    rows = [(_left(f), flag_meaning(f)) for f in command.flags if not f.hidden]
    if rows:
        parts.append("Options:\n" + _table(rows, width))
    groups = [index for index, group in enumerate(path[:-1], 1) if group.persistent]
    if groups:
        spoken = " ".join(c.name for c in path[: groups[0]])
        parts.append(f"See '{spoken} --help' for what every command of it takes.\n")
    if command.commands:
        parts.append(f"See '{' '.join(c.name for c in path)} COMMAND --help' for one command.\n")
    return "\n".join(parts)


def _left(flag: Flag) -> str:
    short, long = flag_words(flag)
    return f"{short}, {long}" if short else f"    {long}"


def flag_words(flag: Flag) -> tuple[str, str]:
    """``-n`` (or nothing), and ``--name VALUE``."""
    word = flag.value_word()
    if word and flag.no_value is not None:
        word = f"[={word}]"
    elif word:
        word = " " + word
    return f"-{flag.short}" if flag.short else "", f"--{flag.name}{word}"


def flag_meaning(flag: Flag) -> str:
    """The help, the words to choose from, and the default."""
    text = flag.help
    if flag.choices:
        text += f" ({', '.join(flag.choices)})"
    if flag.default not in (None, "", False):
        text += f" (default {'true' if flag.default is True else flag.default})"
    return text


def _table(rows: list[tuple[str, str]], width: int) -> str:
    column = min(max(len(left) for left, _ in rows) + 2, max(width // 3, 16))
    out = []
    for left, right in rows:
        lines = _wrap(right, width - column - 2) or [""]
        if len(left) + 2 > column:  # a long name stands on a line of its own
            out.append(f"  {left}")
            out += [f"  {'':{column}}{line}" for line in lines if line]
        else:
            out.append(f"  {left:{column}}{lines[0]}".rstrip())
            out += [f"  {'':{column}}{line}" for line in lines[1:]]
    return "\n".join(out) + "\n"


def _wrap(text: str, width: int) -> list[str]:
    lines: list[str] = []
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    if line:
        lines.append(line)
    return lines
