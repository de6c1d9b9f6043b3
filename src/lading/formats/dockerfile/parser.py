"""The text of a Dockerfile to typed instructions: :func:`parse`, and :func:`parse_instruction` for ONBUILD triggers.

Source: the Dockerfile reference, and BuildKit's ``frontend/dockerfile/instructions/parse.go``.
"""

from __future__ import annotations

from lading.formats.dockerfile import instructions
from lading.formats.dockerfile.lines import Lines, decoded
from lading.formats.dockerfile.mistakes import NOWHERE, DockerfileError, Location, quoted
from lading.formats.dockerfile.model import Arg, Instruction
from lading.formats.dockerfile.stages import Dockerfile, Stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def parse(data: bytes, name: str = "Dockerfile") -> Dockerfile:
    """The Dockerfile that ``data`` holds; ``name`` is what messages call it.

    Raises :class:`DockerfileError` for the first mistake.
    """
    made = Dockerfile(name)
    stage: Stage | None = None
    for written in Lines(made, decoded(data, name)):
        try:
            instruction = instructions.instruction(written, made.escape)
            if isinstance(instruction, Stage):
                stage = instruction
                stage.index = len(made.stages)
                made.stages.append(stage)
            elif stage is not None:
                stage.instructions.append(instruction)
            elif isinstance(instruction, Arg):
                made.args.append(instruction)
            else:
                raise DockerfileError(
                    f"{instruction.keyword} before the first FROM",
                    hint="begin with FROM image, or FROM scratch; only ARG may stand before it",
                    token=written.word,
                )
        except DockerfileError as error:
            raise error.at(written.location, made.source) from None
    if not made.stages:
        last = max(len(made.source), 1)
        why = "no FROM in the whole file" if made.args else "no instruction in the whole file"
        raise DockerfileError(why, hint="begin with FROM image, or FROM scratch").at(Location(name, 1, last))
    _check_syntax(made)
    return made


def parse_instruction(
    text: str,
    location: Location = NOWHERE,
    *,
    escape: str = "\\",
    source: Sequence[str] = (),
) -> Instruction:
    """One instruction from an image's ``OnBuild`` list, heredocs behind its line; told as if it stood at ``location``.

    Raises :class:`DockerfileError`: also for FROM, ONBUILD and MAINTAINER, and for more than one instruction.
    """
    made = Dockerfile(location.file or "ONBUILD")
    made.escape = escape
    try:
        found = list(Lines(made, text))
        if len(found) != 1:
            raise DockerfileError(f"the trigger {quoted(text)} holds {len(found)} instructions, not one")
        found[0].location = location
        instructions.refuse_trigger(found[0])
        return instructions.instruction(found[0], made.escape)
    except DockerfileError as error:
        error.location, error.message = None, error.why
        raise error.at(location, source) from None


_FRONTENDS = ("dockerfile", "dockerfile-upstream")


def speaks(image: str) -> bool:
    """Whether a frontend's image is for the language that is read here."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0] in _FRONTENDS


def _check_syntax(made: Dockerfile) -> None:
    """Refuse a ``# syntax=`` that names another language. Docker's own frontends, mirrored or not, all mean this one."""
    image = made.directives.syntax.split(" ")[0]
    if image and not speaks(image):
        line = made.directives.lines["syntax"]
        raise DockerfileError(
            f"syntax={image[:80]} is a language of its own, which this builder does not speak",
            hint="leave the line out when the file is an ordinary Dockerfile",
            token=image,
            reason="unsupported",
        ).at(Location(made.name, line, line), made.source)
