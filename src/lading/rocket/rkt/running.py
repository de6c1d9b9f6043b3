"""``lading rkt run``, ``prepare`` and ``run-prepared``."""

from __future__ import annotations

import os
import sys

from lading.errors import Conflict, InvalidInput, LadingError, Unsupported
from lading.formats.env import read_file
from lading.node import handed
from lading.rocket.rkt import activation, assemble, netflags, pods
from lading.rocket.rkt.choosing import Chooser, policy
from lading.rocket.rkt.insecure import of_line
from lading.rocket.rkt.line import Line, pairs, read
from lading.rocket.rkt.podoptions import PodOptions, Streams
from lading.rocket.rkt.table import misplaced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.formats.appc.pod import PodManifest
    from lading.formats.pod import Pod
    from lading.node import Node, PodRecord
    from lading.rocket.rkt.appimages import AppImage
    from lading.rocket.rkt.podoptions import Network
    from lading.rocket.rkt.pods import RocketPod

_INSTEAD = (
    "volume", "port", "set-env", "set-env-file", "inherit-env", "pull-policy", "store-only", "no-store",
)  # fmt: skip
_OUTPUTS = ("stdout", "stderr")
_RESTART = {"no": "Never", "on-failure": "OnFailure", "always": "Always"}
_OURS = frozenset("NOTIFY_SOCKET LISTEN_FDS LISTEN_PID LISTEN_FDNAMES WATCHDOG_PID WATCHDOG_USEC".split())


# -- the verbs -------------------------------------------------------------------------------------------------------


class _Wanted:
    """What a command line asks for: the template, the images of its apps by ID, and the rest."""

    __slots__ = ("images", "manifest", "options")

    def __init__(self, manifest: PodManifest, images: dict[str, AppImage], options: PodOptions) -> None:
        self.manifest = manifest
        self.images = images
        self.options = options


def prepare(context: Context, parsed: Parsed) -> int:
    """Make a pod and print its UUID."""
    line = _line(parsed)
    if line is None:
        return 0
    wanted = _wanted(context, line, parsed, quiet=bool(line["quiet"]))
    save = _uuid_file(line["uuid-file-save"])
    if line["no-overlay"]:
        os.environ["LADING_STORAGE"] = "copy"
    pod, notes = pods.prepare(context.node, wanted.manifest, wanted.images, wanted.options)
    _tell(notes)
    if line["no-overlay"]:
        _copy_images(context.node, pod)
    save(pod.uuid)
    print(pod.uuid)
    return 0


def _copy_images(node: Node, pod: RocketPod) -> None:
    """Give the apps of a prepared pod their roots now, which they keep; without all of them there is no pod."""
    try:
        node.make_roots(pod.record.id)
    except BaseException:
        node.remove(pod.record.id, volumes=True)
        raise


def run(context: Context, parsed: Parsed) -> int:
    """Run a pod in the foreground: its apps' exit status. With ``--detach``: its UUID."""
    line = _line(parsed)
    if line is None:
        return 0
    if line["no-overlay"]:
        os.environ["LADING_STORAGE"] = "copy"
    wanted = _wanted(context, line, parsed)
    save = _uuid_file(line["uuid-file-save"])
    made = pods.make(wanted.manifest, wanted.images, wanted.options)
    if wanted.options.metadata:
        from lading.rocket.rkt import identity

        identity.key(context.roots.data)
    _tell(made.notes)

    def created(_record: PodRecord) -> None:
        save(made.uuid)

    node = context.node
    activated = activation.hand_on(made.pod, handed.sockets())
    if line["detach"]:
        if activated:
            raise InvalidInput(
                "--detach: the sockets of the service manager would end with this process",
                hint="leave it out: the manager keeps the process",
            )
        node.run_detached(made.pod, on_created=created)
        print(made.uuid)
        return 0
    if line["interactive"] and made.pod.spec.containers[0].tty:
        from lading.cli import terminal

        rows, columns = terminal.size()
        _record, session = node.run_session(made.pod, rows=rows, columns=columns, on_created=created)
        return terminal.converse(session, stdin=True, tty=True, forward=False)
    from lading.node import Stdio

    stdio = Stdio(stdin=0 if line["interactive"] else -1)
    return node.run(made.pod, stdio, on_created=created)


def run_prepared(context: Context, parsed: Parsed) -> int:
    """Run a prepared pod in the foreground: its apps' exit status."""
    line = Line()
    line.take(parsed.values)
    node = context.node
    pod = pods.find(node, parsed.args[0])
    if pod.state != pods.PREPARED:
        raise Conflict(f"pod {pod.uuid} is {pod.state}, not prepared", reason="state")
    interactive = bool(line["interactive"])
    _check_interactive(interactive, len(pod.record.containers), bool(line["detach"]))
    network = _network(context, line)
    images: dict[str, AppImage] = {}
    if line["mds-register"]:
        from lading.rocket.rkt import identity
        from lading.rocket.rkt.appimages import app_image

        identity.key(context.roots.data)
        for app, container in zip(pod.manifest.apps, pod.record.containers, strict=True):
            images[app.image.id] = app_image(context.images, context.images.get(container.image_id))
    if pod.manifest.ports and network.mode:
        raise InvalidInput(f"the pod's ports do not go with --net={network.mode}")

    def change(found: Pod) -> None:
        network.apply(found.spec)
        found.spec.host_ipc = line["ipc"] == "parent"
        if interactive:
            found.spec.containers[0].stdin = True
            found.spec.containers[0].tty = os.isatty(0)
        if images:
            identity.give(found, pod.uuid, pod.manifest, images)
        if not line["detach"]:
            activation.hand_on(found, handed.sockets())

    record = node.amend(pod.record.id, change)
    if line["detach"]:
        node.start(record.id)
        print(pod.uuid)
        return 0
    if interactive and record.pod.spec.containers[0].tty:
        from lading.cli import terminal

        rows, columns = terminal.size()
        _record, session = node.start_session(record.id, rows=rows, columns=columns)
        return terminal.converse(session, stdin=True, tty=True, forward=False)
    from lading.node import Stdio

    return node.run_again(record.id, Stdio(stdin=0 if interactive else -1))


# -- from the line to what is wanted ---------------------------------------------------------------------------------


def _line(parsed: Parsed) -> Line | None:
    """The command line; None when only help was asked for, which is shown."""
    spoken = " ".join(command.name for command in parsed.path)
    line = read(spoken, [*parsed.command.flags, *misplaced()], parsed.values, parsed.args)
    if line.help:
        from lading.cli.help import show

        show(parsed.path)
        return None
    manifest = line["pod-manifest"]
    if manifest is None and not line.apps:
        raise InvalidInput(
            "a pod needs an image", hint="name one, or give a manifest with --pod-manifest FILE"
        )
    if manifest is not None:
        given = [f"--{name}" for name in _INSTEAD if line[name]]
        given += ["--mount"] if line.mounts else []
        given += ["an image"] if line.apps else []
        if given:
            raise InvalidInput(f"{given[0]} does not go with --pod-manifest, which says it all")
    return line


def _wanted(context: Context, line: Line, parsed: Parsed, *, quiet: bool = False) -> _Wanted:
    network = _network(context, line)
    if line["port"] and network.mode:
        raise InvalidInput(f"--port does not go with --net={network.mode}")
    if line["private-users"] and (network.mode == "host" or line["ipc"] == "parent"):
        shared = "--net=host" if network.mode == "host" else "--ipc=parent"
        raise InvalidInput(
            f"{shared} does not go with --private-users", hint="the host's belongs to its root"
        )
    if line["private-users"] and context.roots.uid:
        raise Unsupported(
            "--private-users: an ordinary user has no ranges of users to give to pods",
            hint="leave it out: your pods are in a user namespace of your own already",
        )
    unsafe = of_line(parsed.globals, line.list("insecure-options"))
    chooser = Chooser(context, policy(line), unsafe, quiet=quiet)
    if line["pod-manifest"] is not None:
        manifest, images = _of_file(line["pod-manifest"], chooser)
    else:
        found = [chooser.app(app.image, app.one("signature") or "") for app in line.apps]
        images = {image.id: image for image in found}
        manifest = assemble.manifest(line, found, _environment(line))
        _tell(_unused(manifest, found))
    _check_interactive(bool(line["interactive"]), len(manifest.apps), bool(line["detach"]))
    options = PodOptions(
        network=network,
        metadata=bool(line["mds-register"]),
        host_ipc=line["ipc"] == "parent",
        private_users=bool(line["private-users"]),
        capable=unsafe.capabilities,
        unmasked=unsafe.paths,
        unfiltered=unsafe.seccomp,
        unlimited=_without_limits(context, line, manifest),
        restart=_RESTART[line["restart"] or "no"],
        streams=streams(line, manifest),
    )
    return _Wanted(manifest, images, options)


def _network(context: Context, line: Line) -> Network:
    """Where the line puts the pod. Rocket's network without a way out is made when it is first asked for."""

    def every() -> list[str]:
        from lading.network.model import DEFAULT_NETWORK

        return [network.name for network in context.networks.list() if network.name != DEFAULT_NETWORK]

    network = netflags.network(line, _host_file, every)
    if any(request.name == netflags.RESTRICTED for request in network.requests):
        netflags.make_restricted(context.networks)
    return network


def _without_limits(context: Context, line: Line, manifest: PodManifest) -> list[str]:
    """Apps that run without their images' limits, which this user cannot have here. Those that the line asks for stay.

    Source: spec/ace.md, "Isolators": who cannot enforce one may go on, and has to say so.
    """
    if not context.roots.uid or line["pod-manifest"] is not None:
        return []
    from lading.kernel.cgroups import detect

    if detect().mode == "v2":
        return []
    asked = ("memory", "cpu", "cpu-shares")
    pairs = zip(line.apps, manifest.apps, strict=True)
    return [runs.name for app, runs in pairs if all(app.one(flag) is None for flag in asked)]


def _of_file(path: str, chooser: Chooser) -> tuple[PodManifest, dict[str, AppImage]]:
    """The manifest in a file, with the images that it names, and leaves open, chosen."""
    from lading.formats.appc.pod import PodManifest
    from lading.formats.appc.reify import unresolved

    manifest = PodManifest.parse(_text("--pod-manifest", path), what=path, strict=True)
    open_ones = unresolved(manifest)
    images: dict[str, AppImage] = {}
    for app in manifest.apps:
        image = chooser.app(str(open_ones[app.name]) if app.name in open_ones else app.image.id)
        app.image.id = image.id
        images[image.id] = image
    if not manifest.apps:
        raise InvalidInput(f"{path}: apps is empty: a pod needs an app")
    return manifest, images


def _environment(line: Line) -> assemble.Environment:
    given: dict[str, str] = {}
    for path in line.list("set-env-file"):
        given.update(assemble.file_variables(_text("--set-env-file", path), where=path))
    given.update(pairs("set-env", line.list("set-env")))
    caller: Mapping[str, str] = {}
    if line["inherit-env"]:
        # What a service manager says to this process is no business of the apps.
        caller = {name: value for name, value in os.environ.items() if name not in _OURS}
    return assemble.Environment(caller, given)


def _unused(manifest: PodManifest, images: Sequence[AppImage]) -> list[str]:
    used = {mount.volume for app in manifest.apps for mount in app.mounts}
    for image in images:
        if image.manifest.app is not None:
            used |= {point.name for point in image.manifest.app.mount_points}
    return [f"no app mounts the volume {v.name}" for v in manifest.volumes if v.name not in used]


def streams(line: Line, manifest: PodManifest) -> dict[str, Streams]:
    """What the flags say of each app's streams. Raises :class:`InvalidInput`."""
    made: dict[str, Streams] = {}
    for app, runs in zip(line.apps, manifest.apps, strict=False):
        modes = {name: app.one(name) for name in ("stdin", *_OUTPUTS)}
        for name, mode in modes.items():
            allowed = ("null", "stream", "tty") if name == "stdin" else ("log", "null", "stream", "tty")
            if mode is not None and mode not in allowed:
                raise InvalidInput(f"--{name}={mode[:40]} is not one of {', '.join(allowed)}")
        nowhere = [name for name in _OUTPUTS if modes[name] == "null"]
        tty = "tty" in modes.values()
        if tty and nowhere:
            raise InvalidInput(
                f"--{nowhere[0]}=null: app {runs.name} has a terminal, which is all its streams"
            )
        if any(modes.values()):
            stdin = modes["stdin"] in ("stream", "tty")
            made[runs.name] = Streams(stdin=stdin, tty=tty, discard=nowhere)
    if line["interactive"]:
        name = manifest.apps[0].name
        given = made.get(name, Streams())
        tty = os.isatty(0)
        if tty and given.discard:
            raise InvalidInput(
                f"--interactive: the terminal is all streams of app {name}, and --{given.discard[0]}=null"
            )
        made[name] = Streams(stdin=True, tty=tty, discard=given.discard)
    return made


def _check_interactive(interactive: bool, apps: int, detach: bool) -> None:
    if interactive and apps > 1:
        raise InvalidInput(f"--interactive is for a pod of one app, and this one has {apps}")
    if interactive and detach:
        raise InvalidInput("--interactive and --detach contradict each other")


# -- files and words -------------------------------------------------------------------------------------------------


def _text(flag: str, path: str) -> str:
    try:
        return read_file(flag, path).decode()
    except UnicodeDecodeError:
        raise InvalidInput(f"{flag} {path}: not UTF-8 text") from None


def _host_file(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read(1 << 20)
    except OSError:
        return ""


def _uuid_file(path: str | None) -> Callable[[str], None]:
    """What writes a UUID to ``path``, which is opened now: a pod whose UUID nobody learns is not made."""
    if path is None:
        return lambda _uuid: None
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise LadingError(f"--uuid-file-save {path}: {error.strerror}", reason="io") from None

    def save(uuid: str) -> None:
        try:
            os.write(fd, uuid.encode() + b"\n")
        except OSError as error:
            raise LadingError(f"--uuid-file-save {path}: {error.strerror}", reason="io") from None
        finally:
            os.close(fd)

    return save


def _tell(notes: Sequence[str]) -> None:
    for note in notes:
        print(f"note: {note}", file=sys.stderr, flush=True)


__all__ = ["prepare", "run", "run_prepared", "streams"]
