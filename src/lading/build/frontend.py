"""From a Dockerfile to a graph and the image's configuration: which stages are needed, and what each of them begins with.

One pass over the stages that the target needs, in the order of the file. The instructions themselves are
:mod:`lading.build.instructions`'.
"""

from __future__ import annotations

from lading.build.bases import Base, scratch
from lading.build.blaming import mistake
from lading.build.graph import CopyOp, FilesOp, Graph, Selection, Vertex
from lading.build.instructions import StageState, Step, dispatch
from lading.errors import InvalidInput, LadingError
from lading.formats import platform as platforms
from lading.formats.dockerfile import DockerfileError, Expander, parse_instruction
from lading.formats.dockerfile.mistakes import did_you_mean, quoted
from lading.formats.dockerfile.scope import CONTROLS, PROXIES, Globals, Scope, automatic
from lading.formats.dockerfile.stages import reached, sources
from lading.formats.oci_image import ImageConfig, RunConfig

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lading.build.bases import Bases
    from lading.build.request import Request
    from lading.build.workshop import Source
    from lading.formats.dockerfile import Instruction, Stage
    from lading.formats.oci_image import Descriptor, Platform

_TARGET = frozenset(("TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT"))


class Built:
    """What a stage comes to: ``vertex`` gives its files, ``config`` says how to run them, ``steps`` how each came about.

    ``base``: what it began with; ``blobs``: blobs of layers that came with base images, by diff-id.
    """

    __slots__ = ("base", "blobs", "config", "materials", "platform", "steps", "vertex")

    def __init__(
        self,
        vertex: int,
        config: ImageConfig,
        steps: list[Step],
        base: Base,
        blobs: dict[str, Descriptor],
        materials: list[Base],
        platform: Platform,
    ) -> None:
        self.vertex = vertex
        self.config = config
        self.steps = steps
        self.base = base
        self.blobs = blobs
        self.materials = materials
        self.platform = platform


class Frontend:
    """One reading of a Dockerfile, for one platform. What it finds goes into ``graph``, files from outside into ``sources``.

    With ``several`` platforms the graph is theirs together, so what is the same for all of them is one step.
    """

    def __init__(
        self,
        request: Request,
        bases: Bases,
        graph: Graph,
        sources: list[Source],
        *,
        several: bool = False,
    ) -> None:
        self.request = request
        self.graph = graph
        self.sources = sources
        self._several = several
        self.file = request.dockerfile
        self._bases = bases
        target = self.file.target(request.target)
        self.known = automatic(request.build_platform, request.platform, target.name or request.target)
        self.globals = Globals(request.args, self.known, self.file.args, self.file.escape)
        self._states: dict[int, StageState] = {}
        self._converting: set[int] = set()
        self._blobs: dict[str, Descriptor] = {}
        self._materials: dict[str, Base] = {}
        self.warnings: list[str] = []

    def leaf(self, source: Source, digest: str) -> int:
        """The vertex for files from outside, whose content is ``digest``."""
        if source not in self.sources:
            self.sources.append(source)
        return self.graph.add(
            Vertex(FilesOp(source=self.sources.index(source), digest=digest), name=f"files of {source.what}")
        )

    def build(self) -> Built:
        """The target's vertex and configuration.

        Raises :class:`DockerfileError` for mistakes, and what resolving images raises.
        """
        target = self.file.target(self.request.target)
        for stage in self.file.stages:
            self._platform(stage)  # before any registry is asked, whatever the target needs
        for index in sorted(reached(target, self._needed)):
            self._state(self.file.stages[index])
        state = self._state(target)
        self._unused_arguments()
        return Built(
            state.vertex,
            self._finished(state),
            state.steps,
            state.base,
            self._blobs,
            list(self._materials.values()),
            state.platform,
        )

    # -- which stages --------------------------------------------------------------------------------------------------

    def _needed(self, stage: Stage) -> Iterator[Stage | None]:
        """The stages that one stage itself depends on; None for what is no stage."""
        yield self._stage_of(self.base_name(stage), stage)
        for instruction in stage.instructions:
            for reference in sources(instruction):
                yield self.stage_named(reference, stage, instruction)

    def base_name(self, stage: Stage) -> str:
        """What a FROM names, its variables expanded."""
        expander = Expander(self.globals.get, self.file.escape)
        try:
            name = expander.word(stage.base)
        except DockerfileError as error:
            raise error.at(stage.location, self.file.source) from None
        if not name:
            raise DockerfileError(
                f"FROM {stage.base}: the name is empty when its variables are expanded",
                hint="give the variable a default: ARG NAME=value before the first FROM",
                token=stage.base,
                reason="no-base",
            ).at(stage.location, self.file.source)
        return name

    def _stage_of(self, name: str, stage: Stage) -> Stage | None:
        if self.request.image_name(name) or self.request.context_name(name):
            return None
        alias = self.request.stage_names.get(name.lower())
        if alias is not None:
            return self.file.target(alias)
        return self.file.named(name, before=stage.index)

    def stage_named(self, reference: str, stage: Stage, instruction: Instruction) -> Stage | None:
        """The stage that ``from`` means; None for an image or a context."""
        if self.request.image_name(reference) or self.request.context_name(reference):
            return None
        alias = self.request.stage_names.get(reference.lower())
        if alias is not None:
            return self.file.target(alias)
        return self.file.source_stage(reference, stage, instruction)

    # -- one stage -----------------------------------------------------------------------------------------------------

    def _state(self, stage: Stage) -> StageState:
        found = self._states.get(stage.index)
        if found is None:
            if stage.index in self._converting:
                raise DockerfileError(
                    f"stage {stage.title} needs itself", token=stage.base, reason="circle"
                ).at(stage.location, self.file.source)
            self._converting.add(stage.index)
            try:
                found = self._states[stage.index] = self._convert(stage)
            except DockerfileError as error:
                raise error.at(stage.location, self.file.source) from None
        return found

    def _convert(self, stage: Stage) -> StageState:
        name = self.base_name(stage)
        platform = self._platform(stage)
        before = self._stage_of(name, stage)
        fresh = self.request.no_cache or bool(
            {stage.name, str(stage.index)} & self.request.no_cache_stages - {""}
        )
        if before is not None:
            known = self._state(before)
            state = known.continued(self, stage, fresh)
        elif self.request.context_name(name):
            state = self._of_context(stage, name, platform, fresh)
        else:
            base = self.image(name, platform, stage.base)
            config = base.config
            run = (config.config or RunConfig()).replace()
            scope = Scope(self.globals, run.env, self.file.escape)
            vertex = self.graph.add(
                Vertex(
                    base.op,
                    name=f"FROM {name}",
                    stage=stage.title,
                    line=stage.location.first,
                    where=self.where(platform),
                )
            )
            state = StageState(self, stage, base, run, scope, vertex, platform, fresh)
            triggers, run.on_build = run.on_build, []
            for text in triggers:
                dispatch(state, parse_instruction(text))
        for instruction in stage.instructions:
            try:
                dispatch(state, instruction)
            except DockerfileError as error:
                raise error.at(instruction.location, self.file.source) from None
        return state

    def _of_context(self, stage: Stage, name: str, platform: Platform, fresh: bool) -> StageState:
        """A stage that begins with the files of a named context."""
        base = scratch(platform)
        context = self.request.contexts[self.request.context_name(name)]
        selection = Selection(input=1, paths=["/"], wildcards=False)
        op = CopyOp(selections=[selection], destination="/")
        with mistake(stage.base):
            inputs = [self.graph.add(Vertex(base.op)), self.leaf(context, context.digest(selection, op))]
        vertex = self.graph.add(
            Vertex(
                op,
                inputs,
                name=f"FROM {name}",
                stage=stage.title,
                line=stage.location.first,
                fresh=fresh,
                platform=platforms.text(platform),
                where=self.where(platform),
            )
        )
        run = (base.config.config or RunConfig()).replace()
        scope = Scope(self.globals, run.env, self.file.escape)
        state = StageState(self, stage, base, run, scope, vertex, platform, fresh)
        state.steps.append(Step(f"FROM {name}", vertex))
        return state

    def _platform(self, stage: Stage) -> Platform:
        if not stage.platform:
            return self.request.platform
        try:
            text = Expander(self.globals.get, self.file.escape).word(stage.platform)
            if not text:
                raise DockerfileError(
                    "--platform is empty when its variables are expanded",
                    hint="give the variable a default: ARG NAME=linux/amd64 before the first FROM",
                    token=stage.platform,
                )
            return platforms.parse(text)
        except DockerfileError as error:
            raise error.at(stage.location, self.file.source) from None
        except InvalidInput as error:
            raise DockerfileError(
                f"--platform={text}: {error.message}", hint=error.hint, token=stage.platform
            ).at(stage.location, self.file.source) from None

    def image(self, name: str, platform: Platform, written: str) -> Base:
        """The image that a FROM or ``--from`` names. ``written``: how the file has it.

        Raises :class:`DockerfileError` also for what the image store or a registry says.
        """
        named = self.request.image_name(name) or name
        if named.lower() == "scratch":
            return scratch(platform)
        try:
            base = self._bases.get(named, platform)
        except LadingError as error:
            which = f"the image {quoted(named)}"
            if platforms.normal(platform).encode() != platforms.normal(platforms.host()).encode():
                which += f" for {platforms.text(platform)}"
            why = error.message if named in error.message else f"{which}: {error.message}"
            hint = did_you_mean(name, [stage.name for stage in self.file.stages if stage.name]) or error.hint
            if isinstance(error, InvalidInput) and name != written:
                hint = f"that is what {written} comes to: an ARG before the first FROM, or --build-arg, says another"
            raise DockerfileError(why, hint=hint, token=written, reason=error.reason) from None
        self._blobs.update(base.blobs)
        self._materials.setdefault(base.reference, base)
        return base

    def where(self, platform: Platform, scope: Scope | None = None) -> str:
        """What a person is told of a step's platform (:attr:`Vertex.where`), as BuildKit tells it.

        The one that is built for is told where the step knows it.
        """
        if not self._several:
            return ""
        told = platforms.text(platform)
        target = self.request.platform
        if scope is None or not _TARGET.intersection(p.partition("=")[0] for p in scope.command_env()):
            return told
        if target.os != platform.os:
            return f"{told}->{platforms.text(target)}"
        if target.architecture == platform.architecture:
            return told
        return f"{told}->{platforms.text(target).partition('/')[2]}"

    def stage_vertex(self, stage: Stage) -> int:
        """The vertex that gives the files of a stage before."""
        return self._state(stage).vertex

    # -- the image ----------------------------------------------------------------------------------------------------

    def _finished(self, state: StageState) -> ImageConfig:
        base = state.base.config
        run = state.run.replace(env=state.scope.pairs())
        if self.request.labels:
            run.labels = {**run.labels, **self.request.labels}
        return base.replace(
            author=state.author or base.author,
            os=state.platform.os,
            architecture=state.platform.architecture,
            variant=state.platform.variant,
            config=run,
        )

    def _unused_arguments(self) -> None:
        known = self.globals.used | set(self.known) | set(PROXIES) | set(CONTROLS)
        unused = sorted(n for n in self.request.args if n not in known)
        if unused:
            self.warnings.append(f"no ARG takes --build-arg {', '.join(unused)}")
