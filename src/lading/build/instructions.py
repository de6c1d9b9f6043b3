"""What each instruction of a Dockerfile does to a stage: a step of the graph, or a word of the image's configuration.

Source: docs.docker.com/reference/dockerfile; where it is silent, what BuildKit does.
"""

from __future__ import annotations

import posixpath

from lading.build.blaming import mistake
from lading.build.graph import (
    CopyOp,
    DirectoryOp,
    Inline,
    Mount,
    RunOp,
    Selection,
    Vertex,
)
from lading.errors import LadingError, NotFound, Unsupported
from lading.formats.dockerfile import (
    Add,
    Arg,
    Cmd,
    Copy,
    DockerfileError,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    Stopsignal,
    User,
    Volume,
    Workdir,
)
from lading.formats.oci_image import Healthcheck as Check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.build.bases import Base
    from lading.build.frontend import Frontend
    from lading.build.graph import Op
    from lading.build.request import Context
    from lading.formats.dockerfile import Instruction, Stage, Transfer
    from lading.formats.dockerfile.mounts import RunMount
    from lading.formats.dockerfile.scope import Scope
    from lading.formats.oci_image import Platform, RunConfig

_SHELL = ["/bin/sh", "-c"]


class Step:
    """One line of an image's history: ``created_by``, and the vertex that made a layer, or -1."""

    __slots__ = ("created_by", "vertex")

    def __init__(self, created_by: str, vertex: int) -> None:
        self.created_by = created_by
        self.vertex = vertex


class StageState:
    """A stage on its way. ``vertex`` gives its files so far, ``run`` its configuration, ``scope`` its variables."""

    __slots__ = (
        "author",
        "base",
        "command_given",
        "fresh",
        "frontend",
        "platform",
        "run",
        "scope",
        "stage",
        "steps",
        "vertex",
    )

    def __init__(
        self,
        frontend: Frontend,
        stage: Stage,
        base: Base,
        run: RunConfig,
        scope: Scope,
        vertex: int,
        platform: Platform,
        fresh: bool,
    ) -> None:
        self.frontend = frontend
        self.stage = stage
        self.base = base
        self.run = run
        self.scope = scope
        self.vertex = vertex
        self.platform = platform
        self.fresh = fresh
        self.steps: list[Step] = []
        self.author = ""
        self.command_given = False

    def continued(self, frontend: Frontend, stage: Stage, fresh: bool) -> StageState:
        """The state of a stage that begins with this one's result."""
        made = StageState(
            frontend,
            stage,
            self.base,
            self.run.replace(
                exposed_ports=dict(self.run.exposed_ports),
                volumes=dict(self.run.volumes),
                labels=dict(self.run.labels),
            ),
            self.scope.child(),
            self.vertex,
            self.platform,
            fresh,
        )
        made.steps = list(self.steps)
        made.author = self.author
        triggers, made.run.on_build = made.run.on_build, []
        for text in triggers:
            from lading.formats.dockerfile import parse_instruction

            dispatch(made, parse_instruction(text))
        return made

    @property
    def shell(self) -> list[str]:
        """What runs shell forms."""
        return self.run.shell or _SHELL

    @property
    def directory(self) -> str:
        """The working directory."""
        return self.run.working_dir or "/"

    def absolute(self, path: str) -> str:
        """``path`` from the working directory on, a ``/`` or ``/.`` at its end kept as a ``/``. Empty: that directory."""
        made = posixpath.normpath(posixpath.join("/", self.directory, path))
        made = "/" + made.lstrip("/")
        if path.endswith(("/", "/.")) or path in ("", "."):
            made = made.rstrip("/") + "/"
        return made

    def add(
        self, instruction: Instruction, op: Op, inputs: list[int], created_by: str, name: str = ""
    ) -> None:
        """A step that makes a layer."""
        vertex = Vertex(
            op,
            inputs,
            name=name or instruction.original,
            stage=self.stage.title,
            line=instruction.location.first,
            fresh=self.fresh,
            platform=_platform_of(self.platform),
            where=self.frontend.where(self.platform, self.scope),
        )
        self.vertex = self.frontend.graph.add(vertex)
        self.steps.append(Step(created_by, self.vertex))

    def told(self, created_by: str) -> None:
        """A step that changes the configuration alone."""
        self.steps.append(Step(created_by, -1))


def _platform_of(platform: Platform) -> str:
    from lading.formats import platform as platforms

    return platforms.text(platform)


def dispatch(state: StageState, instruction: Instruction) -> None:
    """Carry an instruction into ``state``. Raises :class:`DockerfileError`, :class:`Unsupported`."""
    expanded = instruction.expanded(state.scope.expander)
    _HANDLERS[instruction.keyword](state, expanded)


# -- configuration -----------------------------------------------------------------------------------------------------


def _arg(state: StageState, made: Arg) -> None:
    state.scope.declare(made)
    shown = []
    for definition in made.definitions:
        value = state.scope.args.get(definition.name)
        shown.append(definition.name if value is None else f"{definition.name}={value}")
    state.told(f"ARG {' '.join(shown)}")


def _env(state: StageState, made: Env) -> None:
    state.scope.set(made)
    state.told("ENV " + " ".join(f"{pair.name}={pair.value}" for pair in made.pairs))


def _label(state: StageState, made: Label) -> None:
    state.run.labels = {**state.run.labels, **{pair.name: pair.value for pair in made.pairs}}
    state.told("LABEL " + " ".join(f"{pair.name}={pair.value}" for pair in made.pairs))


def _maintainer(state: StageState, made: Maintainer) -> None:
    state.author = made.author
    state.told(f"MAINTAINER {made.author}")


def _user(state: StageState, made: User) -> None:
    state.run.user = made.user
    state.told(f"USER {made.user}")


def _expose(state: StageState, made: Expose) -> None:
    from lading.formats.dockerfile.ports import exposed

    found = [port for text in made.ports for port in exposed(text)]
    state.run.exposed_ports = {**state.run.exposed_ports, **{port: {} for port in found}}
    state.told(f"EXPOSE {' '.join(found)}")


def _volume(state: StageState, made: Volume) -> None:
    if not all(made.paths):
        raise DockerfileError("VOLUME: a path is empty", token="VOLUME")
    state.run.volumes = {**state.run.volumes, **{path: {} for path in made.paths}}
    state.told(f"VOLUME {_listed(made.paths)}")


def _cmd(state: StageState, made: Cmd) -> None:
    state.run.cmd = made.argv(state.shell)
    state.run.args_escaped = True
    state.command_given = True
    state.told(f"CMD {_listed(state.run.cmd)}")


def _entrypoint(state: StageState, made: Entrypoint) -> None:
    state.run.entrypoint = made.argv(state.shell)
    if not state.command_given:
        state.run.cmd = []  # a base image's arguments were for its own command
    state.told(f"ENTRYPOINT {_listed(state.run.entrypoint)}")


def _shell(state: StageState, made: Shell) -> None:
    state.run.shell = list(made.words)
    state.told(f"SHELL {_listed(made.words)}")


def _stopsignal(state: StageState, made: Stopsignal) -> None:
    state.run.stop_signal = made.signal
    state.told(f"STOPSIGNAL {made.signal}")


def _healthcheck(state: StageState, made: Healthcheck) -> None:
    state.run.healthcheck = Check(
        test=made.test,
        interval=made.interval,
        timeout=made.timeout,
        start_period=made.start_period,
        start_interval=made.start_interval,
        retries=made.retries,
    )
    state.told(made.original)


def _onbuild(state: StageState, made: Onbuild) -> None:
    state.run.on_build = [*state.run.on_build, made.expression]
    state.told(f"ONBUILD {made.expression}")


def _listed(words: list[str]) -> str:
    from lading.formats import jsontext

    return jsontext.dumps(words)


# -- steps -------------------------------------------------------------------------------------------------------------


def _workdir(state: StageState, made: Workdir) -> None:
    path = posixpath.normpath(posixpath.join("/", state.directory, made.path))
    path = "/" + path.lstrip("/")
    state.run.working_dir = path
    if path == "/":
        state.told("WORKDIR /")
        return
    state.add(made, DirectoryOp(path=path, owner=state.run.user), [state.vertex], f"WORKDIR {path}")


def _run(state: StageState, made: Run) -> None:
    request = state.frontend.request
    if made.devices:
        raise Unsupported(
            "RUN --device is not supported", hint="leave it out, or run the command in a container"
        )
    inputs = [state.vertex]
    mounts = [_mount(state, made, mount, inputs) for mount in made.mounts]
    if made.security == "insecure" and "security.insecure" not in request.allow:
        raise DockerfileError(
            "RUN --security=insecure is not allowed",
            hint="build with --allow security.insecure",
            token="--security=insecure",
            reason="not-allowed",
        )
    network = made.network if "network" in made.flags else request.network
    if network == "host" and "network" in made.flags and "network.host" not in request.allow:
        raise DockerfileError(
            "RUN --network=host is not allowed",
            hint="build with --allow network.host",
            token="--network=host",
            reason="not-allowed",
        )
    args, script = _command(state, made)
    env = state.scope.command_env()
    op = RunOp(
        args=args,
        env=env,
        directory=state.directory,
        user=state.run.user,
        mounts=mounts,
        network=network,
        security=made.security,
        hosts=request.hosts,
        hostname=request.hostname,
        shm_size=request.shm_size,
        ulimits=request.ulimits,
        extra_env=state.scope.proxies(),
        script=script,
    )
    given = [f"{n}={v}" for n, v in state.scope.args.items() if v is not None and n not in state.scope.env]
    words = args or [script]
    shown = " ".join([f"|{len(given)}", *given, *words] if given else words)
    state.add(made, op, inputs, f"RUN {shown}")


def _command(state: StageState, made: Run) -> tuple[list[str], str]:
    """What is executed, and the text of a program that is written for it."""
    if made.exec is not None:
        return list(made.exec), ""
    script = made.script
    if script:
        return [], script
    return [*state.shell, made.shell_text], ""


def _mount(state: StageState, made: Run, mount: RunMount, inputs: list[int]) -> Mount:
    target = posixpath.normpath(posixpath.join("/", state.directory, mount.target)) if mount.target else ""
    if not target and mount.type in ("bind", "cache", "tmpfs"):
        target = state.directory
    if target == "/" and mount.type != "ssh":
        raise DockerfileError(
            f"--mount=type={mount.type}: the target is the working directory, and that is /",
            hint="give it target=/directory, or a WORKDIR before it",
            token="--mount",
        )
    place = -1
    namespace = state.frontend.request.cache_namespace if mount.type == "cache" else ""
    if mount.type == "bind" or mount.from_:
        place = len(inputs)
        inputs.append(_files(state, made, mount.from_, mount.source))
    return Mount(
        kind=mount.type,
        target=target,
        input=place,
        source=mount.source if mount.type in ("bind", "cache") else "",
        read_only=mount.read_only if mount.type in ("bind", "cache") else False,
        id=f"{namespace}/{mount.id}" if namespace else mount.id,
        sharing=mount.sharing if mount.type == "cache" else "",
        mode=mount.mode,
        uid=mount.uid,
        gid=mount.gid,
        size=mount.size or None,
        required=mount.required,
        env=mount.env or "",
    )


def _files(state: StageState, made: Run, name: str, path: str) -> int:
    """The vertex whose files a mount shows: a stage's, an image's, or a context's at ``path``."""
    frontend = state.frontend
    if name and not frontend.request.context_name(name):
        return _other(state, name, made)
    context = _context(state, name, made)
    selection = Selection(paths=[path or "/"], wildcards=False)
    with mistake(path):
        return frontend.leaf(context, context.digest(selection, None))


def _context(state: StageState, name: str, made: Instruction) -> Context:
    contexts = state.frontend.request.contexts
    context = contexts.get(state.frontend.request.context_name(name) if name else "")
    if context is None:
        raise DockerfileError(
            f"{made.keyword} wants files of a build context, and there is none",
            hint="give a directory to build from",
            token=made.word,
            reason="no-context",
        )
    return context


def _other(state: StageState, name: str, made: Instruction) -> int:
    """The vertex of a stage before, or of an image."""
    frontend = state.frontend
    stage = frontend.stage_named(name, state.stage, made)
    if stage is not None:
        return frontend.stage_vertex(stage)
    base = frontend.image(name, state.platform, name)
    return frontend.graph.add(
        Vertex(
            base.op,
            name=f"FROM {name}",
            stage=state.stage.title,
            line=made.location.first,
            where=frontend.where(state.platform),
        )
    )


def _transfer(state: StageState, made: Transfer) -> None:
    frontend = state.frontend
    inputs = [state.vertex]
    op = CopyOp(
        selections=[],
        destination=state.absolute(made.destination),
        owner=made.chown,
        mode=made.chmod,
        link=made.link,
        parents=made.parents if isinstance(made, Copy) else False,
        exclude=made.exclude,
    )
    origin = made.from_ if isinstance(made, Copy) else ""
    if isinstance(made, Add):
        from lading.build.adding import remote_selections

        local = remote_selections(state, made, op, inputs)
    else:
        local = list(made.sources)
    if local:
        unpack = isinstance(made, Add) and made.unpack is not False
        selection = Selection(input=len(inputs), paths=local, unpack=unpack)
        if origin and not frontend.request.context_name(origin):
            inputs.append(_other(state, origin, made))
        else:
            context = _context(state, origin, made)
            inputs.append(frontend.leaf(context, _digest(context, made, selection, op)))
        op.selections.append(selection)
    if made.documents:
        files = [Inline(name=d.name, content=d.text.encode().decode("latin-1")) for d in made.documents]
        op.selections.append(Selection(inline=files))
    shown = " ".join([*made.sources, *(d.name for d in made.documents), made.destination])
    state.add(made, op, inputs, f"{made.keyword} {shown}")


def _digest(context: Context, made: Transfer, selection: Selection, op: CopyOp) -> str:
    try:
        return context.digest(selection, op)
    except LadingError as error:
        named = next((path for path in selection.paths if repr(path) in error.message), selection.paths[0])
        hint = error.hint
        if isinstance(error, NotFound) and not hint:
            hint = "see what the context and its ignore file hold"
        raise DockerfileError(error.message, hint=hint, token=named, reason=error.reason) from None


_HANDLERS: dict[str, Callable[..., None]] = {
    "ARG": _arg,
    "ENV": _env,
    "LABEL": _label,
    "MAINTAINER": _maintainer,
    "USER": _user,
    "EXPOSE": _expose,
    "VOLUME": _volume,
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "SHELL": _shell,
    "STOPSIGNAL": _stopsignal,
    "HEALTHCHECK": _healthcheck,
    "ONBUILD": _onbuild,
    "WORKDIR": _workdir,
    "RUN": _run,
    "COPY": _transfer,
    "ADD": _transfer,
}
