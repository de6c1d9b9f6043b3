"""``lading compose build``: a service's ``build`` as the request that ``lading build`` makes of its flags.

Source: Compose specification, "Build".
"""

from __future__ import annotations

import os

from lading.compose.application import Application, with_needs
from lading.compose.entering import as_typed
from lading.compose.imaging import name_of
from lading.compose.resources import Files
from lading.compose.workers import Task, run
from lading.errors import InvalidInput, LadingError, NotFound, Unsupported
from lading.formats.compose.document import retold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.formats.compose.model import Project


def build(context: Context, parsed: Parsed) -> int:
    """Build the images of the services that have a ``build``."""
    app = Application(context, parsed)
    project = app.load(parsed.args)
    named = list(parsed.args)
    wanted = with_needs(project, named) if parsed["with-dependencies"] or not named else named
    buildable = [name for name in wanted if project.services[name].build is not None]
    for name in named:
        if project.services[name].build is None:
            raise InvalidInput(
                f"services.{name}: there is nothing to build it of", hint="give it a build section"
            )
    more = [f"--build-arg={text}" for text in parsed["build-arg"]]
    more += [f"--{flag}" for flag in ("no-cache", "pull", "check") if parsed[flag]]
    more += [f"--{flag}={parsed[flag]}" for flag in ("ssh", "sbom", "provenance") if parsed[flag]]
    build_all(app, project, buildable, quiet=parsed["quiet"], more=more)
    if parsed["push"]:
        from lading.compose import shipping

        for name in buildable:
            if project.services[name].image:
                shipping.push_one(app, project, name, quiet=parsed["quiet"])
    return 0


def build_all(
    app: Application,
    project: Project,
    services: Sequence[str],
    *,
    quiet: bool = False,
    more: Sequence[str] = (),
) -> None:
    """Build the services' images, those first that others are built on. Raises what building raises."""
    files = Files(app, project)
    tasks = []
    for name in services:
        words = [*arguments(app, project, name, files), *more]
        words[1:1] = ["--quiet"] if quiet or app.quiet else ["--progress=plain"]
        inline = project.services[name].build.dockerfile_inline  # type: ignore[union-attr]

        def work(name: str = name, words: list[str] = words, inline: str = inline) -> object:
            return _build(app, name, words, inline)

        def done(_: object, name: str = name) -> None:
            if not quiet:
                app.say(f" Image {name_of(project, name)}  Built")

        needs = [f"services.{other}.build" for other in _bases(project, name)]
        tasks.append(Task(f"services.{name}.build", work, needs=needs, done=done))
    files.write()
    run(tasks, limit=app.parallel)


def _bases(project: Project, name: str) -> list[str]:
    """The services whose images this one is built on (``additional_contexts`` of ``service:NAME``)."""
    build = project.services[name].build
    assert build is not None
    found = [v.partition(":")[2] for v in build.additional_contexts.values() if v.startswith("service:")]
    return [other for other in found if other in project.services]


def _build(app: Application, name: str, words: list[str], inline: str) -> object:
    from lading.cli import build as single
    from lading.cli.context import Context
    from lading.flags import UsageError

    if inline:
        fd = os.memfd_create("Dockerfile")
        os.write(fd, inline.encode())
        os.lseek(fd, 0, os.SEEK_SET)
        os.dup2(fd, 0)
    os.dup2(2, 1)  # what it prints is no output of ours
    try:
        parsed = as_typed(words)
    except UsageError as error:
        raise Unsupported(f"services.{name}.build: {error.message}") from None
    try:
        status = single.build(Context(app.context.roots), parsed)
    except LadingError as error:
        raise retold(error, f"services.{name}.build: {error.message}") from None
    if status:
        what = "its Dockerfile has mistakes" if "--check" in words else "the image was not built"
        raise LadingError(f"services.{name}.build: {what}", reason="build")
    return name


def arguments(app: Application, project: Project, name: str, files: Files) -> list[str]:
    """The words of ``lading build`` for a service."""
    service = project.services[name]
    build = service.build
    assert build is not None
    where = f"services.{name}.build"
    words = ["build", f"--tag={name_of(project, name)}", *(f"--tag={tag}" for tag in build.tags)]
    if build.dockerfile_inline:
        words.append("--file=-")
    elif build.dockerfile:
        remote = "://" in build.context or build.context.startswith("git@")
        path = build.dockerfile if remote else os.path.normpath(os.path.join(build.context, build.dockerfile))
        words.append(f"--file={path}")
    for key, value in build.args.items():
        given = app.environ.get(key) if value is None else value
        if given is not None:
            words.append(f"--build-arg={key}={given}")
    words += [f"--label={k}={v}" for k, v in build.labels.items()]
    for field, flag in (("target", "target"), ("network", "network"), ("shm_size", "shm-size")):
        if getattr(build, field):
            words.append(f"--{flag}={getattr(build, field)}")
    for field, flag in (("provenance", "provenance"), ("sbom", "sbom")):
        if getattr(build, field) not in ("", "false"):
            words.append(f"--{flag}={getattr(build, field)}")
    words += ["--no-cache"] if build.no_cache else []
    words += ["--pull"] if build.pull else []
    for field, flag in (
        ("no_cache_filter", "no-cache-filter"),
        ("cache_from", "cache-from"),
        ("cache_to", "cache-to"),
        ("ssh", "ssh"),
        ("entitlements", "allow"),
    ):
        words += [f"--{flag}={text}" for text in getattr(build, field)]
    platforms = build.platforms or ([service.platform] if service.platform else [])
    if platforms:
        words.append(f"--platform={','.join(platforms)}")
    words += [
        f"--add-host={host}={address}" for host, found in build.extra_hosts.items() for address in found
    ]
    words += [f"--ulimit={k}={v.soft}:{v.hard}" for k, v in build.ulimits.items()]
    for key, context in build.additional_contexts.items():
        words.append(f"--build-context={key}={_context(project, context, where)}")
    for reference in build.secrets:
        words.append(f"--secret={_secret(app, project, reference.source, reference.target, files)}")
        for field in ("uid", "gid", "mode"):
            if getattr(reference, field):
                raise Unsupported(f"{where}.secrets.{field}: the step that mounts it says that")
    return [*words, build.context or "."]


def _context(project: Project, text: str | None, where: str) -> str:
    if not text:
        raise InvalidInput(f"{where}.additional_contexts: a context is empty")
    kind, _, rest = text.partition(":")
    if kind != "service":
        return text
    if rest not in project.services:
        raise NotFound(f"{where}.additional_contexts: there is no service {rest!r}", reason="no-service")
    return f"docker-image://{name_of(project, rest)}"


def _secret(app: Application, project: Project, source: str, target: str, files: Files) -> str:
    entry = project.secrets[source]
    identity = target or source
    if entry.environment:
        return f"id={identity},env={entry.environment}"
    return f"id={identity},src={files.path('secrets', source, '', '', '')}"
