"""The Dockerfile language as data: text in, typed instructions or a mistake that explains itself out. No I/O.

What to begin with::

    file = parse(data, "Dockerfile")          # a Dockerfile, or a DockerfileError with .render()
    file.target("build")                      # the Stage of --target
    file.source_stage("build", stage, copy)   # what --from means: an earlier stage, or None for an image or a context
    for instruction in stage.instructions:    # Run, Copy, Env, …: texts as written
        instruction.expanded(Expander(lookup, file.escape))

``Expander`` does that for one text. ``parse_instruction`` reads the triggers of a base image.
Imported one by one, because a build does not always want them: :mod:`~lading.formats.dockerfile.scope` (which variables an
instruction sees), :mod:`~lading.formats.dockerfile.ignore` (``.dockerignore``), :mod:`~lading.formats.dockerfile.linter`
(``report``), :mod:`~lading.formats.dockerfile.permissions` (``--chmod``), :mod:`~lading.formats.dockerfile.ports` (EXPOSE),
:mod:`~lading.formats.dockerfile.mounts` (``--mount``).

Source: the Dockerfile reference and BuildKit's ``frontend/dockerfile``. ``docs/dockerfile.md`` says what differs.
"""

from __future__ import annotations

from lading.formats.dockerfile.expansion import Expander
from lading.formats.dockerfile.mistakes import DockerfileError, Location
from lading.formats.dockerfile.model import (
    Add,
    Arg,
    Cmd,
    Command,
    Copy,
    Definition,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Heredoc,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Pair,
    Run,
    Shell,
    Stopsignal,
    Transfer,
    User,
    Volume,
    Workdir,
)
from lading.formats.dockerfile.parser import parse, parse_instruction
from lading.formats.dockerfile.stages import Directives, Dockerfile, Stage

__all__ = [
    "Add",
    "Arg",
    "Cmd",
    "Command",
    "Copy",
    "Definition",
    "Directives",
    "Dockerfile",
    "DockerfileError",
    "Entrypoint",
    "Env",
    "Expander",
    "Expose",
    "Healthcheck",
    "Heredoc",
    "Instruction",
    "Label",
    "Location",
    "Maintainer",
    "Onbuild",
    "Pair",
    "Run",
    "Shell",
    "Stage",
    "Stopsignal",
    "Transfer",
    "User",
    "Volume",
    "Workdir",
    "parse",
    "parse_instruction",
]
