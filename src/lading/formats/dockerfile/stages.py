"""A whole Dockerfile: its directives, global arguments and stages, and what names in it mean."""

from __future__ import annotations

from lading.formats.dockerfile.mistakes import DockerfileError, did_you_mean, quoted
from lading.formats.dockerfile.model import Arg, Copy, Instruction, Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Stage(Instruction):
    """A FROM and the instructions up to the next one.

    ``index``         counted from 0.
    ``name``          in lower case; empty without ``AS``. ``as_word`` and ``written_name`` are as written.
    ``base``          text before expansion: an image, an earlier stage, a named context or ``scratch``.
    ``platform``      ``--platform`` before expansion; empty without.
    """

    __slots__ = ("as_word", "base", "index", "instructions", "name", "platform", "written_name")
    keyword = "FROM"
    as_word: str
    base: str
    index: int
    instructions: list[Instruction]
    name: str
    platform: str
    written_name: str

    @property
    def title(self) -> str:
        """``name``, or ``stage-INDEX`` for a stage without one."""
        return self.name or f"stage-{self.index}"


class Directives:
    """``# syntax=``, ``# escape=`` and ``# check=`` of a file's top; empty when not there. ``lines`` says where each stands."""

    __slots__ = ("check", "escape", "lines", "syntax")

    def __init__(self) -> None:
        self.syntax = ""
        self.escape = ""
        self.check = ""
        self.lines: dict[str, int] = {}


class Dockerfile:
    """A whole file.

    ``args``    the ARGs before the first FROM; ``escape`` ``\\`` or `````; ``source`` the physical lines without their ends.
    ``empty_continuations``  the last lines of instructions that have an empty line in them (a warning of the linter).
    """

    __slots__ = ("args", "directives", "empty_continuations", "escape", "name", "source", "stages")

    def __init__(self, name: str) -> None:
        self.name = name
        self.directives = Directives()
        self.escape = "\\"
        self.args: list[Arg] = []
        self.stages: list[Stage] = []
        self.source: list[str] = []
        self.empty_continuations: list[int] = []

    def __iter__(self) -> Iterator[Instruction]:
        """Every instruction in the order of the file: global ARGs, then each FROM and what follows it."""
        yield from self.args
        for stage in self.stages:
            yield stage
            yield from stage.instructions

    def target(self, name: str = "") -> Stage:
        """The stage that ``--target`` names (case ignored) or numbers; the last one without a name.

        Raises :class:`DockerfileError`.
        """
        if not name:
            return self.stages[-1]
        found = self.named(name)
        if found is None and name.isascii() and name.isdigit() and len(name) < 6:
            found = self.stages[int(name)] if int(name) < len(self.stages) else None
        if found is None:
            known = [stage.name for stage in self.stages if stage.name]
            listed = f"the stages are {', '.join(known[:20])}" if known else "no stage has a name"
            error = DockerfileError(
                f"there is no stage {quoted(name)}",
                hint=did_you_mean(name, known) or listed,
                reason="not-found",
            )
            error.message = f"{self.name}: {error.why}"
            raise error
        return found

    def named(self, name: str, *, before: int | None = None) -> Stage | None:
        """The last stage called ``name`` (case ignored), of those with a lower index than ``before``; None without one."""
        wanted = name.lower()
        for stage in reversed(self.stages[:before]):
            if stage.name == wanted:
                return stage
        return None

    def source_stage(self, reference: str, stage: Stage, instruction: Instruction) -> Stage | None:
        """The stage that ``from`` of a COPY or a mount in ``stage`` means; None when it is an image or a context.

        A number is always a stage. Raises :class:`DockerfileError` for one that does not exist, or comes too late.
        """
        if reference.isascii() and reference.isdigit() and isinstance(instruction, Copy):
            if len(reference) > 5 or int(reference) >= stage.index:
                last = (
                    f"stages 0 to {stage.index - 1} stand above" if stage.index else "no stage stands above"
                )
                raise DockerfileError(
                    f"there is no stage {reference[:20]} to copy from: {last}",
                    hint="count stages from 0, or give the stage a name: FROM … AS name",
                    token=f"--from={reference}",
                ).at(instruction.location, self.source)
            return self.stages[int(reference)]
        found = self.named(reference, before=stage.index)
        late = self.named(reference) if found is None else None
        if late is not None:
            why = "is this stage itself" if late is stage else f"begins later, on line {late.location.first}"
            raise DockerfileError(
                f"stage {quoted(reference)} {why}",
                hint="a stage takes files from stages above it: move it up",
                token=reference,
            ).at(instruction.location, self.source)
        return found


def sources(instruction: Instruction) -> list[str]:
    """What ``from`` names in a COPY or in the mounts of a RUN."""
    if isinstance(instruction, Copy):
        return [instruction.from_] if instruction.from_ else []
    if isinstance(instruction, Run):
        return [mount.from_ for mount in instruction.mounts if mount.from_]
    return []


def reached(target: Stage, needs: Callable[[Stage], Iterable[Stage | None]]) -> set[int]:
    """The indices of ``target`` and of all that it needs, and what these need; ``needs`` tells what one stage does itself."""
    found: set[int] = set()
    waiting = [target]
    while waiting:
        stage = waiting.pop()
        if stage.index not in found:
            found.add(stage.index)
            waiting += [needed for needed in needs(stage) if needed is not None]
    return found
