"""An image's configuration from one format to the other: OCI ↔ App Container, as pure functions.

What both can say becomes the same thing: command, user, environment, directory, ports, volumes, platform, author, date, labels.
What only one can say is carried along where the other has room for words of others (OCI's labels, App Container's annotations),
so that the way back finds it; what has no room at all is listed in ``lost``. The annotations for Docker's two command lists
are the ones that docker2aci writes.
Sources: OCI image-spec config.md; spec/aci.md.
"""

from __future__ import annotations

from lading.errors import InvalidInput, LadingError
from lading.formats import jsontext
from lading.formats.appc.app import LARGEST_PORT, App, EnvironmentVariable, MountPoint, Port, is_variable
from lading.formats.appc.image import ImageManifest
from lading.formats.appc.labels import (
    Annotation,
    check_annotations,
    labels_of,
    mapping,
    platform_labels,
    platform_of,
)
from lading.formats.appc.names import suggest_name
from lading.formats.appc.values import is_web_url
from lading.formats.oci_image import Healthcheck, ImageConfig, Platform, RunConfig
from lading.formats.platform import normal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ENTRYPOINT = "appc.io/docker/entrypoint"
CMD = "appc.io/docker/cmd"
OCI_ONLY = "lading/oci/"
"""Annotations for what OCI alone can say: ``user`` without a group, ``stop-signal``, ``healthcheck``, ``shell``."""

URL = "org.opencontainers.image.url"
DOCUMENTATION = "org.opencontainers.image.documentation"
NAME = "appc.io/name"
LABEL = "appc.io/label/"
ANNOTATION = "appc.io/annotation/"
"""OCI labels for what App Container alone can say."""


class ToACI:
    """A manifest, and what of the OCI configuration has no place in it."""

    __slots__ = ("lost", "manifest")

    def __init__(self, manifest: ImageManifest, lost: list[str]) -> None:
        self.manifest = manifest
        self.lost = lost


class ToOCI:
    """A configuration without its ``rootfs``, and what of the manifest has no place in it."""

    __slots__ = ("config", "lost")

    def __init__(self, config: ImageConfig, lost: list[str]) -> None:
        self.config = config
        self.lost = lost


# -- OCI → App Container -------------------------------------------------------------------------------------------


def to_aci(config: ImageConfig, *, name: str, labels: Mapping[str, str] | None = None) -> ToACI:
    """The manifest of an OCI image. ``labels`` (``version``) come on top of ``os`` and ``arch``.

    Raises :class:`InvalidInput` for a name or label that App Container cannot have.
    """
    lost: list[str] = []
    run = config.config
    oci_labels = dict(run.labels) if run is not None else {}
    restored = {key: oci_labels.pop(key) for key in list(oci_labels) if key.startswith((LABEL, ANNOTATION))}
    oci_labels.pop(NAME, None)

    platform = normal(Platform(os=config.os, architecture=config.architecture, variant=config.variant))
    wanted = platform_labels(platform) if config.os else {}
    back = platform_of(wanted)
    for field in ("os", "architecture", "variant"):
        if getattr(config, field) and (back is None or getattr(back, field) != getattr(platform, field)):
            lost.append(f"{field} {getattr(config, field)}")
    for key, value in restored.items():
        label = key[len(LABEL) :]
        if key.startswith(LABEL):
            if _fits({**wanted, label: value}):
                wanted[label] = value
            else:
                lost.append(f"label {label[:40]!r}")
    wanted.update(labels or {})

    notes: dict[str, str] = {}
    if config.created:
        _note(notes, lost, "created", config.created)
    if config.author:
        notes["authors"] = config.author
    for key, field in ((URL, "homepage"), (DOCUMENTATION, "documentation")):
        # A label that is no URL stays a label, and so does one that was a label before.
        if is_web_url(oci_labels.get(key, "")) and ANNOTATION + field not in restored:
            notes[field] = oci_labels.pop(key)
    for key, value in restored.items():
        if key.startswith(ANNOTATION):
            _note(notes, lost, key[len(ANNOTATION) :], value)

    made = ImageManifest.new(name)
    made.labels = labels_of(wanted)
    if run is not None and (oci_labels or run.replace(labels={}) != RunConfig()):
        made.app = _app(run, oci_labels, notes, lost)
    for field in ("os_version", "os_features"):
        if getattr(config, field):
            lost.append(field.replace("_", "."))
    made.annotations = [Annotation(name=key, value=value) for key, value in notes.items()]
    made.check()
    return ToACI(made, lost)


def _note(notes: dict[str, str], lost: list[str], name: str, value: str) -> None:
    try:
        check_annotations([Annotation(name=name, value=value)], "annotations")
    except InvalidInput:
        lost.append(f"{name[:40]} {value[:40]!r}")
    else:
        notes[name] = value


def _fits(labels: Mapping[str, str]) -> bool:
    try:
        labels_of(labels)
    except InvalidInput:
        return False
    return True


def _app(run: RunConfig, labels: dict[str, str], notes: dict[str, str], lost: list[str]) -> App:
    user, _, group = run.user.partition(":")
    app = App(
        exec=[*run.entrypoint, *run.cmd],
        user=user or "0",
        group=group or "0",
        working_directory=_absolute(run.working_dir),
        user_labels=labels,
    )
    if run.user != f"{app.user}:{app.group}":
        notes[OCI_ONLY + "user"] = run.user
    if run.entrypoint and run.cmd:
        # The border between the two is Docker's alone.
        notes[ENTRYPOINT] = jsontext.dumps(run.entrypoint)
        notes[CMD] = jsontext.dumps(run.cmd)
    elif run.entrypoint:
        notes[ENTRYPOINT] = jsontext.dumps(run.entrypoint)
    if app.exec and not app.exec[0]:
        app.exec = []
        lost.append("a command without a name")
    for key, value in _variables(run.env).items():
        if is_variable(key):
            app.environment.append(EnvironmentVariable(name=key, value=value))
        else:
            lost.append(f"environment variable {key[:40]!r}")
    taken: set[str] = set()
    for path in run.volumes:
        point = MountPoint(name=_fresh(suggest_name(path) or "root", taken), path=_absolute(path) or "/")
        app.mount_points.append(point)
    for text in run.exposed_ports:
        port = _port(text)
        if port is None:
            lost.append(f"port {text[:40]!r}")
        else:
            app.ports.append(port)
    if run.stop_signal:
        notes[OCI_ONLY + "stop-signal"] = run.stop_signal
    if run.healthcheck is not None:
        notes[OCI_ONLY + "healthcheck"] = jsontext.dumps(run.healthcheck.encode())
    if run.shell:
        notes[OCI_ONLY + "shell"] = jsontext.dumps(run.shell)
    if run.on_build:
        lost.append("OnBuild")
    if run.args_escaped:
        lost.append("ArgsEscaped")
    return app


def _variables(env: Iterable[str]) -> dict[str, str]:
    """Of a variable given twice the last counts, as in execve's order of things in every libc that matters here."""
    made: dict[str, str] = {}
    for text in env:
        name, _, value = text.partition("=")
        made[name] = value
    return made


def _absolute(path: str) -> str:
    # Docker reads a relative directory from the root.
    return path if not path or path.startswith("/") else "/" + path


def _fresh(name: str, taken: set[str]) -> str:
    made, number = name, 2
    while made in taken:
        made, number = f"{name}-{number}", number + 1
    taken.add(made)
    return made


def _port(text: str) -> Port | None:
    numbers, slash, protocol = text.partition("/")
    first, dash, last = numbers.partition("-")
    if not all(n.isascii() and n.isdigit() and len(n) <= 5 for n in ([first, last] if dash else [first])):
        return None
    low, high = int(first), int(last) if dash else int(first)
    protocol = protocol if slash else "tcp"
    if not 1 <= low <= high <= LARGEST_PORT or not suggest_name(protocol):
        return None
    return Port(name=_port_name(low, high, protocol), protocol=protocol, port=low, count=high - low + 1)


def _port_name(low: int, high: int, protocol: str) -> str:
    return f"{low}-{high}-{suggest_name(protocol)}" if high > low else f"{low}-{suggest_name(protocol)}"


# -- App Container → OCI -------------------------------------------------------------------------------------------


def to_oci(manifest: ImageManifest) -> ToOCI:
    """The OCI configuration of an App Container image. Raises :class:`InvalidInput` for an invalid manifest."""
    manifest.check()
    lost: list[str] = []
    labels, notes = mapping(manifest.labels), mapping(manifest.annotations)
    platform = platform_of(labels)
    config = ImageConfig(created=notes.pop("created", ""), author=notes.pop("authors", ""))
    if platform is not None:
        config.os, config.architecture, config.variant = platform.os, platform.architecture, platform.variant
        for name in ("os", "arch"):
            if platform_labels(platform).get(name) == labels.get(name):
                labels.pop(name, None)
    elif not {"os", "arch"} & set(labels):
        # An image without them suits any machine; OCI has no word for that, and an empty one says it best.
        config.os = config.architecture = ""
    carried = {NAME: manifest.name}
    carried.update((LABEL + name, value) for name, value in labels.items())
    app = manifest.app
    run = RunConfig() if app is None else _run(app, notes, lost)
    for field, key in (("homepage", URL), ("documentation", DOCUMENTATION)):
        if field in notes:
            if key in run.labels:
                carried[ANNOTATION + field] = notes.pop(field)
            else:
                carried[key] = notes.pop(field)
    carried.update((ANNOTATION + name, value) for name, value in notes.items())
    lost += [f"the user label {key}" for key in carried if key in run.labels]
    run.labels = {**run.labels, **carried}
    config.config = run
    if manifest.path_whitelist:
        lost.append("pathWhitelist, which is in the layers")
    if manifest.dependencies:
        lost.append("dependencies, which are in the layers")
    return ToOCI(config, lost)


def _run(app: App, notes: dict[str, str], lost: list[str]) -> RunConfig:
    run = RunConfig(
        env=[f"{variable.name}={variable.value}" for variable in app.environment],
        working_dir=app.working_directory,
        labels=dict(app.user_labels),
        user=_user(app, notes.pop(OCI_ONLY + "user", None)),
    )
    run.entrypoint, run.cmd = _command(app.exec, notes)
    for point in app.mount_points:
        run.volumes[point.path] = {}
        if point.read_only:
            lost.append(f"that the mount point {point.name} is read-only")
    for port in app.ports:
        last = port.port + port.count - 1
        numbers = f"{port.port}-{last}" if port.count > 1 else str(port.port)
        run.exposed_ports[f"{numbers}/{port.protocol}"] = {}
        if port.name != _port_name(port.port, last, port.protocol):
            lost.append(f"the name of the port {port.name}")
        if port.socket_activated:
            lost.append(f"that the port {port.name} is socket-activated")
    run.stop_signal = notes.pop(OCI_ONLY + "stop-signal", "")
    run.healthcheck = _healthcheck(notes.pop(OCI_ONLY + "healthcheck", ""))
    run.shell = _words(notes.pop(OCI_ONLY + "shell", "")) or []
    lost += [f"the event handler {handler.name}" for handler in app.event_handlers]
    lost += [f"the isolator {isolator.name}" for isolator in app.isolators]
    if app.supplementary_gids:
        lost.append("supplementaryGIDs")
    if app.user_annotations:
        lost.append("userAnnotations")
    return run


def _user(app: App, original: str | None) -> str:
    if original is not None:
        name, _, group = original.partition(":")
        if (name or "0", group or "0") == (app.user, app.group):
            return original
    return f"{app.user}:{app.group}"


def _command(words: list[str], notes: dict[str, str]) -> tuple[list[str], list[str]]:
    """Entrypoint and Cmd. Without a hint all of it is the command; a hint that does not fit it is not believed."""
    entrypoint = _words(notes.pop(ENTRYPOINT, ""))
    cmd = _words(notes.pop(CMD, ""))
    if entrypoint is not None and [*entrypoint, *(cmd or [])] == words:
        return entrypoint, cmd or []
    if cmd is not None and entrypoint is None and cmd == words:
        return [], cmd
    return [], list(words)


def _words(text: str) -> list[str] | None:
    if not text:
        return None
    try:
        value = jsontext.loads(text)
    except LadingError:
        return None
    return value if type(value) is list and all(type(word) is str for word in value) else None


def _healthcheck(text: str) -> Healthcheck | None:
    if not text:
        return None
    try:
        return Healthcheck.decode(jsontext.loads(text), strict=False)
    except InvalidInput:
        return None
