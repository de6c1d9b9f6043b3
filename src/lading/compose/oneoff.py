"""``lading compose run``: one command in a container of its own, made as the service's are."""

from __future__ import annotations

import os
import time

from lading.compose import hashing, imaging, labels, locking, pods, resources
from lading.compose.application import Application
from lading.compose.converge import Convergence, Wishes
from lading.errors import InvalidInput, LadingError
from lading.formats.compose.words import split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.formats.compose.model import Project
    from lading.formats.compose.model_service import Service
    from lading.formats.pod import Pod


def run(context: Context, parsed: Parsed) -> int:
    """Run a command in a new container of a service, what it depends on started before: the command's status."""
    app = Application(context, parsed)
    name = parsed.args[0]
    project = app.load([name])
    service = project.services[name]
    _change(app, service, parsed)
    wishes = Wishes()
    wishes.keep = True
    wishes.remove_orphans = parsed["remove-orphans"]
    wishes.quiet_pull = parsed["quiet"] or parsed["quiet-pull"]
    wishes.quiet_build = parsed["quiet"] or parsed["quiet-build"]
    needs = service.depends_on if not parsed["no-deps"] else {}
    if needs:
        _start_needs(app, project, name, wishes)
    digest = imaging.resolve(
        app,
        project,
        [name],
        build=parsed["build"],
        pull=parsed["pull"],
        quiet_pull=wishes.quiet_pull,
        quiet_build=wishes.quiet_build,
    )[name]
    work = Convergence(app, project, [name], wishes)
    with locking.Lock(app, project.name):
        if not needs:
            work.orphans()  # else starting the needs has seen to them
        resources.networks(app, project, [name])
        resources.volumes(app, project, [name])
        pod = _pod(work, name, digest, parsed)
    if parsed["detach"]:
        record = context.node.run_detached(pod)
        print(record.id)
        return 0
    container = pod.spec.containers[0]
    if container.tty:
        from lading.cli import terminal

        rows, columns = terminal.size()
        _, session = context.node.run_session(pod, rows=rows, columns=columns)
        return terminal.converse(session, stdin=container.stdin, keys="", tty=True, forward=False)
    from lading.node import Stdio

    return context.node.run(pod, Stdio(stdin=0 if container.stdin else -1))


def _change(app: Application, service: Service, parsed: Parsed) -> None:
    """The service as the flags want it for this one container."""
    from lading.formats.compose import canonical, dotenv
    from lading.formats.compose.model_service import Mount, ServicePort

    service.container_name = ""
    service.restart = ""
    if service.deploy is not None:
        service.deploy.restart_policy = None
    if not parsed["service-ports"]:
        service.ports = []
    for path in parsed["env-from-file"]:
        from lading.compose.application import read_file

        data = read_file(path)
        if data is None:
            raise InvalidInput(f"--env-from-file {path} does not exist")
        for key, value in dotenv.parse(data, where=path, lookup=app.environ).items():
            service.environment[key] = app.environ.get(key, "") if value is None else value
    for text in parsed["env"]:
        key, equals, value = text.partition("=")
        if not key:
            raise InvalidInput(f"--env {text!r} has no name", hint="write NAME=VALUE")
        found = value if equals else app.environ.get(key)
        if found is not None:
            service.environment[key] = found
    for field in ("user", "workdir"):
        if parsed[field]:
            setattr(service, "working_dir" if field == "workdir" else field, parsed[field])
    if parsed["entrypoint"] is not None:
        service.entrypoint = split(parsed["entrypoint"])
        service.command = None
    if parsed.args[1:]:
        service.command = list(parsed.args[1:])
    for field in ("cap_add", "cap_drop"):
        setattr(service, field, [*getattr(service, field), *parsed[field.replace("_", "-")]])
    for text in parsed["label"]:
        key, _, value = text.partition("=")
        service.labels = {**service.labels, key: value}
    for text in parsed["volume"]:
        long = canonical.service({"volumes": [text]}, "--volume")
        assert isinstance(long, dict)
        mount = Mount.decode(long["volumes"][0], where="--volume")
        if mount.type == "bind":
            mount.source = os.path.abspath(os.path.expanduser(mount.source))
        service.volumes = [m for m in service.volumes if m.target != mount.target] + [mount]
    for text in parsed["publish"]:
        long = canonical.service({"ports": [text]}, "--publish")
        assert isinstance(long, dict)
        service.ports = service.ports + [ServicePort.decode(row, where="--publish") for row in long["ports"]]
    there = not parsed["no-tty"] and not parsed["detach"] and os.isatty(0) and os.isatty(1)
    service.tty = there
    service.stdin_open = parsed["interactive"] and not parsed["detach"]


def _start_needs(app: Application, project: Project, name: str, wishes: Wishes) -> None:
    work = Convergence(app, project, list(project.services[name].depends_on), wishes)
    work.run()
    met = work.needs_met(name)
    while met is not None and not met():
        time.sleep(0.1)


def _pod(work: Convergence, name: str, digest: str, parsed: Parsed) -> Pod:
    app, project = work.app, work.project
    try:
        pod = pods.pod_of(
            project,
            name,
            1,
            work.world,
            image=imaging.name_of(project, name),
            marks=work.marks(name, hashing.of(project, name, work.files), digest),
            name=parsed["name"] or f"{project.name}-{name}-run-{os.urandom(6).hex()}",
            oneoff=not parsed["use-aliases"],
        )
    except LadingError as error:
        raise app.located(error) from None
    container = pod.spec.containers[0]
    container.extras.labels[labels.ONEOFF] = "True"
    pod.spec.extras.remove = parsed["rm"]
    work.files.write()
    return pod
