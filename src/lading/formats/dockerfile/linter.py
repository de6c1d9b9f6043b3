"""What is allowed in a Dockerfile and better left: BuildKit's checks, without building anything.

Source: docs.docker.com/reference/build-checks; the order of checks and what each sees is that of BuildKit's ``dockerfile2llb``.
"""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats.dockerfile import model, rules, stages
from lading.formats.dockerfile.expansion import Expander
from lading.formats.dockerfile.mistakes import DockerfileError, Location, did_you_mean, quoted
from lading.formats.dockerfile.rules import Config, Warning
from lading.formats.dockerfile.scope import Globals, Scope, automatic
from lading.formats.dockerfile.stagelint import StageView, walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from lading.formats.dockerfile.ignore import Ignore
    from lading.formats.oci_image import Platform

    Environment = Callable[[str, str], Sequence[str] | None]

_COMPARISONS = 50_000
"""How many names are looked at for hints: a file of a thousand misspelt ones among a thousand others would take seconds."""
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Report:
    """``warnings`` in the order of the file; ``error``, the first mistake that a build would stop at, or None.

    ``fails``: there are warnings, and the file says that they are errors (``# check=error=true``).
    """

    __slots__ = ("error", "fails", "warnings")

    def __init__(self) -> None:
        self.warnings: list[Warning] = []
        self.error: DockerfileError | None = None
        self.fails = False


def report(
    file: stages.Dockerfile,
    *,
    build_args: Mapping[str, str] | None = None,
    target: str = "",
    dockerignore: Ignore | None = None,
    environment: Environment | None = None,
    check: str | None = None,
    build_platform: Platform | None = None,
    target_platform: Platform | None = None,
) -> Report:
    """Check ``file`` as a build with these arguments would see it; without ``target`` every stage.

    ``environment(base, platform)`` gives the environment of a base image, None when it is not known: UndefinedVar then only
    speaks of names that resemble a known one. Without it images are taken to set PATH alone. ``check`` replaces the
    file's own directive.
    """
    made = Report()
    try:
        checks = Checks(file, made, build_args or {}, dockerignore, check)
        checks.environment = environment
        checks.text()
        checks.build(target, build_platform, target_platform)
    except DockerfileError as error:
        made.error = error.at(Location(file.name, 1, 1), file.source)
    else:
        made.fails = bool(made.warnings) and checks.config.error
    made.warnings.sort(key=lambda warning: warning.location.first)
    return made


class Checks:
    """One run over one file."""

    def __init__(
        self,
        file: stages.Dockerfile,
        made: Report,
        build_args: Mapping[str, str],
        ignore: Ignore | None,
        check: str | None,
    ) -> None:
        self.file = file
        self.made = made
        self.build_args = build_args
        self.ignore = ignore if ignore is not None and not ignore.exceptions else None
        self.environment: Environment | None = None
        self._comparisons = _COMPARISONS
        line = file.directives.lines.get("check", 1)
        try:
            self.config = rules.parsed(file.directives.check if check is None else check)
        except DockerfileError as error:
            raise error.at(Location(file.name, line, line), file.source) from None

    def warn(self, config: Config, rule: str, message: str, where: Location, token: str = "") -> None:
        """Note a breach of ``rule`` where ``config`` lets it speak."""
        if config.speaks(rule):
            self.made.warnings.append(Warning(rule, message, where, token))

    def near(self, word: str, known: Collection[str]) -> str:
        """A hint at the nearest of ``known``, for as long as there are not more names to compare than people write."""
        self._comparisons -= len(known)
        return did_you_mean(word, known) if self._comparisons >= 0 else ""

    # -- what the text alone shows -----------------------------------------------------------------------------------

    def text(self) -> None:
        """Check what no build is needed for."""
        for line in self.file.empty_continuations:
            self.warn(
                self.config,
                "NoEmptyContinuation",
                "an empty line continues an instruction; later versions of the language refuse it",
                Location(self.file.name, line, line),
            )
        for instruction in self.file:
            self._instruction(instruction, self.config.with_comments(instruction.comments))
        self._names()
        self._casing()

    def _instruction(self, made: model.Instruction, config: Config) -> None:
        if isinstance(made, model.Maintainer):
            self.warn(
                config,
                "MaintainerDeprecated",
                'MAINTAINER is deprecated: write LABEL org.opencontainers.image.authors="…"',
                made.location,
                made.word,
            )
        elif isinstance(made, stages.Stage):
            self._from(made, config)
        elif isinstance(made, model.Arg):
            self._described(made, [d.name for d in made.definitions], config)

    def _from(self, made: stages.Stage, config: Config) -> None:
        if made.written_name != made.written_name.lower():
            self.warn(
                config,
                "StageNameCasing",
                f"the stage's name {quoted(made.written_name)} is not in lower case",
                made.location,
                made.written_name,
            )
        if made.as_word and (
            (made.word == made.word.lower() and made.as_word != made.as_word.lower())
            or (made.word == made.word.upper() and made.as_word != made.as_word.upper())
        ):
            self.warn(
                config,
                "FromAsCasing",
                f"{quoted(made.as_word)} is not written like {quoted(made.word)}",
                made.location,
                made.as_word,
            )
        if made.name:
            self._described(made, [made.name], config)

    def _described(self, made: model.Instruction, names: list[str], config: Config) -> None:
        comments = made.comments
        if not comments or not comments[-1] or not names:
            return  # an empty line parts a comment from what it does not describe
        if comments[-1].split(" ")[0] in names:
            return
        name = names[0] if len(names) == 1 else "NAME"
        self.warn(
            config,
            "InvalidDefinitionDescription",
            f"the comment above {made.keyword} does not begin with its name: write # {name} and what it is",
            made.location,
        )

    def _names(self) -> None:
        seen: dict[str, stages.Stage] = {}
        for stage in self.file.stages:
            if not stage.name:
                continue
            if stage.name in ("context", "scratch"):
                self.warn(
                    self.config,
                    "ReservedStageName",
                    f"a stage is called {stage.name}, which means something else in FROM and --from",
                    stage.location,
                    stage.written_name,
                )
            if stage.name in seen:
                self.warn(
                    self.config,
                    "DuplicateStageName",
                    f"a stage on line {seen[stage.name].location.first} is called {stage.name} already",
                    stage.location,
                    stage.written_name,
                )
            seen.setdefault(stage.name, stage)

    def _casing(self) -> None:
        words = [i for stage in self.file.stages for i in (stage, *stage.instructions)]
        lower = sum(i.word == i.word.lower() for i in words)
        upper = sum(i.word == i.word.upper() and i.word != i.word.lower() for i in words)
        wanted = "lower case" if lower > upper else "capitals"
        for instruction in words:
            word = instruction.word
            if word != (word.lower() if lower > upper else word.upper()):
                self.warn(
                    self.config,
                    "ConsistentInstructionCasing",
                    f"{quoted(word)} is not in {wanted} like most instructions here",
                    instruction.location,
                    word,
                )

    # -- what a build sees ---------------------------------------------------------------------------------------------

    def build(self, target: str, own: Platform | None, for_: Platform | None) -> None:
        """Check what depends on arguments: bases, then the instructions of each stage. Raises :class:`DockerfileError`."""
        from lading.formats.platform import host

        file = self.file
        wanted = file.target(target)
        own = own or host()
        known = automatic(own, for_ or own, target or wanted.name)
        self._defaults(
            Globals({}, {n: self.build_args.get(n, v) for n, v in known.items()}, file.args, file.escape)
        )
        outer = Globals(self.build_args, known, file.args, file.escape)
        bases = [self._base(stage, outer) for stage in file.stages]
        reached = self._reached(wanted, bases) if target else set(range(len(file.stages)))
        views: dict[int, StageView] = {}
        for stage, (base, platform) in zip(file.stages, bases, strict=True):
            parent = file.named(base, before=stage.index)
            if stage.index not in reached:
                continue
            if parent is not None:
                view = views[parent.index].child()
            else:
                known_env = True
                env: Sequence[str] | None = []
                if self.environment is not None and base.lower() != "scratch":
                    env = self.environment(base, platform)
                    known_env = env is not None
                view = StageView(Scope(outer, env or (), file.escape), known_env)
            view.scope.env.setdefault("PATH", _PATH.partition("=")[2])
            view.scope.variables.setdefault("PATH", view.scope.env["PATH"])
            views[stage.index] = view
            walk(self, stage, parent, view)

    def _defaults(self, outer: Globals) -> None:
        from lading.formats.reference import Reference

        for stage in self.file.stages:
            try:
                Reference.parse(Expander(outer.get, self.file.escape).word(stage.base))
            except DockerfileError:
                return  # the build says so itself
            except InvalidInput:
                self.warn(
                    self.config,
                    "InvalidDefaultArgInFrom",
                    f"without build arguments {quoted(stage.base)} names no image",
                    stage.location,
                    stage.base,
                )

    def _base(self, stage: stages.Stage, outer: Globals) -> tuple[str, str]:
        """The names of a stage's base and platform, expanded."""
        config = self.config.with_comments(stage.comments)
        base = self._outer_word(stage, stage.base, outer, config)[0]
        if not base:
            raise DockerfileError(
                f"FROM {quoted(stage.base)} names no image: the variables in it are empty",
                hint="give an ARG before the first FROM a default, or pass --build-arg",
                token=stage.base,
            ).at(stage.location, self.file.source)
        if self.file.named(base, before=stage.index) is None and base.lower() != "scratch":
            self._image(stage, base)
        if not stage.platform:
            return base, ""
        platform, expander = self._outer_word(stage, stage.platform, outer, config)
        self._platform(stage, platform, expander, outer, config)
        return base, platform

    def _image(self, stage: stages.Stage, base: str) -> None:
        from lading.formats.reference import Reference

        try:
            Reference.parse(base)
        except InvalidInput as error:
            near = did_you_mean(base, [s.name for s in self.file.stages[: stage.index] if s.name])
            raise DockerfileError(error.message, hint=near or error.hint, token=stage.base).at(
                stage.location, self.file.source
            ) from None

    def _outer_word(
        self, stage: stages.Stage, text: str, outer: Globals, config: Config
    ) -> tuple[str, Expander]:
        expander = Expander(outer.get, self.file.escape)
        made = stage.told(expander.word, text)
        for name in expander.missing:
            if name not in outer.declared:
                hint = self.near(name, [*outer.declared, *outer.known])
                message = f"no ARG before the first FROM declares ${name}" + (f" ({hint})" if hint else "")
                self.warn(config, "UndefinedArgInFrom", message, stage.location, text)
        return made, expander

    def _platform(
        self, stage: stages.Stage, platform: str, expander: Expander, outer: Globals, config: Config
    ) -> None:
        from lading.formats import platform as platforms

        if (
            list(expander.used) == ["TARGETPLATFORM"]
            and not expander.missing
            and platform == outer.get("TARGETPLATFORM")
        ):
            self.warn(
                config,
                "RedundantTargetPlatform",
                f"--platform={stage.platform} is what FROM does without it",
                stage.location,
                stage.platform,
            )
        if not platform:
            raise DockerfileError(
                f"--platform={stage.platform} is empty: the variables in it are",
                hint="leave it out, or write --platform=$BUILDPLATFORM",
                token=stage.platform,
            ).at(stage.location, self.file.source)
        try:
            parsed = platforms.parse(platform)
        except InvalidInput as error:
            raise DockerfileError(error.message, hint=error.hint, token=stage.platform).at(
                stage.location, self.file.source
            ) from None
        constant = not expander.used and not expander.missing
        if constant and parsed.os not in stage.name and parsed.architecture not in stage.name:
            self.warn(
                config,
                "FromPlatformFlagConstDisallowed",
                f"--platform={platform} is constant: the stage cannot be built for another platform",
                stage.location,
                f"--platform={stage.platform}",
            )

    def _reached(self, wanted: stages.Stage, bases: list[tuple[str, str]]) -> set[int]:
        """The stages that ``wanted`` needs, itself included."""

        def needs(stage: stages.Stage) -> Iterator[stages.Stage | None]:
            yield self.file.named(bases[stage.index][0], before=stage.index)
            for instruction in stage.instructions:
                for source in stages.sources(instruction):
                    yield self.file.source_stage(source, stage, instruction)

        return stages.reached(wanted, needs)
