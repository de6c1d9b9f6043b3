"""The pod manifest: apps that are launched together, and what they share.

Source: spec/pods.md, "Pod Manifest Schema". It is a template until it is reified (:mod:`lading.formats.appc.reify`).
"""

from __future__ import annotations

from lading.formats.appc.app import LARGEST_PORT, App, Port, unique
from lading.formats.appc.errors import bad, join, shown
from lading.formats.appc.isolators import POD, Isolator, gather
from lading.formats.appc.labels import Annotation, Label, check_annotations, check_labels
from lading.formats.appc.names import check_identifier, check_name
from lading.formats.appc.record import ACRecord, Manifest
from lading.formats.appc.values import (
    VERSION,
    check_absolute,
    check_header,
    check_image_id,
    check_mode,
    check_range,
)

KIND = "PodManifest"
HOST, EMPTY = "host", "empty"
_LARGEST_ID = 2**32 - 2
_DEFAULT_MODE = "0755"


class Volume(ACRecord):
    """A volume of kind ``host`` (a directory of the host) or ``empty`` (a fresh one, as long-lived as the pod).

    ``None`` is what was not said; :meth:`settled` fills in the defaults.
    """

    _wire = {"read_only": "readOnly"}
    name: str
    kind: str
    source: str = ""
    read_only: bool | None = None
    recursive: bool | None = None
    mode: str | None = None
    uid: int | None = None
    gid: int | None = None

    def check(self, where: str = "") -> None:
        """See :meth:`ACRecord.check`."""
        check_name(self.name, join(where, "name"))
        if self.kind == HOST:
            if not self.source:
                raise bad(join(where, "source"), "a host volume needs the path of a directory")
            check_absolute(self.source, join(where, "source"))
            for field, value in (("mode", self.mode), ("uid", self.uid), ("gid", self.gid)):
                if value is not None:
                    raise bad(join(where, field), "is for empty volumes; a host volume has it already")
        elif self.kind == EMPTY:
            if self.source:
                raise bad(join(where, "source"), "an empty volume has no source")
            if self.mode is not None:
                check_mode(self.mode, join(where, "mode"))
            for field, number in (("uid", self.uid), ("gid", self.gid)):
                if number is not None:
                    check_range(number, 0, _LARGEST_ID, join(where, field))
        else:
            raise bad(join(where, "kind"), f"{shown(self.kind)} is not {HOST!r} or {EMPTY!r}")

    def settled(self) -> Volume:
        """A copy with the specification's defaults where nothing was said."""
        if self.kind == EMPTY:
            return self.replace(
                read_only=self.read_only or False,
                mode=_DEFAULT_MODE if self.mode is None else self.mode,
                uid=self.uid or 0,
                gid=self.gid or 0,
            )
        return self.replace(
            read_only=self.read_only or False, recursive=True if self.recursive is None else self.recursive
        )


class Mount(ACRecord):
    """A volume of the pod, or ``app_volume``, at a path of one app."""

    volume: str
    path: str
    app_volume: Volume | None = None

    def check(self, where: str = "") -> None:
        """See :meth:`ACRecord.check`."""
        check_name(self.volume, join(where, "volume"))
        check_absolute(self.path, join(where, "path"))
        if self.app_volume is not None:
            self.app_volume.check(join(where, "appVolume"))


class RuntimeImage(ACRecord):
    """The image of an app: its ID, and for people and as a check its name and labels.

    Without an ID it is a template's, as in the specification's own example of one: name and labels say what to look for.
    """

    name: str = ""
    id: str = ""
    labels: list[Label] = []

    def check(self, where: str = "") -> None:
        if self.name:
            check_identifier(self.name, join(where, "name"))
        if self.id:
            check_image_id(self.id, join(where, "id"))
        elif not self.name:
            raise bad(join(where, "id"), "required field is missing, as is a name", reason="missing-field")
        check_labels(self.labels, join(where, "labels"))


class RuntimeApp(ACRecord):
    """One app of a pod; ``app`` replaces what its image says."""

    _wire = {"read_only_root_fs": "readOnlyRootFS"}
    name: str
    image: RuntimeImage
    app: App | None = None
    read_only_root_fs: bool = False
    mounts: list[Mount] = []
    annotations: list[Annotation] = []

    def check(self, where: str = "") -> None:
        check_name(self.name, join(where, "name"))
        self.image.check(join(where, "image"))
        if self.app is not None:
            self.app.check(join(where, "app"))
        for index, mount in enumerate(self.mounts):
            mount.check(join(where, f"mounts[{index}]"))
        check_annotations(self.annotations, join(where, "annotations"))


class ExposedPort(ACRecord):
    """A port of the host that leads to the app's port of the same name, or to ``pod_port``."""

    _wire = {"host_ip": "hostIP"}
    name: str
    host_port: int
    host_ip: str = ""
    pod_port: Port | None = None

    def check(self, where: str = "") -> None:
        check_name(self.name, join(where, "name"))
        check_range(self.host_port, 1, LARGEST_PORT, join(where, "hostPort"))
        if self.host_ip and not is_ipv4(self.host_ip):
            raise bad(
                join(where, "hostIP"), f"{shown(self.host_ip)} is not an IPv4 address", hint="203.0.113.23"
            )
        if self.pod_port is not None:
            self.pod_port.check(join(where, "podPort"))


class PodManifest(Manifest):
    """A pod: a template, or the document that is executed."""

    _wire = {"ac_kind": "acKind", "ac_version": "acVersion"}
    _keep_empty = ("ac_kind", "ac_version", "apps")
    _null = ("volumes", "isolators", "annotations", "ports")
    ac_version: str
    ac_kind: str
    apps: list[RuntimeApp]
    volumes: list[Volume] = []
    isolators: list[Isolator] = []
    annotations: list[Annotation] = []
    ports: list[ExposedPort] = []
    user_annotations: dict[str, str] = {}
    user_labels: dict[str, str] = {}

    @classmethod
    def new(cls) -> PodManifest:
        """A manifest without apps."""
        return cls(ac_kind=KIND, ac_version=VERSION, apps=[])

    def check(self, where: str = "") -> None:
        """Everything the specification states of a template. Raises :class:`InvalidInput`, :class:`Unsupported`."""
        check_header(self.ac_kind, self.ac_version, KIND, where)
        for index, app in enumerate(self.apps):
            app.check(join(where, f"apps[{index}]"))
        unique([app.name for app in self.apps], join(where, "apps"), "name")
        for index, volume in enumerate(self.volumes):
            volume.check(join(where, f"volumes[{index}]"))
        unique([volume.name for volume in self.volumes], join(where, "volumes"), "name")
        gather(self.isolators, POD, join(where, "isolators"))
        check_annotations(self.annotations, join(where, "annotations"))
        for index, port in enumerate(self.ports):
            port.check(join(where, f"ports[{index}]"))

    def settle(self) -> None:
        """See :meth:`Manifest.settle`."""
        for app in self.apps:
            if app.app is not None:
                app.app.settle()
        for port in self.ports:
            if port.pod_port is not None:
                port.pod_port.settle()


def is_ipv4(text: str) -> bool:
    """Whether ``text`` is an IPv4 address in dotted-quad notation, without leading zeros."""
    parts = text.split(".")
    return len(parts) == 4 and all(
        part.isascii()
        and part.isdigit()
        and len(part) <= 3
        and int(part) <= 255
        and (part == "0" or part[0] != "0")
        for part in parts
    )
