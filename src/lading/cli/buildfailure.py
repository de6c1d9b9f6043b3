"""A failed step, told: its lines of the file, its command's last words, its status, and what to do."""

from __future__ import annotations

from lading.cli.buildlines import printable
from lading.formats.dockerfile.mistakes import Location, excerpt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.build.executor import StepFailed
    from lading.formats.dockerfile import Dockerfile

_STATUS = {
    126: "the command was found and cannot be executed: look at its mode and its first line",
    127: "the command was not found: install it in a step before, or write its path",
    137: "the command was killed (SIGKILL): perhaps it needs more memory than it may have",
    139: "the command crashed (SIGSEGV)",
    143: "the command was asked to end (SIGTERM)",
}


def failure(error: StepFailed, file: Dockerfile, head: str, said: Sequence[str]) -> list[str]:
    """The lines to show. ``head`` names the step, ``said`` are the last lines of its output."""
    rows: list[str] = []
    if said:
        rows += ["------", f" > {head}:", *said, "------"]
    location = _location(error.vertex.line, file)
    where = f"{location}: " if location is not None else ""
    if location is not None:
        rows.append(str(location))
        rows += excerpt(file.source, location, around=2)
    rows.append(
        f"lading build: {where}{printable(str(error))}"
    )  # also alone, as the end of a log, it says enough
    hint = _STATUS.get(error.code, "")
    if hint and not error.hint:
        rows.append(hint)
    return rows


def _location(line: int, file: Dockerfile) -> Location | None:
    """The lines of the instruction that begins at ``line``."""
    if not 0 < line <= len(file.source):
        return None
    for instruction in file:
        if instruction.location.first == line:
            return instruction.location
    return Location(file.name, line, line)
