"""``rkt app add``: one more app for a pod that runs, as a container of its own that lives in the pod."""

from __future__ import annotations

import sys

from lading.errors import Conflict, InvalidInput, NotFound
from lading.flags import UsageError
from lading.formats import jsontext
from lading.formats.appc import strings
from lading.formats.appc.pod import Mount, PodManifest
from lading.formats.appc.reify import reify
from lading.rocket.rkt import assemble, identity, mountchecks, pods, seen
from lading.rocket.rkt.appimages import expect
from lading.rocket.rkt.choosing import NEVER, Chooser
from lading.rocket.rkt.entering import not_running
from lading.rocket.rkt.insecure import of_line
from lading.rocket.rkt.line import read
from lading.rocket.rkt.podoptions import PodOptions
from lading.rocket.rkt.running import streams
from lading.rocket.rkt.statuses import as_rocket
from lading.rocket.translate import translate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.formats.appc.pod import RuntimeApp, Volume
    from lading.formats.pod import Pod
    from lading.rocket.rkt.appimages import AppImage
    from lading.rocket.rkt.line import Line
    from lading.rocket.rkt.podoptions import Streams
    from lading.rocket.rkt.seen import SeenPod

_OWN = "own-"
"""What the names of an added app's own volumes begin with in the engine, so that they are not those of the pod."""


@as_rocket
def add(context: Context, parsed: Parsed) -> int:
    """Add an app, which `app start` starts."""
    uuid, *words = parsed.args
    line = read("lading rkt app add", parsed.command.flags, parsed.values, words)
    if line.help:
        from lading.cli.help import show

        show(parsed.path)
        return 0
    if len(line.apps) != 1:
        raise UsageError(f"app add takes one image, not {len(line.apps)}")
    pod = seen.find(context.node, uuid)
    if pod.state != pods.RUNNING:
        raise not_running(pod)
    unsafe = of_line(parsed.globals, ())
    try:
        image = Chooser(context, NEVER, unsafe).app(line.apps[0].image)
    except NotFound:
        text = line.apps[0].image
        raise NotFound(f"image {text} is not here", hint=f"lading rkt fetch {text}") from None
    made, notes = member(pod, line, image)
    for note in notes:
        print(f"note: {note}", file=sys.stderr, flush=True)
    options = PodOptions(capable=unsafe.capabilities, unmasked=unsafe.paths, unfiltered=unsafe.seccomp)
    options.unprotect(made.spec.containers[0])
    context.node.create(made)
    return 0


def member(pod: SeenPod, line: Line, image: AppImage) -> tuple[Pod, list[str]]:
    """The engine's pod of the one app of ``line``, and notes for its user.

    Raises :class:`InvalidInput`, :class:`Unsupported`, naming the app, and Conflict for a name that is taken.
    """
    app = assemble.runtime_app(line.apps[0], image, assemble.Environment({}, {}))
    if any(other.app.name == app.name for other in pod.apps):
        raise Conflict(
            f"pod {pod.pod.uuid} has an app {app.name} already",
            hint=f"give this one another name: {line.apps[0].image} --name NAME",
            reason="name-taken",
        )
    template = PodManifest.new().replace(apps=[app], volumes=_volumes(pod, app, line))
    given = streams(line, template).get(app.name)
    reified, notes = reify(template, {image.id: image.manifest}, implicit=True)
    notes += mountchecks.look(reified, {image.id: image})
    translated = translate(reified, {image.id: image.manifest}, uuid=pod.pod.uuid)
    runs = reified.apps[0]
    own = {volume.name: volume for volume in reified.volumes}
    # What the pod does not have stands with the app itself.
    runs.mounts = [mount.replace(app_volume=_own(pod, mount, own)) for mount in runs.mounts]
    made = translated.pod
    _alone(made, pod, image, given)
    _share(made, pod, runs)
    made.metadata.annotations[seen.ADDED] = jsontext.dumps(runs.encode())
    identity.join(made, image)
    return made, notes + translated.notes


def _alone(made: Pod, pod: SeenPod, image: AppImage, given: Streams | None) -> None:
    """Make of a pod of apps a container that lives in ``pod``."""
    (container,) = made.spec.containers
    made.metadata.name = f"{pod.pod.record.name}-{container.name}"
    made.metadata.uid = ""
    container.image, container.extras.image_name = image.image.digest, image.name
    expect(container, image)
    if given is not None:
        given.apply(container)
    made.spec.share_process_namespace = False
    made.spec.security_context = None
    extras = made.spec.extras
    extras.container, extras.pod, extras.fail_together = True, pod.pod.record.id, False
    extras.own_files = list(pod.pod.record.pod.spec.extras.own_files)


def _share(made: Pod, pod: SeenPod, app: RuntimeApp) -> None:
    """Let the app's empty volumes that are the pod's be those that the pod's own apps have."""
    for volume in made.spec.volumes:
        volume.name = _OWN + volume.name
    (container,) = made.spec.containers
    names = {mount.path: mount.volume for mount in app.mounts if mount.app_volume is None}
    for mount in container.volume_mounts:
        mount.name = _of_pod(pod, names.get(mount.mount_path, "")) or _OWN + mount.name
    used = {mount.name for mount in container.volume_mounts}
    made.spec.volumes = [volume for volume in made.spec.volumes if volume.name in used]


def _of_pod(pod: SeenPod, name: str) -> str:
    """What the engine calls the pod's empty volume ``name``; empty where no app of the pod mounts one of this name."""
    for app in pod.pod.manifest.apps:
        paths = [mount.path for mount in app.mounts if mount.volume == name]
        for mount in pods.container_of(pod.pod, app.name).volume_mounts:
            if mount.mount_path in paths:
                return mount.name
    return ""


def _volumes(pod: SeenPod, app: RuntimeApp, line: Line) -> list[Volume]:
    """The volumes of the pod that ``app`` mounts, and those that ``--mnt-volume`` gives it alone, which are mounted."""
    given = [_mounted(text) for text in line.list("mnt-volume")]
    of_pod = {volume.name: volume for volume in pod.manifest.volumes}
    made = {volume.name: volume for volume, _ in given}
    for mount in app.mounts:
        volume = of_pod.get(mount.volume)
        if volume is not None:
            made.setdefault(volume.name, volume)
    app.mounts += [Mount(volume=volume.name, path=path) for volume, path in given]
    return list(made.values())


def _mounted(text: str) -> tuple[Volume, str]:
    """``NAME,kind=KIND,…,target=PATH``: a volume as ``--volume`` has it, and where it is mounted. Raises InvalidInput."""
    parts = text.split(",")
    targets = [part.removeprefix("target=") for part in parts if part.startswith("target=")]
    if len(targets) != 1 or not targets[0].startswith("/"):
        raise InvalidInput(
            f"--mnt-volume {text[:80]!r} needs one absolute target",
            hint="NAME,kind=host,source=/path,target=/path",
        )
    rest = ",".join(part.removeprefix("name=") for part in parts if not part.startswith("target="))
    return strings.volume(rest), targets[0]


def _own(pod: SeenPod, mount: Mount, own: dict[str, Volume]) -> Volume | None:
    if any(volume.name == mount.volume for volume in pod.pod.manifest.volumes):
        return None
    return own[mount.volume]
