"""The project's networks, volumes and files: made before containers, with the project's labels, and removed after them."""

from __future__ import annotations

import hashlib
import os

from lading.compose import labels
from lading.compose.mounts import mode_of
from lading.errors import Conflict, InvalidInput, LadingError, NotFound
from lading.formats import jsontext
from lading.formats.compose.document import retold
from lading.roots import keep_private

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from lading.compose.application import Application
    from lading.formats.compose.model import Config, Network, Project, Volume
    from lading.formats.pod import NetworkRequest


def digest(value: object) -> str:
    """The SHA-256 of a JSON value, whatever the order of its members."""
    return hashlib.sha256(jsontext.dumps(_sorted(value)).encode("utf-8", "surrogateescape")).hexdigest()


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    return value


# -- networks ------------------------------------------------------------------------------------------------------


def networks(app: Application, project: Project, services: Collection[str]) -> None:
    """Make the networks that ``services`` join, those that are not there. Raises NotFound for an external one that is missing."""
    used = {key for name in services for key in project.services[name].networks}
    if app.globals["all-resources"]:
        used |= set(project.networks)
    for key in sorted(used):
        _network(app, project, key, project.networks[key])


def _network(app: Application, project: Project, key: str, network: Network) -> None:
    from lading.cli.networks import driver_options, inner_name

    node = app.context.node  # its networks are closed before a fork; those of the context are not
    try:
        found = node.networks.get(inner_name(network.name))
    except NotFound:
        if network.external:
            raise NotFound(
                f"networks.{key}: the external network {network.name} does not exist",
                hint=f"create it: lading network create {network.name}",
            ) from None
        found = None
    if network.external:
        return
    want = digest(network.encode())
    gone: list[tuple[str, NetworkRequest]] = []
    if found is not None:
        known = found.labels.get(labels.HASH)
        if found.labels.get(labels.PROJECT) != project.name:
            raise Conflict(
                f"networks.{key}: the network {network.name} exists and is not this project's",
                hint="call it external, or choose another name",
                reason="foreign-network",
            )
        if known in ("", None, want):
            return
        gone = _disconnect(app, project, network.name)
        strangers = node.networks.users(network.name)
        if strangers:
            raise Conflict(
                f"networks.{key}: its definition has changed, and {network.name} has containers that are not this project's: "
                f"{', '.join(identity[:12] for identity in strangers)}",
                hint="remove them first",
                reason="changed-network",
            )
        node.networks.remove(network.name)
    driver = "macvlan" if network.driver == "macvlan" else "bridge"
    options, mtu, interface = driver_options(driver, dict(network.driver_opts))
    rows = network.ipam.config if network.ipam is not None else []
    try:
        node.networks.create(
            network.name,
            driver=driver,
            subnets=[row.subnet for row in rows if row.subnet],
            gateways=[row.gateway for row in rows if row.gateway],
            ranges=[row.ip_range for row in rows if row.ip_range],
            reserved={k: v for row in rows for k, v in row.aux_addresses.items()},
            ipv6=bool(network.enable_ipv6),
            internal=network.internal,
            mtu=mtu,
            interface=interface,
            labels={
                **network.labels,
                labels.PROJECT: project.name,
                labels.NETWORK: key,
                labels.HASH: want,
            },
            options=options,
        )
    except LadingError as error:
        raise app.located(retold(error, f"networks.{key}: {error.message}")) from None
    app.say(f" Network {network.name}  {'Recreated' if found is not None else 'Created'}")
    for identity, request in gone:
        app.context.node.connect(identity, request)


def _disconnect(app: Application, project: Project, network: str) -> list[tuple[str, NetworkRequest]]:
    """Stop the project's containers in a network that is made anew, and take them off it: what each asked for there."""
    from lading.compose import ending, state

    found = [
        (member, request)
        for member in state.members(app.context.node, project.name, oneoffs=None)
        for request in member.record.pod.spec.extras.networks
        if request.name == network
    ]
    ending.stop(app, [member for member, _ in found], services=project.services)
    for member, _ in found:
        app.context.node.disconnect(member.id, network, force=True)
    return [(member.id, request) for member, request in found]


# -- volumes -------------------------------------------------------------------------------------------------------


def volumes(app: Application, project: Project, services: Collection[str]) -> None:
    """Make the volumes that ``services`` mount, those that are not there. Raises NotFound for an external one that is missing."""
    used = {
        mount.source
        for name in services
        for mount in project.services[name].volumes
        if mount.type == "volume" and mount.source
    }
    if app.globals["all-resources"]:
        used |= set(project.volumes)
    for key in sorted(used):
        _volume(app, project, key, project.volumes[key])


def _volume(app: Application, project: Project, key: str, volume: Volume) -> None:
    store = app.context.volumes
    try:
        found = store.get(volume.name)
    except NotFound:
        found = None
    except InvalidInput as error:
        raise app.located(InvalidInput(f"volumes.{key}.name: {error.message}")) from None
    if volume.external:
        if found is None:
            raise NotFound(
                f"volumes.{key}: the external volume {volume.name} does not exist",
                hint=f"create it: lading volume create {volume.name}",
            )
        return
    driver = volume.driver if volume.driver not in ("", "default") else "local"
    if found is not None:
        if found.labels.get(labels.PROJECT) != project.name:
            app.warn(f"the volume {volume.name} exists and was not made by this project: call it external")
        if found.driver != driver or found.options != volume.driver_opts:
            raise Conflict(
                f"volumes.{key}: the volume {volume.name} exists with another driver or other options",
                hint=f"its data would be lost: remove it yourself, lading volume rm {volume.name}",
                reason="changed-volume",
            )
        return
    try:
        store.create(
            volume.name,
            driver,
            volume.driver_opts,
            {**volume.labels, labels.PROJECT: project.name, labels.VOLUME: key},
        )
    except LadingError as error:
        raise app.located(retold(error, f"volumes.{key}: {error.message}")) from None
    app.say(f" Volume {volume.name}  Created")


# -- configs and secrets -------------------------------------------------------------------------------------------


class Files:
    """Configs and secrets as files of this machine.

    A ``file`` is mounted as it is. What comes of a variable or stands in the Compose file, and what is to have another owner or
    mode, is written below ``compose/PROJECT`` of the root, which only its owner can enter; ``down`` removes it.
    """

    def __init__(self, app: Application, project: Project) -> None:
        self._app = app
        self._project = project
        self._root = f"{app.context.roots.data}/compose/{project.name}"
        self._wanted: dict[str, tuple[bytes, int, int, int]] = {}

    def content(self, section: str, name: str) -> bytes | None:
        """What is in it; None of a directory. Raises NotFound and InvalidInput with the path in front."""
        entry = self._entry(section, name)
        where = f"{section}.{name}"
        if entry.content is not None:
            return entry.content.encode("utf-8", "surrogateescape")
        if entry.environment:
            value = self._app.environ.get(entry.environment)
            if value is None:
                raise NotFound(f"{where}.environment: the variable {entry.environment} is not set")
            return value.encode("utf-8", "surrogateescape")
        if os.path.isdir(entry.file):
            return None
        try:
            with open(entry.file, "rb") as stream:
                return stream.read()
        except FileNotFoundError:
            raise NotFound(f"{where}.file: {entry.file} does not exist") from None
        except OSError as error:
            raise LadingError(f"{where}.file: {entry.file}: {error.strerror}") from None

    def _entry(self, section: str, name: str) -> Config:
        entries = self._project.configs if section == "configs" else self._project.secrets
        return entries[name]

    def path(self, section: str, name: str, uid: str, gid: str, mode: str) -> str:
        """Where to mount it from. Nothing is written: :meth:`write` does that."""
        entry = self._entry(section, name)
        plain = not (uid or gid or mode)
        if entry.file and (plain or os.path.isdir(entry.file)):
            self.content(section, name)
            return entry.file
        data = self.content(section, name)
        assert data is not None
        named = hashlib.sha256(jsontext.dumps([section, name, uid, gid, mode]).encode() + data).hexdigest()
        path = f"{self._root}/{named[:40]}"
        bits = mode_of(mode, f"{section}.{name}.mode") & ~0o222 if mode else 0o444
        self._wanted[path] = (data, int(uid or 0), int(gid or 0), bits)
        return path

    def write(self) -> None:
        """Write the files that were asked for and are not there: whole or not at all."""
        for path, (data, uid, gid, mode) in self._wanted.items():
            if os.path.exists(path):
                continue
            keep_private(f"{self._app.context.roots.data}/compose")
            os.makedirs(self._root, 0o700, exist_ok=True)
            beside = f"{path}.{os.getpid()}"
            fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(fd, view) :]
                os.fchown(fd, uid, gid)
                os.fchmod(fd, mode)
                os.fsync(fd)
                os.rename(beside, path)
            except BaseException:
                os.unlink(beside)
                raise
            finally:
                os.close(fd)


def forget_files(app: Application, name: str) -> None:
    """Remove what :class:`Files` wrote for a project."""
    import shutil

    shutil.rmtree(f"{app.context.roots.data}/compose/{name}", ignore_errors=True)
