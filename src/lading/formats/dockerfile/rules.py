"""The rules of the linter: BuildKit's, by its names, and how a file or a comment turns them off.

Source: docs.docker.com/reference/build-checks, and BuildKit's ``frontend/dockerfile/linter``.
"""

from __future__ import annotations

from lading.formats.dockerfile.lines import directive
from lading.formats.dockerfile.mistakes import DockerfileError, Location, excerpt, printable, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

RULES = {
    "ConsistentInstructionCasing": "all instructions of a file in capitals, or all in lower case",
    "CopyIgnoredFile": "COPY and ADD of a file that .dockerignore leaves out find nothing",
    "DuplicateStageName": "two stages of one name: only the last can be meant by it",
    "ExposeInvalidFormat": "EXPOSE names ports of the container, no addresses and no ports of the host",
    "ExposeProtoCasing": "the protocol of EXPOSE in lower case",
    "FromAsCasing": "AS in capitals where FROM is, in lower case where it is not",
    "FromPlatformFlagConstDisallowed": "a constant --platform keeps the stage from being built for others",
    "InvalidBaseImagePlatform": "the base image is for another platform than the one that is built for",
    "InvalidDefaultArgInFrom": "without build arguments the name of the base image is empty or none",
    "InvalidDefinitionDescription": "the comment right above an ARG or a stage begins with its name",
    "JSONArgsRecommended": "a JSON list for CMD and ENTRYPOINT: a shell in between does not pass signals on",
    "LegacyKeyValueFormat": "name=value, with an equals sign",
    "MaintainerDeprecated": "a label names the author; MAINTAINER is deprecated",
    "MultipleInstructionsDisallowed": "of several CMD, ENTRYPOINT or HEALTHCHECK in a stage only the last counts",
    "NoEmptyContinuation": "no empty lines in an instruction",
    "RedundantTargetPlatform": "--platform=$TARGETPLATFORM is what FROM does anyway",
    "ReservedStageName": "scratch and context mean something else",
    "SecretsUsedInArgOrEnv": "the values of ARG and ENV stay in the image's configuration and history",
    "StageNameCasing": "names of stages in lower case",
    "UndefinedArgInFrom": "FROM sees the ARGs that stand before the first FROM",
    "UndefinedVar": "a variable is defined before it is used",
    "WorkdirRelativePath": "a relative first WORKDIR depends on the base image",
}
"""Name → what it asks for."""

EXPERIMENTAL = frozenset(("InvalidDefinitionDescription",))
"""Rules that only speak where they are asked for: ``# check=experimental=NAME``."""


class Warning:  # its name is the subject's; nothing here means Python's
    """A breach of ``rule``: ``message`` says which, ``location`` where, ``token`` the words."""

    __slots__ = ("location", "message", "rule", "token")

    def __init__(self, rule: str, message: str, location: Location, token: str = "") -> None:
        self.rule = rule
        self.message = printable(message)
        self.location = location
        self.token = token

    @property
    def description(self) -> str:
        """What the rule asks for."""
        return RULES[self.rule]

    def __str__(self) -> str:
        """``Dockerfile:3: UndefinedVar: …``."""
        return f"{self.location}: {self.rule}: {self.message}"

    def __repr__(self) -> str:
        return f"<{self}>"

    def render(self, source: Sequence[str], *, around: int = 0) -> str:
        """Several lines for a terminal: the message, and the source with a marker."""
        return "\n".join([str(self), *excerpt(source, self.location, self.token, around=around)])


class Config:
    """Which rules speak. ``error``: a warning fails the build."""

    __slots__ = ("error", "experimental", "experimental_all", "skip", "skip_all")

    def __init__(self) -> None:
        self.error = False
        self.skip_all = False
        self.experimental_all = False
        self.skip: frozenset[str] = frozenset()
        self.experimental: frozenset[str] = frozenset()

    def speaks(self, rule: str) -> bool:
        """Whether a breach of ``rule`` is told."""
        if rule in EXPERIMENTAL:
            return self.experimental_all or rule in self.experimental
        return not (self.skip_all or rule in self.skip)

    def merged(self, other: Config) -> Config:
        """What both turn off is off, what either asks for is on; ``error`` stays this one's."""
        made = Config()
        made.error = self.error
        made.skip_all = self.skip_all or other.skip_all
        made.experimental_all = self.experimental_all or other.experimental_all
        made.skip = self.skip | other.skip
        made.experimental = self.experimental | other.experimental
        return made

    def with_comments(self, comments: Iterable[str]) -> Config:
        """This configuration for an instruction below ``comments``: the first ``check=…`` among them is merged."""
        for comment in comments:
            if "=" not in comment:
                continue
            found = directive("#" + comment)
            if found is None or found[0] != "check":
                continue
            try:
                return self.merged(parsed(found[1]))
            except DockerfileError:
                return self  # a comment: nothing says that it was meant for a program
        return self


def parsed(text: str) -> Config:
    """``skip=A,B;error=true;experimental=all``, up to the first blank. Raises :class:`DockerfileError`."""
    made = Config()
    text = text.split(" ")[0].strip()
    if not text:
        return made
    for option in text.split(";"):
        name, equals, value = option.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or name not in ("skip", "error", "experimental"):
            raise DockerfileError(
                f"check: {quoted(option)} is no option",
                hint="write # check=skip=RULE,RULE;error=true, or skip=all",
                token=option,
            )
        rules = frozenset(rule.strip() for rule in value.split(","))
        if name == "error":
            if value not in _TRUTHS:
                raise DockerfileError(
                    f"check: error is true or false, not {quoted(value)}",
                    hint="write error=true",
                    token=option,
                )
            made.error = _TRUTHS[value]
        elif name == "skip":
            made.skip_all = value == "all"
            made.skip = rules
        else:
            made.experimental_all = value == "all"
            made.experimental = rules
    return made


_TRUTHS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}
