"""The checks of a stage's instructions, one after the other, with the variables that each sees."""

from __future__ import annotations

from lading.formats.dockerfile import model, ports, remote, stages
from lading.formats.dockerfile.expansion import Expander
from lading.formats.dockerfile.mistakes import DockerfileError, Location, quoted
from lading.formats.dockerfile.mounts import clean
from lading.formats.dockerfile.scope import NOT_EXPANDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.dockerfile.linter import Checks
    from lading.formats.dockerfile.rules import Config
    from lading.formats.dockerfile.scope import Scope

_SECRETS = frozenset("apikey auth credential credentials key password pword passwd secret token".split())
_HARMLESS = frozenset(("public", "file", "version"))
_EVERYTHING = frozenset(("*", "**", "**/*"))


class StageView:
    """What the checks know of a stage while they walk through it."""

    __slots__ = ("absolute", "known_env", "once", "scope", "shell")

    def __init__(self, scope: Scope, known_env: bool) -> None:
        self.scope = scope
        self.known_env = known_env
        self.absolute = False  # a WORKDIR was met
        self.shell = False  # a SHELL was met
        self.once: dict[str, model.Instruction] = {}

    def child(self) -> StageView:
        """The view of a stage that begins with this one."""
        made = StageView(self.scope.child(), self.known_env)
        made.absolute = self.absolute
        made.shell = self.shell
        return made


def walk(checks: Checks, stage: stages.Stage, parent: stages.Stage | None, view: StageView) -> None:
    """Check ``stage``: the triggers of the stage it begins with, told at its FROM, then its own instructions."""
    if parent is not None:
        for instruction in parent.instructions:
            if isinstance(instruction, model.Onbuild):
                _Walk(checks, stage, view, checks.config, stage.location).see(instruction.trigger)
    for instruction in stage.instructions:
        config = checks.config.with_comments(instruction.comments)
        _Walk(checks, stage, view, config, instruction.location).see(instruction)


class _Walk:
    """One instruction, with the rules that speak about it."""

    def __init__(
        self, checks: Checks, stage: stages.Stage, view: StageView, config: Config, where: Location
    ) -> None:
        self.checks = checks
        self.stage = stage
        self.view = view
        self.config = config
        self.where = where

    def warn(self, rule: str, message: str, token: str = "") -> None:
        self.checks.warn(self.config, rule, message, self.where, token)

    def see(self, written: model.Instruction) -> None:
        for source in stages.sources(written):
            self.checks.file.source_stage(source, self.stage, written)
        expander = _Noting(self)
        try:
            made = written.expanded(expander)
            self._by_kind(made, expander)
        except DockerfileError as error:
            raise error.at(self.where, self.checks.file.source) from None

    def _by_kind(self, made: model.Instruction, expander: _Noting) -> None:
        view = self.view
        if isinstance(made, model.Arg):
            for definition in made.definitions:
                self._secret("ARG", definition.name)
            view.scope.declare(made, expander)
        elif isinstance(made, model.Env):
            for pair in made.pairs:
                self._pair(made, pair)
            if made.keyword == "ENV":
                view.scope.set(made)
        elif isinstance(made, model.Workdir):
            self._workdir(made)
        elif isinstance(made, (model.Cmd, model.Entrypoint, model.Healthcheck)):
            self._command(made)
        elif isinstance(made, model.Shell):
            view.shell = True
        elif isinstance(made, model.Expose):
            self._ports(made)
        elif isinstance(made, model.Transfer):
            self._files(made)

    def _pair(self, made: model.Env, pair: model.Pair) -> None:
        if pair.legacy:
            self.warn(
                "LegacyKeyValueFormat",
                f"write {made.word} {pair.name}=value with an equals sign, not a space",
                pair.name,
            )
        if made.keyword == "ENV":
            self._secret("ENV", pair.name)

    def _secret(self, keyword: str, name: str) -> None:
        parts = frozenset(name.lower().split("_"))
        if parts & _SECRETS and not parts & _HARMLESS:
            self.warn(
                "SecretsUsedInArgOrEnv",
                f"{keyword} {quoted(name)} looks like a secret, and stays in the image: mount it (RUN --mount=type=secret)",
                name,
            )

    def _workdir(self, made: model.Workdir) -> None:
        if not self.view.absolute and not made.path.startswith("/"):
            self.warn(
                "WorkdirRelativePath",
                f"WORKDIR {quoted(made.path)} begins where the base image says, which may change",
                made.path,
            )
        self.view.absolute = True

    def _command(self, made: model.Command) -> None:
        before = self.view.once.get(made.keyword)
        if before is not None:
            self.checks.warn(
                self.config,
                "MultipleInstructionsDisallowed",
                f"another {made.keyword} on line {self.where.first} replaces this one",
                before.location,
                before.word,
            )
        self.view.once[made.keyword] = made
        if made.keyword != "HEALTHCHECK" and made.exec is None and not self.view.shell:
            self.warn(
                "JSONArgsRecommended",
                f'{made.keyword} in shell form: signals reach the shell alone; write {made.keyword} ["program", "argument"]',
                made.word,
            )

    def _ports(self, made: model.Expose) -> None:
        for text in made.ports:
            ports.exposed(text)
            address, host, _, protocol = ports.split(text)
            if protocol != protocol.lower():
                self.warn("ExposeProtoCasing", f"the protocol in {quoted(text)} is not in lower case", text)
            if address or host:
                self.warn(
                    "ExposeInvalidFormat",
                    f"{quoted(text)} says more than the container's port, in vain",
                    text,
                )

    def _files(self, made: model.Transfer) -> None:
        ignore = self.checks.ignore
        if ignore is None or (isinstance(made, model.Copy) and made.from_):
            return
        for source in made.sources:
            if isinstance(made, model.Add) and remote.is_url(source):
                continue
            path = clean(source).lstrip("/") or "."
            everything = path == "."
            if _EVERYTHING.intersection(ignore.shown()) if everything else ignore.ignored(path):
                self.warn(
                    "CopyIgnoredFile", f"{made.keyword} {quoted(path)}: .dockerignore leaves it out", source
                )


class _Noting(Expander):
    """Tells of undefined variables, word by word."""

    __slots__ = ("_walk",)

    def __init__(self, walk: _Walk) -> None:
        super().__init__(walk.view.scope.variables.get, walk.checks.file.escape)
        self._walk = walk

    def word(self, text: str) -> str:
        """See :class:`Expander`."""
        return self._told(super().word(text), text)

    def words(self, text: str) -> list[str]:
        """See :class:`Expander`. BuildKit does not look for undefined variables in EXPOSE; here they are told as well."""
        made = super().words(text)
        self._told("", text)
        return made

    def heredoc(self, text: str) -> str:
        """See :class:`Expander`."""
        return self._told(super().heredoc(text), "")

    def _told(self, made: str, text: str) -> str:
        view = self._walk.view
        for name in self.missing:
            if name in view.scope.args or name in NOT_EXPANDED:
                continue
            hint = self._walk.checks.near(name, view.scope.variables)
            if hint or view.known_env:
                message = f"${name} is defined nowhere above" + (f" ({hint})" if hint else "")
                self._walk.warn("UndefinedVar", message, text or name)
        self.missing.clear()
        return made
