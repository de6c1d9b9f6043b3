"""``lading top CONTAINER OPTIONS``: what ps(1) of this machine shows, for the processes of one container.

As Docker does: ps gets the options as they are and its PID column chooses the lines, since a list of processes (``-q``)
and the options that select processes exclude each other.
"""

from __future__ import annotations

import os
import subprocess
import sys

from lading.errors import InvalidInput, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from lading.cli.context import Context

#: Who has a narrow terminal, or a format of his own by default, wants whole lines with a PID all the same (ps(1)).
_BENDS_PS = ("COLUMNS", "LINES", "PS_FORMAT", "PS_PERSONALITY", "I_WANT_A_BROKEN_PS")


def show(context: Context, name: str, options: Sequence[str]) -> int:
    """Print the lines. Raises :class:`InvalidInput` for options that ps refuses or that show no PID."""
    processes = {row["PID"] for row in context.node.top(name)}
    try:
        # Without -A, ps shows the terminal's own processes: -o alone would show none of a container.
        every = [] if selects(options) else ["-A"]
        done = subprocess.run(
            ["ps", *every, *options],
            env={name: value for name, value in os.environ.items() if name not in _BENDS_PS},
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise NotFound(
            "ps is not installed, and options are for it",
            hint="install procps, or name columns such as PID CMD",
        ) from None
    if done.returncode not in (0, 1) or done.stderr:
        said = done.stderr.strip().partition("\n")[0] or f"it ended with {done.returncode}"
        raise InvalidInput(f"ps {' '.join(options)}: {said}", hint="for example -o pid,comm or aux")
    sys.stdout.write("".join(f"{line}\n" for line in chosen(done.stdout.splitlines(), processes, options)))
    return 0


def selects(options: Sequence[str]) -> bool:
    """Whether the options say which processes to show: ``-ef``, ``-A``, ``aux``; ``-o LIST`` and ``-f`` do not."""
    value = False
    for word in options:
        if value:
            value = False
            continue
        letters = word.lstrip("-").partition("=")[0]
        flags = letters.partition("o")[0]
        value = "o" in letters and letters.endswith("o") and not word.startswith("--")
        if word.startswith("--"):
            continue
        if not word.startswith("-"):
            return True
        if set(flags) & set("eAadNx"):
            return True
    return False


def chosen(lines: Sequence[str], processes: Collection[str], options: Sequence[str]) -> list[str]:
    """The heading, and the lines of ``processes``. Raises :class:`InvalidInput` without a column PID."""
    heading = lines[0].split() if lines else []
    if "PID" not in heading:
        raise InvalidInput(f"ps {' '.join(options)} shows no PID", hint="add it: -o pid,…")
    column = heading.index("PID")
    made = [lines[0]]
    for line in lines[1:]:
        fields = line.split(None, column + 1)
        if len(fields) > column and fields[column] in processes:
            made.append(line)
    return made
