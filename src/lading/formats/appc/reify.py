"""From a pod manifest as somebody wrote it to one that can be executed, and what its mounts and ports then are.

Source: spec/pods.md (a manifest is *reified* when every mount point has its volume and every image its ID), spec/ace.md,
"Volume Setup"; what an image leaves open is filled in as Rocket does it.
"""

from __future__ import annotations

from lading.errors import InvalidInput, NotFound
from lading.formats.appc.app import LARGEST_PORT, App
from lading.formats.appc.errors import bad, shown
from lading.formats.appc.labels import mapping, match
from lading.formats.appc.pod import EMPTY, ExposedPort, Mount, PodManifest, RuntimeApp, Volume
from lading.formats.appc.wanted import Wanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from lading.formats.appc.app import Port
    from lading.formats.appc.image import ImageManifest


class Placed:
    """A volume at its place in an app."""

    __slots__ = ("path", "read_only", "volume")

    def __init__(self, volume: Volume, path: str, read_only: bool) -> None:
        self.volume = volume
        self.path = path
        self.read_only = read_only

    def __repr__(self) -> str:
        return f"Placed({self.volume.name!r}, {self.path!r}, read_only={self.read_only})"


class Forwarded:
    """One port of the host that leads to one port of the pod. ``host_ip`` empty: every address."""

    __slots__ = ("app", "host_ip", "host_port", "name", "port", "protocol")

    def __init__(self, name: str, app: str, protocol: str, port: int, host_port: int, host_ip: str) -> None:
        self.name = name
        self.app = app
        self.protocol = protocol
        self.port = port
        self.host_port = host_port
        self.host_ip = host_ip

    def __repr__(self) -> str:
        return f"Forwarded({self.name!r}, {self.host_ip}:{self.host_port} → {self.port}/{self.protocol})"


def app_of(app: RuntimeApp, image: ImageManifest | None) -> App:
    """How ``app`` is executed: what the pod says in place of its image, or the image. Raises :class:`InvalidInput`."""
    found = app.app if app.app is not None else image.app if image is not None else None
    if found is None:
        raise InvalidInput(
            f"app {app.name!r}: its image says nothing about how to execute it",
            hint="give a command or an app object",
        )
    if not found.exec:
        raise InvalidInput(f"app {app.name!r}: there is no command to execute", hint="give one with --exec")
    return found


def unresolved(pod: PodManifest) -> dict[str, Wanted]:
    """By app, the images of a template that are named and not yet chosen. Who chooses one sets its ``id``."""
    return {
        app.name: Wanted(app.image.name, mapping(app.image.labels)) for app in pod.apps if not app.image.id
    }


def reify(
    pod: PodManifest, images: Mapping[str, ImageManifest], *, implicit: bool = False
) -> tuple[PodManifest, list[str]]:
    """The manifest as it is executed, and notes about what was filled in.

    ``images``: manifests by image ID. Mounts are added for mount points that have a volume of their name; with ``implicit``
    the others get an empty volume, as Rocket gives them. Raises :class:`InvalidInput` and :class:`NotFound`.
    """
    pod.check()
    notes: list[str] = []
    volumes = {volume.name: volume.settled() for volume in pod.volumes}
    apps = [_reified(app, images, volumes, implicit, notes) for app in pod.apps]
    made = pod.replace(apps=apps, volumes=list(volumes.values()))
    for app in apps:
        placed(made, app, images.get(app.image.id))
    forwarded(made, images)
    return made, notes


def _reified(
    app: RuntimeApp,
    images: Mapping[str, ImageManifest],
    volumes: dict[str, Volume],
    implicit: bool,
    notes: list[str],
) -> RuntimeApp:
    where = f"app {app.name!r}"
    if not app.image.id:
        raise InvalidInput(
            f"{where}: the pod names image {app.image.name} without its ID",
            hint="resolve it first",
            reason="not-resolved",
        )
    image = images.get(app.image.id)
    if image is None:
        raise NotFound(f"{where}: image {app.image.id[:19]} is not here", hint="fetch it first")
    if app.image.name and app.image.name != image.name:
        raise InvalidInput(
            f"{where}: image {app.image.id[:19]} is {image.name}, not {app.image.name}", reason="other-image"
        )
    missing = match(mapping(app.image.labels), mapping(image.labels))
    if missing:
        raise InvalidInput(
            f"{where}: image {image.name} has another label {missing} than the pod asks for",
            reason="other-image",
        )
    mounts = list(app.mounts)
    there = {_normal(mount.path) for mount in mounts}
    for point in app_of(app, image).mount_points:
        if _normal(point.path) in there:
            continue
        name = point.name
        if name not in volumes:
            if not implicit:
                raise InvalidInput(
                    f"{where}: the mount point {name!r} has no volume",
                    hint=f"--volume {name},kind=host,source=/path or --volume {name},kind=empty",
                )
            name = f"{app.name}-{point.name}"
            if name in volumes and volumes[name].kind != EMPTY:
                raise InvalidInput(f"{where}: the mount point {point.name!r} has no volume")
            volumes[name] = Volume(name=name, kind=EMPTY).settled()
            notes.append(f"{where}: the mount point {point.name!r} got an empty volume")
        mounts.append(Mount(volume=name, path=point.path))
        there.add(_normal(point.path))
    return app.replace(image=app.image.replace(name=image.name, labels=list(image.labels)), mounts=mounts)


def placed(pod: PodManifest, app: RuntimeApp, image: ImageManifest | None) -> list[Placed]:
    """The volumes of an app of a reified pod, in the order in which they are mounted.

    Raises :class:`InvalidInput` for a mount without a volume, and for paths within each other.
    """
    where = f"app {app.name!r}"
    volumes = {volume.name: volume for volume in pod.volumes}
    read_only = {_normal(point.path): point.read_only for point in app_of(app, image).mount_points}
    made: list[Placed] = []
    for mount in app.mounts:
        volume = volumes.get(mount.volume) if mount.app_volume is None else mount.app_volume
        if volume is None:
            raise InvalidInput(f"{where}: mounts names {mount.volume!r}, which is no volume of the pod")
        volume = volume.settled()
        path = _normal(mount.path)
        for other in made:
            if _inside(path, other.path) or _inside(other.path, path):
                raise InvalidInput(f"{where}: the mounts {other.path} and {path} overlap")
        made.append(Placed(volume, path, bool(volume.read_only) or read_only.get(path, False)))
    return made


def _inside(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def forwarded(pod: PodManifest, images: Mapping[str, ImageManifest]) -> list[Forwarded]:
    """The ports of the host, one a port. Raises :class:`InvalidInput` for a name that no app has, or two have."""
    offered: dict[str, list[tuple[str, Port]]] = {}
    for app in pod.apps:
        for port in app_of(app, images.get(app.image.id)).ports:
            offered.setdefault(port.name, []).append((app.name, port))
    made: list[Forwarded] = []
    for index, exposed in enumerate(pod.ports):
        where = f"ports[{index}]"
        owner, port = _target(exposed, offered, where)
        if exposed.host_port + port.count - 1 > LARGEST_PORT:
            raise bad(
                where,
                f"{port.count} ports from {exposed.host_port} on end beyond {LARGEST_PORT}",
            )
        for step in range(port.count):
            new = Forwarded(
                exposed.name,
                owner,
                port.protocol,
                port.port + step,
                exposed.host_port + step,
                exposed.host_ip,
            )
            clash = next((old for old in made if _same_place(old, new)), None)
            if clash is not None:
                raise bad(where, f"port {new.host_port} of the host leads to {clash.name!r} already")
            made.append(new)
    return made


def _target(
    exposed: ExposedPort, offered: Mapping[str, list[tuple[str, Port]]], where: str
) -> tuple[str, Port]:
    found = offered.get(exposed.name, [])
    if exposed.pod_port is not None:
        return (found[0][0] if len(found) == 1 else ""), exposed.pod_port
    if not found:
        raise bad(
            where,
            f"no app has a port {shown(exposed.name)}",
            hint=f"there are {', '.join(sorted(offered))}" if offered else "no image declares a port",
        )
    if len(found) > 1:
        raise bad(where, f"{shown(exposed.name)} is a port of {' and '.join(app for app, _ in found)}")
    return found[0]


def _same_place(one: Forwarded, other: Forwarded) -> bool:
    everywhere = ("", "0.0.0.0")
    address = one.host_ip == other.host_ip or one.host_ip in everywhere or other.host_ip in everywhere
    return address and one.host_port == other.host_port and one.protocol == other.protocol


def _normal(path: str) -> str:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    done: list[str] = []
    for part in parts:
        if part == "..":
            done[-1:] = []
        else:
            done.append(part)
    return "/" + "/".join(done)
